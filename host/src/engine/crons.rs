//! Crons: their rows, timers and runs, as `triggers` says what becomes of them.

use std::error::Error;
use std::time::Instant;

use dormouse_core::id::{CronId, RunId, WorkflowName};
use dormouse_core::run::{Reason, RunEvent, Status};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::Overlap;

use super::shard::Shard;
use crate::store::rows::{CronRow, Timer};
use crate::store::{Read, StoreError};
use crate::triggers::crons::{self, CronEffect, EarlierRuns};

/// Most crons whose next times are found anew in one portion.
const REVIEWED_MAX: usize = 64;

impl Shard {
    /// Fires a cron whose timer has rung, for as many of its times as are its share of the round. Its timer
    /// is set to the first time that has not fired, so what is left comes with the next round.
    pub(super) fn ring_cron(&mut self, id: CronId, at: Timestamp, share: usize) -> Result<(), StoreError> {
        let Some(mut row) = self.readable_cron(id)?.filter(|row| row.next_run_at == Some(at)) else {
            return Ok(());
        };
        let next = match crons::due_times(&row, &mut self.schedules, self.now, share) {
            Ok(due) => {
                for nominal in due.fire {
                    // A time comes again when the clock was set back.
                    let has_come = row.held.contains(&nominal)
                        || self.status(RunId::of_cron(row.id, nominal))?.is_some();
                    if !has_come {
                        let effects = crons::fire(&mut row, nominal);
                        self.perform_cron(&mut row, effects)?;
                    }
                }
                crons::mark_seen(&mut row, due.next, self.now);
                due.next
            }
            Err(error) => {
                self.note_unreadable_cron(id, &error);
                None
            }
        };
        self.set_cron_timer(&mut row, next)?;
        self.rows.put_cron(&row)
    }

    /// A cron, unless its row cannot be read: that is the misfortune of this cron alone.
    fn readable_cron(&mut self, id: CronId) -> Result<Option<CronRow>, StoreError> {
        match self.rows.cron(id) {
            Err(error @ StoreError::Unreadable { .. }) => {
                self.note_unreadable_cron(id, &error);
                Ok(None)
            }
            row => row,
        }
    }

    /// A cron that cannot be read has no next time, and keeps up to when its times are done with: a host that can
    /// read it goes on from there.
    fn note_unreadable_cron(&mut self, id: CronId, error: &(dyn Error + 'static)) {
        tracing::error!(cron.id = %id, error, "a cron does not fire: it cannot be read");
        self.unreadable_crons.insert(id);
        self.shared.metrics.unreadable_crons(self.unreadable_crons.len());
    }

    /// A cron that can be read again, or is no more.
    fn forget_unreadable_cron(&mut self, id: CronId) {
        self.unreadable_crons.remove(&id);
        self.shared.metrics.unreadable_crons(self.unreadable_crons.len());
    }

    /// Has the next times of all crons found anew: the clock, or the rules of a zone, may be others than when they
    /// were found.
    pub(super) fn begin_cron_review(&mut self) {
        self.cron_review = Some(CronId::from_bytes([u8::MAX; 16]));
        self.has_work = true;
    }

    /// Finds the next times of some crons anew.
    pub(super) fn go_on_with_cron_review(&mut self, until: Instant) -> Result<(), StoreError> {
        let Some(before) = self.cron_review else { return Ok(()) };
        for id in self.rows.cron_ids(before, REVIEWED_MAX)? {
            self.cron_review = Some(id);
            if let Some(mut row) = self.readable_cron(id)?
                && self.review_cron(&mut row)?
            {
                self.rows.put_cron(&row)?;
            }
            if Instant::now() >= until || self.has_enough() {
                return Ok(());
            }
        }
        if self.rows.cron_ids(self.cron_review.unwrap_or(before), 1)?.is_empty() {
            self.cron_review = None;
        }
        Ok(())
    }

    /// Finds the next time of a cron anew. What is done with stays so, but for what a clock saw that was ahead.
    /// Says whether that changed the row, which the caller writes then.
    pub(crate) fn review_cron(&mut self, row: &mut CronRow) -> Result<bool, StoreError> {
        let next = self.next_cron_time(row);
        let has_timer = match row.next_run_at {
            Some(at) => self.rows.has_timer(at, Timer::Cron(row.id))?,
            None => true,
        };
        let has_changed = next != row.next_run_at || row.seen_until > self.now || !has_timer;
        if has_changed {
            row.seen_until = row.seen_until.min(self.now);
            self.set_cron_timer(row, next)?;
        }
        Ok(has_changed)
    }

    fn next_cron_time(&mut self, row: &CronRow) -> Option<Timestamp> {
        match crons::next_time(row, &mut self.schedules, self.now) {
            Ok(next) => {
                self.forget_unreadable_cron(row.id);
                next
            }
            Err(error) => {
                self.note_unreadable_cron(row.id, &error);
                None
            }
        }
    }

    /// Lets go on what waited for the end of a run of a cron.
    pub(super) fn cron_run_finished(&mut self, id: CronId, run: RunId) -> Result<(), StoreError> {
        let row = self.readable_cron(id)?.filter(|row| row.unfinished.contains(&run));
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
        row.seen_until = self.now;
        let next = self.next_cron_time(row);
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
        self.forget_unreadable_cron(row.id);
        self.set_cron_timer(&mut row.clone(), None)?;
        self.rows.delete_cron(row.id).map(drop)
    }

    /// Deletes all crons of a workflow.
    pub(crate) fn remove_crons(&mut self, workflow: &WorkflowName) -> Result<(), StoreError> {
        self.rows.crons_of(workflow)?.iter().try_for_each(|row| self.remove_cron(row))?;
        self.rows.delete_disabled_crons(workflow)
    }
}
