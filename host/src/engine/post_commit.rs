//! What waits for a commit: answers, kills, steps that must not begin before, news for watchers.

use std::sync::{Arc, PoisonError};

use dormouse_core::id::{ModuleDigest, RunId};

use super::Shared;
use super::catalog::Catalog;
use super::command::Reply;
use super::metrics::QueueState;
use super::node::StepHandle;
use super::steps::Start;
use crate::store::rows::RunRow;

/// The outcome of a call.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) id: RunId,
    /// Whether an earlier call with the same idempotency key had started it.
    pub(crate) existing: bool,
    /// The run as the commit left it, if it was at hand.
    pub(crate) row: Option<Box<RunRow>>,
}

/// What is to be done once a change set is durable.
#[derive(Default)]
pub(super) struct PostCommit {
    pub(super) answers: Vec<Box<dyn FnOnce() + Send>>,
    /// Calls that are answered with the run as the commit leaves it.
    pub(super) started: Vec<(Started, Reply<Started>)>,
    /// Steps that need what the commit brings.
    pub(super) starts: Vec<(Start, StepHandle)>,
    pub(super) kills: Vec<StepHandle>,
    /// Runs that have news for their watchers.
    pub(super) touched: Vec<RunId>,
    pub(super) catalog: Option<Arc<Catalog>>,
    /// Modules whose compiled form is not needed any more.
    pub(super) forgotten: Vec<ModuleDigest>,
    pub(super) queue: Option<QueueState>,
}

impl PostCommit {
    /// Whether nothing waits that would not come by itself.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
            && self.started.is_empty()
            && self.starts.is_empty()
            && self.kills.is_empty()
            && self.touched.is_empty()
            && self.catalog.is_none()
            && self.forgotten.is_empty()
    }

    /// Does it all.
    pub(super) fn perform(self, shared: &Arc<Shared>) {
        if let Some(catalog) = self.catalog {
            *shared.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        }
        if let Some(queue) = self.queue {
            *shared.queue.lock().unwrap_or_else(PoisonError::into_inner) = queue;
        }
        self.forgotten.into_iter().for_each(|digest| shared.runtime.forget(digest));
        self.answers.into_iter().for_each(|answer| answer());
        self.starts.into_iter().for_each(|(start, handle)| (shared.start_step)(start, shared, &handle));
        self.kills.iter().filter_map(|handle| handle.get()).for_each(tokio::task::AbortHandle::abort);
        shared.watchers.tell(&self.touched);
    }
}
