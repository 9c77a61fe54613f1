//! The store as a whole: the database file, the log in front of it, and the views of what they hold.
//!
//! A commit appends a change set to the log. From time to time a checkpoint writes what has gathered
//! there into the database, in one transaction, on a thread of its own: so a commit costs one sync,
//! the same in a file of any length, and the database sees large batches in the order of their keys.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound::Unbounded;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use dormouse_core::time::Timestamp;
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{
    BackendError, Database, DatabaseError, Durability, ReadableDatabase, StorageBackend, StorageError,
    WriteTransaction,
};
use tokio::sync::watch;

use super::changes::{Change, ChangeSet, Entry};
use super::error::{OpenError, StoreError};
use super::log::{Log, LogError, Number, REST_BYTES, Replayed};
use super::overlay::Overlay;
use super::space::{self, Space};
use super::view::{Base, View};
#[cfg(test)]
use super::working_set::WorkingSet;
use super::{migrate, tables};
use crate::panic;

/// A checkpoint begins when so many bytes of changes have gathered in memory and in the log. More
/// would make a restart longer and the memory larger; larger transactions gain nothing.
const CHECKPOINT_BYTES: usize = 1 << 20;

/// While a checkpoint runs, commits wait when so many bytes have gathered besides: work comes in
/// faster than the disk takes it.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// The store is behind when so many have.
const BEHIND_BYTES: usize = 8 << 20;

/// Who may commit: the owner of the shard, as of an epoch. This store has one owner, which the lock
/// on its file sees to; a store with more of them refuses a commit whose fence is not the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fence(pub(crate) u64);

/// All that the host knows. Clones share it.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    opened: Arc<Opened>,
    /// As of the last commit.
    latest: RwLock<Arc<View>>,
    commits: Mutex<Commits>,
    /// A checkpoint has ended.
    checkpointed: Condvar,
    checkpoints: Sender<Arc<Self>>,
    checkpoint_bytes: usize,
    is_behind: AtomicBool,
    space: Space,
}

/// What commits and checkpoints have to agree on.
struct Commits {
    log: Log,
    /// Size of the layers that no checkpoint has begun to write.
    waiting_bytes: usize,
    checkpoint: Option<Checkpoint>,
    /// Why the last checkpoint failed: there will be no further commit.
    failed: Option<StoreError>,
}

/// Layers that are being written into the database.
#[derive(Clone)]
struct Checkpoint {
    layers: Vec<Arc<ChangeSet>>,
    /// The last change set that is in them.
    up_to: Number,
}

/// An open database; whoever can reach it has a share of this.
pub(super) struct Opened {
    database: Database,
    /// Goes last, when the file is closed.
    closed: watch::Sender<()>,
}

/// Where the bytes of a store are.
pub(super) struct Files<D> {
    pub(super) database: D,
    pub(super) logs: [Box<dyn StorageBackend>; 2],
    pub(super) space: Space,
}

impl Store {
    /// Opens the store at a path, or creates it. Up to `cache_bytes` of it stay in memory.
    ///
    /// # Errors
    ///
    /// When another process has it open, when a newer program wrote it, or when it cannot be read.
    pub(crate) fn open(path: &Path, cache_bytes: usize, now: Timestamp) -> Result<Self, OpenError> {
        let at = Place(path);
        let open = |path: &Path| {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            file.map_err(|error| Place(path).io(error))
        };
        let backend =
            |path: &Path| FileBackend::new(open(path)?).map_err(|error| Place(path).database(error));
        // The database first: who has its lock has the log as well.
        let database = FileBackend::new(open(path)?).map_err(|e| at.database(e))?;
        let [first, second] = log_paths(path);
        let logs: [Box<dyn StorageBackend>; 2] = [Box::new(backend(&first)?), Box::new(backend(&second)?)];
        sync_folder_of(path).map_err(|e| at.io(e))?;
        let space = Space::Of(folder_of(path).to_owned());
        let files = Files { database, logs, space };
        Self::with_files(files, path, cache_bytes, CHECKPOINT_BYTES, now)
    }

