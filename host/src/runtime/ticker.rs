//! Advances the epoch every millisecond while guests run, so that each of them gives way now and then.
//! While none runs, the thread sleeps without waking.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

const TICK: Duration = Duration::from_millis(1);

/// Ticks that a guest runs before it gives way for the first time, and then once more. Most steps end before; and as
/// many guests as there are slots may begin at once, each of which the last one has to wait for.
pub(super) const FIRST_TICKS: u64 = 1;

/// Ticks that it runs in each of its turns, and so how long it may outlive its deadline.
pub(super) const TURN_TICKS: u64 = 10;

/// Knows how many guests run. The thread ends when this is dropped.
pub(super) struct Ticker(Arc<Shared>);

/// A guest runs for as long as this lives.
pub(super) struct Running(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    /// Whether the thread waits for `wake`.
    parked: bool,
    stopped: bool,
}

impl Ticker {
    /// Starts the thread.
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (ticking, engine) = (shared.clone(), engine.clone());
        thread::Builder::new().name("epoch-ticker".to_owned()).spawn(move || ticking.tick(&engine))?;
        Ok(Self(shared))
    }

    /// A guest begins to run.
    pub(super) fn running(&self) -> Running {
        let mut state = self.0.lock();
        state.running += 1;
        if state.parked {
            self.0.wake.notify_one();
        }
        Running(self.0.clone())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.wake.notify_one();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

impl Shared {
    fn tick(&self, engine: &Engine) {
        while self.wait_for_guests() {
            thread::sleep(TICK);
            engine.increment_epoch();
        }
    }

    /// Returns when a guest runs; `false` when there will be none any more.
    fn wait_for_guests(&self) -> bool {
        let mut state = self.lock();
        while state.running == 0 && !state.stopped {
            state.parked = true;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.parked = false;
        }
        !state.stopped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
