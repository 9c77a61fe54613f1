//! The persisting thread: commits one change set after the other, and does what waited for each. Meanwhile
//! the deciding thread works on the next one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Shared;
use super::command::Command;
use super::post_commit::PostCommit;
use crate::store::{ChangeSet, Fence, Store, StoreError, View};

/// When there has been nothing to commit for so long, a long log is written into the database and cut down.
const QUIET: Duration = Duration::from_secs(1);

/// While the disk is full it is looked at so often.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// A change set to commit, and what is left to do then.
pub(super) struct Closed {
    pub(super) changes: Option<Arc<ChangeSet>>,
    pub(super) post_commit: PostCommit,
    /// How many commands were decided in it.
    pub(super) commands: usize,
}

/// What the deciding thread is told of a commit.
pub(super) struct Committed {
    /// What the store shows now.
    pub(super) view: Arc<View>,
    /// How long the commit took.
    pub(super) took: Duration,
}

/// The way to the persisting thread.
pub(super) struct Persister {
    closed: Option<Sender<Closed>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Persister {
    /// Starts the thread.
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (closed, incoming) = channel();
        let thread = std::thread::Builder::new().name("dormouse-persist".to_owned());
        let thread = thread.spawn(move || run(&shared, &incoming))?;
        Ok(Self { closed: Some(closed), thread: Some(thread) })
    }

    /// Has a change set committed. A `Committed` command says when it is; nothing says so when the
    /// thread has ended, which `finish` explains.
    pub(super) fn commit(&self, closed: Closed) {
        if let Some(sender) = &self.closed {
            drop(sender.send(closed));
        }
    }

    /// Waits until all change sets are committed and the thread has ended.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.closed = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

/// Tells the deciding thread when this one panics: it would wait for a commit for ever.
struct Alarm<'a>(&'a Arc<Shared>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send(Command::CommitFailed);
        }
    }
}

fn run(shared: &Arc<Shared>, incoming: &Receiver<Closed>) -> Result<(), StoreError> {
    let _alarm = Alarm(shared);
    commit_all(shared, incoming).inspect_err(|_| {
        shared.send(Command::CommitFailed);
    })?;
    shared.store.checkpoint()
}

fn commit_all(shared: &Arc<Shared>, incoming: &Receiver<Closed>) -> Result<(), StoreError> {
    while let Some(Closed { changes, post_commit, commands }) = next(&shared.store, incoming)? {
        let begun = Instant::now();
        let view = match changes {
            Some(changes) => commit(shared, &changes)?,
            None => shared.store.view(),
        };
        let took = begun.elapsed();
        shared.metrics.committed(took, commands);
        // The deciding thread goes on while callers are answered.
        shared.send(Command::Committed(Committed { view, took }));
        post_commit.perform(shared);
    }
    Ok(())
}

/// Commits a change set. While the disk is full it is tried again and again, and work is refused: what was
/// decided stays in memory, and callers who wait for it go on waiting.
fn commit(shared: &Shared, changes: &Arc<ChangeSet>) -> Result<Arc<View>, StoreError> {
    loop {
        let outcome = shared.store.commit(Fence(0), Arc::clone(changes));
        let is_full = matches!(outcome, Err(StoreError::Full { .. }));
        let was_full = shared.disk_is_full.swap(is_full, Ordering::Relaxed);
        match &outcome {
            Err(error) if is_full && !shared.is_stopping.load(Ordering::Relaxed) => {
                if !was_full {
                    tracing::error!(%error, "no work is taken until there is room on the disk");
                }
                std::thread::sleep(FULL_PAUSE);
            }
            Ok(_) if was_full => {
                tracing::info!("there is room on the disk again");
                return outcome;
            }
            _ => return outcome,
        }
    }
}

/// The next change set, or `None` when there will be no more.
fn next(store: &Store, incoming: &Receiver<Closed>) -> Result<Option<Closed>, StoreError> {
    loop {
        match incoming.recv_timeout(QUIET) {
            Ok(closed) => return Ok(Some(closed)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) if store.tidy()? => return Ok(incoming.recv().ok()),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
