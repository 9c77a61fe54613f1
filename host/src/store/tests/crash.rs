//! Crashes: a disk that forgets what was not synced, or keeps any part of it.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex};

use dormouse_core::id::{TaskIndex, WaitId};
use dormouse_core::run::{Run, Status};
use redb::StorageBackend;

use super::samples::*;
use crate::store::db::Files;
use crate::store::migrate::LOGGED_KEY;
use crate::store::read::Read;
use crate::store::rows::Timer;
use crate::store::source::{Order, Source, Span};
use crate::store::{Store, StoreError, WorkingSet, keys, tables};

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Op {
    SetLen(usize),
    Write { offset: usize, data: Vec<u8> },
    Sync,
}

/// The database and both files of the log.
const FILES: usize = 3;

/// A disk in memory that remembers everything that was done to each of its files.
#[derive(Debug, Default, Clone)]
struct Disk(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    files: [Vec<u8>; FILES],
    log: Vec<(usize, Op)>,
}

/// One of the files of a disk.
#[derive(Debug)]
struct DiskFile {
    disk: Disk,
    file: usize,
}

impl Disk {
    fn with(files: [Vec<u8>; FILES]) -> Self {
        Self(Arc::new(Mutex::new(Contents { files, log: Vec::new() })))
    }

    fn perform(&self, file: usize, op: Op) {
        let mut contents = self.0.lock().unwrap();
        op.apply(&mut contents.files[file], |_| true);
        contents.log.push((file, op));
    }

    fn file(&self, file: usize) -> DiskFile {
        DiskFile { disk: self.clone(), file }
    }

    fn ops(&self) -> usize {
        self.0.lock().unwrap().log.len()
    }
}

