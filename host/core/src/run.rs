//! What a run is: the vocabulary of `step.rs`, a sentence for each word.
//!
//! The life of a task run (of a run too, which shows what its tasks are at):
//!
//! ```text
//!             ┌────────── retry, after a delay ──────────┐
//!             ▼                                          │
//!  created ─► queued ──slot──► running ──failed──────────┴─► failed
//!             ▲ ▲              │  │  └─────────────────────► completed
//!             │ └─repeated, held┘ └─suspended─► sleeping
//!             └───────────── a wait settled ───────┘
//!
//!  queued, running, sleeping ──cancelled──► cancelled      (parents failed) ──► skipped
//! ```

use std::time::Duration;

use crate::id::{
    CronId, EventId, ModuleDigest, RunId, ScheduledId, TaskIndex, Version, WaitId, WorkflowName,
};
use crate::time::Timestamp;
use crate::wait::{Settled, Wait, WaitOutcome};
use crate::workflow::{Json, Metadata, Priority};

/// Hosts in a row that may fail to survive one step before it is *suspect*, and runs with no other beside it:
/// so a step that takes its host with it is told apart from those that were there by chance.
pub const SUSPECT_AFTER: u8 = 2;

/// Hosts in a row that may fail to survive one step before the task is given up: three of them alone with it.
pub const LOST_HOSTS_MAX: u8 = SUSPECT_AFTER + 3;

/// How long a task is held at most before it is tried again, for the first time; twice as long each time after that.
/// It is at least half of that, so that those that are held together are not tried together.
pub const HELD_MIN: Duration = Duration::from_secs(1);

/// Longest that a held task waits before it is tried again.
pub const HELD_MAX: Duration = Duration::from_secs(3600);

/// What a run is from its first moment to its last; it never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSpec {
    /// Which run.
    pub id: RunId,
    /// What it executes.
    pub workflow: WorkflowName,
    /// The version that it began with and keeps.
    pub version: Version,
    /// The module that holds the code of that version.
    pub module: ModuleDigest,
    /// What it works on.
    pub input: Json,
    /// Inherited from what started it, and added to.
    pub metadata: Metadata,
    /// Who goes first when slots are scarce.
    pub priority: Priority,
    /// What started it.
    pub trigger: Trigger,
    /// The run that spawned it.
    pub parent: Option<RunId>,
    /// Whether it goes on when its parent is cancelled.
    pub detached: bool,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A call over the API.
    Call,
    /// A cron.
    Cron {
        /// Which.
        id: CronId,
        /// The time that its expression names.
        nominal: Timestamp,
    },
    /// A scheduled run.
    Scheduled {
        /// Which.
        id: ScheduledId,
        /// The time that it was set to.
        nominal: Timestamp,
    },
    /// An event.
    Event(EventId),
    /// A task of another run.
    Parent(RunId),
    /// Somebody ran that run again.
    Replay(RunId),
}

impl Trigger {
    /// Of which kind it is.
    #[must_use]
    pub fn kind(&self) -> TriggerKind {
        match self {
            Self::Call => TriggerKind::Call,
            Self::Cron { .. } => TriggerKind::Cron,
            Self::Scheduled { .. } => TriggerKind::Scheduled,
            Self::Event(_) => TriggerKind::Event,
            Self::Parent(_) => TriggerKind::Parent,
            Self::Replay(_) => TriggerKind::Replay,
        }
    }
}

/// The kinds of [`Trigger`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerKind {
    /// [`Trigger::Call`].
    Call,
    /// [`Trigger::Cron`].
    Cron,
    /// [`Trigger::Scheduled`].
    Scheduled,
    /// [`Trigger::Event`].
    Event,
    /// [`Trigger::Parent`].
    Parent,
    /// [`Trigger::Replay`].
    Replay,
}

impl TriggerKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Call, Self::Cron, Self::Scheduled, Self::Event, Self::Parent, Self::Replay];
}

/// How far a run or a task run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It could run now, or will when its parents or its retry delay are done.
    Queued,
    /// A step is running.
    Running,
    /// It waits for a time, an event or another run, and is nothing but a snapshot.
    Sleeping,
    /// It ended with an output.
    Completed,
    /// It ended with an error and has no attempts left.
    Failed,
    /// Somebody or something ended it.
    Cancelled,
    /// It never ran, because a parent did not complete. Only of task runs.
    Skipped,
}

