//! A disk that forgets what was not synced, or keeps any part of it.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

use super::samples::{CACHE_BYTES, CHECKPOINT_BYTES, at, plenty};
use crate::store::db::Files;
use crate::store::migrate::LOGGED_KEY;
use crate::store::source::{Order, Source, Span};
use crate::store::{OpenError, Store, keys, tables};

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// What can be done to a file.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    SetLen(usize),
    Write { offset: usize, data: Vec<u8> },
    Sync,
}

/// The database and both files of the log.
pub(crate) const FILES: usize = 3;

/// A disk in memory that remembers everything that was done to each of its files.
#[derive(Debug, Default, Clone)]
pub(crate) struct Disk(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    files: [Vec<u8>; FILES],
    log: Vec<(usize, Op)>,
}

/// What a disk really holds while operations go to it: all that was synced, and any part of the rest.
#[derive(Debug, Default, Clone)]
pub(crate) struct Platter {
    synced: [Vec<u8>; FILES],
    unsynced: [Vec<Op>; FILES],
}

impl Platter {
    /// Of a disk with these files, which are synced.
    pub(crate) fn with(files: [Vec<u8>; FILES]) -> Self {
        Self { synced: files, unsynced: Default::default() }
    }

    pub(crate) fn perform(&mut self, file: usize, op: &Op) {
        self.unsynced[file].push(op.clone());
        if matches!(op, Op::Sync) {
            for op in self.unsynced[file].drain(..) {
                op.apply(&mut self.synced[file], |_| true);
            }
        }
    }

    /// What a machine that loses power now finds when it has it again; `kept` tells which unsynced
    /// sectors survive.
    pub(crate) fn after_power_cut(&self, mut kept: impl FnMut() -> bool) -> [Vec<u8>; FILES] {
        let mut files = self.synced.clone();
        for (bytes, ops) in files.iter_mut().zip(&self.unsynced) {
            ops.iter().for_each(|op| op.apply(bytes, |_| kept()));
        }
        files
    }
}

/// One of the files of a disk.
#[derive(Debug)]
pub(crate) struct DiskFile {
    disk: Disk,
    file: usize,
}

impl Disk {
    /// With these files on it.
    pub(crate) fn with(files: [Vec<u8>; FILES]) -> Self {
        Self(Arc::new(Mutex::new(Contents { files, log: Vec::new() })))
    }

    fn perform(&self, file: usize, op: Op) {
        let mut contents = self.0.lock().unwrap();
        op.apply(&mut contents.files[file], |_| true);
        contents.log.push((file, op));
    }

    pub(crate) fn file(&self, file: usize) -> DiskFile {
        DiskFile { disk: self.clone(), file }
    }

    /// The bytes of the files, synced or not.
    pub(crate) fn files(&self) -> [Vec<u8>; FILES] {
        self.0.lock().unwrap().files.clone()
    }

    /// How much was done to it.
    pub(crate) fn ops(&self) -> usize {
        self.0.lock().unwrap().log.len()
    }

    /// Everything that was done to it so far, with the files to which it was done. It forgets them.
    pub(crate) fn take_ops(&self) -> Vec<(usize, Op)> {
        mem::take(&mut self.0.lock().unwrap().log)
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
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }

    pub(crate) fn byte(&mut self, sides: u8) -> u8 {
        u8::try_from(self.roll(sides.into())).unwrap()
    }
}

/// Opens the store on a disk. No checkpoint comes by itself.
pub(crate) fn open(disk: &Disk) -> Store {
    try_open(disk).unwrap()
}

pub(crate) fn try_open(disk: &Disk) -> Result<Store, OpenError> {
    let logs: [Box<dyn StorageBackend>; 2] = [Box::new(disk.file(1)), Box::new(disk.file(2))];
    let files = Files { database: disk.file(0), logs, space: plenty() };
    Store::with_files(files, "disk".as_ref(), CACHE_BYTES, CHECKPOINT_BYTES, at(0))
}

/// The slot of the table, the key and the row.
pub(crate) type Rows = Vec<(usize, Vec<u8>, Vec<u8>)>;

/// Every row of every table, but for the one that says how much of the log the database has.
pub(crate) fn contents(source: &impl Source) -> Rows {
    let mut all = Vec::new();
    for slot in 0..tables::ALL.len() {
        for row in source.rows(slot, &Span::all(), Order::Ascending).unwrap() {
            let (key, row) = row.unwrap();
            if *key != *keys::encode(LOGGED_KEY) {
                all.push((slot, key.to_vec(), row.to_vec()));
            }
        }
    }
    all
}
