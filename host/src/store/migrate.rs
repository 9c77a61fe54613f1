//! The format of the whole store: creating it, recognising it, bringing an older one up to date.
//! `FORMAT.md` has the history.

use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};
use std::path::Path;

use dormouse_core::id::{CronId, RunId};
use dormouse_core::run::{Status, Trigger};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{Wait, WaitCondition};
use dormouse_core::workflow::Overlap;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};

use super::db::apply;
use super::error::{OpenError, StoreError};
use super::keys::{self, Key, NAMESPACE, Namespace};
use super::log::Number;
use super::read::Read;
use super::records::{OldRun, Record};
use super::rows::{IdempotencyRow, WaitRow};
use super::tables::{self, RawTable};
use super::view::View;
use super::working_set::{WorkingSet, encode};

/// The format that this program writes.
pub(super) const FORMAT: u32 = 7;

/// Row of `meta`: the format as four bytes, big endian. Every format that will ever be keeps it.
pub(super) const FORMAT_KEY: &str = "format";

/// Row of `meta`: when the store was made, as eight bytes, big endian.
const CREATED_AT_KEY: &str = "created-at";

/// Row of `meta`: the number of the last change set of the log that the database has, as eight bytes,
/// big endian.
pub(super) const LOGGED_KEY: &str = "logged";

/// Row of `meta`: there while the migration from format 1 is half done. The keys are new, and which
/// runs have not ended is not known yet.
const LIVE_RUNS_UNKNOWN_KEY: &str = "live-runs-unknown";

/// What a database says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    format: u32,
    live_runs_unknown: bool,
    /// Tells the store from others: when it was made.
    pub(super) store: u64,
    /// The last change set of the log that the database has.
    pub(super) logged: Number,
}

impl Identity {
    pub(super) fn is_current(&self) -> bool {
        self.format == FORMAT && !self.live_runs_unknown
    }
}

/// Finds out what a database is, and makes it a store if it is nothing yet.
pub(super) fn identify(database: &Database, path: &Path, now: Timestamp) -> Result<Identity, OpenError> {
    let identity = match identity(database, path)? {
        Some(identity) => identity,
        None => {
            create(database, now)?;
            let lost = || corrupt(path, "it was created and is not there");
            identity(database, path)?.ok_or_else(lost)?
        }
    };
    match identity.format {
        newer if newer > FORMAT => Err(OpenError::Newer { found: newer, known: FORMAT }),
        _ => Ok(identity),
    }
}

fn corrupt(path: &Path, problem: &str) -> OpenError {
    OpenError::Corrupt { path: path.to_owned(), problem: problem.to_owned() }
}

/// `None` of a database that was not created to the end.
fn identity(database: &Database, path: &Path) -> Result<Option<Identity>, OpenError> {
    let txn = database.begin_read().map_err(StoreError::from)?;
    let meta = match txn.open_table(tables::ALL[tables::META.slot]) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            return match txn.list_tables().map_err(StoreError::from)?.next() {
                None => Ok(None),
                Some(_) => Err(corrupt(path, "it is a database of another program")),
            };
        }
        Err(error) => return Err(StoreError::from(error).into()),
    };
    let row = |key: &str| -> Result<Option<Vec<u8>>, StoreError> {
        Ok(meta.get(keys::encode(key).as_slice())?.map(|row| row.value().to_vec()))
    };
    let number = |row: Option<Vec<u8>>| row.and_then(|row| row.try_into().ok()).map_or(0, u64::from_be_bytes);
    let format = row(FORMAT_KEY)?.and_then(|row| row.try_into().ok()).map(u32::from_be_bytes);
    Ok(Some(Identity {
        format: format
            .filter(|format| *format > 0)
            .ok_or_else(|| corrupt(path, "it does not say which format it has"))?,
        live_runs_unknown: row(LIVE_RUNS_UNKNOWN_KEY)?.is_some(),
        store: number(row(CREATED_AT_KEY)?),
        logged: number(row(LOGGED_KEY)?),
    }))
}

fn create(database: &Database, now: Timestamp) -> Result<(), StoreError> {
    in_one_transaction(database, |txn| put_meta(txn, CREATED_AT_KEY, &now.as_millis().to_be_bytes()))
}

/// Leaves the database in the current format, whatever older one it was in.
pub(super) fn bring_up_to_date(database: &Database, identity: Identity) -> Result<(), StoreError> {
    if identity.format < FORMAT {
        in_one_transaction(database, |txn| {
            if identity.format < 3 {
                put_names_into_namespace(txn)?;
                sort_event_waits(txn)?;
                put_timers_in_lines(txn)?;
                txn.delete_table(ACTIVE_TASKS)?;
            }
            if identity.format < 4 {
                make_waits_rows(txn)?;
            }
            list_keyed_runs(txn)?;
            if identity.format < 2 { put_meta(txn, LIVE_RUNS_UNKNOWN_KEY, &[]) } else { Ok(()) }
        })?;
    }
    if identity.format < 2 || identity.live_runs_unknown {
        know_live_runs(database)?;
    }
    Ok(())
}

