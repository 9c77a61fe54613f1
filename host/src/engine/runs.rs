//! Runs that are called and cancelled over the API.

use dormouse_core::id::RunId;
use dormouse_core::run::{Reason, RunEvent, RunSpec, Trigger};

use super::batch::{Batch, NewRun, StepPayload};
use super::writer::Handled;
use super::{Error, StartRun, Started, find_workflow};
use crate::runtime::Target;
use crate::store::Read;
use crate::store::rows::{IdempotencyRow, IdempotencyScope};

impl Batch<'_, '_> {
    /// Starts a run, or finds the one that an earlier call with the same key has started.
    pub(super) fn start_run(&mut self, target: Target, request: StartRun) -> Handled<Started> {
        let StartRun { input, metadata, priority, idempotency } = request;
        let entry = find_workflow(self.catalog(), &target.workflow)?;
        let priority = priority.unwrap_or(entry.definition.default_priority);
        if let Some((key, _)) = &idempotency
            && let Some(row) = self.tx.idempotency(IdempotencyScope::Runs(&target.workflow), key)?
            && row.expires_at > self.now
        {
            return Ok(Started { id: RunId::from_bytes(row.id), existing: true });
        }
        let id = self.shared.clock.run_id();
        if let Some((key, ttl)) = idempotency {
            let row = IdempotencyRow { id: id.to_bytes(), expires_at: self.now.after(ttl) };
            self.tx.put_idempotency(IdempotencyScope::Runs(&target.workflow), &key, &row)?;
        }
        let spec = RunSpec {
            id,
            workflow: target.workflow,
            version: target.version,
            module: target.module,
            input,
            metadata,
            priority,
            trigger: Trigger::Call,
            parent: None,
            detached: false,
            created_at: self.now,
        };
        self.create_run(NewRun { spec, rejected: None })?;
        Ok(Started { id, existing: false })
    }

    /// Ends a run that has not ended.
    pub(super) fn cancel_run(&mut self, id: RunId) -> Handled<()> {
        let status = self.status(id)?;
        let status =
            status.ok_or_else(|| Error::not_found("unknown_run", format!("there is no run {id}")))?;
        if status.is_final() {
            let text = format!("run {id} has ended: it is {}", status.word());
            return Err(Error::conflict("run_ended", text).into());
        }
        Ok(self.apply(id, RunEvent::Cancel { reason: Reason::Requested }, StepPayload::default())?)
    }
}