impl Op {
    /// `kept` tells of each sector whether it reached the disk.
    fn apply(&self, bytes: &mut Vec<u8>, mut kept: impl FnMut(usize) -> bool) {
        match self {
            Self::SetLen(length) => {
                if kept(0) {
                    bytes.resize(*length, 0);
                }
            }
            Self::Write { offset, data } => {
                for (i, sector) in data.chunks(SECTOR).enumerate() {
                    if kept(i) {
                        let start = offset + i * SECTOR;
                        let end = start + sector.len();
                        bytes.resize(bytes.len().max(end), 0);
                        bytes[start..end].copy_from_slice(sector);
                    }
                }
            }
            Self::Sync => {}
        }
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().unwrap().files[self.file].len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let contents = self.disk.0.lock().unwrap();
        let bytes = contents.files[self.file].get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.perform(self.file, Op::SetLen(usize::try_from(len).unwrap()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.perform(self.file, Op::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let op = Op::Write { offset: usize::try_from(offset).unwrap(), data: data.to_vec() };
        self.disk.perform(self.file, op);
        Ok(())
    }
}

/// SplitMix64: the same sequence every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }

    fn byte(&mut self, sides: u8) -> u8 {
        u8::try_from(self.roll(sides.into())).unwrap()
    }
}

fn open(disk: &Disk) -> Store {
    let files = Files { database: disk.file(0), logs: [Box::new(disk.file(1)), Box::new(disk.file(2))] };
    Store::with_files(files, "disk".as_ref(), CACHE_BYTES, CHECKPOINT_BYTES, at(0)).unwrap()
}

/// The slot of the table, the key and the row.
type Rows = Vec<(usize, Vec<u8>, Vec<u8>)>;

/// Every row of every table, but for the one that says how much of the log the database has.
pub(super) fn contents(store: &Store) -> Rows {
    let view = store.view();
    let mut all = Vec::new();
    for slot in 0..tables::ALL.len() {
        for row in view.rows(slot, &Span::all(), Order::Ascending).unwrap() {
            let (key, row) = row.unwrap();
            if *key != *keys::encode(LOGGED_KEY) {
                all.push((slot, key.to_vec(), row.to_vec()));
            }
        }
    }
    all
}

/// A few changes as they come: runs begin, go on and go; some batches fail half way.
fn batch(rows: &mut WorkingSet, dice: &mut Dice) -> Result<(), StoreError> {
    for _ in 0..=dice.roll(5) {
        let id = run_id(dice.byte(12));
        let status = Status::ALL[usize::from(dice.byte(6))];
        match (rows.run(id)?, dice.roll(8)) {
            (None, _) => {
                let mut spec = spec(dice.byte(12));
                spec.id = id;
                rows.insert_run(&spec, &Run { status, ..run() })?;
                rows.append_journal(id, transition())?;
            }
            (Some(_), 0) => {
                rows.delete_run(id)?;
            }
            (Some(row), 1..=3) => {
                let old = row.run.status;
                rows.update_run(&row.spec, old, &Run { status, ..row.run })?;
                rows.append_journal(id, log_line())?;
            }
            (Some(_), 4) => {
                let timer = Timer::Wait { run: id, task: TaskIndex(0), wait: WaitId(1) };
                rows.put_timer(at(dice.roll(100)), timer)?;
            }
            (Some(row), 5) if dice.roll(2) == 0 => {
                return Err(StoreError::Miscounted { workflow: row.spec.workflow.to_string() });
            }
            (Some(_), _) => {
                rows.put_snapshot(id, TaskIndex(0), &vec![dice.byte(255); dice.byte(90) as usize * 200])?
            }
        }
    }
    Ok(())
}

/// What the store held after each commit, and how much had been done to the disk by then.
struct History {
    log: Vec<(usize, Op)>,
    states: Vec<(usize, Rows)>,
}

/// Two sessions, the first of which creates the store. Checkpoints begin and end between commits, and
/// most are under way for some of them.
fn history(seed: u64) -> History {
    let disk = Disk::default();
    let mut dice = Dice(seed);
    let mut states = Vec::new();
    for _ in 0..2 {
        let store = open(&disk);
        states.push((disk.ops(), contents(&store)));
        let mut checkpoint_is_open = false;
        for _ in 0..16 {
            let before = states.last().unwrap().1.clone();
            match dice.roll(6) {
                0 | 1 if !checkpoint_is_open => {
                    store.begin_checkpoint().unwrap();
                    checkpoint_is_open = true;
                }
                0 | 1 => {
                    store.end_checkpoint();
                    checkpoint_is_open = false;
                }
                2 if !checkpoint_is_open => store.checkpoint().unwrap(),
                _ => {
                    let failed = store.transact(|rows| batch(rows, &mut dice)).is_err();
                    states.push((disk.ops(), contents(&store)));
                    assert!(!failed || states.last().unwrap().1 == before, "a failed batch wrote something");
                }
            }
            assert!(contents(&store) == states.last().unwrap().1, "a checkpoint changed what is shown");
        }
    }
    let log = mem::take(&mut disk.0.lock().unwrap().log);
    History { log, states }
}

/// Crashes after each operation on the disk; `kept` tells which unsynced sectors survive.
fn crash_everywhere(seed: u64, mut kept: impl FnMut() -> bool) {
    let History { log, states } = history(seed);
    assert!(log.len() > 100, "the workload is too small to mean anything");
    let mut synced: [Vec<u8>; FILES] = Default::default();
    let mut unsynced: [Vec<&Op>; FILES] = Default::default();
    for (done, (file, op)) in log.iter().enumerate() {
        let mut image = synced.clone();
        for (bytes, ops) in image.iter_mut().zip(&unsynced) {
            ops.iter().for_each(|op| op.apply(bytes, |_| kept()));
        }

        let disk = Disk::with(image);
        let store = open(&disk);
        let found = contents(&store);
        // The last acknowledged state, or the one of the commit that was under way.
        let acknowledged = states.iter().rposition(|(ops, _)| *ops <= done);
        let expected = match acknowledged {
            None => &states[..1],
            Some(last) => &states[last..states.len().min(last + 2)],
        };
        assert!(expected.iter().any(|(_, state)| *state == found), "seed {seed}, crash at operation {done}");
        // It goes on from there, over another crash that loses nothing.
        store.transact(|rows| batch(rows, &mut Dice(seed))).ok();
        let (went_on, files) = (contents(&store), disk.0.lock().unwrap().files.clone());
        assert!(contents(&open(&Disk::with(files))) == went_on, "seed {seed}, after operation {done}");

        unsynced[*file].push(op);
        if matches!(op, Op::Sync) {
            unsynced[*file].drain(..).for_each(|op| op.apply(&mut synced[*file], |_| true));
        }
    }
}

#[test]
fn after_a_crash_that_loses_all_unsynced_writes_a_commit_is_there_or_not() {
    crash_everywhere(1, || false);
}

#[test]
fn after_a_crash_that_keeps_all_unsynced_writes_a_commit_is_there_or_not() {
    crash_everywhere(2, || true);
}

#[test]
fn after_a_crash_that_keeps_any_of_the_unsynced_sectors_a_commit_is_there_or_not() {
    for seed in 3..6 {
        let mut dice = Dice(seed ^ 0xdead);
        crash_everywhere(seed, || dice.roll(2) == 0);
    }
}
