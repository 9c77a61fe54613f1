//! Who runs, of guests that keep a processor busy. A guest that has run for two ticks needs a turn of ten
//! to go on, and there are as many turns as threads for guests. Guests that have had none yet and those
//! that have are called up alternately. So whoever begins or wakes stands behind a few others, however many
//! have much to compute.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ticker::{FIRST_TICKS, TURN_TICKS};

/// The turns of all guests.
#[derive(Clone)]
pub(super) struct Processors(Arc<Mutex<Waiting>>);

/// Guests that wait for a turn.
#[derive(Default)]
struct Waiting {
    /// Turns that nobody has. Nobody waits while there are some.
    free: usize,
    /// Those that have had a turn before, and those that have not.
    lines: [VecDeque<oneshot::Sender<Permit>>; 2],
    /// The line that was called up last.
    last: usize,
}

/// The right to have a turn, which goes to the next guest when this is dropped.
struct Permit(Processors);

impl Processors {
    pub(super) fn new(threads: usize) -> Self {
        Self(Arc::new(Mutex::new(Waiting { free: threads.max(1), ..Waiting::default() })))
    }

    /// For a guest that begins.
    pub(super) fn turn(&self) -> Turn {
        Turn { processors: self.clone(), state: Arc::default() }
    }

    /// Returns when it is the guest's turn.
    async fn acquire(&self, has_had_one: bool) -> Option<Permit> {
        let called_up = {
            let mut waiting = self.lock();
            if waiting.free > 0 {
                waiting.free -= 1;
                return Some(Permit(self.clone()));
            }
            let (sender, receiver) = oneshot::channel();
            waiting.lines[usize::from(!has_had_one)].push_back(sender);
            receiver
        };
        // The sender is not dropped while somebody has a turn.
        called_up.await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The guest to call up, which may have been dropped.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        let line = if self.lines[1 - self.last].is_empty() { self.last } else { 1 - self.last };
        let next = self.lines[line].pop_front()?;
        self.last = line;
        Some(next)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut waiting = self.0.lock();
            let next = loop {
                match waiting.next() {
                    Some(gone) if gone.is_closed() => {}
                    next => break next,
                }
            };
            if next.is_none() {
                waiting.free += 1;
            }
            next
        };
        if let Some(next) = next {
            // If the guest is dropped this very moment, its permit is, too, and the one after it is called up.
            drop(next.send(Self(self.0.clone())));
        }
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
    permit: Option<Permit>,
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
        let times = {
            let mut state = self.lock();
            state.permit = None;
            state.since = Some(Instant::now());
            state.times = state.times.saturating_add(1);
            state.times
        };
        // A tick may come as soon as a guest has begun: it gets another one without a turn.
        let ticks = if times == 1 { FIRST_TICKS } else { TURN_TICKS };
        let given = async move {
            // Those that have just begun go first, also when a turn is free.
            tokio::task::yield_now().await;
            let permit = match times {
                1 => None,
                _ => turn.processors.acquire(times > 2).await,
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
    async fn a_guest_that_has_had_no_turn_stands_behind_one_that_has_and_not_behind_all() {
        let processors = Processors::new(1);
        let turns = [(); 6].map(|()| processors.turn());
        let (running, rest) = turns.split_first().unwrap();
        for turn in &turns {
            turn.give_way().1.await;
        }
        running.give_way().1.await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (number, turn) in rest.iter().enumerate() {
            // The last two are new.
            turn.lock().times = if number < 3 { 5 } else { 1 };
            let (order, turn) = (Arc::clone(&order), turn.clone());
            tasks.push(tokio::spawn(async move {
                turn.give_way().1.await;
                order.lock().unwrap().push(number);
                turn.rest();
            }));
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        // One that is killed while it waits takes nobody's turn.
        tasks.remove(1).abort();
        tokio::task::yield_now().await;
        running.rest();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [3, 0, 4, 2]);
        assert_eq!(processors.lock().free, 1);
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
