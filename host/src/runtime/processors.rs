//! Who runs, of guests that keep a processor busy. A guest that has run for two ticks needs a turn to
//! go on, and there are as many turns as threads for guests. So whoever begins or wakes stands behind a few
//! others, however many have much to compute, and these take turns of ten milliseconds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ticker::{FIRST_TICKS, TURN_TICKS};

/// The turns of all guests.
#[derive(Clone)]
pub(super) struct Processors(Arc<Semaphore>);

impl Processors {
    pub(super) fn new(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads.max(1))))
    }

    /// For a guest that begins.
    pub(super) fn turn(&self) -> Turn {
        Turn { processors: self.clone(), state: Arc::default() }
    }
}

/// The turn of a guest. Clones are of the same.
#[derive(Clone)]
pub(super) struct Turn {
    processors: Processors,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    permit: Option<OwnedSemaphorePermit>,
    /// How long it has stood in line.
    waited: Duration,
    /// Since when it stands in line, while it does.
    since: Option<Instant>,
    /// How often it has given way.
    times: u32,
}

impl Turn {
    /// Lets others have their turn: what to wait for before going on, and for how many ticks then.
    pub(super) fn give_way(&self) -> (u64, impl Future<Output = ()> + Send + 'static) {
        let turn = self.clone();
        let is_first = {
            let mut state = self.lock();
            state.permit = None;
            state.since = Some(Instant::now());
            state.times = state.times.saturating_add(1);
            state.times == 1
        };
        // A tick may come as soon as a guest has begun: it gets another one without a turn.
        let ticks = if is_first { FIRST_TICKS } else { TURN_TICKS };
        let given = async move {
            // Those that have just begun go first, also when a turn is free.
            tokio::task::yield_now().await;
            // The semaphore is never closed.
            let permit = match is_first {
                true => None,
                false => Arc::clone(&turn.processors.0).acquire_owned().await.ok(),
            };
            let mut state = turn.lock();
            state.permit = permit;
            if let Some(since) = state.since.take() {
                state.waited += since.elapsed();
            }
        };
        (ticks, given)
    }

    /// The guest does not run: it waits for something, and others may have its turn.
    pub(super) fn rest(&self) {
        self.lock().permit = None;
    }

    /// How long the guest has stood in line so far.
    pub(super) fn waited(&self) -> Duration {
        let state = self.lock();
        state.waited + state.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn as_many_have_a_turn_as_there_are_and_a_guest_at_rest_has_none() {
        let processors = Processors::new(1);
        let (first, second) = (processors.turn(), processors.turn());
        for turn in [&first, &second] {
            let (ticks, given) = turn.give_way();
            given.await;
            assert_eq!(ticks, FIRST_TICKS, "whoever has none soon gives way again");
        }
        let (ticks, given) = first.give_way();
        given.await;
        assert_eq!(ticks, TURN_TICKS);
        let waiting = tokio::spawn(second.give_way().1);
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        first.rest();
        waiting.await.unwrap();
        assert!(second.waited() > Duration::ZERO && second.lock().since.is_none());
        let waited = second.waited();
        assert_eq!(second.waited(), waited, "it counts while it stands in line only");
    }

    #[tokio::test]
    async fn whoever_gives_way_stands_behind_all_others() {
        static ROUNDS: AtomicUsize = AtomicUsize::new(0);
        let processors = Processors::new(1);
        let guest = |turn: Turn| async move {
            turn.give_way().1.await;
            for _ in 0..10 {
                turn.give_way().1.await;
                ROUNDS.fetch_add(1, Ordering::Relaxed);
            }
            turn.rest();
            ROUNDS.load(Ordering::Relaxed)
        };
        let guests: Vec<_> = (0..5).map(|_| tokio::spawn(guest(processors.turn()))).collect();
        for guest in guests {
            assert!(guest.await.unwrap() >= 46, "one was done before the others had nine turns");
        }
    }
}
