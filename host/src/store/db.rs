//! The database file: opening it, one writer, many readers.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound::Unbounded;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_core::time::Timestamp;
use redb::backends::FileBackend;
use redb::{
    BackendError, Database, DatabaseError, Durability, ReadableDatabase, StorageBackend, StorageError,
};

use tokio::sync::watch;

use super::error::{OpenError, StoreError};
use super::migrate;
use super::reader::Reader;
use super::tx::Tx;

/// From this length on, walking through the file after a kill would take a tenth of a second and more
/// (1.5 ms a megabyte), so every commit saves what is needed to open it at once. That takes a second
/// sync of the disk, which smaller files are spared.
const QUICK_REPAIR_FROM_BYTES: u64 = 64 << 20;

/// All that the host knows, in one file. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    opened: Arc<Opened>,
    /// How long the file is now.
    length: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// An open database; whoever can reach it has a share of this.
pub(super) struct Opened {
    database: Database,
    /// Goes last, when the file is closed.
    closed: watch::Sender<()>,
}

impl Store {
    /// Opens the store at a path, or creates it. Up to `cache_bytes` of it stay in memory.
    ///
    /// # Errors
    ///
    /// When another process has it open, when a newer program wrote it, or when it cannot be read.
    pub(crate) fn open(path: &Path, cache_bytes: usize, now: Timestamp) -> Result<Self, OpenError> {
        let at = Place(path);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|e| at.io(e))?;
        let measured = file.try_clone().map_err(|e| at.io(e))?;
        // A file that cannot tell its length is taken for a long one.
        let length = move || measured.metadata().map_or(u64::MAX, |metadata| metadata.len());
        let backend = FileBackend::new(file).map_err(|e| at.database(e))?;
        Self::with_backend(backend, length, path, cache_bytes, now)
    }

    /// Walks through the whole file and compares it with its checksums. Only of a store that
    /// nobody has cloned. Returns whether all was well; what can be mended was.
    ///
    /// # Errors
    ///
    /// When the file is damaged beyond that, or cannot be read.
    pub(crate) fn verify_file(&mut self, path: &Path) -> Result<bool, OpenError> {
        let in_use = || OpenError::Locked { path: path.to_owned() };
        let opened = Arc::get_mut(&mut self.opened).ok_or_else(in_use)?;
        opened.database.check_integrity().map_err(|error| Place(path).database(error))
    }

    /// The same for whatever holds the bytes and knows their number; the path is for messages.
    pub(crate) fn with_backend(
        backend: impl StorageBackend,
        length: impl Fn() -> u64 + Send + Sync + 'static,
        path: &Path,
        cache_bytes: usize,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let at = Place(path);
        discard_unfinished(&backend).map_err(|e| at.io(e))?;
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        let database = builder.create_with_backend(backend).map_err(|e| at.database(e))?;
        migrate::bring_up_to_date(&database, path, now)?;
        let opened = Opened { database, closed: watch::Sender::new(()) };
        Ok(Self { opened: Arc::new(opened), length: Arc::new(length) })
    }

    /// Applies a batch of changes: all of them, durably, or none when `f` fails. `f` sees what it
    /// has written. Waits for its turn when another transaction is running.
    ///
    /// # Errors
    ///
    /// Those of `f`, and those of the database. When the commit itself fails it is open whether
    /// the batch was applied: the host has to stop and look again.
    pub(crate) fn transact<T, E: From<StoreError>>(
        &self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut txn = self.opened.database.begin_write().map_err(StoreError::from)?;
        txn.set_durability(Durability::Immediate).map_err(StoreError::from)?;
        txn.set_quick_repair((self.length)() >= QUICK_REPAIR_FROM_BYTES);
        let mut tx = Tx::new(&txn);
        let value = f(&mut tx)?;
        if tx.finish()? {
            txn.commit().map_err(StoreError::from)?;
        }
        Ok(value)
    }

    /// Resolves when nobody has the store any more and its file is closed. Does not itself hold it.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closed = self.opened.closed.subscribe();
        async move {
            // The sender never sends: an error is its end.
            while closed.changed().await.is_ok() {}
        }
    }

    /// The state of the last commit. It stays as it is while others write; drop it soon, because
    /// the file cannot reuse what it still shows.
    pub(crate) fn reader(&self) -> Result<Reader, StoreError> {
        Ok(Reader::new(self.opened.database.begin_read()?, Arc::clone(&self.opened)))
    }
}

/// The first bytes of a database. They are written last when it is created.
const MAGIC_BYTES: usize = 9;

/// Empties a file whose creation was cut short, so that it can be created again. The database
/// itself takes such a file for somebody else's.
fn discard_unfinished(backend: &impl StorageBackend) -> io::Result<()> {
    let locked = match backend.try_lock_range(Unbounded, Unbounded) {
        Ok(true) => true,
        // Somebody has it open, which opening it will say.
        Ok(false) => return Ok(()),
        Err(BackendError::Unsupported) => false,
        Err(error) => return Err(error.into()),
    };
    let mut magic = [0; MAGIC_BYTES];
    let length = backend.len()?;
    let present = usize::try_from(length).unwrap_or(MAGIC_BYTES).min(MAGIC_BYTES);
    backend.read(0, &mut magic[..present])?;
    if length > 0 && magic == [0; MAGIC_BYTES] {
        backend.set_len(0)?;
        backend.sync_data()?;
    }
    if locked {
        backend.unlock_range(Unbounded, Unbounded)?;
    }
    Ok(())
}

/// Puts the path into errors.
struct Place<'a>(&'a Path);

impl Place<'_> {
    fn path(&self) -> PathBuf {
        self.0.to_owned()
    }

    fn io(&self, source: io::Error) -> OpenError {
        OpenError::Io { path: self.path(), source }
    }

    fn database(&self, error: DatabaseError) -> OpenError {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                OpenError::Locked { path: self.path() }
            }
            DatabaseError::Storage(StorageError::Io(source))
                if source.kind() != io::ErrorKind::InvalidData =>
            {
                self.io(source)
            }
            other => OpenError::Corrupt { path: self.path(), problem: other.to_string() },
        }
    }
}
