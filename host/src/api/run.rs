//! The JSON form of a run.

use std::sync::Arc;

use dormouse_core::id::TaskIndex;
use dormouse_core::run::{
    Part, Reason, RunSpec, Status, TaskRun as CoreTaskRun, Trigger as CoreTrigger, TriggerKind,
};
use dormouse_core::wait::{Wait as CoreWait, WaitCondition};
use dormouse_core::workflow::{Json, Workflow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::definition::millis;
use super::text::{DigestText, RunIdText, Text, WorkflowNameText};
use super::values::{JsonValue, Metadata, Priority, StatusWord, TaskError, Time};
use crate::engine::Host;
use crate::operations;
use crate::store::rows::RunRow;

/// One execution of a workflow.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    id: RunIdText,
    workflow: WorkflowNameText,
    version: u32,
    module: DigestText,
    status: StatusWord,
    /// Why it failed, was cancelled or is held: a stable word.
    #[schema(value_type = Option<String>, example = "execution_timeout")]
    reason: Option<&'static str>,
    /// Whether one of its tasks is held.
    held: bool,
    trigger: Trigger,
    input: JsonValue,
    /// Once it is completed: the output of its task; of several tasks, an object with the outputs
    /// of those that no other task depends on.
    output: Option<JsonValue>,
    /// Once it has failed: the error of the first task that did. While it is held: why.
    error: Option<TaskError>,
    metadata: Metadata,
    priority: Priority,
    /// The run that spawned it.
    parent_id: Option<RunIdText>,
    created_at: Time,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    tasks: Vec<TaskRun>,
}

/// What started a run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Trigger {
    kind: TriggerWord,
    /// Of the cron, scheduled run, event, parent or replayed run.
    id: Option<String>,
    /// The nominal time, of crons and scheduled runs.
    scheduled_at: Option<Time>,
}

/// What can start a run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TriggerKind)]
pub(super) enum TriggerWord {
    Call,
    Cron,
    Scheduled,
    Event,
    Parent,
    Replay,
}

/// One task within a run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TaskRun {
    /// `null` once the module that holds it is deleted.
    name: Option<String>,
    status: StatusWord,
    /// Why it failed, was cancelled, skipped or is held: a stable word.
    #[schema(value_type = Option<String>, example = "trap")]
    reason: Option<&'static str>,
    /// Whether it cannot go on for a reason that is not its own. Nothing of it is lost: it is tried again at
    /// `retryAt`, less and less often up to once an hour, and when the host starts.
    held: bool,
    /// The current attempt, from 1; 0 before the first.
    attempt: u32,
    /// What it waits for, by the ids of the waits; at most 1000 are shown.
    waits: Vec<Wait>,
    /// While it stands in the queue: since when.
    queued_at: Option<Time>,
    /// While the delay before its next attempt lasts, or before a held task is tried again: until when.
    retry_at: Option<Time>,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    /// How long the finished steps of this attempt really ran.
    ran_ms: u64,
    output: Option<JsonValue>,
    /// Of its latest failed attempt, or why it is held.
    error: Option<TaskError>,
}

/// What a sleeping task waits for.
// Fields are renamed variant by variant: the OpenAPI document takes no notice of `rename_all_fields`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", tag = "kind")]
enum Wait {
    /// A time.
    Until { id: u64, at: Time },
    /// An event.
    #[serde(rename_all = "camelCase")]
    Event { id: u64, key_pattern: String, filter: Option<String>, look_back_ms: Option<u64> },
    /// The end of a run.
    #[serde(rename_all = "camelCase")]
    Run { id: u64, run_id: RunIdText },
}

impl Run {
    /// The JSON form of a run, for which the host knows the names of its tasks.
    pub(super) fn of(host: &Host, row: RunRow) -> Self {
        let names = TaskNames::of(host, &row.spec);
        Self::with_names(row, &names)
    }

