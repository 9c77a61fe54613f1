//! A file that is only read: what is written to it stays in memory. A check opens a store like that, so that neither a
//! migration nor a repair changes what it looks at.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

const PAGE_BYTES: usize = 4096;

/// A file, and what would be in it.
pub(super) struct Overlay {
    file: FileBackend,
    state: Mutex<State>,
}

struct State {
    length: u64,
    /// How much of the file shows: less than it has once it was cut.
    shown: u64,
    /// Pages that were written, by their numbers.
    written: HashMap<u64, Box<[u8; PAGE_BYTES]>>,
}

impl Overlay {
    /// Opens a file to read it.
    pub(super) fn open(path: &Path) -> Result<Self, DatabaseError> {
        let file = File::open(path).map_err(|error| DatabaseError::Storage(error.into()))?;
        let file = FileBackend::new(file)?;
        let length = file.len().map_err(|error| DatabaseError::Storage(error.into()))?;
        Ok(Self { file, state: Mutex::new(State { length, shown: length, written: HashMap::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(&self, state: &State, number: u64) -> io::Result<Box<[u8; PAGE_BYTES]>> {
        if let Some(page) = state.written.get(&number) {
            return Ok(page.clone());
        }
        let mut page = Box::new([0; PAGE_BYTES]);
        let start = number * PAGE_BYTES as u64;
        let shown = state.shown.saturating_sub(start).min(PAGE_BYTES as u64);
        self.file.read(start, &mut page[..usize::try_from(shown).unwrap_or(PAGE_BYTES)])?;
        Ok(page)
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Overlay({:?})", self.file)
    }
}

/// The stretches of pages that so many bytes from an offset on touch: page, where in it, and which of the bytes.
fn stretches(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = usize::try_from(at % PAGE_BYTES as u64).unwrap_or(0);
        let count = (PAGE_BYTES - within).min(length - done);
        let stretch = (at / PAGE_BYTES as u64, within, done..done + count);
        done += count;
        (count > 0).then_some(stretch)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.lock();
        if offset.saturating_add(out.len() as u64) > state.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, range) in stretches(offset, out.len()) {
            let count = range.len();
            out[range].copy_from_slice(&self.page(&state, number)?[within..within + count]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.lock();
        if length < state.length {
            state.shown = state.shown.min(length);
            let last = length / PAGE_BYTES as u64;
            state.written.retain(|number, _| *number <= last);
            if let Some(page) = state.written.get_mut(&last) {
                page[usize::try_from(length % PAGE_BYTES as u64).unwrap_or(0)..].fill(0);
            }
        }
        state.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        state.length = state.length.max(offset.saturating_add(data.len() as u64));
        for (number, within, range) in stretches(offset, data.len()) {
            let mut page = self.page(&state, number)?;
            page[within..within + range.len()].copy_from_slice(&data[range]);
            state.written.insert(number, page);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    /// Shared is enough: nobody who writes has the file open then.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file would be after random writes and cuts, and what the overlay shows.
    #[test]
    fn it_shows_what_a_file_would_have_and_leaves_the_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let original: Vec<u8> = (0..20_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &original).unwrap();
        let overlay = Overlay::open(&path).unwrap();
        let mut expected = original.clone();
        let mut number = 1_u64;
        let mut next = |below: usize| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) as usize % below
        };
        for turn in 0..500 {
            if next(4) == 0 {
                let length = next(30_000);
                expected.resize(length, 0);
                overlay.set_len(length as u64).unwrap();
            } else {
                let (offset, data) = (next(25_000), vec![turn as u8; next(9_000)]);
                expected.resize(expected.len().max(offset + data.len()), 0);
                expected[offset..offset + data.len()].copy_from_slice(&data);
                overlay.write(offset as u64, &data).unwrap();
            }
            assert_eq!(overlay.len().unwrap(), expected.len() as u64);
            let mut found = vec![0; expected.len()];
            overlay.read(0, &mut found).unwrap();
            assert!(found == expected, "after {turn} turns");
        }
        assert!(overlay.read(overlay.len().unwrap(), &mut [0]).is_err());
        assert!(std::fs::read(&path).unwrap() == original);
    }
}
