//! Who waits for news of which run: readers are told after the commit, and read the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dormouse_core::id::RunId;
use tokio::sync::Notify;

/// The runs that have watchers.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    watched: Mutex<HashMap<RunId, (Arc<Notify>, usize)>>,
}

/// A watcher of a run: it hears of every commit that touched the run.
pub(crate) struct Watch {
    watchers: Arc<Watchers>,
    run: RunId,
    news: Arc<Notify>,
}

impl Watchers {
    /// Begins to watch a run. What was committed before has to be read from the store.
    pub(super) fn watch(self: &Arc<Self>, run: RunId) -> Watch {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let (news, count) = watched.entry(run).or_default();
        *count += 1;
        Watch { watchers: Arc::clone(self), run, news: Arc::clone(news) }
    }

    /// Tells the watchers of these runs.
    pub(super) fn tell<'a>(&self, runs: impl IntoIterator<Item = &'a RunId>) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if !watched.is_empty() {
            runs.into_iter().filter_map(|run| watched.get(run)).for_each(|(news, _)| news.notify_waiters());
        }
    }
}

impl Watch {
    /// Resolves with the first commit that touches the run after this call.
    pub(crate) fn news(&self) -> tokio::sync::futures::Notified<'_> {
        self.news.notified()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.watchers.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = watched.get_mut(&self.run) {
            *count -= 1;
            if *count == 0 {
                watched.remove(&self.run);
            }
        }
    }
}
