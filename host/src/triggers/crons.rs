//! Crons: made, changed, and fired at their nominal times. When they fire is decided in the core.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use dormouse_core::cron::{Firing, OverlapAction, Schedule, due, overlap};
use dormouse_core::id::{CronId, CronName, RunId, WorkflowName};
use dormouse_core::new_run::NewRun;
use dormouse_core::run::{Reason, RunEvent, RunSpec, Status, Trigger};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::{CronSpec, DeclaredCron, Json, Metadata, Overlap, Workflow};

use crate::engine::{CronChange, DeployedVersion, Handled, Shard, find_workflow};
use crate::error::Error;
use crate::store::rows::{CronRow, Timer};
use crate::store::{Read, StoreError};

/// Most nominal times that a cron with overlap `queue` holds back; later ones are left out.
const HELD_MAX: usize = 100;

/// Most runs of a cron that began before its policy was set and that the policy then knows of, the newest
/// ones: all of them stand in the row of the cron.
const EARLIER_MAX: usize = 1_000;

/// Most live runs of a workflow of each status that are looked at to find those, the newest ones.
const LOOKED_AT_MAX: usize = 100_000;

/// Most bytes of inputs that one cron writes at once, besides those of the first run.
const FIRED_BYTES_MAX: usize = 1 << 20;

/// A change of a cron that is known to be valid, with what would take the deciding thread long to find.
pub(crate) struct CheckedCron {
    pub(crate) change: CronChange,
    /// What the cron is after the change, as far as was known.
    pub(crate) spec: CronSpec,
    pub(crate) schedule: Option<Arc<Schedule>>,
    pub(crate) earlier: EarlierRuns,
}

/// Live runs of crons that began when their overlap did not matter, so that no row of a cron knows of
/// them.
#[derive(Debug, Default)]
pub(crate) struct EarlierRuns(HashMap<CronId, Vec<RunId>>);

