//! The JSON form of a cron.

use std::time::Duration;

use dormouse_core::cron::Schedule;
use dormouse_core::workflow::{CatchUp, Overlap};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::definition::millis;
use super::error::{ApiError, Result};
use super::text::{CronIdText, CronNameText, RunIdText, Text, WorkflowNameText};
use super::values::{JsonValue, Metadata, Priority, Time};
use crate::store::rows::CronRow;

/// How far back the catch-up policy `all` looks by default: a day.
const CATCH_UP_WINDOW_MS: u64 = 86_400_000;

/// Starts runs of a workflow at the times that an expression names.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cron {
    id: CronIdText,
    workflow: WorkflowNameText,
    name: CronNameText,
    source: CronSource,
    expression: String,
    /// IANA name.
    timezone: String,
    /// The expression and the time zone in words.
    description: String,
    input: JsonValue,
    metadata: Metadata,
    /// `null`: that of the workflow.
    priority: Option<Priority>,
    enabled: bool,
    /// Why it does not fire although it is enabled: this host cannot read its expression or its zone, which an
    /// earlier one could. It is kept, and goes on on a host that can.
    problem: Option<String>,
    catch_up: CatchUpWord,
    /// Of the catch-up policy `all`.
    catch_up_window_ms: Option<u64>,
    overlap: OverlapWord,
    /// `null` while it is disabled or has a problem.
    next_run_at: Option<Time>,
    last_run_at: Option<Time>,
    last_run_id: Option<RunIdText>,
    created_at: Time,
    updated_at: Time,
}

/// Who made a cron.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum CronSource {
    /// A module declares it.
    Declared,
    /// It was made over the API and survives uploads.
    Api,
}

/// What happens to times that are late: by more than a minute, or by more than the interval to the next one if
/// that is shorter, as the host was down, suspended or busy, or its clock was wrong. Others always fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CatchUp)]
pub(super) enum CatchUpWord {
    /// They are left out.
    Skip,
    /// One run stands for all of them; it carries the latest.
    One,
    /// One run for each within `catchUpWindowMs`.
    All,
}

/// What happens to a time while an earlier run of the cron is unfinished.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Overlap)]
pub(super) enum OverlapWord {
    /// Both run.
    Allow,
    /// The new time is left out.
    Skip,
    /// The new run waits until the earlier ones have ended. At most 100 times wait; later ones are
    /// left out.
    Queue,
    /// The earlier runs are cancelled, and times that wait are left out.
    CancelRunning,
}

impl CatchUpWord {
    /// The word and, for `all`, its window.
    pub(super) fn from_core(catch_up: CatchUp) -> (Self, Option<Duration>) {
        match catch_up {
            CatchUp::Skip => (Self::Skip, None),
            CatchUp::One => (Self::One, None),
            CatchUp::All { window } => (Self::All, Some(window)),
        }
    }

    /// The policy, if there is one.
    pub(super) fn into_core(word: Option<Self>, window_ms: Option<u64>) -> Result<Option<CatchUp>> {
        match (word, window_ms) {
            (None, None) => Ok(None),
            (Some(Self::Skip), None) => Ok(Some(CatchUp::Skip)),
            (Some(Self::One), None) => Ok(Some(CatchUp::One)),
            (Some(Self::All), window_ms) => {
                let window = Duration::from_millis(window_ms.unwrap_or(CATCH_UP_WINDOW_MS));
                Ok(Some(CatchUp::All { window }))
            }
            (_, Some(_)) => {
                let description = "a window belongs to the policy `all`: give `\"catchUp\": \"all\"` with it";
                Err(ApiError::invalid("invalid_catch_up", "catchUpWindowMs", description))
            }
        }
    }
}

impl From<Overlap> for OverlapWord {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Allow => Self::Allow,
            Overlap::Skip => Self::Skip,
            Overlap::Queue => Self::Queue,
            Overlap::CancelRunning => Self::CancelRunning,
        }
    }
}

impl From<OverlapWord> for Overlap {
    fn from(word: OverlapWord) -> Self {
        match word {
            OverlapWord::Allow => Self::Allow,
            OverlapWord::Skip => Self::Skip,
            OverlapWord::Queue => Self::Queue,
            OverlapWord::CancelRunning => Self::CancelRunning,
        }
    }
}

impl From<CronRow> for Cron {
    fn from(row: CronRow) -> Self {
        let (catch_up, window) = CatchUpWord::from_core(row.spec.catch_up);
        let schedule = Schedule::parse(&row.spec.expression, &row.spec.timezone);
        let unreadable = || format!("{}, {}", row.spec.expression, row.spec.timezone);
        Self {
            id: Text(row.id),
            workflow: Text(row.workflow),
            name: Text(row.name),
            source: if row.declared { CronSource::Declared } else { CronSource::Api },
            description: schedule.as_ref().map_or_else(|_| unreadable(), Schedule::describe),
            problem: schedule.err().filter(|_| row.enabled).map(|error| error.to_string()),
            expression: row.spec.expression,
            timezone: row.spec.timezone,
            input: row.spec.input.into(),
            metadata: Metadata(row.spec.metadata),
            priority: row.spec.priority.map(Priority),
            enabled: row.enabled,
            catch_up,
            catch_up_window_ms: window.map(millis),
            overlap: row.spec.overlap.into(),
            next_run_at: row.next_run_at.map(Time),
            last_run_at: row.last_run_at.map(Time),
            last_run_id: row.last_run.map(Text),
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
        }
    }
}
