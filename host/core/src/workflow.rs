//! What a module declares: workflows, their triggers, tasks and limits. Plain data; what makes
//! it valid is in `validate.rs`.

use std::time::Duration;

pub use crate::json::Json;
pub use crate::metadata::Metadata;

use crate::id::{CronName, TaskIndex, TaskName, WorkflowName};

/// Who goes first when slots are scarce: 1 (the default) to 3 (first).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// 1, the last to go.
    pub const DEFAULT: Self = Self(1);

    /// All of them.
    pub const FIRST_TO_LAST: [Self; 3] = [Self(3), Self(2), Self(1)];

    /// A priority from its number; `None` outside 1 to 3.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (1..=3).contains(&number).then_some(Self(number))
    }

    /// 1 to 3.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A named unit of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// Unique within the module.
    pub name: WorkflowName,
    /// For people, as Markdown.
    pub description: String,
    /// Crons that the module declares.
    pub crons: Vec<DeclaredCron>,
    /// Each starts one run for every event that matches.
    pub events: Vec<EventSubscription>,
    /// At least one; a task is known by its index here.
    pub tasks: Vec<Task>,
    /// The task that runs when the run has failed.
    pub on_failure: Option<TaskIndex>,
    /// JSON schema that inputs must satisfy.
    pub input_schema: Option<Json>,
    /// JSON schema of the output, never enforced.
    pub output_schema: Option<Json>,
    /// Limits on unfinished runs; all of them hold.
    pub concurrency: Vec<Concurrency>,
    /// Of runs that name none.
    pub default_priority: Priority,
}

impl Workflow {
    /// A task by its index.
    #[must_use]
    pub fn task(&self, index: TaskIndex) -> Option<&Task> {
        self.tasks.get(usize::from(index.0))
    }
}

/// A cron as a module declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredCron {
    /// Unique within the workflow.
    pub name: CronName,
    /// What its runs are like and when they start.
    pub spec: CronSpec,
}

/// What a cron does, however it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct CronSpec {
    /// Five fields, six with seconds first, or a name such as `@hourly`.
    pub expression: String,
    /// IANA name.
    pub timezone: String,
    /// Input of its runs.
    pub input: Json,
    /// Inherited by its runs.
    pub metadata: Metadata,
    /// Of its runs; the workflow's default if none.
    pub priority: Option<Priority>,
    /// What happens to times that are late.
    pub catch_up: CatchUp,
    /// What happens while an earlier run is unfinished.
    pub overlap: Overlap,
}

/// What happens to times of a cron that are late: by more than [`LATE_AFTER`](crate::cron::LATE_AFTER), or by more than
/// the interval to the next time if that is shorter. Others always fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// They are left out.
    #[default]
    Skip,
    /// One run stands for all of them; it carries the latest.
    One,
    /// One run for each that lies at most this long ago.
    All {
        /// How far back.
        window: Duration,
    },
}

/// What happens to a time of a cron while an earlier run of it is unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// Both run.
    #[default]
    Allow,
    /// The new time is left out.
    Skip,
    /// The new run waits for the earlier one.
    Queue,
    /// The earlier run is cancelled.
    CancelRunning,
}

/// Starts a run for each event that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSubscription {
    /// A key, or a pattern with `*`.
    pub key_pattern: String,
    /// CEL expression over `input`, `metadata` and `key`.
    pub filter: Option<String>,
}

/// One function of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Unique within the workflow.
    pub name: TaskName,
    /// For people, as Markdown.
    pub description: String,
    /// Tasks that must have completed first; no cycles.
    pub parents: Vec<TaskIndex>,
    /// Attempts after the first.
    pub retries: u32,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// Time really running that one attempt may take.
    pub execution_timeout: Duration,
    /// Time that the first attempt may stand in the queue.
    pub schedule_timeout: Option<Duration>,
    /// Memory of one instance.
    pub memory_bytes_max: Option<u64>,
    /// Limits on unfinished task runs.
    pub concurrency: Vec<Concurrency>,
    /// Limits on attempts in a span of time.
    pub rate_limits: Vec<RateLimit>,
    /// CEL expressions; the task is skipped when one is true.
    pub skip_if: Vec<String>,
    /// CEL expressions; the run is cancelled when one is true.
    pub cancel_if: Vec<String>,
}

/// Delays between attempts; the arithmetic is in `retry.rs`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Before the second attempt.
    pub initial: Duration,
    /// What each delay is multiplied by to give the next. From 1 to 100.
    pub factor: f64,
    /// No delay is longer.
    pub max: Duration,
    /// How much of a delay is left to chance. From 0 to 1.
    pub jitter: f64,
}

impl Default for Backoff {
    /// 1 s, doubled each time, at most an hour, a tenth up or down.
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), factor: 2.0, max: Duration::from_secs(3600), jitter: 0.1 }
    }
}

/// How many may be unfinished at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// CEL expression whose value is the key; all share one key without it.
    pub key: Option<String>,
    /// Per key.
    pub max_runs: u32,
    /// What happens to those beyond.
    pub strategy: ConcurrencyStrategy,
}

/// What happens to runs beyond a concurrency limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConcurrencyStrategy {
    /// New ones wait; keys take turns.
    Queue,
    /// The oldest running one is cancelled.
    CancelRunning,
    /// The new one is cancelled.
    CancelNewest,
}

/// How many attempts may begin in a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Which limit it draws on.
    pub key: RateLimitKey,
    /// What one attempt takes.
    pub units: u32,
    /// What there is in one window.
    pub limit: u32,
    /// Length of the window.
    pub window: Duration,
}

/// Which rate limit a task draws on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateLimitKey {
    /// The one of this name.
    Static(String),
    /// The one that this CEL expression names.
    Dynamic(String),
}
