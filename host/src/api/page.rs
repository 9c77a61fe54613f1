//! Lists: how much of one to show, and where the next stretch begins.

use std::str::FromStr;

use dormouse_core::id::{CronId, EventId, ModuleDigest, RunId, WorkflowName};
use dormouse_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, Result};
use super::text::{Described, Text};
use crate::operations::{Page, Paged, ScheduledCursor};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;

/// The query of a list without filters.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// At most this many rows: from 1 to 200, by default 50.
    pub(super) limit: Option<usize>,
    /// The `nextCursor` of the stretch before.
    pub(super) cursor: Option<String>,
}

/// A stretch of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rows<T> {
    pub(super) rows: Vec<T>,
    /// Where the next stretch begins; `null` at the end. A stretch may have fewer rows than the limit,
    /// or none, where few pass the filter.
    pub(super) next_cursor: Option<String>,
}

impl<T> Rows<T> {
    pub(super) fn from_paged<R, C: Cursor>(paged: Paged<R, C>, shape: impl FnMut(R) -> T) -> Self {
        let next_cursor = paged.next.map(|cursor| cursor.to_text());
        Self { rows: paged.rows.into_iter().map(shape).collect(), next_cursor }
    }

    pub(super) fn try_from_paged<R, C: Cursor>(
        paged: Paged<R, C>,
        shape: impl FnMut(R) -> Result<T>,
    ) -> Result<Self> {
        let next_cursor = paged.next.map(|cursor| cursor.to_text());
        Ok(Self { rows: paged.rows.into_iter().map(shape).collect::<Result<_>>()?, next_cursor })
    }
}

/// Where a list stands: the key of its last row, a text that means nothing to clients.
pub(super) trait Cursor: Sized {
    fn to_text(&self) -> String;
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! cursors {
    ($($key:ty),*) => { $(
        impl Cursor for $key {
            fn to_text(&self) -> String {
                self.to_string()
            }

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )* };
}

cursors!(RunId, CronId, EventId, ModuleDigest, WorkflowName, u64);

impl Cursor for ScheduledCursor {
    fn to_text(&self) -> String {
        format!("{}.{}", self.0.as_millis(), self.1)
    }

    fn from_text(text: &str) -> Option<Self> {
        let (millis, id) = text.split_once('.')?;
        Some((Timestamp::from_millis(millis.parse().ok()?), id.parse().ok()?))
    }
}

/// The stretch that `limit` and `cursor` ask for.
pub(super) fn page<C: Cursor>(limit: Option<usize>, cursor: Option<&str>) -> Result<Page<C>> {
    let unknown = || {
        let description =
            "pass the `nextCursor` of an earlier answer as it is, or leave it out to begin again";
        ApiError::malformed("invalid_cursor", description).about("cursor")
    };
    let after = cursor.map(|text| C::from_text(text).ok_or_else(unknown)).transpose()?;
    Ok(Page { limit: checked_limit(limit)?, after })
}

/// The limit of a list, 50 unless it says otherwise.
fn checked_limit(limit: Option<usize>) -> Result<usize> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::invalid("invalid_limit", "limit", format!("the limit goes from 1 to {LIMIT_MAX}")))
}

/// A pair of metadata to filter by, as `key:value`. The value may contain more colons.
#[derive(Debug, Clone)]
pub(super) struct Pair(String, String);

pub(super) type PairText = Text<Pair>;

impl Described for Pair {
    const NAME: &'static str = "MetadataPair";
    const PATTERN: Option<&'static str> = Some("^[^:]*:.*$");
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let (name, value) = text.split_once(':').ok_or("a metadata filter is `key:value`")?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

/// The pairs as the host takes them.
pub(super) fn pairs(pairs: Vec<PairText>) -> Vec<(String, String)> {
    pairs.into_iter().map(|Text(Pair(name, value))| (name, value)).collect()
}
