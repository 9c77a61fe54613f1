//! A running host, as operations see it: what changes goes to the deciding thread, what is read comes from
//! the store as of the last commit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use dormouse_core::id::RunId;
use dormouse_core::time::Timestamp;
use tokio::sync::{Semaphore, oneshot, watch};

use super::Shared;
use super::catalog::Catalog;
use super::command::{Command, Reply};
use super::decide::Decider;
use super::metrics::Metrics;
use super::persist::Persister;
use super::retention::Retention;
use super::shard::{Handled, Shard};
use super::steps::Start;
use super::watch::{Watch, Watchers};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::panic;
use crate::runtime::Runtime;
use crate::store::{Read, Store, StoreError, View};

type Result<T> = std::result::Result<T, Error>;

/// Places before the deciding thread; further callers wait their turn. An operation takes one, and one
/// more for each [`PLACE_BYTES`] that it carries: so at most 8,192 operations, or 256 MiB of them, are in
/// memory, whether or not their callers still wait.
const PLACES: u32 = 8192;
const PLACE_BYTES: usize = 32 << 10;

/// An operation that carries this much asks for room on the disk first: smaller ones fit what is kept free.
const LARGE_BYTES: usize = 1 << 20;

/// Why a host could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StartError {
    #[error("the store could not be recovered")]
    Store(#[from] StoreError),
    #[error("a thread of the engine could not be started")]
    Thread(#[source] std::io::Error),
}

/// Why a host ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EngineError {
    #[error("the store failed; the host stops so that memory and disk do not differ")]
    Store(#[from] StoreError),
    #[error("a thread of the engine panicked, which is a bug of this program: {0}")]
    Panicked(String),
}

/// A running host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Host {
    shared: Arc<Shared>,
    admission: Arc<Semaphore>,
    decider: Arc<Mutex<Option<DeciderThread>>>,
    /// Closed when the deciding thread has ended.
    ended: watch::Receiver<()>,
}

type DeciderThread = std::thread::JoinHandle<std::result::Result<(), StoreError>>;

impl Host {
    /// Recovers what the store holds and starts to work.
    pub(crate) fn start(
        store: Store,
        runtime: Runtime,
        clock: Clock,
        slots: usize,
        keep: Option<Duration>,
    ) -> std::result::Result<Self, StartError> {
        let (sender, commands) = channel();
        let catalog = Arc::new(Catalog::load(&*store.view())?);
        let shared = Arc::new(Shared {
            store,
            runtime,
            catalog: RwLock::new(Arc::clone(&catalog)),
            metrics: Metrics::default(),
            queue: Mutex::default(),
            disk_is_full: AtomicBool::default(),
            is_stopping: AtomicBool::default(),
            watchers: Arc::new(Watchers::default()),
            commands: sender.clone(),
            start_step: Start::spawn,
            clock: clock.clone(),
        });
        let mut shard = Shard::new(Arc::clone(&shared), catalog, slots);
        shard.recover()?;
        // A jump of the clock wakes the deciding thread like any command.
        let waker = Mutex::new(sender);
        clock.on_jump(move || {
            let sender = waker.lock().unwrap_or_else(PoisonError::into_inner);
            // A thread that has ended needs no waking.
            sender.send(Command::ClockJumped).is_ok()
        });
        drop(shared.runtime.spawn(Arc::clone(&shared).keep_old_base_images()));
        let retention = keep.map(|keep| Retention::new(keep, clock.now()));
        let persister = Persister::start(Arc::clone(&shared)).map_err(StartError::Thread)?;
        let decider = Decider::new(shard, commands, persister, retention);
        let (end, ended) = watch::channel(());
        let run = move || {
            // However it ends, a panic included, this is dropped, and callers of `ended` hear of it.
            let _end = end;
            decider.run()
        };
        let thread = std::thread::Builder::new().name("dormouse-decide".to_owned()).spawn(run);
        let decider = Arc::new(Mutex::new(Some(thread.map_err(StartError::Thread)?)));
        Ok(Self { shared, admission: Arc::new(Semaphore::new(PLACES as usize)), decider, ended })
    }

    /// Commits what is under way and ends the deciding thread. Steps that run are given up; the next
    /// host repeats them.
    ///
    /// # Errors
    ///
    /// When the store has failed, or a thread of the engine has panicked.
    pub(crate) fn stop(&self) -> std::result::Result<(), EngineError> {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        self.shared.send(Command::Stop);
        let thread = self.decider.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread.map(DeciderThread::join) {
            None => Ok(()),
            Some(Ok(ended)) => Ok(ended?),
            Some(Err(panic)) => Err(EngineError::Panicked(panic::message(&*panic).to_owned())),
        }
    }

