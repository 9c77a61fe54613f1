//! The log by itself, and as the store uses it: what counts as its end, what is refused, and how its two
//! files take turns.

use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

use super::disk::{Disk, contents, open, try_open};
use super::samples::*;
use crate::store::changes::{Change, ChangeSet, Entry};
use crate::store::log::{
    GROWTH_BYTES, HEADER_BYTES, KEPT_BYTES_MAX, Log, LogError, Number, Replayed, checksum_of,
};
use crate::store::migrate::LOGGED_KEY;
use crate::store::rows::{ModuleRow, RunRow};
use crate::store::source::Access;
use crate::store::{OpenError, Store, tables};

/// When the store was made whose log it is.
const STORE: u64 = 7;

/// The files of a disk that are the log; the database is the first.
const LOGS: [usize; 2] = [1, 2];

fn entry(key: &[u8], change: Change) -> Entry {
    Entry { key: key.into(), change }
}

/// A change set that puts one row.
fn put(key: &str, row: &[u8]) -> ChangeSet {
    let mut entries = vec![Vec::new(); tables::ALL.len()];
    entries[tables::MODULE_BYTES.slot] = vec![entry(key.as_bytes(), Change::Put(row.into()))];
    ChangeSet::new(entries)
}

fn replay(disk: &Disk, store: u64, last: Number) -> Result<Replayed, LogError> {
    Log::open(LOGS.map(|file| Box::new(disk.file(file)) as _), store, last)
}

fn reopen(disk: &Disk, last: Number) -> Log {
    replay(disk, STORE, last).unwrap().log
}

/// The keys that a log changes.
fn keys_in(replayed: &Replayed) -> Vec<String> {
    let entries =
        replayed.changes.iter().flat_map(|changes| changes.tables()).flat_map(|(_, entries)| entries);
    entries.map(|entry| String::from_utf8(entry.key.to_vec()).unwrap()).collect()
}

/// The keys that a log on a disk changes, and its last number.
fn found(disk: &Disk, last: Number) -> (Vec<String>, Number) {
    let replayed = replay(disk, STORE, last).unwrap();
    (keys_in(&replayed), replayed.log.last())
}

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

/// A disk whose first file of the log has these bytes instead.
fn with_log(disk: &Disk, bytes: Vec<u8>) -> Disk {
    let mut files = disk.files();
    files[LOGS[0]] = bytes;
    Disk::with(files)
}

/// The log of three change sets, and where each of them ends in the file.
fn three() -> (Disk, [usize; 3]) {
    let disk = Disk::default();
    let mut log = reopen(&disk, 0);
    let ends = ["a", "b", "c"].map(|key| {
        log.append(&put(key, &[7; 700])).unwrap();
        let zeros = disk.files()[LOGS[0]].iter().rev().take_while(|byte| **byte == 0).count();
        disk.files()[LOGS[0]].len() - zeros
    });
    (disk, ends)
}

#[test]
fn what_was_appended_is_replayed_with_every_kind_of_change() {
    let disk = Disk::default();
    let mut entries = vec![Vec::new(); tables::ALL.len()];
    entries[tables::RUN_SPECS.slot] = vec![
        entry(b"", Change::Put([].as_slice().into())),
        entry(b"a", Change::Delete),
        entry(b"b", Change::Insert([1].as_slice().into())),
    ];
    entries[tables::TIMERS.slot] = vec![entry(&[255; 300], Change::Put(vec![0; 70_000].into()))];
    let changes = ChangeSet::new(entries);
    reopen(&disk, 0).append(&changes).unwrap();
    let Replayed { log, changes: found } = replay(&disk, STORE, 0).unwrap();
    assert_eq!((log.last(), found), (1, Some(Arc::new(changes))));
}

#[test]
fn a_torn_tail_is_the_end() {
    let (disk, [_, start, end]) = three();
    let whole = disk.files()[LOGS[0]].clone();
    for length in start..end {
        // The file ends there, or zeros follow, as they do where a sector was not written.
        let torn = [whole[..length].to_vec(), [&whole[..length], &vec![0; whole.len() - length]].concat()];
        for bytes in torn {
            let disk = with_log(&disk, bytes);
            assert_eq!(found(&disk, 0), (keys(&["a", "b"]), 2), "torn after {length} bytes");
            // The record that is written next takes its place.
            reopen(&disk, 0).append(&put("d", b"1")).unwrap();
            assert_eq!(found(&disk, 0), (keys(&["a", "b", "d"]), 3), "torn after {length} bytes");
        }
    }
}