    /// Opens a store to look at it: nothing of what that writes gets to the disk. Tells whether the files of its log
    /// are there.
    ///
    /// # Errors
    ///
    /// When a host has it open, when a newer program wrote it, or when it cannot be read.
    pub(crate) fn open_to_look(
        path: &Path,
        cache_bytes: usize,
        now: Timestamp,
    ) -> Result<(Self, bool), OpenError> {
        let open = |path: &Path| Overlay::open(path).map_err(|error| Place(path).database(error));
        let database = open(path)?;
        if database.len().map_err(|error| Place(path).io(error))? == 0 {
            return Err(OpenError::Corrupt { path: path.to_owned(), problem: "it is empty".to_owned() });
        }
        let mut has_log = true;
        let mut log = |path: &Path| -> Result<Box<dyn StorageBackend>, OpenError> {
            if path.exists() {
                return Ok(Box::new(open(path)?));
            }
            has_log = false;
            Ok(Box::new(InMemoryBackend::new()))
        };
        let [first, second] = log_paths(path);
        let logs = [log(&first)?, log(&second)?];
        let files = Files { database, logs, space: Space::Of(folder_of(path).to_owned()) };
        Ok((Self::with_files(files, path, cache_bytes, CHECKPOINT_BYTES, now)?, has_log))
    }

    /// The same for whatever holds the bytes; the path is for messages.
    pub(super) fn with_files(
        files: Files<impl StorageBackend>,
        path: &Path,
        cache_bytes: usize,
        checkpoint_bytes: usize,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let at = Place(path);
        let Files { database: backend, logs, space } = files;
        discard_unfinished(&backend).map_err(|e| at.io(e))?;
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        let database = builder.create_with_backend(backend).map_err(|e| at.database(e))?;
        let identity = migrate::identify(&database, path, now)?;
        let replayed = Log::open(logs, identity.store, identity.logged).map_err(|error| at.log(error))?;
        let Replayed { mut log, mut changes } = replayed;
        if !identity.is_current() {
            // The log is of the old format, too.
            if let Some(changes) = changes.take() {
                write(&database, &[changes], log.last())?;
                log.free_other();
            }
            migrate::bring_up_to_date(&database, identity)?;
        }
        let opened = Arc::new(Opened { database, closed: watch::Sender::new(()) });
        let layers: Vec<_> = changes.into_iter().collect();
        let view = View::new(Arc::new(opened.base()?), layers);
        let (checkpoints, begun) = channel();
        let waiting_bytes = view.layers().iter().map(|layer| layer.bytes()).sum();
        let commits = Commits { log, waiting_bytes, checkpoint: None, failed: None };
        let inner = Inner {
            opened,
            latest: RwLock::new(Arc::new(view)),
            commits: Mutex::new(commits),
            checkpointed: Condvar::new(),
            checkpoints,
            checkpoint_bytes,
            is_behind: AtomicBool::new(false),
            space,
        };
        let run = move || run_checkpoints(&begun);
        let thread = std::thread::Builder::new().name("dormouse-checkpoint".to_owned()).spawn(run);
        thread.map_err(|e| at.io(e))?;
        Ok(Self(Arc::new(inner)))
    }

    /// Walks through the whole file and compares it with its checksums. Only of a store that
    /// nobody has cloned. Returns whether all was well; what can be mended was.
    ///
    /// # Errors
    ///
    /// When the file is damaged beyond that, or cannot be read.
    pub(crate) fn verify_file(self, path: &Path) -> Result<(Self, bool), OpenError> {
        let in_use = || OpenError::Locked { path: path.to_owned() };
        let inner = Arc::into_inner(self.0).ok_or_else(in_use)?;
        let Inner { opened, latest, commits, checkpointed, checkpoints, checkpoint_bytes, is_behind, space } =
            inner;
        let view = latest.into_inner().unwrap_or_else(PoisonError::into_inner);
        let layers = view.layers().to_vec();
        drop(view);
        let mut opened = Arc::into_inner(opened).ok_or_else(in_use)?;
        let sound = opened.database.check_integrity().map_err(|error| Place(path).database(error))?;
        let opened = Arc::new(opened);
        let view = View::new(Arc::new(opened.base()?), layers);
        let latest = RwLock::new(Arc::new(view));
        let inner =
            Inner { opened, latest, commits, checkpointed, checkpoints, checkpoint_bytes, is_behind, space };
        Ok((Self(Arc::new(inner)), sound))
    }

    /// What the store holds as of the last commit.
    pub(crate) fn view(&self) -> Arc<View> {
        self.0.view()
    }

    /// Whether so much is to be written into the database that large change sets had better wait: beyond
    /// [`WAITING_BYTES_MAX`] all do.
    pub(crate) fn is_behind(&self) -> bool {
        self.0.is_behind.load(Ordering::Relaxed)
    }

