//! Runs, and all that can be seen of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::live::Live;
use crate::{RunId, Timestamp};

/// A run of the host. Whatever looks at it first lets the host do all that it can do without time
/// passing.
#[derive(Clone)]
pub struct Run {
    live: Arc<Live>,
    id: RunId,
    workflow: String,
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Status {
    /// It waits for its turn, or for its next attempt.
    Queued,
    /// It runs right now.
    Running,
    /// It waits for what [`Run::waits`] says.
    Sleeping,
    /// It has ended well.
    Completed,
    /// It has ended with an error.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// It never ran.
    Skipped,
}

/// What a sleeping run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Wait {
    /// A time.
    Until {
        /// When it is over.
        at: Timestamp,
    },
    /// An event.
    Event {
        /// Which keys match.
        key_pattern: String,
        /// What else must hold.
        filter: Option<String>,
    },
    /// The end of another run.
    Run {
        /// Which one.
        run_id: RunId,
    },
}

/// Why a run has failed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// A stable word, such as `execution_timeout`.
    pub reason: Option<String>,
    /// The error in words.
    pub message: String,
    /// What the error has for programs.
    pub details: Option<Value>,
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// A line of the log. It compares with texts by its message: `assert_eq!(run.logs(), ["hello"])`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// In which attempt, from 1.
    pub attempt: u32,
    /// How much it matters.
    pub level: LogLevel,
    /// What it says.
    pub message: String,
}

/// A step in the life of a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Transition {
    /// When it happened.
    pub at: Timestamp,
    /// In which attempt, from 1.
    pub attempt: u32,
    /// What its task became.
    pub status: Status,
    /// What the run became with it.
    pub run_status: Status,
    /// Why, where there is something to say: a stable word.
    pub reason: Option<String>,
}

/// What is needed of a run's JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    id: RunId,
    workflow: String,
    status: Status,
    reason: Option<String>,
    input: Value,
    output: Option<Value>,
    error: Option<ErrorRow>,
    metadata: BTreeMap<String, String>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    created_at: Timestamp,
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
struct ErrorRow {
    message: String,
    details: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    attempt: u32,
    waits: Vec<Wait>,
    retry_at: Option<Timestamp>,
}

impl Run {
    pub(super) fn of(live: &Arc<Live>, row: Row) -> Self {
        Self { live: Arc::clone(live), id: row.id, workflow: row.workflow }
    }

    pub(super) fn by_id(live: &Arc<Live>, id: RunId, workflow: String) -> Self {
        Self { live: Arc::clone(live), id, workflow }
    }

    /// Which run it is.
    #[must_use]
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The name of its workflow.
    #[must_use]
    pub fn workflow(&self) -> &str {
        &self.workflow
    }