impl Status {
    /// All of them, in the order of their codes in the store.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Sleeping,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Skipped,
    ];

    /// Whether nothing follows it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Skipped)
    }

    /// The word for it in JSON, logs and the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// Why a task run failed or was cancelled, or why an attempt did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The guest returned an error.
    Error,
    /// The guest trapped.
    Trap,
    /// An attempt ran for longer than its execution timeout.
    ExecutionTimeout,
    /// No slot came within the schedule timeout.
    ScheduleTimeout,
    /// A limit was exceeded; the error's message names it.
    Limit,
    /// A resource handle was held at a suspension.
    HandleHeld,
    /// The guest returned something that makes no sense.
    InvalidResult,
    /// The module or the state of the task could not be loaded, so that the task is held.
    Unloadable,
    /// Five hosts in a row did not survive the step, the last three of which ran nothing else.
    HostLost,
    /// Somebody asked for it.
    Requested,
    /// The run that spawned this one was cancelled.
    ParentCancelled,
    /// A later run of its cron took its place.
    Overlap,
    /// A concurrency limit left no room.
    Concurrency,
    /// A task that it depends on did not complete.
    ParentTask,
    /// The workflow was deleted before the run could begin.
    WorkflowDeleted,
    /// The input of a trigger does not fit the schema of the workflow.
    InvalidInput,
}

impl Reason {
    /// All of them, in the order of their codes in the store.
    pub const ALL: [Self; 16] = [
        Self::Error,
        Self::Trap,
        Self::ExecutionTimeout,
        Self::ScheduleTimeout,
        Self::Limit,
        Self::HandleHeld,
        Self::InvalidResult,
        Self::Unloadable,
        Self::HostLost,
        Self::Requested,
        Self::ParentCancelled,
        Self::Overlap,
        Self::Concurrency,
        Self::ParentTask,
        Self::WorkflowDeleted,
        Self::InvalidInput,
    ];

    /// The stable word for it in JSON, logs and the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Trap => "trap",
            Self::ExecutionTimeout => "execution_timeout",
            Self::ScheduleTimeout => "schedule_timeout",
            Self::Limit => "limit_exceeded",
            Self::HandleHeld => "handle_held",
            Self::InvalidResult => "invalid_result",
            Self::Unloadable => "unloadable",
            Self::HostLost => "host_lost",
            Self::Requested => "requested",
            Self::ParentCancelled => "parent_cancelled",
            Self::Overlap => "overlap",
            Self::Concurrency => "concurrency",
            Self::ParentTask => "parent_task",
            Self::WorkflowDeleted => "workflow_deleted",
            Self::InvalidInput => "invalid_input",
        }
    }
}

/// An error of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskError {
    /// One sentence for people.
    pub message: String,
    /// Anything that a program could use.
    pub details: Option<Json>,
}

impl TaskError {
    /// An error that is only a sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), details: None }
    }

    /// How many bytes its texts have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.message.len() + self.details.as_ref().map_or(0, |details| details.as_str().len())
    }
}

/// A run as far as it has come: everything about it that changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What its tasks are at, taken together.
    pub status: Status,
    /// Why it failed or was cancelled.
    pub reason: Option<Reason>,
    /// One for each task of the version, in its order.
    pub tasks: Vec<TaskRun>,
    /// When its first step began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Run {
    /// A run whose tasks have not been looked at yet; `RunEvent::Created` sets it going.
    #[must_use]
    pub fn new(tasks: usize) -> Self {
        Self {
            status: Status::Queued,
            reason: None,
            tasks: vec![TaskRun::default(); tasks],
            started_at: None,
            finished_at: None,
        }
    }

    /// A task run by its index.
    #[must_use]
    pub fn task(&self, index: TaskIndex) -> Option<&TaskRun> {
        self.tasks.get(usize::from(index.0))
    }
}

/// A part of a task run that can be large and hardly ever changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<T> {
    /// It is at hand.
    Here(T),
    /// The driver has it elsewhere.
    Elsewhere,
}

impl<T> Part<T> {
    /// The part, if it is at hand.
    pub fn here(&self) -> Option<&T> {
        match self {
            Self::Here(part) => Some(part),
            Self::Elsewhere => None,
        }
    }
}

