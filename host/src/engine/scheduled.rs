//! Scheduled runs: their rows, timers and runs, as `triggers` says what becomes of them.

use dormouse_core::id::{RunId, ScheduledId};
use dormouse_core::request::Schedule;

use super::shard::Shard;
use crate::store::rows::{ScheduledRow, ScheduledStatus, Timer};
use crate::store::{Read, StoreError};
use crate::triggers::scheduled;

impl Shard {
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

    /// Makes the run that a scheduled run becomes.
    pub(crate) fn fire_scheduled(&mut self, row: ScheduledRow, run: RunId) -> Result<(), StoreError> {
        let Some(entry) = self.catalog().workflow(&row.workflow).cloned() else {
            // Its workflow was deleted between the request of a task and its commit.
            return self.end_scheduled(row, ScheduledStatus::Cancelled, None);
        };
        let new = scheduled::new_run(&row, entry.target.clone(), run);
        self.end_scheduled(row, ScheduledStatus::Fired, Some(run))?;
        self.create_run(new)
    }

    /// Takes the timer of a scheduled run back and writes how it ended.
    pub(crate) fn end_scheduled(
        &mut self,
        mut row: ScheduledRow,
        status: ScheduledStatus,
        run: Option<RunId>,
    ) -> Result<(), StoreError> {
        self.rows.delete_timer(row.trigger_at, Timer::Scheduled(row.id));
        scheduled::end(&mut row, status, run, self.now);
        self.rows.put_scheduled(&row)
    }
}