    /// What `/metrics` shows.
    pub(crate) fn metrics(&self) -> Result<String> {
        let counts = self.read(|store| store.total_counts())?;
        let queue = *self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.shared.metrics.text(&counts, queue, self.disk_is_full(), self.shared.clock.now()))
    }

    /// Whether it can take work: the deciding thread is alive, and there is room on the disk.
    pub(crate) fn is_ready(&self) -> bool {
        self.ended.has_changed().is_ok() && !self.disk_is_full()
    }

    fn disk_is_full(&self) -> bool {
        self.shared.disk_is_full.load(Ordering::Relaxed)
    }

    /// Resolves when the deciding thread has ended, because it was told to or because the store failed.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        // The sender never sends: an error is its end.
        while ended.changed().await.is_ok() {}
    }

    /// Resolves once no step runs or could run, with the time of the next timer: from then on only
    /// time or a call changes anything.
    pub(crate) async fn idle(&self) -> Option<Timestamp> {
        let (reply, answer) = oneshot::channel();
        self.shared.send(Command::AwaitIdle { reply });
        answer.await.unwrap_or(None)
    }

    /// The workflows that can be started, as of the last commit.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.shared.catalog()
    }

    /// What looks at modules.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.shared.runtime
    }

    /// Begins to watch a run.
    pub(crate) fn watch(&self, run: RunId) -> Watch {
        self.shared.watchers.watch(run)
    }

    /// Has an operation decided that carries no payload, and answers when what it decided is durable.
    pub(crate) async fn operate<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Shard) -> Handled<T> + Send + 'static,
    ) -> Result<T> {
        self.operate_on(0, operation).await
    }

    /// The same for an operation that carries so many bytes.
    pub(crate) async fn operate_on<T: Send + 'static>(
        &self,
        bytes: usize,
        operation: impl FnOnce(&mut Shard) -> Handled<T> + Send + 'static,
    ) -> Result<T> {
        self.operate_with(bytes, |shard, reply| {
            let outcome = operation(shard);
            shard.answer(reply, outcome)
        })
        .await
    }

    /// The same for an operation that sees to its answer itself.
    pub(crate) async fn operate_with<T: Send + 'static>(
        &self,
        bytes: usize,
        operation: impl FnOnce(&mut Shard, Reply<T>) -> std::result::Result<(), StoreError> + Send + 'static,
    ) -> Result<T> {
        let stopping = || {
            Error::new(ErrorKind::Unavailable, "stopping", "the host is stopping; try again when it is up")
        };
        let has_room = || bytes < LARGE_BYTES || self.shared.store.has_room_for(bytes as u64);
        if self.disk_is_full() || !has_room() {
            let text = "the disk is full: nothing is lost, and work is taken again when there is room";
            return Err(Error::new(ErrorKind::Unavailable, "disk_full", text));
        }
        let places = places(bytes);
        let admitted = Arc::clone(&self.admission).acquire_many_owned(places).await;
        let admitted = admitted.map_err(|_| stopping())?;
        let (reply, answer) = oneshot::channel();
        let operation = Box::new(move |shard: &mut Shard| operation(shard, reply));
        if !self.shared.send(Command::Operate { operation, admitted }) {
            return Err(stopping());
        }
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Reads what may have to look at many rows to find a few, without holding up the other requests of
    /// this thread.
    pub(crate) fn scan<T>(
        &self,
        read: impl FnOnce(&View) -> std::result::Result<T, StoreError>,
    ) -> Result<T> {
        tokio::task::block_in_place(|| self.read(read))
    }

    /// Reads what is found by its key.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&View) -> std::result::Result<T, StoreError>,
    ) -> Result<T> {
        read(&self.shared.store.view()).map_err(|error| Error::internal(&error))
    }
}

/// How many places an operation takes that carries so many bytes.
fn places(bytes: usize) -> u32 {
    u32::try_from(1 + bytes / PLACE_BYTES).unwrap_or(PLACES).min(PLACES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_takes_places_for_what_it_carries() {
        assert_eq!([0, 1, PLACE_BYTES - 1, PLACE_BYTES, 2 << 20].map(places), [1, 1, 1, 2, 65]);
        assert_eq!(places(usize::MAX), PLACES, "the largest one still comes in");
    }
}