/// Since format 3 `runs-by-status` and the states of runs say it.
const ACTIVE_TASKS: RawTable = TableDefinition::new("active-tasks");

/// Where rows are while they move into a table of the same name.
const MOVING: RawTable = TableDefinition::new("moving");

/// Tables whose keys begin with a namespace since format 3.
const NAMED: [RawTable; 7] = [
    tables::ALL[tables::WORKFLOWS.slot],
    tables::ALL[tables::VERSIONS.slot],
    tables::ALL[tables::RUNS_BY_STATUS.slot],
    tables::ALL[tables::RUN_COUNTS.slot],
    tables::ALL[tables::CONCURRENCY.slot],
    tables::ALL[tables::CRON_NAMES.slot],
    tables::ALL[tables::EVENTS_BY_KEY.slot],
];

/// The only namespace has all names.
fn put_names_into_namespace(txn: &WriteTransaction) -> Result<(), StoreError> {
    let namespace = keys::encode(&NAMESPACE);
    for table in NAMED.into_iter().chain([tables::ALL[tables::IDEMPOTENCY.slot]]) {
        change_keys(txn, table, |key| [&namespace, key].concat())?;
    }
    // The expiry stays in front.
    change_keys(txn, tables::ALL[tables::IDEMPOTENCY_BY_EXPIRY.slot], |key| {
        let (time, rest) = key.split_at(key.len().min(8));
        [time, &namespace, rest].concat()
    })
}

/// Waits for one key stand by what their filters ask for since format 3, and older ones where an index
/// finds nothing; waits for patterns stand by what the patterns begin with.
fn sort_event_waits(txn: &WriteTransaction) -> Result<(), StoreError> {
    let namespace = keys::encode(&NAMESPACE);
    let split = |key: &[u8]| {
        let mut rest = key;
        let text: Result<String, _> = Key::take(&mut rest);
        text.map(|text| (text, rest.to_vec())).unwrap_or_default()
    };
    change_keys(txn, tables::ALL[tables::EVENT_WAITS.slot], |key| {
        let (event_key, rest) = split(key);
        [namespace.clone(), keys::encode(&(event_key, "", "")), rest].concat()
    })?;
    change_keys(txn, tables::ALL[tables::EVENT_PATTERN_WAITS.slot], |key| {
        let (pattern, rest) = split(key);
        let prefix = pattern.split('*').next().unwrap_or_default().to_owned();
        [namespace.clone(), keys::encode(&(prefix, pattern)), rest].concat()
    })
}

/// The kind of a timer comes before its time since format 3.
fn put_timers_in_lines(txn: &WriteTransaction) -> Result<(), StoreError> {
    change_keys(txn, tables::ALL[tables::TIMERS.slot], |key| {
        let (time, rest) = key.split_at(key.len().min(8));
        let (kind, rest) = rest.split_at(rest.len().min(1));
        [kind, time, rest].concat()
    })
}

/// States of runs, and waits of them, that are rewritten between two looks at the table.
const STATES_AT_ONCE: usize = 1_000;
const WAITS_AT_ONCE: usize = 100_000;

/// Waits of task runs are rows since format 4. Until then they were part of the state of their run.
fn make_waits_rows(txn: &WriteTransaction) -> Result<(), StoreError> {
    let table = |slot: usize| txn.open_table(tables::ALL[slot]);
    let mut states = table(tables::RUN_STATES.slot)?;
    let (mut waits, mut backlogs) = (table(tables::WAITS.slot)?, table(tables::BACKLOGS.slot)?);
    let mut after: Bound<Vec<u8>> = Bound::Unbounded;
    loop {
        let mut old: Vec<(Vec<u8>, OldRun)> = Vec::new();
        let (mut last, mut count) = (None, 0);
        for entry in
            states.range::<&[u8]>((after.as_ref().map(Vec::as_slice), Bound::Unbounded))?.take(STATES_AT_ONCE)
        {
            let (key, row) = entry?;
            last = Some(key.value().to_vec());
            // One that cannot be read stays as it is.
            let Ok(state) = OldRun::decode(row.value()) else { continue };
            let waits: usize =
                state.waits.iter().map(Vec::len).chain(state.backlogs.iter().map(Vec::len)).sum();
            if waits > 0 {
                old.push((key.value().to_vec(), state));
                count += waits;
            }
            if count >= WAITS_AT_ONCE {
                break;
            }
        }
        for (key, OldRun { run, waits: open, backlogs: settled }) in old {
            states.insert(key.as_slice(), encode(tables::RUN_STATES, &run)?.as_slice())?;
            for (task, (open, settled)) in (0_u8..).zip(open.into_iter().zip(settled)) {
                let task = [key.as_slice(), &[task]].concat();
                for Wait { id, mut condition } in open {
                    if let WaitCondition::Event { key_pattern, filter, index, .. } = &mut condition {
                        *filter = None;
                        // A pattern matches many keys, and an index is of one.
                        if key_pattern.contains('*') {
                            *index = None;
                        }
                    }
                    let row = encode(tables::WAITS, &WaitRow::Open(condition))?;
                    waits.insert([&task, &*keys::encode(&id)].concat().as_slice(), row.as_slice())?;
                }
                for (number, settled) in (0_u64..).zip(settled) {
                    let row = encode(tables::BACKLOGS, &settled)?;
                    let at = [&task, &*keys::encode(&number)].concat();
                    backlogs.insert(at.as_slice(), row.as_slice())?;
                    let row = encode(tables::WAITS, &WaitRow::InBacklog(number))?;
                    waits.insert([&task, &*keys::encode(&settled.id)].concat().as_slice(), row.as_slice())?;
                }
            }
        }
        match last {
            Some(last) => after = Bound::Excluded(last),
            None => return Ok(()),
        }
    }
}