#[test]
fn an_altered_record_is_not_read_and_nothing_behind_it_is() {
    let (disk, [start, end, _]) = three();
    for place in start..end {
        let mut bytes = disk.files()[LOGS[0]].clone();
        bytes[place] ^= 0x10;
        assert_eq!(found(&with_log(&disk, bytes), 0), (keys(&["a"]), 1), "altered at {place}");
    }
}

#[test]
fn the_records_of_another_store_are_no_records() {
    let (disk, _) = three();
    let Replayed { mut log, changes } = replay(&disk, STORE + 1, 0).unwrap();
    assert_eq!((log.last(), changes), (0, None));
    log.append(&put("d", b"1")).unwrap();
    let Replayed { log, changes } = replay(&disk, STORE + 1, 0).unwrap();
    assert_eq!((log.last(), changes), (1, Some(Arc::new(put("d", b"1")))));
}

#[test]
fn what_the_database_has_is_left_out() {
    let (disk, _) = three();
    assert_eq!(found(&disk, 1), (keys(&["b", "c"]), 3));
    assert_eq!(found(&disk, 3), (keys(&[]), 3));
    // Numbers go on behind those of the database, whatever the log holds.
    assert_eq!(found(&disk, 9), (keys(&[]), 9));
}

#[test]
fn a_log_that_begins_later_than_the_database_ends_is_refused() {
    let disk = Disk::default();
    reopen(&disk, 5).append(&put("a", b"1")).unwrap();
    let error = replay(&disk, STORE, 3).err().unwrap();
    assert!(matches!(error, LogError::Gap { found: 6, last: 3 }), "{error:?}");
    assert_eq!(error.to_string(), "the log begins with change set 6, and the database ends with 3");
}

#[test]
fn a_file_whose_turn_came_again_is_read_up_to_what_its_earlier_turn_left() {
    let (disk, _) = three();
    let mut log = reopen(&disk, 0);
    log.switch().unwrap();
    log.append(&put("d", b"1")).unwrap();
    log.free_other();
    log.switch().unwrap();
    // As long as the record that it is written over, so that the next of the earlier turn follows it.
    log.append(&put("e", &[8; 700])).unwrap();
    // The checkpoint is done or not.
    assert_eq!(found(&disk, 3), (keys(&["d", "e"]), 5));
    assert_eq!(found(&disk, 4), (keys(&["e"]), 5));
    reopen(&disk, 4).append(&put("f", &[9; 700])).unwrap();
    assert_eq!(found(&disk, 4), (keys(&["e", "f"]), 6));
    assert!(matches!(replay(&disk, STORE, 2), Err(LogError::Gap { found: 4, last: 2 })));
}

#[test]
fn either_of_the_files_may_hold_what_is_older() {
    for turns in 0..4 {
        let disk = Disk::default();
        let mut log = reopen(&disk, 0);
        for turn in 0..turns {
            log.append(&put(&format!("old {turn}"), b"1")).unwrap();
            log.switch().unwrap();
            log.free_other();
        }
        log.append(&put("a", b"1")).unwrap();
        log.switch().unwrap();
        log.append(&put("b", b"1")).unwrap();
        assert_eq!(found(&disk, turns), (keys(&["a", "b"]), turns + 2), "after {turns} turns");
    }
}

