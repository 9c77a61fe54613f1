//! Opening: what is refused and why.

use std::fs;
use std::path::Path;

use dormouse_core::run::{RunSpec, Status, Trigger};
use dormouse_core::workflow::{CronSpec, Overlap};

use super::samples::*;
use crate::store::migrate::{FORMAT, FORMAT_KEY};
use crate::store::rows::CronRow;
use crate::store::source::Source;
use crate::store::{OpenError, Read, Store, StoreError, keys, tables};

fn open(path: &Path) -> Result<Store, OpenError> {
    Store::open(path, CACHE_BYTES, at(0))
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    open(&path).unwrap().transact(|tx| tx.insert_run(&run_row(1))).unwrap();
    let store = open(&path).unwrap();
    assert_eq!(store.reader().unwrap().run(run_row(1).spec.id).unwrap(), Some(run_row(1)));
}

#[test]
fn a_store_in_use_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let _first = open(&path).unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(&error, OpenError::Locked { path: p } if *p == path), "{error:?}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let newer = FORMAT + 41;
    let write = |tx: &mut crate::store::Tx<'_>| tx.put_bytes(tables::META, FORMAT_KEY, &newer.to_be_bytes());
    open(&path).unwrap().transact::<_, StoreError>(write).unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(error, OpenError::Newer { found, known: FORMAT } if found == newer), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("format {newer}")) && text.contains(&format!("up to {FORMAT}")), "{text}");
}

#[test]
fn a_store_of_format_1_learns_which_runs_have_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (mut ended, mut live) = (run_row(1), run_row(2));
    live.spec.trigger = Trigger::Cron { id: cron_id(1), nominal: at(1) };
    let crons = [(1, Overlap::Queue), (2, Overlap::Allow)].map(|(n, overlap)| {
        let spec = CronSpec { overlap, ..cron_spec() };
        CronRow {
            id: cron_id(n),
            name: cron_name(&format!("cron-{n}")),
            spec,
            unfinished: Vec::new(),
            ..cron()
        }
    });
    ended.run.status = Status::Failed;
    let RunSpec { workflow, version, .. } = live.spec.clone();
    let as_format_1 = |tx: &mut crate::store::Tx<'_>| -> Result<(), StoreError> {
        tx.put_bytes(tables::RUN_COUNTS, &workflow, &[1, 0, 0, 1, 0, 1, 0, 0])?;
        crons.iter().try_for_each(|row| tx.put_cron(row))?;
        tx.put_bytes(tables::RUN_COUNTS, workflow_name("idle"), &[1, 0, 0, 0, 4, 0, 0, 0])?;
        tx.put_bytes(tables::META, FORMAT_KEY, &1_u32.to_be_bytes()).map(drop)
    };
    let store = open(&path).unwrap();
    store.transact(|tx| [&ended, &live].into_iter().try_for_each(|row| tx.insert_run(row))).unwrap();
    store.transact(as_format_1).unwrap();
    drop(store);
    let reader = open(&path).unwrap().reader().unwrap();
    assert_eq!(reader.run_counts(&workflow).unwrap(), [0, 0, 1, 0, 1, 0, 0]);
    assert_eq!(reader.live_runs(&workflow, version).unwrap(), 1);
    let unfinished = |n| reader.cron(cron_id(n)).unwrap().unwrap().unfinished;
    assert_eq!((unfinished(1), unfinished(2)), (vec![run_id(2)], Vec::new()));
    let row =
        reader.raw(tables::RUN_COUNTS.slot).unwrap().get(&*keys::encode(&workflow_name("idle"))).unwrap();
    assert_eq!(row.unwrap().value()[0], 2, "no row of the old version is left");
}

#[test]
fn a_file_of_another_kind_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fs::write(&path, "dear diary, today I slept").unwrap();
    assert!(matches!(open(&path), Err(OpenError::Corrupt { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "dear diary, today I slept");
}

#[test]
fn a_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let database = redb::Database::create(&path).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap();
    txn.commit().unwrap();
    drop(database);
    let error = open(&path).err().unwrap();
    assert!(
        matches!(&error, OpenError::Corrupt { problem, .. } if problem.contains("another program")),
        "{error:?}"
    );
}

#[test]
fn a_missing_folder_is_an_error_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&folder.path().join("missing/store")).err().unwrap();
    assert!(matches!(&error, OpenError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound));
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    for length in [0, 1, 4096, 1 << 20] {
        fs::write(&path, vec![0; length]).unwrap();
        assert!(open(&path).is_ok(), "{length} zero bytes");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn the_format_row_stays_where_every_version_looks_for_it() {
    let store = store();
    let reader = store.reader().unwrap();
    let bytes = crate::store::source::Access::get(&reader, tables::META, FORMAT_KEY).unwrap();
    assert_eq!(bytes, Some(vec![0, 0, 0, 2]));
    assert_eq!(keys::encode(FORMAT_KEY), b"\0\0\0\x06format");
}
