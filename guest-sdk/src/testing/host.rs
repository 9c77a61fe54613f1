//! A host in the test's process.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::api::Api;
use super::builder::Builder;
use super::cron::{self, Cron};
use super::event::{self, Pushed};
use super::live::Live;
use super::run::{self, Run};
use super::scheduled::{self, Scheduled};
use crate::Timestamp;

/// When the clock of a host stands unless [`Builder::starting_at`] says otherwise:
/// 2026-01-05T08:00:00Z, a Monday.
pub const START: Timestamp = Timestamp::from_valid_millis(1_767_600_000_000);

/// More timers than a test would wait for.
const TIMERS_MAX: usize = 10_000;

/// A host whose time stands still unless a test moves it. Its store is in a folder of its own, which
/// goes with it. Clones are the same host.
#[derive(Clone)]
pub struct Host(Arc<Live>);

impl Host {
    /// Builds the crate whose tests these are and starts a host with it.
    ///
    /// # Panics
    ///
    /// When the module does not build (the message has what cargo said) or is refused.
    #[must_use]
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it builds a crate: nothing that a default does")]
    pub fn new() -> Self {
        Self::builder().start()
    }

    /// Starts a host with a `.wasm` file that is there already.
    ///
    /// # Panics
    ///
    /// When the file cannot be read or is refused.
    #[must_use]
    #[track_caller]
    pub fn with_module(file: impl AsRef<Path>) -> Self {
        Self::builder().without_own_module().module(file.as_ref()).start()
    }