/// A host died during a checkpoint, so that both files of the log held what the database did not have.
/// The first checkpoint of the next host began the older of the two anew, and a commit during it was
/// written over records that were nowhere else: a second kill before the end of that checkpoint lost them,
/// and the store was refused because of the gap.
#[test]
fn a_kill_during_the_checkpoint_after_a_kill_during_a_checkpoint_loses_nothing() {
    let disk = Disk::default();
    let insert = |store: &Store, n| {
        let RunRow { spec, run, .. } = run_row(n);
        store.transact(|tx| tx.insert_run(&spec, &run)).unwrap();
    };
    let store = open(&disk);
    insert(&store, 1);
    store.begin_checkpoint().unwrap();
    insert(&store, 2);
    for n in 3..6 {
        let disk = Disk::with(disk.files());
        let store = open(&disk);
        store.begin_checkpoint().unwrap();
        (3..=n).for_each(|n| insert(&store, n));
        let whole = contents(&*store.view());
        assert!(contents(&*open(&Disk::with(disk.files())).view()) == whole, "killed during the checkpoint");
        store.end_checkpoint();
        assert!(contents(&*open(&Disk::with(disk.files())).view()) == whole, "killed after it");
        // From then on the files take turns as ever.
        store.begin_checkpoint().unwrap();
        insert(&store, 9);
        let whole = contents(&*store.view());
        assert!(contents(&*open(&Disk::with(disk.files())).view()) == whole, "killed during the next one");
    }
}

#[test]
fn a_change_set_may_be_larger_than_the_growth_of_a_file() {
    let disk = Disk::default();
    let mut log = reopen(&disk, 0);
    let growth = usize::try_from(GROWTH_BYTES).unwrap();
    log.append(&put("a", b"1")).unwrap();
    assert_eq!(disk.files()[LOGS[0]].len(), growth);
    log.append(&put("b", &vec![7; 2 * growth])).unwrap();
    assert_eq!(disk.files()[LOGS[0]].len(), 3 * growth);
    log.append(&put("c", b"1")).unwrap();
    assert_eq!(disk.files()[LOGS[0]].len(), 3 * growth);
    assert_eq!(found(&disk, 0), (keys(&["a", "b", "c"]), 3));
    // A record that ends where its file does.
    let row = growth - HEADER_BYTES - record_bytes_beside_row("d");
    let disk = Disk::default();
    reopen(&disk, 0).append(&put("d", &vec![7; row])).unwrap();
    assert_eq!(disk.files()[LOGS[0]].len(), growth);
    assert_eq!(found(&disk, 0), (keys(&["d"]), 1));
    reopen(&disk, 0).append(&put("e", b"1")).unwrap();
    assert_eq!(found(&disk, 0), (keys(&["d", "e"]), 2));
}

/// What the changes of a record of one row have besides that row.
fn record_bytes_beside_row(key: &str) -> usize {
    4 + tables::MODULE_BYTES.name.len() + 4 + 1 + 4 + key.len() + 4
}

#[test]
fn a_file_that_a_large_change_set_has_grown_is_cut_down_when_its_turn_comes_again() {
    let disk = Disk::default();
    let mut log = reopen(&disk, 0);
    log.append(&put("a", &vec![7; usize::try_from(KEPT_BYTES_MAX).unwrap()])).unwrap();
    let long = disk.files()[LOGS[0]].len() as u64;
    assert!(long > KEPT_BYTES_MAX);
    log.switch().unwrap();
    log.append(&put("b", b"1")).unwrap();
    assert_eq!(disk.files()[LOGS[0]].len() as u64, long, "the checkpoint needs it still");
    assert_eq!(found(&disk, 0), (keys(&["a", "b"]), 2));
    log.free_other();
    log.switch().unwrap();
    log.append(&put("c", b"1")).unwrap();
    assert_eq!(disk.files().map(|file| file.len() as u64), [0, GROWTH_BYTES, GROWTH_BYTES]);
    assert_eq!(found(&disk, 1), (keys(&["b", "c"]), 3));
}

