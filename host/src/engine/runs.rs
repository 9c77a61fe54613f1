//! Runs that are called and cancelled over the API.

use std::sync::Arc;

use dormouse_core::id::RunId;
use dormouse_core::new_run::{NewRun, Target};
use dormouse_core::run::{Reason, RunEvent, Trigger};
use dormouse_core::workflow::Json;

use super::shard::{Handled, Shard, StepPayload};
use super::{StartRun, Started, find_workflow};
use crate::error::Error;
use crate::store::Read;
use crate::store::rows::{IdempotencyRow, IdempotencyScope};

/// A run to run again.
pub(super) struct Replay {
    pub(super) id: RunId,
    /// Its own if none.
    pub(super) input: Option<Json>,
    /// The version that the input is known to fit.
    pub(super) checked: Option<Target>,
}

impl Shard {
    /// Starts a run, or finds the one that an earlier call with the same key has started.
    pub(super) fn start_run(&mut self, target: Target, request: StartRun) -> Handled<Started> {
        let StartRun { input, metadata, priority, idempotency } = request;
        let entry = Arc::clone(find_workflow(self.catalog(), &target.workflow)?);
        // Another version may have become current since the call was checked.
        let checked = entry.target == target;
        let target = entry.target.clone();
        if let Some((key, _)) = &idempotency
            && let Some(row) = self.rows.idempotency(IdempotencyScope::Runs(&target.workflow), key)?
            && row.expires_at > self.now
            && self.status(RunId::from_bytes(row.id))?.is_some()
        {
            return Ok(Started { id: RunId::from_bytes(row.id), existing: true, row: None });
        }
        let id = self.shared.clock.run_id();
        if let Some((key, ttl)) = idempotency {
            let row = IdempotencyRow { id: id.to_bytes(), expires_at: self.now.after(ttl) };
            self.rows.put_idempotency(IdempotencyScope::Runs(&target.workflow), &key, &row)?;
        }
        let new = NewRun::of(target, id, Trigger::Call, input, metadata);
        self.create_run(NewRun { priority, checked, ..new })?;
        Ok(Started { id, existing: false, row: None })
    }

    /// Runs a run that has ended once more from the start, as its workflow is now.
    pub(super) fn replay_run(&mut self, request: Replay) -> Handled<RunId> {
        let Replay { id, input, checked } = request;
        let Some((spec, run)) = self.run(id)? else { return Err(unknown_run(id).into()) };
        if !run.status.is_final() {
            let text = format!("run {id} is {}; cancel it or let it end first", run.status.word());
            return Err(Error::conflict("run_not_ended", text).into());
        }
        let Some(entry) = self.catalog().workflow(&spec.workflow).cloned() else {
            let text = format!("`{}` was deleted; deploy it again to replay its runs", spec.workflow);
            return Err(Error::conflict("workflow_deleted", text).into());
        };
        let input = input.unwrap_or_else(|| spec.input.clone());
        let checked = checked.is_some_and(|target| target == entry.target);
        let replay = self.shared.clock.run_id();
        let target = entry.target.clone();
        let new = NewRun::of(target, replay, Trigger::Replay(id), input, spec.metadata.clone());
        self.create_run(NewRun { priority: Some(spec.priority), checked, ..new })?;
        Ok(replay)
    }

    /// Ends a run that has not ended.
    pub(super) fn cancel_run(&mut self, id: RunId) -> Handled<()> {
        let status = self.status(id)?;
        let status = status.ok_or_else(|| unknown_run(id))?;
        if status.is_final() {
            let text = format!("run {id} has ended: it is {}", status.word());
            return Err(Error::conflict("run_ended", text).into());
        }
        Ok(self.apply(id, RunEvent::Cancel { reason: Reason::Requested }, StepPayload::default())?)
    }
}

/// There is no such run.
pub(super) fn unknown_run(id: RunId) -> Error {
    Error::not_found("unknown_run", format!("there is no run {id}"))
}
