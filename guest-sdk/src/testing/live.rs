//! The host that runs, and its clock.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{mem, thread};

use dormouse::{Clock, Config, Server};
use dormouse_core::time::Timestamp as HostTime;
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};

use super::api::Api;
use crate::Timestamp;

/// A host that is stopped when nobody holds it any more.
pub(super) struct Live {
    state: Mutex<State>,
    config: Config,
    runtime: Option<Runtime>,
    // The last one: the store is closed before its folder goes.
    _folder: TempDir,
}

struct State {
    /// `None` only while it stops.
    server: Option<Server>,
    clock: Clock,
    api: Api,
}

impl Live {
    pub(super) fn start(now: Timestamp, slots: Option<NonZeroU32>, cache: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let defaults = Config::in_folder(folder.path().join("data"));
        let config = Config {
            cache: cache.unwrap_or(defaults.cache),
            slots: slots.unwrap_or(defaults.slots),
            ..defaults
        };
        let runtime = Runtime::new().expect("there is room for the host's threads");
        let state = Mutex::new(State::start(&runtime, &config, now));
        Self { state, config, runtime: Some(runtime), _folder: folder }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.state().clock.now().as_millis())
    }

    pub(super) fn api(&self) -> Api {
        self.state().api.clone()
    }

    /// Returns once no step runs or could run, with the time of the next timer.
    pub(super) fn settle(&self) -> Option<Timestamp> {
        let state = self.state();
        let next = wait(self.runtime(), state.server().idle());
        next.map(|next| Timestamp::from_millis(next.as_millis()))
    }

    /// Moves the clock; what was due on the way is late.
    pub(super) fn jump_to(&self, to: Timestamp) {
        self.state().clock.jump_to(HostTime::from_millis(to.as_millis()));
    }

    /// Lets time pass: every timer on the way rings at its time.
    pub(super) fn advance_to(&self, end: Timestamp) {
        while let Some(next) = self.settle().filter(|next| *next <= end) {
            self.jump_to(next);
        }
        self.jump_to(end);
        self.settle();
    }

    /// Ends the host and starts another one on the same store, after `pause` has passed.
    pub(super) fn restart_after(&self, pause: Duration) {
        let end = self.now() + pause;
        let mut state = self.state();
        state.stop(self.runtime());
        *state = State::start(self.runtime(), &self.config, end);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the host is dropped")
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            self.state().stop(&runtime);
            // A test may be async, and may then not wait for the end of a runtime.
            runtime.shutdown_background();
        }
    }
}

impl State {
    fn start(runtime: &Runtime, config: &Config, now: Timestamp) -> Self {
        let clock = Clock::stopped_at(HostTime::from_millis(now.as_millis()));
        let server = wait(runtime, Server::start(config.clone(), clock.clone()));
        let server = server.expect("the host starts");
        let api = Api::new(format!("http://{}", server.address()));
        Self { server: Some(server), clock, api }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the host runs")
    }

    fn stop(&mut self, runtime: &Runtime) {
        // Idle connections are closed first, or the host would wait for them.
        drop(mem::replace(&mut self.api, Api::new("")));
        if let Some(server) = self.server.take() {
            let stopped = wait(runtime, server.stop());
            // A test that panics already says what matters.
            if !thread::panicking() {
                stopped.expect("the host ends well");
            }
        }
    }
}

/// The result of a future, also within a test that is async itself.
fn wait<T: Send>(runtime: &Runtime, future: impl Future<Output = T> + Send) -> T {
    if Handle::try_current().is_err() {
        return runtime.block_on(future);
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| runtime.block_on(future));
        waiting.join().expect("the host does not panic")
    })
}