/// Nothing is committed during a checkpoint: the log begins anew, over what it held, in short files.
#[test]
fn a_log_that_the_database_has_wholly_is_cut_down() {
    let disk = Disk::default();
    let store = open(&disk);
    let put = |n: u8, bytes: usize| {
        let row = ModuleRow { digest: digest(n), ..module() };
        store.transact(|tx| tx.put_module(&row, &vec![n; bytes])).unwrap();
    };
    let lengths = || LOGS.map(|file| disk.files()[file].len() as u64);
    let kept = |when: &str| {
        let whole = contents(&*store.view());
        assert!(contents(&*open(&Disk::with(disk.files())).view()) == whole, "killed {when}");
    };
    let large = 3 * usize::try_from(GROWTH_BYTES).unwrap();
    for round in 0..3 {
        put(4 * round, large);
        put(4 * round + 1, 100);
        store.begin_checkpoint().unwrap();
        put(4 * round + 2, large);
        store.end_checkpoint();
        assert!(lengths().iter().any(|length| *length > GROWTH_BYTES), "somebody committed meanwhile");
        kept("after a checkpoint during a commit");
        store.begin_checkpoint().unwrap();
        store.end_checkpoint();
        assert!(lengths().iter().all(|length| *length <= GROWTH_BYTES), "{:?}", lengths());
        kept("when the database had all");
        put(4 * round + 3, 100);
        kept("after a commit over old records");
    }
}

/// A host was killed between a checkpoint and the cut that follows it.
#[test]
fn a_long_log_with_nothing_new_is_cut_down_by_the_next_host_at_rest() {
    let disk = Disk::default();
    let store = open(&disk);
    let long = vec![7; 2 * usize::try_from(GROWTH_BYTES).unwrap()];
    store.transact(|tx| tx.put_module(&module(), &long)).unwrap();
    store.begin_checkpoint().unwrap();
    let before = disk.files();
    store.end_checkpoint();
    let mut files = disk.files();
    LOGS.iter().for_each(|file| files[*file].clone_from(&before[*file]));
    drop(store);

    let disk = Disk::with(files);
    let store = open(&disk);
    let whole = contents(&*store.view());
    assert!(store.tidy().unwrap());
    assert!(LOGS.iter().all(|file| disk.files()[*file].len() as u64 <= GROWTH_BYTES));
    assert!(contents(&*open(&Disk::with(disk.files())).view()) == whole);
}

