//! Scheduled runs: their rows, timers and runs, as `triggers` says what becomes of them.

use dormouse_core::id::{RunId, ScheduledId, WorkflowName};
use dormouse_core::request::Schedule;

use super::find_workflow;
use super::requests::ScheduleRun;
use super::shard::{Handled, Shard};
use crate::error::Error;
use crate::store::rows::{ScheduledRow, ScheduledStatus, Timer, Work};
use crate::store::{Read, StoreError};
use crate::triggers::scheduled::{self, ScheduledChange};

impl Shard {
    /// Schedules a run over the API. Its input has been checked.
    pub(crate) fn schedule_run(
        &mut self,
        workflow: WorkflowName,
        request: ScheduleRun,
    ) -> Handled<ScheduledRow> {
        find_workflow(self.catalog(), &workflow)?;
        let ScheduleRun { trigger_at, input, metadata, priority } = request;
        let id = self.shared.clock.scheduled_id();
        Ok(self.schedule(Schedule { id, workflow, trigger_at, input, metadata, priority }, None)?)
    }

    /// Makes a scheduled run, for a caller of the API or for a task of a run.
    pub(crate) fn schedule(
        &mut self,
        request: Schedule,
        made_by: Option<RunId>,
    ) -> Result<ScheduledRow, StoreError> {
        let row = scheduled::new_row(request, made_by, self.now);
        self.rows.put_scheduled(&row)?;
        self.rows.put_timer(row.trigger_at, Timer::Scheduled(row.id))?;
        Ok(row)
    }

    /// Changes a run that has not fired. A new input has been checked.
    pub(crate) fn change_scheduled(
        &mut self,
        id: ScheduledId,
        change: ScheduledChange,
    ) -> Handled<ScheduledRow> {
        let mut row = self.pending(id)?;
        let before = row.trigger_at;
        scheduled::change(&mut row, change, self.now);
        if row.trigger_at != before {
            self.rows.delete_timer(before, Timer::Scheduled(id));
            self.rows.put_timer(row.trigger_at, Timer::Scheduled(id))?;
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
    pub(super) fn ring_scheduled(&mut self, id: ScheduledId) -> Result<(), StoreError> {
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
        let new = scheduled::new_run(&row, entry.target.clone(), run);
        self.end_scheduled(row, ScheduledStatus::Fired, Some(run))?;
        self.create_run(new)
    }

    /// Takes the timer of a scheduled run back and writes how it ended.
    pub(super) fn end_scheduled(
        &mut self,
        mut row: ScheduledRow,
        status: ScheduledStatus,
        run: Option<RunId>,
    ) -> Result<(), StoreError> {
        self.rows.delete_timer(row.trigger_at, Timer::Scheduled(row.id));
        scheduled::end(&mut row, status, run, self.now);
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
