//! How the definition of a workflow is written down within its version.

use std::time::Duration;

use dormouse_core::id::{TaskIndex, WorkflowName};
use dormouse_core::workflow::{
    Backoff, CatchUp, Concurrency, ConcurrencyStrategy, CronSpec, DeclaredCron, EventSubscription, Json,
    Overlap, RateLimit, RateLimitKey, Task, Workflow,
};
use serde::{Deserialize, Serialize};

use super::StoredMetadata;
use crate::store::error::DecodeError;

/// All but the name, which is in the key.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredWorkflow<'a> {
    description: &'a str,
    #[serde(borrow)]
    crons: Vec<(&'a str, StoredCronSpec<'a>)>,
    events: Vec<StoredSubscription<'a>>,
    tasks: Vec<StoredTask<'a>>,
    on_failure: Option<u8>,
    input_schema: Option<&'a str>,
    output_schema: Option<&'a str>,
    concurrency: Vec<StoredConcurrency<'a>>,
    default_priority: u8,
}

impl<'a> From<&'a Workflow> for StoredWorkflow<'a> {
    fn from(workflow: &'a Workflow) -> Self {
        let cron = |cron: &'a DeclaredCron| (cron.name.as_str(), StoredCronSpec::from(&cron.spec));
        Self {
            description: &workflow.description,
            crons: workflow.crons.iter().map(cron).collect(),
            events: workflow.events.iter().map(StoredSubscription::from).collect(),
            tasks: workflow.tasks.iter().map(StoredTask::from).collect(),
            on_failure: workflow.on_failure.map(|task| task.0),
            input_schema: workflow.input_schema.as_ref().map(Json::as_str),
            output_schema: workflow.output_schema.as_ref().map(Json::as_str),
            concurrency: workflow.concurrency.iter().map(StoredConcurrency::from).collect(),
            default_priority: workflow.default_priority.number(),
        }
    }
}

impl StoredWorkflow<'_> {
    pub(super) fn into_workflow(self, name: WorkflowName) -> Result<Workflow, DecodeError> {
        let cron = |(name, spec): (&str, StoredCronSpec<'_>)| {
            Ok(DeclaredCron { name: super::name(name)?, spec: spec.try_into()? })
        };
        Ok(Workflow {
            name,
            description: self.description.to_owned(),
            crons: self.crons.into_iter().map(cron).collect::<Result<_, DecodeError>>()?,
            events: self.events.into_iter().map(EventSubscription::from).collect(),
            tasks: self.tasks.into_iter().map(Task::try_from).collect::<Result<_, _>>()?,
            on_failure: self.on_failure.map(TaskIndex),
            input_schema: self.input_schema.map(Json::trusted),
            output_schema: self.output_schema.map(Json::trusted),
            concurrency: self.concurrency.into_iter().map(Concurrency::from).collect(),
            default_priority: super::priority(self.default_priority)?,
        })
    }
}

/// Also part of a cron's own record.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredCronSpec<'a> {
    expression: &'a str,
    timezone: &'a str,
    input: &'a str,
    #[serde(borrow)]
    metadata: StoredMetadata<'a>,
    priority: Option<u8>,
    catch_up: StoredCatchUp,
    overlap: StoredOverlap,
}

#[derive(Serialize, Deserialize)]
enum StoredCatchUp {
    Skip,
    One,
    All { window: Duration },
}

#[derive(Serialize, Deserialize)]
enum StoredOverlap {
    Allow,
    Skip,
    Queue,
    CancelRunning,
}

impl<'a> From<&'a CronSpec> for StoredCronSpec<'a> {
    fn from(spec: &'a CronSpec) -> Self {
        Self {
            expression: &spec.expression,
            timezone: &spec.timezone,
            input: spec.input.as_str(),
            metadata: spec.metadata.iter().collect(),
            priority: spec.priority.map(|priority| priority.number()),
            catch_up: match spec.catch_up {
                CatchUp::Skip => StoredCatchUp::Skip,
                CatchUp::One => StoredCatchUp::One,
                CatchUp::All { window } => StoredCatchUp::All { window },
            },
            overlap: match spec.overlap {
                Overlap::Allow => StoredOverlap::Allow,
                Overlap::Skip => StoredOverlap::Skip,
                Overlap::Queue => StoredOverlap::Queue,
                Overlap::CancelRunning => StoredOverlap::CancelRunning,
            },
        }
    }
}

impl TryFrom<StoredCronSpec<'_>> for CronSpec {
    type Error = DecodeError;

    fn try_from(stored: StoredCronSpec<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            expression: stored.expression.to_owned(),
            timezone: stored.timezone.to_owned(),
            input: Json::trusted(stored.input),
            metadata: super::metadata(stored.metadata),
            priority: super::optional_priority(stored.priority)?,
            catch_up: match stored.catch_up {
                StoredCatchUp::Skip => CatchUp::Skip,
                StoredCatchUp::One => CatchUp::One,
                StoredCatchUp::All { window } => CatchUp::All { window },
            },
            overlap: match stored.overlap {
                StoredOverlap::Allow => Overlap::Allow,
                StoredOverlap::Skip => Overlap::Skip,
                StoredOverlap::Queue => Overlap::Queue,
                StoredOverlap::CancelRunning => Overlap::CancelRunning,
            },
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredSubscription<'a> {
    key_pattern: &'a str,
    filter: Option<&'a str>,
}

impl<'a> From<&'a EventSubscription> for StoredSubscription<'a> {
    fn from(subscription: &'a EventSubscription) -> Self {
        Self { key_pattern: &subscription.key_pattern, filter: subscription.filter.as_deref() }
    }
}

