//! What becomes of an event: its row, and the runs that subscribe to it.

use dormouse_core::id::RunId;
use dormouse_core::new_run::{NewRun, Target};
use dormouse_core::request::Push;
use dormouse_core::run::Trigger;
use dormouse_core::time::Timestamp;

use crate::store::rows::EventRow;

/// An event that has just been pushed.
pub(crate) fn new_row(push: Push, now: Timestamp) -> EventRow {
    let Push { id, key, payload, metadata, priority } = push;
    EventRow { id, key, payload, metadata, priority, pushed_at: now, runs: Vec::new(), settled_waits: 0 }
}

/// A run that it starts. The event keeps account of it.
pub(crate) fn start(event: &mut EventRow, target: Target, run: RunId) -> NewRun {
    event.runs.push((run, target.workflow.clone()));
    let (payload, metadata) = (event.payload.clone(), event.metadata.clone());
    let new = NewRun::of(target, run, Trigger::Event(event.id), payload, metadata);
    NewRun { priority: event.priority, ..new }
}
