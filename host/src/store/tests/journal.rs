//! Journals: what is appended comes back, and what lies between the beginning and the end of a long
//! one goes.

use std::ops::ControlFlow;

use dormouse_core::id::RunId;
use dormouse_core::run::Status;

use super::samples::*;
use crate::store::rows::*;
use crate::store::source::{Access, Span};
use crate::store::{Deleted, Read, Store, StoreError, tables};

type Result<T = ()> = std::result::Result<T, StoreError>;

/// The entries that are kept, from a sequence number on.
fn journal(store: &Store, run: RunId, from: u64) -> Vec<(u64, JournalEntry)> {
    let mut entries = Vec::new();
    let visit = |sequence, entry| {
        entries.push((sequence, entry));
        ControlFlow::Continue(())
    };
    store.view().visit_journal(run, from, visit).unwrap();
    entries
}

fn rows(store: &Store, run: RunId) -> usize {
    store.view().scan_keys(tables::JOURNAL, Span::under(run)).unwrap().count()
}

fn line(bytes: usize) -> JournalEntry {
    let JournalEntry::Log(line) = log_line() else { unreachable!() };
    JournalEntry::Log(LogLine { message: "x".repeat(bytes), ..line })
}

/// Appends entries with a commit each time, and returns the number of the last one.
fn append(store: &Store, entries: &[JournalEntry]) -> u64 {
    entries
        .iter()
        .fold(0, |_, entry| store.transact(|tx| tx.append_journal(run_id(1), entry.clone())).unwrap())
}

/// Appends entries with one commit.
fn append_at_once(store: &Store, entries: &[JournalEntry]) {
    let mut entries = entries.iter().cloned();
    store.transact(|tx| entries.try_for_each(|entry| tx.append_journal(run_id(1), entry).map(drop))).unwrap();
}

#[test]
fn journals_count_from_zero_across_transactions() {
    let store = store();
    let append = |run, entry: JournalEntry| store.transact(|tx| tx.append_journal(run, entry)).unwrap();
    assert_eq!(append(run_id(1), transition()), 0);
    assert_eq!(append(run_id(2), chunk()), 0);
    assert_eq!(append(run_id(1), log_line()), 1);
    let both = store
        .transact(|tx| -> Result<_> {
            Ok([tx.append_journal(run_id(1), chunk())?, tx.append_journal(run_id(1), chunk())?])
        })
        .unwrap();
    assert_eq!(both, [2, 3]);
    assert_eq!(store.view().journal_end(run_id(1)).unwrap().next, 4);
    assert_eq!(store.view().journal_end(run_id(9)).unwrap().next, 0);
    assert_eq!(journal(&store, run_id(1), 1), [(1, log_line()), (2, chunk()), (3, chunk())]);
    assert_eq!(journal(&store, run_id(1), 4), []);
    assert_eq!(journal(&store, run_id(1), u64::MAX), []);
    assert_eq!(journal(&store, run_id(2), 0), [(0, chunk())]);
}

#[test]
fn of_many_transitions_the_first_and_the_last_are_kept() {
    let store = store();
    for n in 0..5000 {
        assert_eq!(append(&store, &[transition()]), n);
    }
    let kept: Vec<u64> = journal(&store, run_id(1), 0).into_iter().map(|(sequence, _)| sequence).collect();
    assert!(rows(&store, run_id(1)) <= 1200, "{} rows", rows(&store, run_id(1)));
    let (first, last) = kept.split_at(100);
    assert!(first.iter().copied().eq(0..100), "{first:?}");
    assert!(last.iter().copied().eq(last[0]..5000) && (3900..=4000).contains(&last[0]), "{last:?}");
    // From any entry on, those in the gap included.
    for from in [0, 99, 100, 101, 2500, last[0] - 1, last[0], last[0] + 1, 4999, 5000] {
        let found = journal(&store, run_id(1), from).into_iter().map(|(sequence, _)| sequence);
        assert!(found.eq(kept.iter().copied().filter(|sequence| *sequence >= from)), "from {from}");
    }
}

