//! Room on the disk: a commit is refused while there is too little of it, rather than that writing into the database
//! fails, which only another host would recover from.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::changes::ChangeSet;
use super::error::StoreError;

/// What is to be left on the disk besides what is written: for the files of the log, which grow, and for whoever
/// else writes there.
const RESERVE_BYTES: u64 = 8 << 20;

/// What changes takes so many times its size in the database, whose pages are not full.
const GROWTH_FACTOR: u64 = 2;

/// And so much more for each row, which may be the only one that changes in its page. Most share theirs, as keys
/// begin with time.
const BYTES_PER_ROW: u64 = 1 << 10;

/// How many bytes are free where the store lies.
pub(super) enum Space {
    /// On the file system of this folder.
    Of(PathBuf),
    /// As many as somebody says.
    #[cfg(test)]
    Said(Arc<std::sync::atomic::AtomicU64>),
}

impl Space {
    fn free(&self) -> io::Result<u64> {
        match self {
            Self::Of(folder) => {
                let space = rustix::fs::statvfs(folder)?;
                Ok(space.f_bavail.saturating_mul(space.f_frsize))
            }
            #[cfg(test)]
            Self::Said(bytes) => Ok(bytes.load(std::sync::atomic::Ordering::Relaxed)),
        }
    }

    /// Whether there is room for so many bytes of payload.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        self.have_free(bytes.saturating_mul(GROWTH_FACTOR).saturating_add(RESERVE_BYTES)).is_ok()
    }

    /// Whether there is room for changes that the database does not have.
    pub(super) fn check<'a>(
        &self,
        changes: impl IntoIterator<Item = &'a Arc<ChangeSet>>,
    ) -> Result<(), StoreError> {
        let cost = |changes: &Arc<ChangeSet>| {
            changes.bytes() as u64 * GROWTH_FACTOR + changes.rows() as u64 * BYTES_PER_ROW
        };
        self.have_free(changes.into_iter().map(cost).fold(RESERVE_BYTES, u64::saturating_add))
    }

    fn have_free(&self, needed: u64) -> Result<(), StoreError> {
        match self.free() {
            Ok(free) if free < needed => Err(StoreError::Full { free }),
            // Where nobody can say, writing shows it.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// An error of a write to the log: a disk that is full is not one that fails.
pub(super) fn of_log(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { free: 0 },
        _ => StoreError::Log(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_known_before_it_is_committed() {
        let space = Space::Said(Arc::new((28_u64 << 20).into()));
        assert!(space.has_room_for(10 << 20));
        assert!(!space.has_room_for((10 << 20) + 1));
    }
}