    /// What it is doing.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> Status {
        self.row().status
    }

    /// Whether it waits for what [`Self::waits`] says.
    #[must_use]
    #[track_caller]
    pub fn is_sleeping(&self) -> bool {
        self.status() == Status::Sleeping
    }

    /// Whether it has ended, well or not.
    #[must_use]
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        self.row().finished_at.is_some()
    }

    /// What it waits for; nothing when it does not sleep.
    #[must_use]
    #[track_caller]
    pub fn waits(&self) -> Vec<Wait> {
        self.row().tasks.into_iter().flat_map(|task| task.waits).collect()
    }

    /// Which attempt it is in, from 1.
    #[must_use]
    #[track_caller]
    pub fn attempt(&self) -> u32 {
        self.row().tasks.iter().map(|task| task.attempt).max().unwrap_or_default()
    }

    /// What it works on.
    ///
    /// # Panics
    ///
    /// When that is no `T`.
    #[must_use]
    #[track_caller]
    pub fn input<T: DeserializeOwned>(&self) -> T {
        self.decode("input", self.row().input)
    }

    /// What it gave.
    ///
    /// # Panics
    ///
    /// When it has not ended (the message says what it waits for), when it failed, and when the output
    /// is no `T`.
    #[must_use]
    #[track_caller]
    pub fn output<T: DeserializeOwned>(&self) -> T {
        let row = self.row();
        if row.status != Status::Completed {
            panic!("{self} has no output: {}", self.state(&row));
        }
        self.decode("output", row.output.unwrap_or_default())
    }

    /// Why it failed.
    ///
    /// # Panics
    ///
    /// When it has not failed; the message says what it did instead.
    #[must_use]
    #[track_caller]
    pub fn error(&self) -> Failure {
        let row = self.row();
        if row.status != Status::Failed {
            panic!("{self} has no error: {}", self.state(&row));
        }
        failure(row)
    }

    /// Its log, oldest first.
    #[must_use]
    #[track_caller]
    pub fn logs(&self) -> Vec<LogLine> {
        self.journal("logs")
    }

    /// Every step in its life and the time of it, oldest first.
    #[must_use]
    #[track_caller]
    pub fn history(&self) -> Vec<Transition> {
        self.journal("history")
    }

    /// The runs that it spawned, oldest first.
    #[must_use]
    #[track_caller]
    pub fn children(&self) -> Vec<Self> {
        list(&self.live, &format!("/runs?limit=200&parent={}", self.id))
    }

    /// Its metadata, with what it inherited.
    #[must_use]
    #[track_caller]
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.row().metadata
    }

    /// When it was made.
    #[must_use]
    #[track_caller]
    pub fn created_at(&self) -> Timestamp {
        self.row().created_at
    }

    /// When it began, if it did.
    #[must_use]
    #[track_caller]
    pub fn started_at(&self) -> Option<Timestamp> {
        self.row().started_at
    }

    /// When it ended, if it did.
    #[must_use]
    #[track_caller]
    pub fn finished_at(&self) -> Option<Timestamp> {
        self.row().finished_at
    }

    /// Lets time pass until it has ended, however long that takes.
    ///
    /// # Panics
    ///
    /// When no time brings that: it waits for an event, for instance.
    #[track_caller]
    pub fn finish(&self) -> &Self {
        loop {
            let next = self.live.settle();
            let row = self.row();
            match next {
                _ if row.finished_at.is_some() => return self,
                Some(next) => self.live.jump_to(next),
                None => panic!("{self} will never end by itself: {}", self.state(&row)),
            }
        }
    }

    /// Cancels it.
    ///
    /// # Panics
    ///
    /// When it has ended already.
    #[track_caller]
    pub fn cancel(&self) {
        let answer = self.live.api().post(&format!("/runs/{}/cancel", self.id), &json!({}));
        answer.read::<Value>(&format!("{self} cannot be cancelled"));
    }

    #[track_caller]
    fn row(&self) -> Row {
        self.live.settle();
        self.live.api().get(&format!("/runs/{}", self.id)).read(&format!("{self} cannot be read"))
    }

    #[track_caller]
    fn journal<T: DeserializeOwned>(&self, what: &str) -> Vec<T> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<T> {
            rows: Vec<T>,
            next_cursor: Option<String>,
        }

        self.live.settle();
        let path = format!("/runs/{}/{what}?limit=200", self.id);
        let mut rows = Vec::new();
        let mut since = String::new();
        loop {
            let page: Page<T> =
                self.live.api().get(&format!("{path}{since}")).read(&format!("the {what} of {self}"));
            rows.extend(page.rows);
            match page.next_cursor {
                Some(next) => since = format!("&since={next}"),
                None => return rows,
            }
        }
    }

    #[track_caller]
    fn decode<T: DeserializeOwned>(&self, what: &str, value: Value) -> T {
        match serde_json::from_value(value.clone()) {
            Ok(decoded) => decoded,
            Err(error) => {
                panic!("the {what} of {self} is no {}: {error} in {value:#}", std::any::type_name::<T>())
            }
        }
    }

    /// What it does, for people.
    fn state(&self, row: &Row) -> String {
        let waits: Vec<_> = row.tasks.iter().flat_map(|task| &task.waits).map(Wait::to_string).collect();
        let retry = row.tasks.iter().find_map(|task| task.retry_at);
        let now = self.live.now();
        match row.status {
            Status::Failed => format!("it failed: {}", failure_of(row)),
            Status::Cancelled => {
                format!("it was cancelled ({})", row.reason.as_deref().unwrap_or("no reason"))
            }
            Status::Completed => "it is completed".to_owned(),
            Status::Sleeping => format!(
                "at {now} it waits for {}; let time pass with `advance`, or push an event with `push`",
                waits.join(" and ")
            ),
            Status::Queued if retry.is_some() => {
                format!(
                    "at {now} it is tried again only at {}; let time pass with `advance`",
                    retry.unwrap_or(now)
                )
            }
            status => format!("it is {status:?}"),
        }
    }
}

/// All runs of a list, oldest first.
#[track_caller]
pub(super) fn list(live: &Arc<Live>, path: &str) -> Vec<Run> {
    #[derive(Deserialize)]
    struct Named {
        id: RunId,
        workflow: String,
    }

    live.settle();
    let rows = live.api().list(path).into_iter().rev();
    let rows = rows.filter_map(|row| serde_json::from_value::<Named>(row).ok());
    rows.map(|row| Run::by_id(live, row.id, row.workflow)).collect()
}

fn failure(row: Row) -> Failure {
    let Row { reason, error, .. } = row;
    let (message, details) = error.map_or_else(Default::default, |error| (error.message, error.details));
    Failure { reason, message, details }
}

fn failure_of(row: &Row) -> &str {
    row.error.as_ref().map_or("without an error", |error| &error.message)
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the run {} of `{}`", self.id, self.workflow)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({}, {})", self.workflow, self.id)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Until { at } => write!(f, "{at}"),
            Self::Event { key_pattern, filter: None } => write!(f, "an event `{key_pattern}`"),
            Self::Event { key_pattern, filter: Some(filter) } => {
                write!(f, "an event `{key_pattern}` with {filter}")
            }
            Self::Run { run_id } => write!(f, "the end of the run {run_id}"),
        }
    }
}

impl fmt::Debug for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.at, self.level, self.message)
    }
}

impl PartialEq<str> for LogLine {
    fn eq(&self, message: &str) -> bool {
        self.message == message
    }
}

impl PartialEq<&str> for LogLine {
    fn eq(&self, message: &&str) -> bool {
        self.message == *message
    }
}

impl PartialEq<String> for LogLine {
    fn eq(&self, message: &String) -> bool {
        self.message == *message
    }
}