/// A record with the right checksum, whatever its changes are.
fn record(number: Number, changes: &[u8]) -> Vec<u8> {
    let mut record = number.to_be_bytes().to_vec();
    record.extend(u32::try_from(changes.len()).unwrap().to_be_bytes());
    record.extend(checksum_of(STORE, number, changes).to_be_bytes());
    record.extend(changes);
    record
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

#[test]
fn a_table_that_is_not_known_is_refused_by_its_name() {
    let disk = with_log(&Disk::default(), record(1, &[text(b"dreams"), vec![0; 4]].concat()));
    let error = replay(&disk, STORE, 0).err().unwrap();
    assert!(matches!(&error, LogError::UnknownTable { number: 1, table } if table == "dreams"), "{error:?}");
    let message = "change set 1 of the log names the table `dreams`, which this program does not know";
    assert_eq!(error.to_string(), message);
    // The database has it: nobody needs to know.
    assert_eq!(found(&disk, 1), (keys(&[]), 1));
}

/// Random bytes under a right checksum ended in a panic, or, without debug assertions, in a change set in
/// which rows are not found.
#[test]
fn a_record_whose_rows_are_not_in_order_is_refused() {
    let row = |key: &[u8]| [vec![0], text(key)].concat();
    let of_table = |rows: &[&[u8]]| {
        let count = u32::try_from(rows.len()).unwrap().to_be_bytes().to_vec();
        [vec![text(b"timers"), count], rows.iter().map(|key| row(key)).collect()].concat().concat()
    };
    let refused =
        [of_table(&[b"b", b"a"]), of_table(&[b"a", b"a"]), [of_table(&[b"b"]), of_table(&[b"a"])].concat()];
    for changes in refused {
        let error = replay(&with_log(&Disk::default(), record(1, &changes)), STORE, 0).err().unwrap();
        assert!(error.to_string().contains("makes no sense"), "{error}");
    }
    assert_eq!(
        found(&with_log(&Disk::default(), record(1, &of_table(&[b"a", b"b"]))), 0).0,
        keys(&["a", "b"])
    );
}

/// The number up to which the database of a store has the log.
fn logged(store: &Store) -> Number {
    let bytes = store.view().get(tables::META, LOGGED_KEY).unwrap();
    bytes.map_or(0, |bytes| Number::from_be_bytes(bytes.try_into().unwrap()))
}

#[test]
fn a_clean_end_leaves_an_empty_log_and_numbers_go_on() {
    let disk = Disk::default();
    let mut numbers = Vec::new();
    for n in 1..4 {
        let store = open(&disk);
        let RunRow { spec, run, .. } = run_row(n);
        store.transact(|tx| tx.insert_run(&spec, &run)).unwrap();
        store.transact(|tx| tx.append_journal(spec.id, transition())).unwrap();
        store.checkpoint().unwrap();
        assert_eq!(LOGS.map(|file| disk.files()[file].len()), [0, 0]);
        numbers.push(logged(&store));
        // There is nothing to do for another one.
        store.checkpoint().unwrap();
        assert_eq!(logged(&store), numbers[usize::from(n) - 1]);
    }
    assert_eq!(numbers, [2, 4, 6]);
}

#[test]
fn numbers_do_not_repeat_over_kills() {
    let disk = Disk::default();
    for n in 1..6 {
        let store = open(&disk);
        let RunRow { spec, run, .. } = run_row(n);
        store.transact(|tx| tx.insert_run(&spec, &run)).unwrap();
        if n % 2 == 0 {
            store.begin_checkpoint().unwrap();
            store.end_checkpoint();
            assert_eq!(logged(&store), Number::from(n));
        }
    }
    let store = open(&disk);
    store.checkpoint().unwrap();
    assert_eq!(logged(&store), 5);
    assert_eq!(
        contents(&*store.view()).iter().filter(|(slot, ..)| *slot == tables::RUN_SPECS.slot).count(),
        5
    );
}

#[test]
fn a_log_that_cannot_be_taken_in_is_an_error_that_says_why() {
    let disk = Disk::default();
    let store = open(&disk);
    let RunRow { spec, run, .. } = run_row(1);
    store.transact(|tx| tx.insert_run(&spec, &run)).unwrap();
    store.begin_checkpoint().unwrap();
    store.transact(|tx| tx.append_journal(spec.id, transition())).unwrap();
    let problem = |disk: &Disk| match try_open(disk).err().unwrap() {
        OpenError::Corrupt { problem, .. } => problem,
        other => panic!("{other:?}"),
    };
    // The first record goes bad, and the second one is in the other file.
    let gap = with_log(&disk, vec![0; 600]);
    assert_eq!(problem(&gap), "the log begins with change set 2, and the database ends with 0");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_a_log_or_an_error_and_never_a_panic(
        files in [vec(any::<u8>(), 0..200), vec(any::<u8>(), 0..200)],
        bodies in [vec(piece(), 0..8), vec(piece(), 0..8)],
        (number, last) in (0_u64..4, 0_u64..4),
    ) {
        let [first, second] = files.clone();
        let mut records = files;
        for (index, (record_of, body)) in records.iter_mut().zip(&bodies).enumerate() {
            let record = record(number + index as u64, &body.concat());
            record_of.splice(0..0, record);
        }
        let [third, fourth] = records;
        for logs in [[first, second], [third, fourth]] {
            let [a, b] = logs;
            let disk = Disk::with([Vec::new(), a, b]);
            if let Ok(Replayed { mut log, changes }) = replay(&disk, STORE, last) {
                // It goes on, and nothing of what was there is lost by that.
                let next = put("next", b"1");
                log.append(&next).unwrap();
                let again = replay(&disk, STORE, last).unwrap();
                prop_assert_eq!(again.log.last(), log.last());
                let both = changes.map_or(next.clone(), |changes| ChangeSet::merge(&changes, &next));
                prop_assert_eq!(again.changes.as_deref(), Some(&both));
            }
        }
    }
}

/// A part of what a record may hold: often something that has a meaning at its place.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(text(b"timers")),
        Just(text(b"runs")),
        Just(text(b"a")),
        (0_u8..4).prop_map(|kind| vec![kind]),
        (0_u32..3).prop_map(|count| count.to_be_bytes().to_vec()),
        Just(vec![255; 4]),
        vec(any::<u8>(), 0..6),
        Just([text(b"timers"), vec![0, 0, 0, 1, 0], text(b"b")].concat()),
        Just([text(b"timers"), vec![0, 0, 0, 1, 1], text(b"a"), text(b"row")].concat()),
    ]
}
