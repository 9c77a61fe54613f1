//! Scheduled runs: one run at a set time, made over the API or by a task.

use dormouse_core::id::{RunId, ScheduledId, WorkflowName};
use dormouse_core::new_run::NewRun;
use dormouse_core::request::Schedule;
use dormouse_core::run::Trigger;

use crate::engine::{Handled, ScheduleRun, ScheduledChange, Shard, find_workflow};
use crate::error::Error;
use crate::store::rows::{ScheduledRow, ScheduledStatus, Timer, Work};
use crate::store::{Read, StoreError};

impl Shard {
    /// Schedules a run over the API. Its input has been checked.
    pub(crate) fn schedule_run(
        &mut self,
        workflow: WorkflowName,
        request: ScheduleRun,
    ) -> Handled<ScheduledRow> {
        find_workflow(self.catalog(), &workflow)?;
        let ScheduleRun { trigger_at, input, metadata, priority } = request;
        let row = ScheduledRow {
            id: self.shared.clock.scheduled_id(),
            workflow,
            trigger_at,
            status: ScheduledStatus::Pending,
            run: None,
            made_by: None,
            input,
            metadata,
            priority,
            created_at: self.now,
            updated_at: self.now,
        };
        self.insert_scheduled(&row)?;
        Ok(row)
    }

    /// Schedules a run that a task asked for.
    pub(crate) fn schedule_from_task(&mut self, request: Schedule, by: RunId) -> Result<(), StoreError> {
        let Schedule { id, workflow, trigger_at, input, metadata, priority } = request;
        self.insert_scheduled(&ScheduledRow {
            id,
            workflow,
            trigger_at,
            status: ScheduledStatus::Pending,
            run: None,
            made_by: Some(by),
            input,
            metadata,
            priority,
            created_at: self.now,
            updated_at: self.now,
        })
    }

    /// Changes a run that has not fired. A new input has been checked.
    pub(crate) fn change_scheduled(
        &mut self,
        id: ScheduledId,
        change: ScheduledChange,
    ) -> Handled<ScheduledRow> {
        let mut row = self.pending(id)?;
        let ScheduledChange { trigger_at, input, metadata, priority } = change;
        row.input = input.unwrap_or(row.input);
        row.metadata = metadata.unwrap_or(row.metadata);
        row.priority = priority.or(row.priority);
        row.updated_at = self.now;
        if let Some(at) = trigger_at {
            self.rows.delete_timer(row.trigger_at, Timer::Scheduled(id));
            self.rows.put_timer(at, Timer::Scheduled(id))?;
            row.trigger_at = at;
        }
        self.rows.put_scheduled(&row)?;
        Ok(row)
    }

    /// Cancels a run that has not fired; its row stays.
    pub(crate) fn cancel_scheduled(&mut self, id: ScheduledId) -> Handled<()> {
        let row = self.pending(id)?;
        Ok(self.end_scheduled(row, ScheduledStatus::Cancelled, None)?)
    }

    /// Fires a scheduled run before its time.
    pub(crate) fn trigger_scheduled(&mut self, id: ScheduledId) -> Handled<RunId> {
        let row = self.pending(id)?;
        find_workflow(self.catalog(), &row.workflow)?;
        let run = self.shared.clock.run_id();
        self.fire_scheduled(row, run)?;
        Ok(run)
    }

    /// Fires a scheduled run whose timer has rung.
    pub(crate) fn ring_scheduled(&mut self, id: ScheduledId) -> Result<(), StoreError> {
        match self.rows.scheduled(id)?.filter(|row| row.status == ScheduledStatus::Pending) {
            Some(row) => {
                let run = self.shared.clock.run_id();
                self.fire_scheduled(row, run)
            }
            None => Ok(()),
        }
    }

    /// Cancels what is still to come of a workflow that is deleted, in portions.
    pub(crate) fn cancel_scheduled_of(&mut self, workflow: &WorkflowName) -> Result<(), StoreError> {
        let (workflow, made_before) = (workflow.clone(), self.now);
        self.leave(&Work::CancelScheduled { workflow, made_before, after: None })
    }

    fn fire_scheduled(&mut self, row: ScheduledRow, run: RunId) -> Result<(), StoreError> {
        let Some(entry) = self.catalog().workflow(&row.workflow).cloned() else {
            // Its workflow was deleted between the request of a task and its commit.
            return self.end_scheduled(row, ScheduledStatus::Cancelled, None);
        };
        let trigger = Trigger::Scheduled { id: row.id, nominal: row.trigger_at };
        let (input, metadata, priority) = (row.input.clone(), row.metadata.clone(), row.priority);
        self.end_scheduled(row, ScheduledStatus::Fired, Some(run))?;
        let new = NewRun::of(entry.target.clone(), run, trigger, input, metadata);
        self.create_run(NewRun { priority, ..new })
    }

    fn insert_scheduled(&mut self, row: &ScheduledRow) -> Result<(), StoreError> {
        self.rows.put_scheduled(row)?;
        self.rows.put_timer(row.trigger_at, Timer::Scheduled(row.id))
    }

    pub(crate) fn end_scheduled(
        &mut self,
        mut row: ScheduledRow,
        status: ScheduledStatus,
        run: Option<RunId>,
    ) -> Result<(), StoreError> {
        self.rows.delete_timer(row.trigger_at, Timer::Scheduled(row.id));
        row.status = status;
        row.run = run;
        row.updated_at = self.now;
        self.rows.put_scheduled(&row)
    }

    fn pending(&self, id: ScheduledId) -> Handled<ScheduledRow> {
        let missing = || Error::not_found("unknown_scheduled_run", format!("there is no scheduled run {id}"));
        let row = self.rows.scheduled(id)?.ok_or_else(missing)?;
        let state = match row.status {
            ScheduledStatus::Pending => return Ok(row),
            ScheduledStatus::Fired => "has fired",
            ScheduledStatus::Cancelled => "is cancelled",
        };
        let text = format!("scheduled run {id} {state} and cannot be changed any more; schedule a new one");
        Err(Error::conflict("not_pending", text).into())
    }
}