impl EarlierRuns {
    /// Finds them among all live runs of a workflow. Not for the deciding thread: it reads every one.
    pub(crate) fn find(store: &impl Read, workflow: &WorkflowName) -> Result<Self, StoreError> {
        let mut runs = Vec::new();
        for status in [Status::Queued, Status::Running, Status::Sleeping] {
            let end = runs.len() + LOOKED_AT_MAX;
            store.visit_run_ids(Some(workflow), Some(status), None, |id| {
                runs.push(id);
                if runs.len() < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        runs.sort_unstable_by(|a, b| b.cmp(a));
        let mut found: HashMap<CronId, Vec<RunId>> = HashMap::new();
        for run in runs {
            if let Some(RunSpec { trigger: Trigger::Cron { id, .. }, .. }) = store.run_spec(run)? {
                let earlier = found.entry(id).or_default();
                if earlier.len() < EARLIER_MAX {
                    earlier.push(run);
                }
            }
        }
        Ok(Self(found))
    }

    /// Adds those of the crons of another workflow.
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    fn of(&self, cron: CronId) -> &[RunId] {
        self.0.get(&cron).map_or(&[], Vec::as_slice)
    }
}

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
        let row = self.new_cron(workflow, name, false, new_spec(&checked.change)?);
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
        self.start_cron_run(&mut row, run, self.now)?;
        self.rows.put_cron(&row)?;
        Ok(run)
    }

    /// Fires a cron whose timer has rung, for as many of its times as are its share of the round. Its timer
    /// is set to the first time that has not fired, so what is left comes with the next round.
    pub(crate) fn ring_cron(&mut self, id: CronId, at: Timestamp, share: usize) -> Result<(), StoreError> {
        let Some(mut row) = self.rows.cron(id)?.filter(|row| row.next_run_at == Some(at)) else {
            return Ok(());
        };
        // What does not parse was refused when the cron was made.
        let firing = match self.schedules.of(&row.spec) {
            Ok(schedule) => {
                let most = share.min(FIRED_BYTES_MAX / row.spec.input.as_str().len().max(1));
                due(&schedule, row.spec.catch_up, at, self.now, self.shared.up_since, most)
            }
            Err(error) => {
                tracing::error!(cron.id = %id, %error, "a stored cron does not parse any more");
                Firing { fire: Vec::new(), next: None }
            }
        };
        for nominal in firing.fire {
            self.fire_cron(&mut row, nominal)?;
        }
        self.set_cron_timer(&mut row, firing.next)?;
        self.rows.put_cron(&row)
    }

    fn fire_cron(&mut self, row: &mut CronRow, nominal: Timestamp) -> Result<(), StoreError> {
        let earlier_unfinished = !row.unfinished.is_empty() || !row.held.is_empty();
        match overlap(row.spec.overlap, earlier_unfinished) {
            OverlapAction::Start => self.start_nominal(row, nominal),
            OverlapAction::Skip => Ok(()),
            OverlapAction::Hold => {
                if row.held.len() < HELD_MAX {
                    row.held.push(nominal);
                } else {
                    tracing::warn!(cron.id = %row.id, %nominal, "too many times of a cron are held back; this one is left out");
                }
                Ok(())
            }
            OverlapAction::CancelEarlierThenStart => {
                for run in row.unfinished.drain(..) {
                    self.follow_up(run, RunEvent::Cancel { reason: Reason::Overlap });
                }
                row.held.clear();
                self.start_nominal(row, nominal)
            }
        }
    }

    fn start_nominal(&mut self, row: &mut CronRow, nominal: Timestamp) -> Result<(), StoreError> {
        self.start_cron_run(row, RunId::of_cron(row.id, nominal), nominal)
    }

    /// Forgets a run that has ended, and starts the times that waited for it.
    pub(crate) fn cron_run_finished(&mut self, id: CronId, run: RunId) -> Result<(), StoreError> {
        let Some(mut row) = self.rows.cron(id)? else { return Ok(()) };
        let Some(index) = row.unfinished.iter().position(|unfinished| *unfinished == run) else {
            return Ok(());
        };
        row.unfinished.remove(index);
        self.start_held(&mut row)?;
        self.rows.put_cron(&row)
    }

    /// Starts what was held back and need not wait any more.
    fn start_held(&mut self, row: &mut CronRow) -> Result<(), StoreError> {
        // A run may end as it begins, when its input does not fit a newer schema.
        while row.unfinished.is_empty() && !row.held.is_empty() {
            let nominal = row.held.remove(0);
            self.start_nominal(row, nominal)?;
        }
        Ok(())
    }

    fn start_cron_run(&mut self, row: &mut CronRow, id: RunId, nominal: Timestamp) -> Result<(), StoreError> {
        row.last_run_at = Some(nominal);
        row.last_run = Some(id);
        // The same nominal time can come again when the expression is changed back and forth, or
        // the clock is set back.
        if self.status(id)?.is_none() {
            self.create_cron_run(row, id, nominal)?;
        }
        let unfinished = self.status(id)?.is_some_and(|status| !status.is_final());
        if unfinished && row.spec.overlap != Overlap::Allow && !row.unfinished.contains(&id) {
            row.unfinished.push(id);
        }
        Ok(())
    }

    fn create_cron_run(&mut self, row: &CronRow, id: RunId, nominal: Timestamp) -> Result<(), StoreError> {
        let Some(entry) = self.catalog().workflow(&row.workflow).cloned() else { return Ok(()) };
        let trigger = Trigger::Cron { id: row.id, nominal };
        let CronSpec { input, metadata, priority, .. } = &row.spec;
        let new = NewRun::of(entry.target.clone(), id, trigger, input.clone(), metadata.clone());
        self.create_run(NewRun { priority: *priority, ..new })
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
                None => self.new_cron(workflow.clone(), name.clone(), true, spec.clone()),
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

    /// Sees to the runs and the times of a cron whose policy has changed: the row gets to know the
    /// earlier runs that have not ended, and what need not wait any more starts.
    fn adopt_overlap(
        &mut self,
        row: &mut CronRow,
        before: Overlap,
        earlier: &EarlierRuns,
    ) -> Result<(), StoreError> {
        match (before, row.spec.overlap) {
            (Overlap::Allow, Overlap::Allow) => {}
            (Overlap::Allow, _) => {
                // The last one may have begun since the others were looked for.
                let runs: BTreeSet<RunId> = earlier.of(row.id).iter().copied().chain(row.last_run).collect();
                row.unfinished.clear();
                for run in runs {
                    if self.status(run)?.is_some_and(|status| !status.is_final()) {
                        row.unfinished.push(run);
                    }
                }
            }
            (_, Overlap::Allow) => {
                row.unfinished.clear();
                self.start_held(row)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Deletes all crons of a workflow.
    pub(crate) fn remove_crons(&mut self, workflow: &WorkflowName) -> Result<(), StoreError> {
        self.rows.crons_of(workflow)?.iter().try_for_each(|row| self.remove_cron(row))
    }

    fn existing_cron(&self, id: CronId) -> Handled<CronRow> {
        let missing = || Error::not_found("unknown_cron", format!("there is no cron {id}"));
        Ok(self.rows.cron(id)?.ok_or_else(missing)?)
    }

    fn new_cron(&self, workflow: WorkflowName, name: CronName, declared: bool, spec: CronSpec) -> CronRow {
        CronRow {
            id: self.shared.clock.cron_id(),
            workflow,
            name,
            declared,
            spec,
            enabled: true,
            next_run_at: None,
            last_run_at: None,
            last_run: None,
            unfinished: Vec::new(),
            held: Vec::new(),
            created_at: self.now,
            updated_at: self.now,
        }
    }

    fn apply_cron_change(&mut self, mut row: CronRow, checked: CheckedCron) -> Handled<CronRow> {
        let CheckedCron { change, spec, schedule, earlier } = checked;
        if let Some(schedule) = schedule {
            self.schedules.keep(&spec, schedule);
        }
        let before = (row.spec.expression.clone(), row.spec.timezone.clone(), row.enabled);
        let overlap_before = row.spec.overlap;
        row.spec = changed_spec(&row, &change)?;
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
        let schedule = row.enabled.then(|| self.schedules.of(&row.spec).ok()).flatten();
        let next = schedule.and_then(|schedule| schedule.next_after(self.now));
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
}

/// What a new cron is to be.
pub(crate) fn new_spec(change: &CronChange) -> Result<CronSpec, Error> {
    let Some(expression) = change.expression.clone() else {
        return Err(Error::invalid("missing_field", "expression", "a new cron needs an expression"));
    };
    let spec = CronSpec {
        expression,
        timezone: "UTC".to_owned(),
        input: Json::null(),
        metadata: Metadata::default(),
        priority: None,
        catch_up: Default::default(),
        overlap: Default::default(),
    };
    Ok(merged(&spec, change))
}

/// What a cron is after a change.
pub(crate) fn changed_spec(row: &CronRow, change: &CronChange) -> Result<CronSpec, Error> {
    if row.declared && change.is_of_spec() {
        let text = format!(
            "cron `{}` is declared by the current module of `{}`: only `enabled` can be changed; deploy a changed module, or make a cron of another name",
            row.name, row.workflow
        );
        return Err(Error::conflict("declared_cron", text));
    }
    Ok(merged(&row.spec, change))
}

fn merged(spec: &CronSpec, change: &CronChange) -> CronSpec {
    fn or<T: Clone>(change: &Option<T>, value: &T) -> T {
        change.as_ref().unwrap_or(value).clone()
    }
    CronSpec {
        expression: or(&change.expression, &spec.expression),
        timezone: or(&change.timezone, &spec.timezone),
        input: or(&change.input, &spec.input),
        metadata: or(&change.metadata, &spec.metadata),
        priority: change.priority.or(spec.priority),
        catch_up: or(&change.catch_up, &spec.catch_up),
        overlap: or(&change.overlap, &spec.overlap),
    }
}