    fn with_names(row: RunRow, names: &TaskNames) -> Self {
        let RunRow { spec, run, waits } = row;
        let output = (run.status == Status::Completed)
            .then(|| names.0.as_deref().map_or_else(Json::null, |workflow| run.output(workflow)));
        let held = run.tasks.iter().find(|task| task.held > 0);
        let failed = held.or_else(|| run.tasks.iter().find(|task| task.status == Status::Failed));
        let waits_of = |index| {
            let of_task = waits.iter().filter(|(task, _)| *task == index);
            of_task.map(|(_, wait)| Wait::from(wait)).collect()
        };
        let tasks = (0..).map(TaskIndex).zip(&run.tasks);
        Self {
            id: Text(spec.id),
            version: spec.version.0,
            module: Text(spec.module),
            status: run.status.into(),
            reason: run.reason.or(held.and_then(|task| task.reason)).map(Reason::word),
            held: held.is_some(),
            trigger: spec.trigger.into(),
            input: spec.input.into(),
            output: output.map(JsonValue::from),
            error: failed.and_then(|task| task.error.as_ref()?.here()).map(TaskError::from),
            metadata: Metadata(spec.metadata),
            priority: Priority(spec.priority),
            parent_id: spec.parent.map(Text),
            created_at: Time(spec.created_at),
            started_at: run.started_at.map(Time),
            finished_at: run.finished_at.map(Time),
            tasks: tasks
                .map(|(index, task)| TaskRun::new(names.name(index), task, waits_of(index)))
                .collect(),
            workflow: Text(spec.workflow),
        }
    }
}

impl TaskRun {
    fn new(name: Option<&str>, task: &CoreTaskRun, waits: Vec<Wait>) -> Self {
        Self {
            name: name.map(str::to_owned),
            status: task.status.into(),
            reason: task.reason.map(Reason::word),
            held: task.held > 0,
            attempt: task.attempt,
            waits,
            queued_at: task.queued_at.map(Time),
            retry_at: task.retry_at.map(Time),
            started_at: task.started_at.map(Time),
            finished_at: task.finished_at.map(Time),
            ran_ms: millis(task.ran),
            output: task.output.as_ref().and_then(Part::here).cloned().map(JsonValue::from),
            error: task.error.as_ref().and_then(Part::here).map(TaskError::from),
        }
    }
}

impl From<&CoreWait> for Wait {
    fn from(wait: &CoreWait) -> Self {
        let id = wait.id.0;
        match &wait.condition {
            WaitCondition::Until(at) => Self::Until { id, at: Time(*at) },
            WaitCondition::Event { key_pattern, filter, look_back, .. } => Self::Event {
                id,
                key_pattern: key_pattern.clone(),
                filter: filter.clone(),
                look_back_ms: look_back.map(millis),
            },
            WaitCondition::Run(run) => Self::Run { id, run_id: Text(*run) },
        }
    }
}

impl From<CoreTrigger> for Trigger {
    fn from(trigger: CoreTrigger) -> Self {
        let (kind, id, nominal) = match trigger {
            CoreTrigger::Call => (TriggerWord::Call, None, None),
            CoreTrigger::Cron { id, nominal } => (TriggerWord::Cron, Some(id.to_string()), Some(nominal)),
            CoreTrigger::Scheduled { id, nominal } => {
                (TriggerWord::Scheduled, Some(id.to_string()), Some(nominal))
            }
            CoreTrigger::Event(id) => (TriggerWord::Event, Some(id.to_string()), None),
            CoreTrigger::Parent(id) => (TriggerWord::Parent, Some(id.to_string()), None),
            CoreTrigger::Replay(id) => (TriggerWord::Replay, Some(id.to_string()), None),
        };
        Self { kind, id, scheduled_at: nominal.map(Time) }
    }
}

impl From<TriggerWord> for TriggerKind {
    fn from(word: TriggerWord) -> Self {
        match word {
            TriggerWord::Call => Self::Call,
            TriggerWord::Cron => Self::Cron,
            TriggerWord::Scheduled => Self::Scheduled,
            TriggerWord::Event => Self::Event,
            TriggerWord::Parent => Self::Parent,
            TriggerWord::Replay => Self::Replay,
        }
    }
}

/// The names of the tasks of one version; none when the version is gone with its module.
#[derive(Debug, Clone)]
pub(super) struct TaskNames(Option<Arc<Workflow>>);

impl TaskNames {
    pub(super) fn of(host: &Host, spec: &RunSpec) -> Self {
        Self(operations::definition(host, &spec.workflow, spec.version))
    }

    pub(super) fn name(&self, index: TaskIndex) -> Option<&str> {
        Some(self.0.as_deref()?.task(index)?.name.as_str())
    }
}