    /// Whether the disk has room for so many bytes of payload: a change set that does not fit holds up all that come after it.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.0.space.has_room_for(bytes)
    }

    /// Makes a change set durable: all of it or nothing is in the store from now on, whatever happens.
    /// Returns the view that shows it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] when the disk is full: the change set is not in the store, and can be committed later.
    /// Otherwise when the disk fails. It is open whether the change set is in the store then: the host has to
    /// stop and look again.
    pub(crate) fn commit(&self, fence: Fence, changes: Arc<ChangeSet>) -> Result<Arc<View>, StoreError> {
        // Nobody else can have the store: see `Fence`.
        let Fence(_) = fence;
        let inner = &self.0;
        let mut commits = inner.room_for_commit()?;
        let view = inner.view();
        let checkpointed = commits.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.layers.len());
        // What is being written into the database has its room.
        inner.space.check(view.layers()[checkpointed..].iter().chain([&changes]))?;
        commits.log.append(&changes).map_err(space::of_log)?;
        let mut layers = view.layers().to_vec();
        commits.waiting_bytes += changes.bytes();
        inner.note_behind(&commits);
        layers.push(changes);
        ChangeSet::join_small(&mut layers, checkpointed);
        let view = inner.show(View::new(Arc::clone(view.base()), layers));
        if commits.waiting_bytes >= inner.checkpoint_bytes && commits.checkpoint.is_none() {
            self.start_checkpoint(&mut commits, &view)?;
        }
        Ok(view)
    }

    /// Has a log that is long written into the database, in the background, and cut down. For when nothing else is
    /// to be done. Returns whether that is all: otherwise a checkpoint goes on, and it is worth asking again.
    ///
    /// # Errors
    ///
    /// When the disk fails. What was committed is in the log still.
    pub(crate) fn tidy(&self) -> Result<bool, StoreError> {
        let mut commits = self.0.lock();
        commits.take_failure()?;
        if commits.checkpoint.is_some() {
            return Ok(false);
        }
        let view = self.0.view();
        if commits.log.is_long() && view.layers().is_empty() {
            commits.log.clear(REST_BYTES).map_err(StoreError::Log)?;
        } else if commits.log.is_long() && self.0.space.check(view.layers()).is_ok() {
            self.start_checkpoint(&mut commits, &view)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Starts a checkpoint on the thread for that, which has none to write.
    fn start_checkpoint(&self, commits: &mut Commits, view: &View) -> Result<(), StoreError> {
        commits.begin_checkpoint(view)?;
        // The thread lives for as long as the sender.
        drop(self.0.checkpoints.send(Arc::clone(&self.0)));
        Ok(())
    }

    /// Writes all that was committed into the database and empties the log.
    ///
    /// # Errors
    ///
    /// When the disk fails. What was committed is in the log still.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        let inner = &self.0;
        let mut commits = inner.lock();
        while commits.checkpoint.is_some() {
            commits = inner.checkpointed.wait(commits).unwrap_or_else(PoisonError::into_inner);
        }
        commits.take_failure()?;
        let view = inner.view();
        if inner.space.check(view.layers()).is_err() {
            tracing::warn!("the disk is full: what was committed last stays in the log");
            return Ok(());
        }
        if !view.layers().is_empty() {
            commits.begin_checkpoint(&view)?;
            drop(commits);
            inner.write_checkpoint();
            commits = inner.lock();
            commits.take_failure()?;
        }
        if inner.view().layers().is_empty() {
            commits.log.clear(0).map_err(StoreError::Log)?;
        }
        Ok(())
    }

    /// Begins a checkpoint without doing its work, as if it took long.
    #[cfg(test)]
    pub(crate) fn begin_checkpoint(&self) -> Result<(), StoreError> {
        let view = self.view();
        self.0.lock().begin_checkpoint(&view)
    }

    /// Does the work of the checkpoint that has begun.
    #[cfg(test)]
    pub(crate) fn end_checkpoint(&self) {
        self.0.write_checkpoint();
    }

    /// Applies changes and commits them: all of them, durably, or none when `f` fails.
    ///
    /// # Errors
    ///
    /// Those of `f`, and those of the commit.
    #[cfg(test)]
    pub(crate) fn transact<T, E: From<StoreError>>(
        &self,
        f: impl FnOnce(&mut WorkingSet) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut working_set = WorkingSet::new(self.view());
        let value = f(&mut working_set)?;
        if let Some(changes) = working_set.close()? {
            self.commit(Fence(0), changes)?;
        }
        Ok(value)
    }

    /// Resolves when nobody has the store any more and its file is closed. Does not itself hold it.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closed = self.0.opened.closed.subscribe();
        async move {
            // The sender never sends: an error is its end.
            while closed.changed().await.is_ok() {}
        }
    }
}

