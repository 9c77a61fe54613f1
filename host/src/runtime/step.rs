//! What the engine hands to the runtime to have a step run, and what it gets back.

use std::sync::Arc;
use std::time::Duration;

use dormouse_core::id::{BaseDigest, EventId, RunId, TaskIndex, TaskName, WaitId, WorkflowName};
use dormouse_core::log::LogLevel;
use dormouse_core::new_run::Target;
use dormouse_core::request::Requests;
use dormouse_core::run::{Reason, RunSpec, TaskError};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::Wait;
use dormouse_core::workflow::{Json, Metadata};

/// A step to run.
#[derive(Debug)]
pub(crate) struct StepRequest {
    /// The run that it is part of.
    pub(crate) run: Arc<RunSpec>,
    pub(crate) task: TaskIndex,
    pub(crate) task_name: TaskName,
    pub(crate) attempt: u32,
    /// What is left of the execution timeout; the step dies when it has really run this long.
    pub(crate) time_left: Duration,
    /// The whole execution timeout, for the message.
    pub(crate) execution_timeout: Duration,
    /// What the task declares; the host's own limit holds as well.
    pub(crate) memory_bytes_max: Option<u64>,
    pub(crate) entry: StepEntry,
}

/// Where a step begins.
#[derive(Debug)]
pub(crate) enum StepEntry {
    /// At the start of the task.
    Start { parents: Vec<(TaskName, Json)>, failure: Option<TaskError> },
    /// Where the step before stopped.
    Resume { snapshot: Vec<u8>, settled: Vec<SettledWait> },
}

impl Default for StepEntry {
    /// A start that hands nothing in.
    fn default() -> Self {
        Self::Start { parents: Vec::new(), failure: None }
    }
}

/// A settled wait with what the guest gets to see of it.
#[derive(Debug)]
pub(crate) struct SettledWait {
    pub(crate) id: WaitId,
    pub(crate) outcome: SettledOutcome,
}

#[derive(Debug, Clone)]
pub(crate) enum SettledOutcome {
    Elapsed,
    Event { id: EventId, key: String, payload: Json, metadata: Metadata, pushed_at: Timestamp },
    RunCompleted { output: Json },
    RunFailed { error: TaskError },
    RunCancelled { reason: String },
}

impl SettledOutcome {
    /// About how many bytes it takes in the memory of the guest.
    pub(crate) fn bytes(&self) -> usize {
        const FIXED: usize = 64;
        FIXED
            + match self {
                Self::Elapsed => 0,
                Self::Event { key, payload, metadata, .. } => {
                    key.len() + payload.as_str().len() + metadata.bytes()
                }
                Self::RunCompleted { output } => output.as_str().len(),
                Self::RunFailed { error } => error.bytes(),
                Self::RunCancelled { reason } => reason.len(),
            }
    }
}

/// How a step ended.
#[derive(Debug)]
pub(crate) struct StepEnd {
    /// How long it really ran.
    pub(crate) ran: Duration,
    pub(crate) outcome: StepOutcome,
    /// What it asked of the host, in order. Empty when it failed.
    pub(crate) requests: Requests,
    /// How many of the settled waits, from the front, it was told of.
    pub(crate) taken: usize,
}

#[derive(Debug)]
pub(crate) enum StepOutcome {
    Completed {
        output: Json,
    },
    Failed {
        reason: Reason,
        error: TaskError,
        retryable: bool,
    },
    Suspended {
        waits: Vec<Wait>,
        dropped: Vec<WaitId>,
        snapshot: Vec<u8>,
    },
    /// The module or the state could not be loaded here: nothing has happened.
    Held {
        error: TaskError,
    },
}

/// What a running step needs of the host besides its sandbox.
pub(crate) trait StepHost: Send + Sync + 'static {
    /// The current version of a workflow, once the input has passed its schema.
    fn target(&self, workflow: &str, input: &Json) -> Result<Target, TargetError>;

    /// The id of the run that holds this idempotency key, if there is one.
    fn idempotent_run(&self, workflow: &WorkflowName, key: &str) -> Option<RunId>;

    /// A base image of the module that was stored with a snapshot.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn base_image(&self, base: BaseDigest) -> Result<Option<Vec<u8>>, String>;

    /// Takes log lines of the step, in order, as they come. They are kept whatever becomes of the
    /// step, and this never waits.
    fn log(&self, lines: Vec<GuestLine>);
}

/// Why a workflow cannot be started from inside a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("no workflow is named `{name}`; deploy a module that declares it")]
    UnknownWorkflow { name: String },
    #[error("the input does not fit the schema of `{workflow}`: {problem}")]
    InvalidInput { workflow: WorkflowName, problem: String },
}

/// A line that a guest logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuestLine {
    pub(crate) at: Timestamp,
    pub(crate) level: LogLevel,
    pub(crate) message: String,
}
