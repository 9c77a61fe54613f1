//! Opening: what is refused and why.

use std::fs;
use std::path::Path;

use super::samples::*;
use crate::store::migrate::{FORMAT, FORMAT_KEY};
use crate::store::rows::RunRow;
use crate::store::{OpenError, Read, Store, keys, tables};

fn open(path: &Path) -> Result<Store, OpenError> {
    Store::open(path, CACHE_BYTES, at(0))
}

/// Writes a format into a store that is closed.
fn note_format(path: &Path, format: u32) {
    let database = redb::Database::open(path).unwrap();
    let txn = database.begin_write().unwrap();
    let mut meta = txn.open_table(tables::ALL[tables::META.slot]).unwrap();
    meta.insert(keys::encode(FORMAT_KEY).as_slice(), format.to_be_bytes().as_slice()).unwrap();
    drop(meta);
    txn.commit().unwrap();
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let RunRow { spec, run, .. } = run_row(1);
    open(&path).unwrap().transact(|tx| tx.insert_run(&spec, &run)).unwrap();
    let store = open(&path).unwrap();
    assert_eq!(store.view().run(run_row(1).spec.id).unwrap(), Some(run_row(1)));
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
    drop(open(&path).unwrap());
    note_format(&path, newer);
    let error = open(&path).err().unwrap();
    assert!(matches!(error, OpenError::Newer { found, known: FORMAT } if found == newer), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("format {newer}")) && text.contains(&format!("up to {FORMAT}")), "{text}");
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
    let reader = store.view();
    let bytes = crate::store::source::Access::get(&*reader, tables::META, FORMAT_KEY).unwrap();
    assert_eq!(bytes, Some(vec![0, 0, 0, 7]));
    assert_eq!(keys::encode(FORMAT_KEY), b"\0\0\0\x06format");
}
