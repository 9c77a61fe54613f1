//! The log: change sets as they were committed, one after the other, until the database has them.
//!
//! A commit appends to the end of a file and syncs that: one write in one place, however many tables
//! it changes and however large the database is. There are two files, which take turns: while a
//! checkpoint writes what one of them holds into the database, commits go to the other. What a record
//! looks like stands in `FORMAT.md`.

use std::sync::Arc;
use std::{fmt, io};

use redb::StorageBackend;

use super::changes::{Change, ChangeSet, Entry};
use super::tables;

/// A file of the log grows by this much at a time, filled with zeros: a sync after a write beyond the
/// end of a file costs the file system a transaction of its own.
pub(super) const GROWTH_BYTES: u64 = 256 << 10;

/// What a host at rest keeps of the file that is written next: the commits of a few calls.
pub(super) const REST_BYTES: u64 = 64 << 10;

/// A file that is longer than this, after a large change set, is cut down when its turn comes again.
pub(super) const KEPT_BYTES_MAX: u64 = 4 << 20;

/// Longest record: its length and those in it have four bytes. A change set has a budget far below that.
const RECORD_BYTES_MAX: usize = u32::MAX as usize;

/// What stands before the changes of a record: number, length and checksum.
pub(super) const HEADER_BYTES: usize = 8 + 4 + 4;

/// Which of the change sets of a store it is; they are numbered from 1, without a gap.
pub(super) type Number = u64;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the log begins with change set {found}, and the database ends with {last}")]
    Gap { found: Number, last: Number },
    #[error("change set {number} of the log names the table `{table}`, which this program does not know")]
    UnknownTable { number: Number, table: String },
}

/// The files to append to.
pub(super) struct Log {
    files: [LogFile; 2],
    /// Which of the files is being appended to.
    current: usize,
    /// Whether the other file holds records that the database does not have yet.
    other_needed: bool,
    /// Where the next record begins in the current file.
    end: u64,
    /// The number of the record that was appended last.
    last: Number,
    /// Tells records of this store from those of another one.
    store: u64,
}

struct LogFile {
    bytes: Box<dyn StorageBackend>,
    length: u64,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log(at {} of file {}, after {})", self.end, self.current, self.last)
    }
}

/// What a log had to say that the database does not know yet.
pub(super) struct Replayed {
    pub(super) log: Log,
    /// All its change sets as one.
    pub(super) changes: Option<Arc<ChangeSet>>,
}

impl Log {
    /// Reads what was committed after the change set `last`, and goes on behind it. A record that was
    /// not synced may be there in part: it is the end.
    pub(super) fn open(
        files: [Box<dyn StorageBackend>; 2],
        store: u64,
        last: Number,
    ) -> Result<Replayed, LogError> {
        let [first, second] = files;
        let files = [LogFile::new(first)?, LogFile::new(second)?];
        let contents = [files[0].read()?, files[1].read()?];
        let mut log = Self { files, current: 0, other_needed: false, end: 0, last, store };
        let mut order = [0, 1];
        order.sort_by_key(|file| Record::first(&contents[*file], store).map_or(0, |record| record.number));
        let mut layers: Vec<Arc<ChangeSet>> = Vec::new();
        for file in order {
            let mut at = 0;
            while let Some(record) = Record::read(&contents[file], at, store) {
                if at > 0 && record.number != log.last + 1 && record.number > last {
                    // What an earlier turn of the file left behind.
                    break;
                }
                at += HEADER_BYTES + record.changes.len();
                if record.number <= log.last {
                    continue;
                }
                if record.number != log.last + 1 {
                    return Err(LogError::Gap { found: record.number, last: log.last });
                }
                log.other_needed |= !layers.is_empty() && log.current != file;
                layers.push(Arc::new(record.decode()?));
                ChangeSet::join_small(&mut layers, 0);
                log.last = record.number;
                (log.current, log.end) = (file, at as u64);
            }
        }
        if !layers.is_empty() {
            // A host that was killed before a sync left what only the system knows: it must not go when a later
            // record, in the other file, stays.
            log.files.iter_mut().try_for_each(|file| file.bytes.sync_data())?;
        }
        Ok(Replayed { log, changes: ChangeSet::join_all(&layers) })
    }

    /// The number of the change set that was appended last.
    pub(super) fn last(&self) -> Number {
        self.last
    }

    /// Appends a change set and syncs it: it is durable from then on.
    pub(super) fn append(&mut self, changes: &ChangeSet) -> io::Result<()> {
        let number = self.last + 1;
        let mut record = encode(number, self.store, changes);
        if record.len() > RECORD_BYTES_MAX {
            // It could not be read back.
            return Err(io::Error::other(format!(
                "a change set of {} bytes is too large for it",
                record.len()
            )));
        }
        let end = self.end + record.len() as u64;
        let file = &mut self.files[self.current];
        if end > file.length {
            let length = end.next_multiple_of(GROWTH_BYTES);
            record.resize(usize::try_from(length - self.end).map_err(io::Error::other)?, 0);
            file.bytes.set_len(length)?;
            file.length = length;
        }
        file.bytes.write(self.end, &record)?;
        file.bytes.sync_data()?;
        (self.end, self.last) = (end, number);
        Ok(())
    }