    /// A host with more to be said about it.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn new_live(live: Live) -> Self {
        Self(Arc::new(live))
    }

    /// Deploys a `.wasm` file: a new version of its workflows if there are such already.
    ///
    /// # Panics
    ///
    /// When the file cannot be read or is refused.
    #[track_caller]
    pub fn deploy(&self, file: impl AsRef<Path>) {
        let file = file.as_ref();
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) => panic!("cannot read the module {}: {error}", file.display()),
        };
        let answer = self.api().post_bytes("/modules", "application/wasm", &bytes);
        answer.read::<Value>(&format!("the module {} is refused", file.display()));
    }

    /// Starts a run.
    ///
    /// # Panics
    ///
    /// When there is no such workflow, or the input does not match its schema.
    #[track_caller]
    pub fn start(&self, workflow: &str, input: impl Serialize) -> Run {
        self.start_with(workflow, json!({ "input": input }))
    }

    /// Starts a run with more than an input: the body of `POST /workflows/{name}/runs`, such as
    /// `json!({"input": …, "metadata": {"customer": "7"}, "priority": 3})`.
    ///
    /// # Panics
    ///
    /// When there is no such workflow, or the host does not accept the body.
    #[track_caller]
    pub fn start_with(&self, workflow: &str, body: impl Serialize) -> Run {
        self.must_know(workflow);
        let answer = self.api().post(&format!("/workflows/{workflow}/runs"), &json!(body));
        Run::of(&self.0, answer.read(&format!("no run of `{workflow}` can be started")))
    }

    /// Schedules a run.
    ///
    /// # Panics
    ///
    /// When there is no such workflow, or the input does not match its schema.
    #[track_caller]
    pub fn schedule(&self, workflow: &str, at: Timestamp, input: impl Serialize) -> Scheduled {
        self.must_know(workflow);
        let body = json!({ "triggerAt": at, "input": input });
        let answer = self.api().post(&format!("/workflows/{workflow}/scheduled"), &body);
        Scheduled::of(&self.0, answer.read(&format!("no run of `{workflow}` can be scheduled")))
    }

    /// Pushes an event.
    ///
    /// # Panics
    ///
    /// When the host does not accept it.
    #[track_caller]
    pub fn push(&self, key: &str, payload: impl Serialize) -> Pushed {
        self.push_with(json!({ "key": key, "payload": payload }))
    }

    /// Pushes an event with more than a payload: the body of `POST /events`.
    ///
    /// # Panics
    ///
    /// When the host does not accept it.
    #[track_caller]
    pub fn push_with(&self, body: impl Serialize) -> Pushed {
        // Whoever is about to wait for the event is let do so first.
        self.0.settle();
        let answer = self.api().post("/events", &json!(body));
        event::pushed(&self.0, answer.read("the event cannot be pushed"))
    }

    /// Makes a cron or changes it in place: the body is that of `PUT /workflows/{name}/crons/{cronName}`,
    /// such as `json!({"expression": "0 8 * * *", "timezone": "Europe/Paris"})`.
    ///
    /// # Panics
    ///
    /// When there is no such workflow, or the host does not accept the body.
    #[track_caller]
    pub fn set_cron(&self, workflow: &str, name: &str, body: impl Serialize) -> Cron {
        self.must_know(workflow);
        let answer = self.api().put(&format!("/workflows/{workflow}/crons/{name}"), &json!(body));
        Cron::of(&self.0, answer.read(&format!("the cron `{name}` cannot be set")))
    }

    /// What time it is for the host.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// Lets time pass: whatever is due on the way happens at its time.
    pub fn advance(&self, duration: Duration) {
        self.0.advance_to(self.now() + duration);
    }

    /// Lets time pass until this moment; nothing happens when it is over already.
    pub fn advance_to(&self, end: Timestamp) {
        self.0.advance_to(end);
    }

    /// Lets time pass until no run waits for a time any more, and none is scheduled: from then on only
    /// a call, an event or a cron changes anything. Crons fire on the way.
    ///
    /// # Panics
    ///
    /// When that never happens: there are always runs that wait.
    #[track_caller]
    pub fn advance_until_idle(&self) {
        for _ in 0..TIMERS_MAX {
            match self.0.settle() {
                Some(next) if self.waits_for_time() => self.0.jump_to(next),
                _ => return,
            }
        }
        panic!("some run always waits, until {} at least; use `advance` to say how far to go", self.now());
    }

    /// Does all that can be done without time passing, and gives the time of the next timer. All else
    /// here does so by itself; only whoever uses [`Self::api`] needs it.
    pub fn settle(&self) -> Option<Timestamp> {
        self.0.settle()
    }

    /// Ends the host and starts it again, after `pause` has passed without one.
    pub fn restart_after(&self, pause: Duration) {
        self.0.restart_after(pause);
    }

    /// All runs, oldest first.
    #[must_use]
    #[track_caller]
    pub fn runs(&self) -> Vec<Run> {
        run::list(&self.0, "/runs?limit=200")
    }

    /// All runs of a workflow, oldest first.
    ///
    /// # Panics
    ///
    /// When there is no such workflow.
    #[must_use]
    #[track_caller]
    pub fn runs_of(&self, workflow: &str) -> Vec<Run> {
        self.must_know(workflow);
        run::list(&self.0, &format!("/runs?limit=200&workflow={workflow}"))
    }

    /// All crons, declared ones and others, in order of their workflows and names.
    #[must_use]
    #[track_caller]
    pub fn crons(&self) -> Vec<Cron> {
        cron::list(&self.0)
    }

    /// All scheduled runs, also those that are over, earliest first.
    #[must_use]
    #[track_caller]
    pub fn scheduled(&self) -> Vec<Scheduled> {
        scheduled::list(&self.0, "/scheduled?limit=200")
    }

    /// The HTTP API of this host, until it is restarted.
    #[must_use]
    pub fn api(&self) -> Api {
        self.0.api()
    }

    fn waits_for_time(&self) -> bool {
        let api = self.api();
        let live = ["sleeping", "queued"];
        let mut runs = live.iter().flat_map(|status| api.list(&format!("/runs?limit=200&status={status}")));
        let waits = |task: &Value| {
            let waits =
                task["waits"].as_array().is_some_and(|waits| waits.iter().any(|w| w["kind"] == "until"));
            waits || !task["retryAt"].is_null()
        };
        runs.any(|run| run["tasks"].as_array().is_some_and(|tasks| tasks.iter().any(waits)))
            || !api.list("/scheduled?limit=200&status=pending").is_empty()
    }

    #[track_caller]
    fn must_know(&self, workflow: &str) {
        let rows = self.api().list("/workflows?limit=200");
        let names: Vec<_> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
        assert!(
            names.contains(&workflow),
            "no workflow is named `{workflow}`; there is {}",
            if names.is_empty() { "none at all: deploy a module".to_owned() } else { names.join(", ") }
        );
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({}, {})", self.api().url(), self.now())
    }
}
