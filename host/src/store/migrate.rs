//! The format of the whole store: creating it, recognising it, bringing an older one up to date.
//! `FORMAT.md` has the history.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use dormouse_core::id::{CronId, RunId};
use dormouse_core::run::{Status, Trigger};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::Overlap;
use redb::{Database, Durability, ReadableDatabase, TableError, WriteTransaction};

use super::error::{OpenError, StoreError};
use super::keys;
use super::read::Read;
use super::tables;
use super::tx::Tx;

/// The format that this program writes.
pub(super) const FORMAT: u32 = 2;

/// Rewrites what one format wrote into what the next one reads.
type Step = fn(&WriteTransaction) -> Result<(), StoreError>;

/// Step `i` turns format `i + 1` into format `i + 2`.
const STEPS: [Step; FORMAT as usize - 1] = [know_live_runs];

/// Format 2 knows which runs have not ended: how many of a version, and which of a cron that heeds
/// them. Its new tables are empty at first; every change of format makes those.
fn know_live_runs(txn: &WriteTransaction) -> Result<(), StoreError> {
    let mut tx = Tx::new(txn);
    let mut of_crons: HashMap<CronId, Vec<RunId>> = HashMap::new();
    for workflow in tx.counts_by_workflow()?.into_keys() {
        for status in Status::ALL.into_iter().filter(|status| !status.is_final()) {
            let mut live = Vec::new();
            tx.visit_run_ids(Some(&workflow), Some(status), None, |id| {
                live.push(id);
                ControlFlow::Continue(())
            })?;
            for id in live {
                let missing = StoreError::Contradiction { run: id, problem: "its index lists it alone" };
                let spec = tx.run_spec(id)?.ok_or(missing)?;
                tx.count_live(&workflow, spec.version, 1);
                if let Trigger::Cron { id: cron, .. } = spec.trigger {
                    of_crons.entry(cron).or_default().push(id);
                }
            }
        }
        // Of one without such runs, too: no row of the old version is left.
        tx.count(&workflow, Status::Queued, 0);
    }
    let mut crons = Vec::new();
    tx.visit_crons(None, |row| {
        crons.push(row);
        ControlFlow::Continue(())
    })?;
    for mut row in crons {
        if row.spec.overlap != Overlap::Allow {
            row.unfinished = of_crons.remove(&row.id).unwrap_or_default();
            row.unfinished.sort_unstable();
        }
        tx.put_cron(&row)?;
    }
    tx.finish().map(drop)
}

/// Row of `meta`: the format as four bytes, big endian. Every format that will ever be keeps it.
pub(super) const FORMAT_KEY: &str = "format";

/// Row of `meta`: when the store was made, as eight bytes, big endian.
const CREATED_AT_KEY: &str = "created-at";

/// Leaves the database in the current format, whatever older one or nothing it was in.
pub(super) fn bring_up_to_date(database: &Database, path: &Path, now: Timestamp) -> Result<(), OpenError> {
    match stored_format(database, path)? {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => Err(OpenError::Newer { found: newer, known: FORMAT }),
        Some(older) => Ok(migrate(database, older)?),
        None => Ok(create(database, now)?),
    }
}

/// The format of the store; `None` of one that was not created to the end.
fn stored_format(database: &Database, path: &Path) -> Result<Option<u32>, OpenError> {
    let corrupt = |problem: &str| OpenError::Corrupt { path: path.to_owned(), problem: problem.to_owned() };
    let txn = database.begin_read().map_err(StoreError::from)?;
    let meta = match txn.open_table(tables::ALL[tables::META.slot]) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            return match txn.list_tables().map_err(StoreError::from)?.next() {
                None => Ok(None),
                Some(_) => Err(corrupt("it is a database of another program")),
            };
        }
        Err(error) => return Err(StoreError::from(error).into()),
    };
    let row = meta.get(keys::encode(FORMAT_KEY).as_slice()).map_err(StoreError::from)?;
    let format = row.and_then(|row| row.value().try_into().ok()).map(u32::from_be_bytes);
    match format {
        None | Some(0) => Err(corrupt("it does not say which format it has")),
        known => Ok(known),
    }
}

fn create(database: &Database, now: Timestamp) -> Result<(), StoreError> {
    in_one_transaction(database, |txn| {
        let mut meta = txn.open_table(tables::ALL[tables::META.slot])?;
        let created_at = now.as_millis().to_be_bytes();
        meta.insert(keys::encode(CREATED_AT_KEY).as_slice(), created_at.as_slice())?;
        Ok(())
    })
}

fn migrate(database: &Database, from: u32) -> Result<(), StoreError> {
    let done = usize::try_from(from - 1).unwrap_or(STEPS.len());
    in_one_transaction(database, |txn| STEPS[done..].iter().try_for_each(|step| step(txn)))
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
    // Readers rely on every table being there.
    for table in tables::ALL {
        txn.open_table(*table)?;
    }
    txn.open_table(tables::ALL[tables::META.slot])?
        .insert(keys::encode(FORMAT_KEY).as_slice(), FORMAT.to_be_bytes().as_slice())?;
    Ok(txn.commit()?)
}
