//! Crons: their rows, timers and runs, as `triggers` says what becomes of them.

use std::sync::Arc;

use dormouse_core::id::{CronId, CronName, RunId, WorkflowName};
use dormouse_core::run::{Reason, RunEvent, Status};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::{DeclaredCron, Overlap, Workflow};

use super::catalog::DeployedVersion;
use super::find_workflow;
use super::shard::{Handled, Shard};
use crate::error::Error;
use crate::store::rows::{CronRow, Timer};
use crate::store::{Read, StoreError};
use crate::triggers::crons::{self, CheckedCron, CronEffect, EarlierRuns};

impl Shard {
    /// Makes a cron or changes the one of that name.
    pub(crate) fn put_cron(
        &mut self,
        workflow: WorkflowName,
        name: CronName,
        checked: CheckedCron,
    ) -> Handled<(CronRow, bool)> {
        if let Some(row) = self.rows.cron_by_name(&workflow, &name)? {
            return Ok((self.apply_cron_change(row, checked)?, false));
        }
        find_workflow(self.catalog(), &workflow)?;
        let (id, spec) = (self.shared.clock.cron_id(), crons::new_spec(&checked.change)?);
        let row = crons::new_row(id, workflow, name, false, spec, self.now);
        Ok((self.apply_cron_change(row, checked)?, true))
    }

    /// Changes a cron in place.
    pub(crate) fn change_cron(&mut self, id: CronId, checked: CheckedCron) -> Handled<CronRow> {
        let row = self.existing_cron(id)?;
        self.apply_cron_change(row, checked)
    }

    /// Deletes a cron that was made over the API.
    pub(crate) fn delete_cron(&mut self, id: CronId) -> Handled<()> {
        let row = self.existing_cron(id)?;
        if row.declared {
            let text = format!(
                "cron `{}` is declared by the current module of `{}`; disable it instead, or deploy a module without it",
                row.name, row.workflow
            );
            return Err(Error::conflict("declared_cron", text).into());
        }
        Ok(self.remove_cron(&row)?)
    }

    /// Starts a run of a cron now, besides those of its times.
    pub(crate) fn trigger_cron(&mut self, id: CronId) -> Handled<RunId> {
        let mut row = self.existing_cron(id)?;
        find_workflow(self.catalog(), &row.workflow)?;
        let run = self.shared.clock.run_id();
        let begun = crons::start(&mut row, run, self.now);
        self.perform_cron(&mut row, [begun])?;
        self.rows.put_cron(&row)?;
        Ok(run)
    }

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
    fn perform_cron(
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

    /// Brings the declared crons of a workflow in line with a new version of it: by name, with
    /// what an operator set (`enabled`) and what has happened kept.
    pub(crate) fn declare_crons(
        &mut self,
        before: Option<&DeployedVersion>,
        now: &DeployedVersion,
        earlier: &EarlierRuns,
    ) -> Result<(), StoreError> {
        let workflow = &now.definition.name;
        for DeclaredCron { name, .. } in before.into_iter().flat_map(|before| &before.definition.crons) {
            if now.definition.crons.iter().all(|cron| cron.name != *name)
                && let Some(row) = self.rows.cron_by_name(workflow, name)?
                && row.declared
            {
                self.remove_cron(&row)?;
            }
        }
        for (DeclaredCron { name, spec }, schedule) in now.crons() {
            if let Some(schedule) = schedule {
                self.schedules.keep(spec, Arc::clone(schedule));
            }
            let mut row = match self.rows.cron_by_name(workflow, name)? {
                Some(row) => row,
                None => {
                    let id = self.shared.clock.cron_id();
                    crons::new_row(id, workflow.clone(), name.clone(), true, spec.clone(), self.now)
                }
            };
            let same_times = row.next_run_at.is_some()
                && (&row.spec.expression, &row.spec.timezone) == (&spec.expression, &spec.timezone);
            let overlap_before = std::mem::replace(&mut row.spec, spec.clone()).overlap;
            row.updated_at = self.now;
            self.adopt_overlap(&mut row, overlap_before, earlier)?;
            if !same_times {
                self.restart_cron(&mut row)?;
            }
            self.rows.put_cron(&row)?;
        }
        Ok(())
    }

    /// Refuses a definition that declares a cron of the same name as one made over the API: neither
    /// may take the other's place unasked.
    pub(crate) fn refuse_conflicting_crons(&self, workflow: &Workflow) -> Handled<()> {
        for DeclaredCron { name, .. } in &workflow.crons {
            if let Some(row) = self.rows.cron_by_name(&workflow.name, name)?
                && !row.declared
            {
                let text = format!(
                    "the module declares a cron `{name}` for `{}`, but one of that name was made over the API: delete that one (`dormouse cron delete {}`) or rename the declared one",
                    row.workflow, row.id
                );
                return Err(Error::conflict("cron_conflict", text).into());
            }
        }
        Ok(())
    }

    /// Sees to the runs and the times of a cron whose policy may have changed.
    fn adopt_overlap(
        &mut self,
        row: &mut CronRow,
        before: Overlap,
        earlier: &EarlierRuns,
    ) -> Result<(), StoreError> {
        let is_live = |run| Ok(self.status(run)?.is_some_and(|status| !status.is_final()));
        let effects = crons::adopt_overlap(row, before, earlier, is_live)?;
        self.perform_cron(row, effects)
    }

    fn existing_cron(&self, id: CronId) -> Handled<CronRow> {
        let missing = || Error::not_found("unknown_cron", format!("there is no cron {id}"));
        Ok(self.rows.cron(id)?.ok_or_else(missing)?)
    }

    fn apply_cron_change(&mut self, mut row: CronRow, checked: CheckedCron) -> Handled<CronRow> {
        let CheckedCron { change, spec, schedule, earlier } = checked;
        if let Some(schedule) = schedule {
            self.schedules.keep(&spec, schedule);
        }
        let before = (row.spec.expression.clone(), row.spec.timezone.clone(), row.enabled);
        let overlap_before = row.spec.overlap;
        row.spec = crons::changed_spec(&row, &change)?;
        row.enabled = change.enabled.unwrap_or(row.enabled);
        row.updated_at = self.now;
        if !row.enabled {
            row.held.clear();
        }
        self.adopt_overlap(&mut row, overlap_before, &earlier)?;
        let after = (row.spec.expression.clone(), row.spec.timezone.clone(), row.enabled);
        if before != after || row.next_run_at.is_none() {
            self.restart_cron(&mut row)?;
        }
        self.rows.put_cron(&row)?;
        Ok(row)
    }

    /// Sets the timer to the first time after now, or to none when the cron is disabled.
    fn restart_cron(&mut self, row: &mut CronRow) -> Result<(), StoreError> {
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

    fn remove_cron(&mut self, row: &CronRow) -> Result<(), StoreError> {
        self.set_cron_timer(&mut row.clone(), None)?;
        self.rows.delete_cron(row.id).map(drop)
    }

    /// Deletes all crons of a workflow.
    pub(crate) fn remove_crons(&mut self, workflow: &WorkflowName) -> Result<(), StoreError> {
        self.rows.crons_of(workflow)?.iter().try_for_each(|row| self.remove_cron(row))
    }
}
