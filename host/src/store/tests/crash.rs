//! Crashes: a disk that forgets what was not synced, or keeps any part of it.

use std::io;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dormouse_core::id::{TaskIndex, WaitId};
use dormouse_core::run::Status;
use redb::{ReadableTable, StorageBackend};

use super::samples::*;
use crate::store::read::Read;
use crate::store::rows::{RunRow, Timer};
use crate::store::source::Source;
use crate::store::{Store, StoreError, Tx, tables};

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Op {
    SetLen(usize),
    Write { offset: usize, data: Vec<u8> },
    Sync,
}

/// A disk in memory that remembers everything that was done to it.
#[derive(Debug, Default, Clone)]
struct Disk(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    log: Vec<Op>,
}

impl Disk {
    fn with(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Contents { bytes, log: Vec::new() })))
    }

    fn perform(&self, op: Op) {
        let mut contents = self.0.lock().unwrap();
        op.apply(&mut contents.bytes, |_| true);
        contents.log.push(op);
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

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let contents = self.0.lock().unwrap();
        let bytes = contents.bytes.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.perform(Op::SetLen(usize::try_from(len).unwrap()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.perform(Op::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.perform(Op::Write { offset: usize::try_from(offset).unwrap(), data: data.to_vec() });
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

/// The store takes the disk for a short one and for a long one in turn: three commits that do not
/// save how to open it at once, then three that do.
fn open(disk: &Disk) -> Store {
    let commits = AtomicUsize::new(0);
    let length = move || if commits.fetch_add(1, Ordering::Relaxed) % 6 < 3 { 0 } else { u64::MAX };
    Store::with_backend(disk.clone(), length, "disk".as_ref(), CACHE_BYTES, at(0)).unwrap()
}

/// The slot of the table, the key and the row.
type Rows = Vec<(usize, Vec<u8>, Vec<u8>)>;

/// Every row of every table.
pub(super) fn contents(store: &Store) -> Rows {
    let reader = store.reader().unwrap();
    let mut all = Vec::new();
    for slot in 0..tables::ALL.len() {
        for row in reader.raw(slot).unwrap().iter().unwrap() {
            let (key, value) = row.unwrap();
            all.push((slot, key.value().to_vec(), value.value().to_vec()));
        }
    }
    all
}

/// A few changes as they come: runs begin, go on and go; some batches fail half way.
fn batch(tx: &mut Tx<'_>, dice: &mut Dice) -> Result<(), StoreError> {
    for _ in 0..=dice.roll(5) {
        let id = run_id(dice.byte(12));
        let status = Status::ALL[usize::from(dice.byte(6))];
        match (tx.run(id)?, dice.roll(8)) {
            (None, _) => {
                let mut row = RunRow { run: run(), spec: spec(dice.byte(12)) };
                row.spec.id = id;
                row.run.status = status;
                tx.insert_run(&row)?;
                tx.put_active(id, TaskIndex(0))?;
                tx.append_journal(id, &transition())?;
            }
            (Some(_), 0) => {
                tx.delete_run(id)?;
            }
            (Some(row), 1..=3) => {
                let old = row.run.status;
                tx.update_run(&row.spec, old, &dormouse_core::run::Run { status, ..row.run })?;
                tx.append_journal(id, &log_line())?;
            }
            (Some(_), 4) => {
                let timer = Timer::Wait { run: id, task: TaskIndex(0), wait: WaitId(1) };
                tx.put_timer(at(dice.roll(100)), timer)?;
            }
            (Some(row), 5) if dice.roll(2) == 0 => return Err(StoreError::RunExists { run: row.spec.id }),
            (Some(_), _) => {
                tx.put_snapshot(id, TaskIndex(0), &vec![dice.byte(255); dice.byte(90) as usize * 200])?
            }
        }
    }
    Ok(())
}

/// What the store held after each commit, and how much had been done to the disk by then.
struct History {
    log: Vec<Op>,
    states: Vec<(usize, Rows)>,
}

/// Two sessions, the first of which creates the store.
fn history(seed: u64) -> History {
    let disk = Disk::default();
    let mut dice = Dice(seed);
    let mut states = Vec::new();
    for _ in 0..2 {
        let store = open(&disk);
        states.push((disk.ops(), contents(&store)));
        for _ in 0..10 {
            let before = states.last().unwrap().1.clone();
            let failed = store.transact(|tx| batch(tx, &mut dice)).is_err();
            states.push((disk.ops(), contents(&store)));
            assert!(!failed || states.last().unwrap().1 == before, "a failed batch wrote something");
        }
    }
    let log = mem::take(&mut disk.0.lock().unwrap().log);
    History { log, states }
}

/// Crashes after each operation on the disk; `kept` tells which unsynced sectors survive.
fn crash_everywhere(seed: u64, mut kept: impl FnMut() -> bool) {
    let History { log, states } = history(seed);
    assert!(log.len() > 100, "the workload is too small to mean anything");
    let mut synced = Vec::new();
    let mut unsynced: Vec<&Op> = Vec::new();
    for (done, op) in log.iter().enumerate() {
        let mut image = synced.clone();
        unsynced.iter().for_each(|op| op.apply(&mut image, |_| kept()));

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
        store.transact(|tx| batch(tx, &mut Dice(seed))).ok();

        unsynced.push(op);
        if matches!(op, Op::Sync) {
            unsynced.drain(..).for_each(|op| op.apply(&mut synced, |_| true));
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
