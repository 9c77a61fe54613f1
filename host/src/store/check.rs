//! Whether a store is what `FORMAT.md` says: every row is read, and every index is compared with
//! the rows that it leads to, in both directions.
//!
//! An invariant more is a function more in [`RULES`]: it goes through a table with
//! [`Check::each`] and tells [`Check::report`] what contradicts it.

mod catalog;
mod indexes;
mod runs;
mod timers;
mod triggers;

use std::fmt::{self, Display, Write as _};

use super::error::{DecodeError, StoreError};
use super::keys::{self, Key, KeyPart};
use super::read::Read;
use super::records::Record;
use super::source::{Order, Source, Span};
use super::tables::Table;
use super::view::View;
use dormouse_core::id::ModuleDigest;
use dormouse_core::time::Timestamp;

type Result<T = ()> = std::result::Result<T, StoreError>;

/// Something in a store that contradicts what should hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The table of the row.
    pub(crate) table: &'static str,
    /// Which row.
    pub(crate) row: String,
    /// What is wrong with it.
    pub(crate) problem: String,
}

impl Problem {
    /// Of the file as a whole.
    pub(crate) fn of_file(problem: &str) -> Self {
        Self { table: "file", row: "of the store".to_owned(), problem: problem.to_owned() }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.table, self.row, self.problem)
    }
}

/// Tells whether the bytes are a snapshot of a module, which the store itself cannot know.
pub(crate) type SnapshotReader = fn(&[u8], ModuleDigest) -> std::result::Result<(), String>;

/// Every invariant of the store. None relies on another.
const RULES: &[fn(&mut Check<'_>) -> Result] = &[
    catalog::modules,
    catalog::module_bytes,
    catalog::base_images,
    catalog::workflows,
    catalog::versions,
    runs::specs,
    runs::states,
    runs::journals,
    runs::snapshots,
    runs::task_outputs,
    runs::task_errors,
    runs::held_tasks,
    indexes::by_status,
    indexes::counts,
    indexes::children,
    indexes::adoptions,
    indexes::keyed_runs,
    indexes::concurrency,
    timers::timers,
    timers::waits,
    timers::backlogs,
    timers::event_waits,
    timers::event_pattern_waits,
    timers::run_waits,
    timers::work,
    timers::look_backs,
    timers::open_requests,
    timers::held_ends,
    triggers::crons,
    triggers::cron_names,
    triggers::disabled_crons,
    triggers::scheduled,
    triggers::scheduled_by_time,
    triggers::events,
    triggers::events_by_key,
    triggers::idempotency,
    triggers::idempotency_by_expiry,
];

/// Looks through a whole store and tells of every problem as it is found.
///
/// # Errors
///
/// When the database itself cannot be read. Rows that cannot be are problems.
pub(crate) fn check(view: &View, read_snapshot: SnapshotReader, found: &mut dyn FnMut(Problem)) -> Result {
    let kept_since = view.kept_since()?;
    let mut check = Check { view, read_snapshot, kept_since, found };
    RULES.iter().try_for_each(|rule| rule(&mut check))
}

/// A row that was looked up.
enum Look<V> {
    There(V),
    /// It is there and says nothing, which the rule for its table reports.
    Unreadable,
    Missing,
}

/// A check under way.
struct Check<'a> {
    view: &'a View,
    read_snapshot: SnapshotReader,
    /// Rows that were made before this may have gone with retention.
    kept_since: Timestamp,
    found: &'a mut dyn FnMut(Problem),
}

impl Check<'_> {
    fn report<K, V>(&mut self, table: Table<K, V>, row: impl Display, problem: impl Into<String>) {
        let problem = Problem { table: table.name, row: row.to_string(), problem: problem.into() };
        (self.found)(problem);
    }

    /// Goes through a table. A row that cannot be read is reported and left out.
    fn each<K: Key, V: Record<K>>(
        &mut self,
        table: Table<K, V>,
        mut rule: impl FnMut(&mut Self, K, V) -> Result,
    ) -> Result {
        for entry in self.view.rows(table.slot, &Span::all(), Order::Ascending)? {
            let (key, row) = entry?;
            match decode(&key, &row) {
                Ok((key, row)) => rule(self, key, row)?,
                Err(error) => self.report(table, hex(&key), format!("it cannot be read: {error}")),
            }
        }
        Ok(())
    }

    fn look<K: Key, V: Record<K>>(
        &self,
        table: Table<K, V>,
        key: impl KeyPart<Owned = K>,
    ) -> Result<Look<V>> {
        let bytes = keys::encode(&key);
        let row = self.view.row(table.slot, &bytes)?;
        Ok(match row.map(|row| decode::<K, V>(&bytes, &row)) {
            None => Look::Missing,
            Some(Ok((_, row))) => Look::There(row),
            Some(Err(_)) => Look::Unreadable,
        })
    }

    fn is_there<K: Key, V>(&self, table: Table<K, V>, key: impl KeyPart<Owned = K>) -> Result<bool> {
        Ok(self.view.row(table.slot, &keys::encode(&key))?.is_some())
    }

    /// Whether something that was made at that time and is not there has gone with retention.
    fn may_be_gone(&self, made_at: Timestamp) -> bool {
        made_at < self.kept_since
    }
}

/// How many rows a store has: what a check of it has to look at.
pub(crate) fn size(view: &View) -> Result<u64> {
    let mut size = 0;
    for slot in 0..super::tables::ALL.len() {
        for row in view.rows(slot, &Span::all(), Order::Ascending)? {
            row?;
            size += 1;
        }
    }
    Ok(size)
}

fn decode<K: Key, V: Record<K>>(key: &[u8], row: &[u8]) -> std::result::Result<(K, V), DecodeError> {
    let key = keys::decode(key)?;
    let row = V::decode(&key, row)?;
    Ok((key, row))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