    /// Goes on at the beginning of the other file, as a checkpoint begins. After a kill during a checkpoint
    /// both files hold what the database does not have: then it goes on where it is.
    pub(super) fn switch(&mut self) -> io::Result<()> {
        if self.other_needed {
            return Ok(());
        }
        self.other_needed = true;
        self.current = 1 - self.current;
        self.end = 0;
        let file = &mut self.files[self.current];
        if file.length > KEPT_BYTES_MAX {
            file.bytes.set_len(0)?;
            file.length = 0;
        }
        Ok(())
    }

    /// Notes that the checkpoint has ended: the database has all that the other file holds.
    pub(super) fn free_other(&mut self) {
        self.other_needed = false;
    }

    /// Whether a file is longer than it has to be.
    pub(super) fn is_long(&self) -> bool {
        self.files.iter().any(|file| file.length > GROWTH_BYTES)
    }

    /// Begins anew and gives the space of both files back, but for so many bytes of the one that is written next.
    /// Only when the database has all that they hold.
    pub(super) fn clear(&mut self, kept: u64) -> io::Result<()> {
        (self.end, self.other_needed) = (0, false);
        for (index, file) in self.files.iter_mut().enumerate() {
            let kept = if index == self.current { kept } else { 0 };
            if file.length > kept {
                file.bytes.set_len(kept)?;
                file.length = kept;
            }
        }
        Ok(())
    }
}

impl LogFile {
    fn new(bytes: Box<dyn StorageBackend>) -> io::Result<Self> {
        Ok(Self { length: bytes.len()?, bytes })
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut contents = vec![0; usize::try_from(self.length).map_err(io::Error::other)?];
        self.bytes.read(0, &mut contents)?;
        Ok(contents)
    }
}

/// A record whose checksum is right.
struct Record<'a> {
    number: Number,
    changes: &'a [u8],
}

impl<'a> Record<'a> {
    fn first(contents: &'a [u8], store: u64) -> Option<Self> {
        Self::read(contents, 0, store)
    }

    fn read(contents: &'a [u8], at: usize, store: u64) -> Option<Self> {
        let (header, rest) = contents.get(at..)?.split_first_chunk::<HEADER_BYTES>()?;
        let number = u64::from_be_bytes(header[..8].try_into().ok()?);
        let length = u32::from_be_bytes(header[8..12].try_into().ok()?);
        let checksum = u32::from_be_bytes(header[12..].try_into().ok()?);
        let changes = rest.get(..usize::try_from(length).ok()?)?;
        let is_right = number > 0 && checksum == checksum_of(store, number, changes);
        is_right.then_some(Self { number, changes })
    }

    fn decode(&self) -> Result<ChangeSet, LogError> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a record of the log makes no sense");
        let mut changed: Vec<Vec<Entry>> = vec![Vec::new(); tables::ALL.len()];
        let mut input = Input(self.changes);
        while !input.0.is_empty() {
            let name = input.bytes().ok_or_else(damaged)?;
            let name = str::from_utf8(name).map_err(|_| damaged())?;
            let unknown = || LogError::UnknownTable { number: self.number, table: name.to_owned() };
            let slot = tables::slot(name).ok_or_else(unknown)?;
            for _ in 0..input.number().ok_or_else(damaged)? {
                let entry = input.entry().ok_or_else(damaged)?;
                if changed[slot].last().is_some_and(|before| before.key >= entry.key) {
                    return Err(damaged().into());
                }
                changed[slot].push(entry);
            }
        }
        Ok(ChangeSet::new(changed))
    }
}

pub(super) fn checksum_of(store: u64, number: Number, changes: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&store.to_be_bytes());
    checksum.update(&number.to_be_bytes());
    checksum.update(changes);
    checksum.finalize()
}

const DELETED: u8 = 0;
const PUT: u8 = 1;
const INSERTED: u8 = 2;

fn encode(number: Number, store: u64, changes: &ChangeSet) -> Vec<u8> {
    let mut record = Vec::with_capacity(changes.bytes() + changes.rows() * 9 + 256);
    record.resize(HEADER_BYTES, 0);
    for (slot, entries) in changes.tables() {
        put_bytes(&mut record, redb::TableHandle::name(&tables::ALL[slot]).as_bytes());
        put_number(&mut record, entries.len());
        for Entry { key, change } in entries {
            record.push(match change {
                Change::Delete => DELETED,
                Change::Put(_) => PUT,
                Change::Insert(_) => INSERTED,
            });
            put_bytes(&mut record, key);
            if let Some(row) = change.row() {
                put_bytes(&mut record, row);
            }
        }
    }
    let (header, body) = record.split_at_mut(HEADER_BYTES);
    header[..8].copy_from_slice(&number.to_be_bytes());
    // `append` refuses one for which this is not enough.
    header[8..12].copy_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    header[12..].copy_from_slice(&checksum_of(store, number, body).to_be_bytes());
    record
}

fn put_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn entry(&mut self) -> Option<Entry> {
        let (kind, rest) = self.0.split_first()?;
        self.0 = rest;
        let key: Arc<[u8]> = self.bytes()?.into();
        let change = match *kind {
            DELETED => Change::Delete,
            PUT => Change::Put(self.bytes()?.into()),
            INSERTED => Change::Insert(self.bytes()?.into()),
            _ => return None,
        };
        Some(Entry { key, change })
    }
}