/// The log of a run that wakes and sleeps takes rows with its transitions; neither holds the other.
#[test]
fn output_is_bounded_in_bytes_and_transitions_between_it_are_kept() {
    let store = store();
    // 400 wakes, each with 64 KiB: 25 MiB.
    let wake: Vec<_> = [transition()].into_iter().chain(vec![line(8 << 10); 8]).collect();
    for _ in 0..400 {
        append_at_once(&store, &wake);
    }
    let kept = journal(&store, run_id(1), 0);
    let (transitions, output): (Vec<_>, Vec<_>) =
        kept.into_iter().partition(|(_, entry)| entry.kind() == JournalKind::Transition);
    assert!(transitions.iter().map(|(sequence, _)| *sequence).eq((0..400).map(|n| n * 9)));
    let bytes: usize = output.iter().map(|(_, entry)| entry.size()).sum();
    assert!((8 << 20..9 << 20).contains(&bytes), "{bytes} bytes");
    assert_eq!(output[0].0, 1, "the beginning is kept");
    assert_eq!(output.last().unwrap().0, 3599);
    let gaps = output.windows(2).filter(|pair| pair[1].0 - pair[0].0 > 2).count();
    assert_eq!(gaps, 1, "what is kept are a beginning and an end");
    // Then transitions alone: those before the last thousand go, and the lines between them stay.
    append(&store, &vec![transition(); 1500]);
    let kept = journal(&store, run_id(1), 0);
    let transitions = kept.iter().filter(|(_, entry)| entry.kind() == JournalKind::Transition).count();
    assert!((1100..=1200).contains(&transitions), "{transitions} transitions");
    assert_eq!(kept.len() - transitions, output.len());
}

#[test]
fn a_step_that_logs_without_end_has_a_bounded_number_of_rows() {
    let store = store();
    append(&store, &[transition()]);
    append(&store, &vec![line(10); 20_000]);
    let count = rows(&store, run_id(1));
    assert!((16_384..17_500).contains(&count), "{count} rows");
    // More at once than one trimming looks at.
    for _ in 0..5 {
        append_at_once(&store, &vec![line(8 << 10); 1000]);
    }
    append_at_once(&store, &[line(10)]);
    let bytes: usize = journal(&store, run_id(1), 0).iter().map(|(_, entry)| entry.size()).sum();
    assert!(bytes < 18 << 20, "{bytes} bytes");
    append(&store, &vec![line(10); 10]);
    let bytes: usize = journal(&store, run_id(1), 0).iter().map(|(_, entry)| entry.size()).sum();
    assert!(bytes < 9 << 20, "{bytes} bytes");
    assert_eq!(journal(&store, run_id(1), 0)[0], (0, transition()));
}

/// A journal of an older host says nothing of what lies before a row.
#[test]
fn a_journal_of_rows_without_sizes_is_trimmed_as_well() {
    let store = store();
    let older =
        [&[2], &*postcard::to_allocvec(&vec![(0_u8, 7_u64, 0_u8, 1_u32, 2_u8, (0_u8), 2_u8)]).unwrap()]
            .concat();
    store
        .transact(|tx| -> Result {
            (0..3000_u64).for_each(|first| tx.put_bytes(tables::JOURNAL, (run_id(1), first), &older));
            Ok(())
        })
        .unwrap();
    assert_eq!(append(&store, &vec![transition(); 300]), 3299);
    let kept: Vec<u64> = journal(&store, run_id(1), 0).into_iter().map(|(sequence, _)| sequence).collect();
    assert!(kept.len() <= 1200 && kept[..100].iter().copied().eq(0..100), "{} are kept", kept.len());
    assert_eq!(kept.last(), Some(&3299));
}

#[test]
fn a_run_with_many_rows_is_deleted_in_portions() {
    let store = store();
    let mut row = run_row(1);
    row.run.status = Status::Failed;
    store.transact(|tx| tx.insert_run(&row.spec, &row.run)).unwrap();
    append(&store, &vec![transition(); 10]);
    let delete = || store.transact(|tx| tx.delete_run(run_id(1), 4)).unwrap();
    assert_eq!([delete(), delete()], [Deleted::Some(3); 2]);
    let left: Vec<u64> = journal(&store, run_id(1), 0).into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(left, [0, 7, 8, 9]);
    assert_eq!(delete(), Deleted::All(7));
    assert_eq!(rows(&store, run_id(1)), 0);
}