/// Since format 7 runs are listed for which an idempotency key stands.
fn list_keyed_runs(txn: &WriteTransaction) -> Result<(), StoreError> {
    let table = |slot: usize| txn.open_table(tables::ALL[slot]);
    let (idempotency, specs) = (table(tables::IDEMPOTENCY.slot)?, table(tables::RUN_SPECS.slot)?);
    let mut keyed = table(tables::KEYED_RUNS.slot)?;
    for entry in idempotency.range::<&[u8]>(..)? {
        let (key, row) = entry?;
        // One that cannot be read stays as it is.
        let Ok(key) = keys::decode::<(Namespace, String, String)>(key.value()) else { continue };
        let Ok(row) = IdempotencyRow::decode(&key, row.value()) else { continue };
        let run = RunId::from_bytes(row.id);
        // Those of events have no scope.
        if !key.1.is_empty() && specs.get(keys::encode(&run).as_slice())?.is_some() {
            keyed.insert(keys::encode(&(run, row.expires_at)).as_slice(), [].as_slice())?;
        }
    }
    Ok(())
}

fn change_keys(
    txn: &WriteTransaction,
    table: RawTable,
    change: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<(), StoreError> {
    match txn.rename_table(table, MOVING) {
        Ok(()) => {}
        // The table is newer than the store.
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    {
        let (from, mut to) = (txn.open_table(MOVING)?, txn.open_table(table)?);
        for entry in from.iter()? {
            let (key, row) = entry?;
            to.insert(change(key.value()).as_slice(), row.value())?;
        }
    }
    txn.delete_table(MOVING)?;
    Ok(())
}

/// Since format 2 it is known which runs have not ended: how many of a version, and which of a cron
/// that heeds them.
fn know_live_runs(database: &Database) -> Result<(), StoreError> {
    let mut changes = WorkingSet::new(View::of_database(database.begin_read()?));
    let mut of_crons: HashMap<CronId, Vec<RunId>> = HashMap::new();
    for workflow in changes.counts_by_workflow()?.into_keys() {
        for status in Status::ALL.into_iter().filter(|status| !status.is_final()) {
            let mut live = Vec::new();
            changes.visit_run_ids(Some(&workflow), Some(status), None, |id| {
                live.push(id);
                ControlFlow::Continue(())
            })?;
            for id in live {
                let missing = StoreError::Contradiction { run: id, problem: "its index lists it alone" };
                let spec = changes.run_spec(id)?.ok_or(missing)?;
                changes.count_live(&workflow, spec.version, 1);
                if let Trigger::Cron { id: cron, .. } = spec.trigger {
                    of_crons.entry(cron).or_default().push(id);
                }
            }
        }
        // Also for workflows without live runs, so that no row of version 1 remains.
        changes.count(&workflow, Status::Queued, 0);
    }
    let mut crons = Vec::new();
    changes.visit_crons(None, |row| {
        crons.push(row);
        ControlFlow::Continue(())
    })?;
    for mut row in crons {
        if row.spec.overlap != Overlap::Allow {
            row.unfinished = of_crons.remove(&row.id).unwrap_or_default();
            row.unfinished.sort_unstable();
        }
        changes.put_cron(&row)?;
    }
    let changes = changes.close()?;
    in_one_transaction(database, |txn| {
        if let Some(changes) = changes {
            apply(txn, &changes)?;
        }
        let mut meta = txn.open_table(tables::ALL[tables::META.slot])?;
        meta.remove(keys::encode(LIVE_RUNS_UNKNOWN_KEY).as_slice())?;
        Ok(())
    })
}

/// Notes which change sets of the log are in the database from this transaction on.
pub(super) fn note_logged(txn: &WriteTransaction, last: Number) -> Result<(), StoreError> {
    put_meta(txn, LOGGED_KEY, &last.to_be_bytes())
}

fn put_meta(txn: &WriteTransaction, key: &str, row: &[u8]) -> Result<(), StoreError> {
    let mut meta = txn.open_table(tables::ALL[tables::META.slot])?;
    meta.insert(keys::encode(key).as_slice(), row)?;
    Ok(())
}

/// Runs a change of format and notes the new one with it, so that a crash leaves either.
fn in_one_transaction(
    database: &Database,
    change: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut txn = database.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    txn.set_quick_repair(true);
    change(&txn)?;
    // Views rely on every table being there.
    for table in tables::ALL {
        txn.open_table(*table)?;
    }
    put_meta(&txn, FORMAT_KEY, &FORMAT.to_be_bytes())?;
    Ok(txn.commit()?)
}
