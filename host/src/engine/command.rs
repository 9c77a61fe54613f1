//! Everything that wakes the writer, as one enum.

use dormouse_core::id::{CronId, CronName, ModuleDigest, RunId, ScheduledId, TaskIndex, WorkflowName};
use dormouse_core::run::Lease;
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::Json;
use tokio::sync::oneshot;

use super::requests::{
    CronChange, Deployed, PushEvent, ScheduleRun, ScheduledChange, StartRun, Started, WorkflowChange,
};
use super::{Each, Error};
use crate::runtime::{GuestLine, Inspection, StepEnd, Target};
use crate::store::rows::{CronRow, EventRow, ScheduledRow};

/// Where the answer goes, once the commit is durable.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What the writer is asked to do or told.
pub(super) enum Command {
    Deploy {
        inspection: Box<Inspection>,
        bytes: Vec<u8>,
        reply: Reply<Deployed>,
    },
    DeleteModule {
        digest: ModuleDigest,
        reply: Reply<()>,
    },
    ChangeWorkflow {
        workflow: WorkflowName,
        change: WorkflowChange,
        reply: Reply<()>,
    },
    DeleteWorkflow {
        workflow: WorkflowName,
        reply: Reply<()>,
    },
    StartRun {
        target: Target,
        request: StartRun,
        reply: Reply<Started>,
    },
    StartRuns {
        target: Target,
        requests: Vec<StartRun>,
        reply: Reply<Each<Started>>,
    },
    CancelRuns {
        ids: Vec<RunId>,
        reply: Reply<Each<()>>,
    },
    /// Runs to run again, each with another input if there is one.
    ReplayRuns {
        requests: Vec<(RunId, Option<Json>)>,
        reply: Reply<Each<RunId>>,
    },
    PutCron {
        workflow: WorkflowName,
        name: CronName,
        change: CronChange,
        reply: Reply<(CronRow, bool)>,
    },
    ChangeCron {
        id: CronId,
        change: CronChange,
        reply: Reply<CronRow>,
    },
    DeleteCron {
        id: CronId,
        reply: Reply<()>,
    },
    TriggerCron {
        id: CronId,
        reply: Reply<RunId>,
    },
    ScheduleRun {
        workflow: WorkflowName,
        request: ScheduleRun,
        reply: Reply<ScheduledRow>,
    },
    ChangeScheduled {
        changes: Vec<(ScheduledId, ScheduledChange)>,
        reply: Reply<Each<ScheduledRow>>,
    },
    CancelScheduled {
        ids: Vec<ScheduledId>,
        reply: Reply<Each<()>>,
    },
    TriggerScheduled {
        id: ScheduledId,
        reply: Reply<RunId>,
    },
    PushEvents {
        requests: Vec<PushEvent>,
        reply: Reply<Each<EventRow>>,
    },
    /// A step ended.
    StepEnded {
        run: RunId,
        task: TaskIndex,
        lease: Lease,
        end: Box<StepEnd>,
    },
    /// A step logged.
    Log {
        run: RunId,
        task: TaskIndex,
        attempt: u32,
        repeated: bool,
        lines: Vec<GuestLine>,
    },
    /// Somebody wants to know when nothing is left to do, and when the next timer is due then.
    AwaitIdle {
        reply: oneshot::Sender<Option<Timestamp>>,
    },
    /// The virtual clock was moved.
    ClockJumped,
    /// Commit what there is and end.
    Stop,
}
