//! What the deciding thread, the steps and the callers of the host share.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::catalog::Catalog;
use super::command::Command;
use super::metrics::{Metrics, QueueState};
use super::node::StepHandle;
use super::steps::Start;
use super::watch::Watchers;
use crate::clock::Clock;
use crate::runtime::Runtime;
use crate::store::Store;

/// Everything that may be used from any thread.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) runtime: Runtime,
    pub(super) clock: Clock,
    /// As of the last commit.
    pub(super) catalog: RwLock<Arc<Catalog>>,
    pub(super) metrics: Metrics,
    /// As of the last commit.
    pub(super) queue: Mutex<QueueState>,
    /// Whether a change set waits for room on the disk.
    pub(super) disk_is_full: AtomicBool,
    /// Whether the host is to end.
    pub(super) is_stopping: AtomicBool,
    pub(super) watchers: Arc<Watchers>,
    pub(super) commands: Sender<Command>,
    /// Starts a step, whose end comes back as a command: `Start::spawn`. Tests put themselves in its place.
    pub(super) start_step: fn(Start, &Arc<Self>, &StepHandle),
}

impl Shared {
    /// The workflows that can be started, as of the last commit.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands a command to the deciding thread; says whether there still is one.
    ///
    /// The channel has no bound of its own: operations are admitted by number and by bytes, and what
    /// steps send is bounded by the slots and by the limits of a step.
    pub(super) fn send(&self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }
}
