//! Crons: their rows, timers and runs, as `triggers` says what becomes of them.

use dormouse_core::id::{CronId, RunId, WorkflowName};
use dormouse_core::run::{Reason, RunEvent, Status};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::Overlap;

use super::shard::Shard;
use crate::store::rows::{CronRow, Timer};
use crate::store::{Read, StoreError};
use crate::triggers::crons::{self, CronEffect, EarlierRuns};

impl Shard {
    /// Fires a cron whose timer has rung, for as many of its times as are its share of the round. Its timer
    /// is set to the first time that has not fired, so what is left comes with the next round.
    pub(super) fn ring_cron(&mut self, id: CronId, at: Timestamp, share: usize) -> Result<(), StoreError> {
        let Some(mut row) = self.rows.cron(id)?.filter(|row| row.next_run_at == Some(at)) else {
            return Ok(());
        };
        let up_since = self.shared.up_since;
        let due = crons::due_times(&row, &mut self.schedules, at, self.now, up_since, share);
        for nominal in due.fire {
            let effects = crons::fire(&mut row, nominal);
            self.perform_cron(&mut row, effects)?;
        }
        self.set_cron_timer(&mut row, due.next)?;
        self.rows.put_cron(&row)
    }

    /// Lets go on what waited for the end of a run of a cron.
    pub(super) fn cron_run_finished(&mut self, id: CronId, run: RunId) -> Result<(), StoreError> {
        let row = self.rows.cron(id)?.filter(|row| row.unfinished.contains(&run));
        let Some(mut row) = row else { return Ok(()) };
        let next = crons::run_ended(&mut row, run);
        self.perform_cron(&mut row, next)?;
        self.rows.put_cron(&row)
    }

    /// Does what is to be done for a cron. The caller writes its row then.
    pub(crate) fn perform_cron(
        &mut self,
        row: &mut CronRow,
        effects: impl IntoIterator<Item = CronEffect>,
    ) -> Result<(), StoreError> {
        for effect in effects {
            let mut next = Some(effect);
            while let Some(effect) = next.take() {
                match effect {
                    CronEffect::Cancel(run) => {
                        self.follow_up(run, RunEvent::Cancel { reason: Reason::Overlap });
                    }
                    CronEffect::Start { run, nominal } => {
                        if self.status(run)?.is_none() {
                            self.create_cron_run(row, run, nominal)?;
                        }
                        // A run may end as it begins, when there is no room for it under a limit.
                        if self.status(run)?.is_none_or(Status::is_final) {
                            next = crons::run_ended(row, run);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn create_cron_run(&mut self, row: &CronRow, run: RunId, nominal: Timestamp) -> Result<(), StoreError> {
        let entry = self.catalog().workflow(&row.workflow);
        let Some(target) = entry.map(|entry| entry.target.clone()) else { return Ok(()) };
        self.create_run(crons::new_run(row, target, run, nominal))
    }

    /// Sees to the runs and the times of a cron whose policy may have changed.
    pub(crate) fn adopt_overlap(
        &mut self,
        row: &mut CronRow,
        before: Overlap,
        earlier: &EarlierRuns,
    ) -> Result<(), StoreError> {
        let is_live = |run| Ok(self.status(run)?.is_some_and(|status| !status.is_final()));
        let effects = crons::adopt_overlap(row, before, earlier, is_live)?;
        self.perform_cron(row, effects)
    }

    /// Sets the timer to the first time after now, or to none when the cron is disabled.
    pub(crate) fn restart_cron(&mut self, row: &mut CronRow) -> Result<(), StoreError> {
        let next = crons::next_time(row, &mut self.schedules, self.now);
        self.set_cron_timer(row, next)
    }

    fn set_cron_timer(&mut self, row: &mut CronRow, next: Option<Timestamp>) -> Result<(), StoreError> {
        if let Some(at) = row.next_run_at {
            self.rows.delete_timer(at, Timer::Cron(row.id));
        }
        if let Some(at) = next {
            self.rows.put_timer(at, Timer::Cron(row.id))?;
        }
        row.next_run_at = next;
        Ok(())
    }

    /// Deletes a cron.
    pub(crate) fn remove_cron(&mut self, row: &CronRow) -> Result<(), StoreError> {
        self.set_cron_timer(&mut row.clone(), None)?;
        self.rows.delete_cron(row.id).map(drop)
    }

    /// Deletes all crons of a workflow.
    pub(crate) fn remove_crons(&mut self, workflow: &WorkflowName) -> Result<(), StoreError> {
        self.rows.crons_of(workflow)?.iter().try_for_each(|row| self.remove_cron(row))
    }
}
