//! The JSON form of what a version of a workflow declares.

use std::time::Duration;

use dormouse_core::id::TaskIndex;
use dormouse_core::workflow as core;
use serde::Serialize;
use utoipa::ToSchema;

use super::cron::{CatchUpWord, OverlapWord};
use super::values::{JsonValue, Metadata, Priority};

/// What a version of a workflow declares.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Definition {
    /// Markdown.
    description: String,
    crons: Vec<DeclaredCron>,
    events: Vec<EventSubscription>,
    tasks: Vec<Task>,
    /// Name of the task that runs when the run has failed.
    on_failure: Option<String>,
    /// JSON schema that inputs must satisfy.
    input_schema: Option<JsonValue>,
    /// JSON schema of the output; it is never enforced.
    output_schema: Option<JsonValue>,
    concurrency: Vec<Concurrency>,
    /// Of runs that name none.
    default_priority: Priority,
}

/// A cron as a module declares it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeclaredCron {
    name: String,
    expression: String,
    timezone: String,
    input: JsonValue,
    metadata: Metadata,
    priority: Option<Priority>,
    catch_up: CatchUpWord,
    /// Of the catch-up policy `all`.
    catch_up_window_ms: Option<u64>,
    overlap: OverlapWord,
}

/// Starts a run for each event that matches.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventSubscription {
    key_pattern: String,
    filter: Option<String>,
}

/// One function of a workflow.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Task {
    name: String,
    /// Markdown.
    description: String,
    parents: Vec<String>,
    /// Attempts after the first.
    retries: u32,
    backoff: Backoff,
    execution_timeout_ms: u64,
    schedule_timeout_ms: Option<u64>,
    memory_bytes_max: Option<u64>,
    concurrency: Vec<Concurrency>,
    rate_limits: Vec<RateLimit>,
    skip_if: Vec<String>,
    cancel_if: Vec<String>,
}

/// Delays between attempts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Backoff {
    initial_ms: u64,
    factor: f64,
    max_ms: u64,
    jitter: f64,
}

/// How many may be unfinished at once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Concurrency {
    key: Option<String>,
    max_runs: u32,
    strategy: ConcurrencyStrategy,
}

/// What happens to runs beyond a concurrency limit.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum ConcurrencyStrategy {
    Queue,
    CancelRunning,
    CancelNewest,
}

/// How many attempts may begin in a span of time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RateLimit {
    key: String,
    /// Whether the key is a CEL expression that gives the name of the limit.
    dynamic: bool,
    units: u32,
    limit: u32,
    window_ms: u64,
}

impl From<&core::Workflow> for Definition {
    fn from(workflow: &core::Workflow) -> Self {
        let name = |index: &TaskIndex| workflow.task(*index).map(|task| task.name.to_string());
        let tasks = workflow
            .tasks
            .iter()
            .map(|task| Task { parents: task.parents.iter().filter_map(name).collect(), ..Task::from(task) });
        Self {
            description: workflow.description.clone(),
            crons: workflow.crons.iter().map(DeclaredCron::from).collect(),
            events: workflow.events.iter().map(EventSubscription::from).collect(),
            tasks: tasks.collect(),
            on_failure: workflow.on_failure.as_ref().and_then(name),
            input_schema: workflow.input_schema.clone().map(JsonValue::from),
            output_schema: workflow.output_schema.clone().map(JsonValue::from),
            concurrency: workflow.concurrency.iter().map(Concurrency::from).collect(),
            default_priority: Priority(workflow.default_priority),
        }
    }
}

impl From<&core::DeclaredCron> for DeclaredCron {
    fn from(cron: &core::DeclaredCron) -> Self {
        let (catch_up, window) = CatchUpWord::from_core(cron.spec.catch_up);
        Self {
            name: cron.name.to_string(),
            expression: cron.spec.expression.clone(),
            timezone: cron.spec.timezone.clone(),
            input: cron.spec.input.clone().into(),
            metadata: Metadata(cron.spec.metadata.clone()),
            priority: cron.spec.priority.map(Priority),
            catch_up,
            catch_up_window_ms: window.map(millis),
            overlap: cron.spec.overlap.into(),
        }
    }
}

impl From<&core::EventSubscription> for EventSubscription {
    fn from(subscription: &core::EventSubscription) -> Self {
        Self { key_pattern: subscription.key_pattern.clone(), filter: subscription.filter.clone() }
    }
}

impl From<&core::Task> for Task {
    /// All but the parents, whose names only the workflow knows.
    fn from(task: &core::Task) -> Self {
        Self {
            name: task.name.to_string(),
            description: task.description.clone(),
            parents: Vec::new(),
            retries: task.retries,
            backoff: Backoff {
                initial_ms: millis(task.backoff.initial),
                factor: task.backoff.factor,
                max_ms: millis(task.backoff.max),
                jitter: task.backoff.jitter,
            },
            execution_timeout_ms: millis(task.execution_timeout),
            schedule_timeout_ms: task.schedule_timeout.map(millis),
            memory_bytes_max: task.memory_bytes_max,
            concurrency: task.concurrency.iter().map(Concurrency::from).collect(),
            rate_limits: task.rate_limits.iter().map(RateLimit::from).collect(),
            skip_if: task.skip_if.clone(),
            cancel_if: task.cancel_if.clone(),
        }
    }
}

impl From<&core::Concurrency> for Concurrency {
    fn from(limit: &core::Concurrency) -> Self {
        let strategy = match limit.strategy {
            core::ConcurrencyStrategy::Queue => ConcurrencyStrategy::Queue,
            core::ConcurrencyStrategy::CancelRunning => ConcurrencyStrategy::CancelRunning,
            core::ConcurrencyStrategy::CancelNewest => ConcurrencyStrategy::CancelNewest,
        };
        Self { key: limit.key.clone(), max_runs: limit.max_runs, strategy }
    }
}

impl From<&core::RateLimit> for RateLimit {
    fn from(limit: &core::RateLimit) -> Self {
        let (key, dynamic) = match &limit.key {
            core::RateLimitKey::Static(name) => (name, false),
            core::RateLimitKey::Dynamic(expression) => (expression, true),
        };
        Self {
            key: key.clone(),
            dynamic,
            units: limit.units,
            limit: limit.limit,
            window_ms: millis(limit.window),
        }
    }
}

/// Whole milliseconds of a duration.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
