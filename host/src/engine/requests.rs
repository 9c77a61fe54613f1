//! What can be asked of the host, checked for form and not yet for sense.

use std::time::Duration;

use dormouse_core::id::{EventId, RunId, ScheduledId, Version, WorkflowName};
use dormouse_core::run::Status;
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::{Json, Metadata, Priority};

use crate::store::rows::{ModuleRow, RunRow, ScheduledStatus, VersionRow, WorkflowRow};

/// A stretch of a list: at most `limit` rows behind the row `after`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<C> {
    pub(crate) limit: usize,
    pub(crate) after: Option<C>,
}

/// Rows of a list and where to go on, if there is more.
#[derive(Debug, Clone)]
pub(crate) struct Paged<T, C> {
    pub(crate) rows: Vec<T>,
    pub(crate) next: Option<C>,
}

/// The outcome of an upload.
#[derive(Debug, Clone)]
pub(crate) struct Deployed {
    pub(crate) module: ModuleRow,
    /// What it declares, as stored.
    pub(crate) versions: Vec<VersionRow>,
    /// Whether it was new; the same bytes change nothing.
    pub(crate) created: bool,
}

/// A workflow with all there is to know of it.
#[derive(Debug, Clone)]
pub(crate) struct WorkflowView {
    pub(crate) row: WorkflowRow,
    /// Oldest first.
    pub(crate) versions: Vec<VersionRow>,
    /// Numbers of runs, in the order of `Status::ALL`.
    pub(crate) counts: [u64; 7],
}

/// What to change of a workflow; what is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WorkflowChange {
    /// Whether its steps are held back.
    pub(crate) paused: Option<bool>,
    /// The version that new runs take.
    pub(crate) current: Option<Version>,
}

/// A call of a workflow.
#[derive(Debug, Clone)]
pub(crate) struct StartRun {
    pub(crate) input: Json,
    pub(crate) metadata: Metadata,
    /// The workflow's default if none.
    pub(crate) priority: Option<Priority>,
    /// A key and how long it is remembered.
    pub(crate) idempotency: Option<(String, Duration)>,
}

impl StartRun {
    /// About how many bytes it carries.
    pub(crate) fn bytes(&self) -> usize {
        self.input.as_str().len()
    }
}

/// The outcome of a call.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) id: RunId,
    /// Whether an earlier call with the same idempotency key had started it.
    pub(crate) existing: bool,
    /// The run as the commit left it, if it was at hand.
    pub(crate) row: Option<Box<RunRow>>,
}

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RunFilter {
    pub(crate) workflow: Option<WorkflowName>,
    pub(crate) status: Option<Status>,
    pub(crate) metadata: Vec<(String, String)>,
    /// Created at or after.
    pub(crate) since: Option<Timestamp>,
    /// Created before.
    pub(crate) until: Option<Timestamp>,
    pub(crate) parent: Option<RunId>,
    pub(crate) trigger: Option<TriggerFilter>,
}

/// What started the runs to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TriggerFilter {
    Kind(TriggerKind),
    /// The id of a cron, scheduled run, event, parent or replayed run: its 16 bytes.
    Id([u8; 16]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TriggerKind {
    Call,
    Cron,
    Scheduled,
    Event,
    Parent,
    Replay,
}

/// Which crons to list, newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct CronFilter {
    pub(crate) workflow: Option<WorkflowName>,
    pub(crate) name: Option<String>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) enabled: Option<bool>,
}

/// A run to schedule.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleRun {
    /// A time that has passed means at once.
    pub(crate) trigger_at: Timestamp,
    pub(crate) input: Json,
    pub(crate) metadata: Metadata,
    pub(crate) priority: Option<Priority>,
}

/// Which scheduled runs to list, earliest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ScheduledFilter {
    pub(crate) workflow: Option<WorkflowName>,
    pub(crate) status: Option<ScheduledStatus>,
    pub(crate) metadata: Vec<(String, String)>,
}

/// Where a list of scheduled runs stands.
pub(crate) type ScheduledCursor = (Timestamp, ScheduledId);

/// An event to push.
#[derive(Debug, Clone)]
pub(crate) struct PushEvent {
    pub(crate) key: String,
    pub(crate) payload: Json,
    pub(crate) metadata: Metadata,
    pub(crate) priority: Option<Priority>,
    /// Remembered for a day.
    pub(crate) idempotency_key: Option<String>,
}

impl PushEvent {
    /// About how many bytes it carries.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.as_str().len()
    }
}

/// Which events to list, newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventFilter {
    /// A key, or a pattern with `*`.
    pub(crate) key: Option<String>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) metadata: Vec<(String, String)>,
}

/// Where a list of events stands.
pub(crate) type EventCursor = EventId;