impl Inner {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.latest.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, view: View) -> Arc<View> {
        let view = Arc::new(view);
        let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *latest, Arc::clone(&view));
        // It may be the last one that holds many rows.
        drop(latest);
        drop(before);
        view
    }

    fn lock(&self) -> MutexGuard<'_, Commits> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether much is to be written into the database.
    fn note_behind(&self, commits: &Commits) {
        let is_behind = commits.checkpoint.is_some() && commits.waiting_bytes >= BEHIND_BYTES;
        self.is_behind.store(is_behind, Ordering::Relaxed);
    }

    /// Waits while too much is to be written into the database.
    fn room_for_commit(&self) -> Result<MutexGuard<'_, Commits>, StoreError> {
        let mut commits = self.lock();
        while commits.checkpoint.is_some() && commits.waiting_bytes >= WAITING_BYTES_MAX {
            commits = self.checkpointed.wait(commits).unwrap_or_else(PoisonError::into_inner);
        }
        commits.take_failure()?;
        Ok(commits)
    }

    /// Writes what the checkpoint holds into the database, and shows it from there.
    fn write_checkpoint(&self) {
        let Some(Checkpoint { layers, up_to }) = self.lock().checkpoint.clone() else { return };
        let write = || write(&self.opened.database, &layers, up_to).and_then(|()| self.opened.base());
        // Commits wait for the end of the checkpoint, however it ends.
        let written = catch_unwind(AssertUnwindSafe(write))
            .unwrap_or_else(|panic| Err(StoreError::Panicked(panic::message(&*panic).to_owned())));
        let mut commits = self.lock();
        let freed = written.and_then(|base| {
            let newer = self.view().layers()[layers.len()..].to_vec();
            let is_all = newer.is_empty();
            self.show(View::new(Arc::new(base), newer));
            if is_all {
                // Nobody commits at the moment: who does next need not wait until a file has grown again.
                return commits.log.clear(REST_BYTES).map_err(StoreError::Log);
            }
            commits.log.free_other();
            Ok(())
        });
        if let Err(error) = freed {
            tracing::error!(%error, "what was committed cannot be written into the database; it is in the log");
            commits.failed = Some(error);
        }
        commits.checkpoint = None;
        self.note_behind(&commits);
        drop(commits);
        self.checkpointed.notify_all();
    }
}

impl Commits {
    fn begin_checkpoint(&mut self, view: &View) -> Result<(), StoreError> {
        self.checkpoint = Some(Checkpoint { layers: view.layers().to_vec(), up_to: self.log.last() });
        self.waiting_bytes = 0;
        self.log.switch().map_err(StoreError::Log)
    }

    fn take_failure(&mut self) -> Result<(), StoreError> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl Opened {
    fn base(self: &Arc<Self>) -> Result<Base, StoreError> {
        Ok(Base::new(self.database.begin_read()?, Some(Arc::clone(self))))
    }
}

/// Works checkpoints off until the store is closed.
fn run_checkpoints(begun: &Receiver<Arc<Inner>>) {
    while let Ok(store) = begun.recv() {
        store.write_checkpoint();
    }
}

/// Writes layers of changes into the database, oldest first, in one transaction that also says up to
/// which change set it has them.
fn write(database: &Database, layers: &[Arc<ChangeSet>], up_to: Number) -> Result<(), StoreError> {
    let mut txn = database.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    // Opening the file after a kill does not walk through it.
    txn.set_quick_repair(true);
    let Some(all) = ChangeSet::join_all(layers) else { return Ok(()) };
    apply(&txn, &all)?;
    migrate::note_logged(&txn, up_to)?;
    Ok(txn.commit()?)
}

/// Puts and deletes the rows of a change set.
pub(super) fn apply(txn: &WriteTransaction, changes: &ChangeSet) -> Result<(), StoreError> {
    for (slot, entries) in changes.tables() {
        let mut table = txn.open_table(tables::ALL[slot])?;
        for Entry { key, change } in entries {
            match change {
                Change::Insert(row) | Change::Put(row) => drop(table.insert(&**key, &**row)?),
                Change::Delete => drop(table.remove(&**key)?),
            }
        }
    }
    Ok(())
}

/// The files of the log, beside the database.
fn log_paths(database: &Path) -> [PathBuf; 2] {
    ["log-0", "log-1"].map(|extension| database.with_extension(extension))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes files that were created in the folder of a path durable.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
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

    fn log(&self, error: LogError) -> OpenError {
        match error {
            LogError::Io(source) if source.kind() != io::ErrorKind::InvalidData => self.io(source),
            other => OpenError::Corrupt { path: self.path(), problem: other.to_string() },
        }
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