/// A task within a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRun {
    /// How far it has come.
    pub status: Status,
    /// Why it failed, was cancelled or skipped.
    pub reason: Option<Reason>,
    /// The current attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// Counts the steps that were given out. A result of an earlier one is stale.
    pub epoch: u64,
    /// Hosts in a row that did not survive the step; from [`SUSPECT_AFTER`] on only those that ran nothing else.
    pub lost_hosts: u8,
    /// Whether the step began before: on a host that is gone, or in conflict with another one.
    pub repeated: bool,
    /// How often in a row its step could not begin for a reason that is not its own. While that is not 0 it is
    /// *held*: its error says why, and it is tried again and again.
    pub held: u32,
    /// Time that the finished steps of this attempt really ran.
    pub ran: Duration,
    /// Whether the attempt has a snapshot to go on from.
    pub has_snapshot: bool,
    /// How many waits it has open. What they wait for the driver knows.
    pub open_waits: usize,
    /// Waits that have settled and that the guest has not been told of, at most
    /// [`SETTLED_MAX`](crate::wait::SETTLED_MAX).
    pub settled: Vec<Settled>,
    /// How many waits have settled after those. They are in a backlog, which the driver keeps.
    pub backlog: usize,
    /// How many waits of the attempt have ever been put there: the number of the next one.
    pub backlog_next: u64,
    /// Since when it stands in the queue, while it does.
    pub queued_at: Option<Timestamp>,
    /// When the delay before its next attempt, or the next try of a held task, is over, while it lasts.
    pub retry_at: Option<Timestamp>,
    /// When its first attempt fails for want of a slot.
    pub schedule_deadline: Option<Timestamp>,
    /// When its first step began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it returned.
    pub output: Option<Part<Json>>,
    /// The error of its latest failed attempt, or why it is held.
    pub error: Option<Part<TaskError>>,
}

impl TaskRun {
    /// Whether its step is to run with no other beside it.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.lost_hosts >= SUSPECT_AFTER
    }

    /// The right to report the result of its last step.
    #[must_use]
    pub fn lease(&self) -> Lease {
        Lease { attempt: self.attempt, epoch: self.epoch }
    }
}

impl Default for TaskRun {
    fn default() -> Self {
        Self {
            status: Status::Queued,
            reason: None,
            attempt: 0,
            epoch: 0,
            lost_hosts: 0,
            repeated: false,
            held: 0,
            ran: Duration::ZERO,
            has_snapshot: false,
            open_waits: 0,
            settled: Vec::new(),
            backlog: 0,
            backlog_next: 0,
            queued_at: None,
            retry_at: None,
            schedule_deadline: None,
            started_at: None,
            finished_at: None,
            output: None,
            error: None,
        }
    }
}

/// The right to report the result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The attempt that the step is part of.
    pub attempt: u32,
    /// Which of the task run's steps it is.
    pub epoch: u64,
}

/// What can happen to a run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// It was accepted.
    Created,
    /// A slot is free for a task that stands in the queue.
    SlotGranted {
        /// Which task.
        task: TaskIndex,
        /// The first of its backlog, as many as there is room for beside what is in `settled`.
        backlog: Vec<Settled>,
    },
    /// A step ended.
    StepEnded {
        /// Which task.
        task: TaskIndex,
        /// Of which step.
        lease: Lease,
        /// How long it really ran.
        ran: Duration,
        /// How it ended.
        result: StepResult,
    },
    /// Something that a task run waits for has come. The wait is open: the driver has looked.
    WaitSettled {
        /// Which task.
        task: TaskIndex,
        /// Which of its waits.
        wait: WaitId,
        /// What came.
        outcome: WaitOutcome,
    },
    /// The delay before the next attempt is over. Of a task that is in none, it is ignored.
    RetryDue {
        /// Which task.
        task: TaskIndex,
    },
    /// The schedule timeout is over. Of a task that has begun, it is ignored.
    ScheduleTimeout {
        /// Which task.
        task: TaskIndex,
    },
    /// The host that ran the step is gone, or going.
    HostLost {
        /// Which task.
        task: TaskIndex,
        /// Whether nobody knows why, so that the step itself may be the reason.
        crashed: bool,
        /// Whether no other step ran on that host.
        alone: bool,
    },
    /// It cannot run at all, whatever its tasks.
    Rejected {
        /// Why.
        reason: Reason,
        /// What to say of it.
        error: TaskError,
    },
    /// The run is to end.
    Cancel {
        /// Why.
        reason: Reason,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub enum StepResult {
    /// The task is done.
    Completed {
        /// What it returned.
        output: Json,
    },
    /// The attempt failed.
    Failed {
        /// In which way.
        reason: Reason,
        /// What to say of it.
        error: TaskError,
        /// Whether another attempt may succeed.
        retryable: bool,
        /// A random number from 0 to 1 for the delay before the next attempt.
        chance: f64,
    },
    /// The task waits; its snapshot is at hand.
    Suspended {
        /// New waits. Their ids are those of no wait that is open or in the backlog.
        waits: Vec<Wait>,
        /// Waits that it dropped.
        dropped: Vec<Dropped>,
        /// How many of the settled waits that it was given, from the front, it was told of. The next
        /// step is told of the rest.
        taken: usize,
    },
    /// What it asked for does not agree with what was committed while it ran. It leaves nothing and
    /// is repeated.
    Conflicted,
    /// It could not begin, for a reason that is not the task's own. That uses up no attempt.
    Held {
        /// In which way.
        reason: Reason,
        /// What to say of it.
        error: TaskError,
        /// A random number from 0 to 1 for the delay before it is tried again.
        chance: f64,
    },
}

/// A wait that a step dropped, by how far it had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It is open.
    Open(WaitId),
    /// It has settled and is in the backlog.
    InBacklog(WaitId),
    /// Neither: the guest may have been told of it, or is to be next.
    Other(WaitId),
}

