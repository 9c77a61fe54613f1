//! What becomes of a scheduled run, one run at a set time: by a change, by a cancellation, and by its time.

use dormouse_core::id::RunId;
use dormouse_core::new_run::{NewRun, Target};
use dormouse_core::request::Schedule;
use dormouse_core::run::Trigger;
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::{Json, Metadata, Priority};

use crate::store::rows::{ScheduledRow, ScheduledStatus};

/// Fields of a scheduled run to set; those that are `None` keep their value.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScheduledChange {
    pub(crate) trigger_at: Option<Timestamp>,
    pub(crate) input: Option<Json>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) priority: Option<Priority>,
}

/// A scheduled run as a caller of the API, or the task of a run, asks for it.
pub(crate) fn new_row(request: Schedule, made_by: Option<RunId>, now: Timestamp) -> ScheduledRow {
    let Schedule { id, workflow, trigger_at, input, metadata, priority } = request;
    ScheduledRow {
        id,
        workflow,
        trigger_at,
        status: ScheduledStatus::Pending,
        run: None,
        made_by,
        input,
        metadata,
        priority,
        created_at: now,
        updated_at: now,
    }
}

/// Changes a scheduled run that has not fired.
pub(crate) fn change(row: &mut ScheduledRow, change: ScheduledChange, now: Timestamp) {
    let ScheduledChange { trigger_at, input, metadata, priority } = change;
    row.trigger_at = trigger_at.unwrap_or(row.trigger_at);
    if let Some(input) = input {
        row.input = input;
    }
    if let Some(metadata) = metadata {
        row.metadata = metadata;
    }
    row.priority = priority.or(row.priority);
    row.updated_at = now;
}

/// Ends a scheduled run: it has fired, with a run, or is cancelled.
pub(crate) fn end(row: &mut ScheduledRow, status: ScheduledStatus, run: Option<RunId>, now: Timestamp) {
    row.status = status;
    row.run = run;
    row.updated_at = now;
}

/// The run that it becomes.
pub(crate) fn new_run(row: &ScheduledRow, target: Target, run: RunId) -> NewRun {
    let trigger = Trigger::Scheduled { id: row.id, nominal: row.trigger_at };
    let new = NewRun::of(target, run, trigger, row.input.clone(), row.metadata.clone());
    NewRun { priority: row.priority, ..new }
}
