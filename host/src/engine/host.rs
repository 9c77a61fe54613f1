//! The host as the API and the command line see it: what changes goes to the writer, what is
//! read comes from the store as of the last commit.

mod modules;
mod runs;
mod triggers;

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use dormouse_core::time::Timestamp;
use tokio::sync::{Semaphore, oneshot, watch};

use super::batch::{After, Batch};
use super::catalog::Catalog;
use super::command::{Command, Reply};
use super::metrics::Metrics;
use super::requests::Paged;
use super::retention::Retention;
use super::watch::Watchers;
use super::writer::{Memory, Writer};
use super::{Error, ErrorKind, Shared};
use crate::clock::Clock;
use crate::runtime::Runtime;
use crate::store::{Read, Reader, Store, StoreError};

type Result<T> = std::result::Result<T, Error>;

/// Callers whose commands may stand before the writer at once; the rest wait their turn.
const CALLERS_MAX: usize = 8192;

/// Why a host could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StartError {
    #[error("the store could not be recovered")]
    Store(#[from] StoreError),
    #[error("the writer's thread could not be started")]
    Thread(#[source] std::io::Error),
}

/// A running host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Host {
    shared: Arc<Shared>,
    admission: Arc<Semaphore>,
    writer: Arc<Mutex<Option<WriterThread>>>,
    /// Closed when the writer has ended.
    ended: watch::Receiver<()>,
}

type WriterThread = std::thread::JoinHandle<std::result::Result<(), StoreError>>;

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
        let catalog = Catalog::load(&store.reader()?)?;
        let shared = Arc::new(Shared {
            store,
            runtime,
            up_since: clock.now(),
            catalog: RwLock::new(Arc::new(catalog.clone())),
            metrics: Metrics::default(),
            queue: Mutex::default(),
            watchers: Arc::new(Watchers::default()),
            commands: sender.clone(),
            clock: clock.clone(),
        });
        let mut memory = Memory::new(catalog, slots);
        let after = shared.store.transact(|tx| {
            let mut batch = Batch::new(tx, clock.now(), &shared, &mut memory);
            batch.recover()?;
            batch.finish()
        });
        let after: After = after?;
        // A jump of a virtual clock wakes the writer like any command.
        let waker = Mutex::new(sender);
        clock.on_jump(move || {
            let sender = waker.lock().unwrap_or_else(PoisonError::into_inner);
            // A writer that has ended needs no waking.
            drop(sender.send(Command::ClockJumped));
        });
        let retention = keep.map(|keep| Retention::new(keep, clock.now()));
        let mut writer =
            Writer { shared: Arc::clone(&shared), memory, commands, next_timer: None, retention };
        let (end, ended) = watch::channel(());
        let run = move || {
            // However it ends, a panic included, this is dropped, and those who wait hear of it.
            let _end = end;
            writer.begin(after);
            writer.run()
        };
        let thread = std::thread::Builder::new().name("dormouse-writer".to_owned()).spawn(run);
        let writer = Arc::new(Mutex::new(Some(thread.map_err(StartError::Thread)?)));
        Ok(Self { shared, admission: Arc::new(Semaphore::new(CALLERS_MAX)), writer, ended })
    }

    /// Commits what is under way and ends the writer. Steps that run are given up; the next host
    /// repeats them.
    pub(crate) fn stop(&self) -> std::result::Result<(), StoreError> {
        self.shared.send(Command::Stop);
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A writer that panicked has already said why.
        thread.map_or(Ok(()), |thread| thread.join().unwrap_or(Ok(())))
    }

    /// What `/metrics` shows.
    pub(crate) fn metrics(&self) -> Result<String> {
        let counts = self.read(|store| store.total_counts())?;
        let queue = *self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.shared.metrics.text(&counts, queue, self.shared.clock.now()))
    }

    /// Whether it can take work: the writer is alive.
    pub(crate) fn is_ready(&self) -> bool {
        self.ended.has_changed().is_ok()
    }

    /// Resolves when the writer has ended, because it was told to or because the store failed.
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

    async fn command<T>(&self, make: impl FnOnce(Reply<T>) -> Command) -> Result<T> {
        let stopping = || {
            Error::new(ErrorKind::Unavailable, "stopping", "the host is stopping; try again when it is up")
        };
        let _admitted = self.admission.acquire().await.map_err(|_| stopping())?;
        let (reply, answer) = oneshot::channel();
        if !self.shared.send(make(reply)) {
            return Err(stopping());
        }
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Reads what may have to look at many rows to find a few, without holding up those whose turn it
    /// would be on this thread.
    fn scan<T>(&self, read: impl FnOnce(&Reader) -> std::result::Result<T, StoreError>) -> Result<T> {
        tokio::task::block_in_place(|| self.read(read))
    }

    fn read<T>(&self, read: impl FnOnce(&Reader) -> std::result::Result<T, StoreError>) -> Result<T> {
        self.shared.store.reader().and_then(|reader| read(&reader)).map_err(|error| Error::internal(&error))
    }
}

/// Cuts off the row that was read to see whether there is more.
fn paged<T, C>(mut rows: Vec<T>, limit: usize, cursor: impl Fn(&T) -> C) -> Paged<T, C> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(cursor);
    Paged { rows, next }
}