/// What is to be done once the new state is stored. All rows that an effect asks for are
/// committed together with the state; steps are started and stopped afterwards.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The task stands in the queue.
    Enqueue {
        /// Which task.
        task: TaskIndex,
    },
    /// The task no longer stands in the queue.
    Dequeue {
        /// Which task.
        task: TaskIndex,
    },
    /// A step is to run: from the start of the task, or from its snapshot.
    Dispatch {
        /// Which task.
        task: TaskIndex,
        /// Under which lease.
        lease: Lease,
        /// The settled waits to resume with; `None` starts an attempt.
        resume: Option<Vec<Settled>>,
        /// What is left of the execution timeout.
        time_left: Duration,
    },
    /// The running step of the task is to be stopped; its result no longer matters.
    Kill {
        /// Which task.
        task: TaskIndex,
        /// The step that was running.
        lease: Lease,
    },
    /// The task no longer runs; its slot is free.
    Release {
        /// Which task.
        task: TaskIndex,
    },
    /// The wait is open and must be found when its time, event or run comes.
    OpenWait {
        /// Which task.
        task: TaskIndex,
        /// What it waits for.
        wait: Wait,
    },
    /// The wait has settled or does not matter any more.
    CloseWait {
        /// Which task.
        task: TaskIndex,
        /// Which of its waits.
        wait: WaitId,
    },
    /// All open waits of the task and all of its backlog do not matter any more.
    CloseWaits {
        /// Which task.
        task: TaskIndex,
    },
    /// A wait that has settled goes to the end of the backlog.
    PutInBacklog {
        /// Which task.
        task: TaskIndex,
        /// Its number, which is higher than those of all that are there.
        number: u64,
        /// What has settled.
        settled: Settled,
    },
    /// The first of the backlog have left it.
    TakeFromBacklog {
        /// Which task.
        task: TaskIndex,
        /// How many.
        count: usize,
    },
    /// A wait in the backlog does not matter any more.
    DropFromBacklog {
        /// Which task.
        task: TaskIndex,
        /// Which of its waits.
        wait: WaitId,
    },
    /// `RunEvent::RetryDue` or `RunEvent::ScheduleTimeout` is due at that time.
    SetTimer {
        /// Which task.
        task: TaskIndex,
        /// Which of the two.
        timer: TaskTimer,
        /// When.
        at: Timestamp,
    },
    /// The timer does not matter any more.
    ClearTimer {
        /// Which task.
        task: TaskIndex,
        /// Which of the two.
        timer: TaskTimer,
        /// When it was due.
        at: Timestamp,
    },
    /// The snapshot that came with the step's result replaces the one before.
    SaveSnapshot {
        /// Which task.
        task: TaskIndex,
    },
    /// The attempt is over and its snapshot with it.
    DropSnapshot {
        /// Which task.
        task: TaskIndex,
    },
    /// The error of the task that is elsewhere does not matter any more.
    DropError {
        /// Which task.
        task: TaskIndex,
    },
    /// The task is held from now on.
    Hold {
        /// Which task.
        task: TaskIndex,
    },
    /// The task is not held any more.
    LetGo {
        /// Which task.
        task: TaskIndex,
    },
    /// What the step asked of the host takes effect.
    ApplyRequests {
        /// Which task.
        task: TaskIndex,
    },
    /// An entry of the run's history.
    Record(Transition),
    /// The run has ended: tell those who wait for it.
    Finished,
}

/// The timers of a task run besides those of its waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskTimer {
    /// The delay before the next attempt.
    Retry,
    /// The schedule timeout.
    ScheduleTimeout,
}

/// One transition of a task run, and of its run with it: an entry of the run's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// When it happened.
    pub at: Timestamp,
    /// Which task.
    pub task: TaskIndex,
    /// The attempt of the task; 0 when it never began.
    pub attempt: u32,
    /// What the task run became.
    pub status: Status,
    /// Why, where there is something to say.
    pub reason: Option<Reason>,
    /// What the run is since then.
    pub run: Status,
}