impl From<StoredSubscription<'_>> for EventSubscription {
    fn from(stored: StoredSubscription<'_>) -> Self {
        Self { key_pattern: stored.key_pattern.to_owned(), filter: stored.filter.map(str::to_owned) }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredTask<'a> {
    name: &'a str,
    description: &'a str,
    parents: Vec<u8>,
    retries: u32,
    backoff: StoredBackoff,
    execution_timeout: Duration,
    schedule_timeout: Option<Duration>,
    memory_bytes_max: Option<u64>,
    #[serde(borrow)]
    concurrency: Vec<StoredConcurrency<'a>>,
    rate_limits: Vec<StoredRateLimit<'a>>,
    skip_if: Vec<&'a str>,
    cancel_if: Vec<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct StoredBackoff {
    initial: Duration,
    factor: f64,
    max: Duration,
    jitter: f64,
}

impl<'a> From<&'a Task> for StoredTask<'a> {
    fn from(task: &'a Task) -> Self {
        let Backoff { initial, factor, max, jitter } = task.backoff;
        Self {
            name: task.name.as_str(),
            description: &task.description,
            parents: task.parents.iter().map(|task| task.0).collect(),
            retries: task.retries,
            backoff: StoredBackoff { initial, factor, max, jitter },
            execution_timeout: task.execution_timeout,
            schedule_timeout: task.schedule_timeout,
            memory_bytes_max: task.memory_bytes_max,
            concurrency: task.concurrency.iter().map(StoredConcurrency::from).collect(),
            rate_limits: task.rate_limits.iter().map(StoredRateLimit::from).collect(),
            skip_if: task.skip_if.iter().map(String::as_str).collect(),
            cancel_if: task.cancel_if.iter().map(String::as_str).collect(),
        }
    }
}

impl TryFrom<StoredTask<'_>> for Task {
    type Error = DecodeError;

    fn try_from(stored: StoredTask<'_>) -> Result<Self, DecodeError> {
        let StoredBackoff { initial, factor, max, jitter } = stored.backoff;
        Ok(Self {
            name: super::name(stored.name)?,
            description: stored.description.to_owned(),
            parents: stored.parents.into_iter().map(TaskIndex).collect(),
            retries: stored.retries,
            backoff: Backoff { initial, factor, max, jitter },
            execution_timeout: stored.execution_timeout,
            schedule_timeout: stored.schedule_timeout,
            memory_bytes_max: stored.memory_bytes_max,
            concurrency: stored.concurrency.into_iter().map(Concurrency::from).collect(),
            rate_limits: stored.rate_limits.into_iter().map(RateLimit::from).collect(),
            skip_if: stored.skip_if.into_iter().map(str::to_owned).collect(),
            cancel_if: stored.cancel_if.into_iter().map(str::to_owned).collect(),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredConcurrency<'a> {
    #[serde(borrow)]
    key: Option<&'a str>,
    max_runs: u32,
    strategy: StoredStrategy,
}

#[derive(Serialize, Deserialize)]
enum StoredStrategy {
    Queue,
    CancelRunning,
    CancelNewest,
}

impl<'a> From<&'a Concurrency> for StoredConcurrency<'a> {
    fn from(concurrency: &'a Concurrency) -> Self {
        Self {
            key: concurrency.key.as_deref(),
            max_runs: concurrency.max_runs,
            strategy: match concurrency.strategy {
                ConcurrencyStrategy::Queue => StoredStrategy::Queue,
                ConcurrencyStrategy::CancelRunning => StoredStrategy::CancelRunning,
                ConcurrencyStrategy::CancelNewest => StoredStrategy::CancelNewest,
            },
        }
    }
}

impl From<StoredConcurrency<'_>> for Concurrency {
    fn from(stored: StoredConcurrency<'_>) -> Self {
        Self {
            key: stored.key.map(str::to_owned),
            max_runs: stored.max_runs,
            strategy: match stored.strategy {
                StoredStrategy::Queue => ConcurrencyStrategy::Queue,
                StoredStrategy::CancelRunning => ConcurrencyStrategy::CancelRunning,
                StoredStrategy::CancelNewest => ConcurrencyStrategy::CancelNewest,
            },
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredRateLimit<'a> {
    #[serde(borrow)]
    key: StoredRateLimitKey<'a>,
    units: u32,
    limit: u32,
    window: Duration,
}

#[derive(Serialize, Deserialize)]
enum StoredRateLimitKey<'a> {
    Static(&'a str),
    Dynamic(&'a str),
}

impl<'a> From<&'a RateLimit> for StoredRateLimit<'a> {
    fn from(limit: &'a RateLimit) -> Self {
        let key = match &limit.key {
            RateLimitKey::Static(name) => StoredRateLimitKey::Static(name),
            RateLimitKey::Dynamic(expression) => StoredRateLimitKey::Dynamic(expression),
        };
        Self { key, units: limit.units, limit: limit.limit, window: limit.window }
    }
}

impl From<StoredRateLimit<'_>> for RateLimit {
    fn from(stored: StoredRateLimit<'_>) -> Self {
        let key = match stored.key {
            StoredRateLimitKey::Static(name) => RateLimitKey::Static(name.to_owned()),
            StoredRateLimitKey::Dynamic(expression) => RateLimitKey::Dynamic(expression.to_owned()),
        };
        Self { key, units: stored.units, limit: stored.limit, window: stored.window }
    }
}
