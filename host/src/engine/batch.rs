//! One batch: commands are applied to runs in memory and to rows in one open transaction. What is
//! to be answered and done afterwards is gathered and handed back.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use dormouse_core::id::{ModuleDigest, RunId, TaskIndex, Version, WorkflowName};
use dormouse_core::run::{Effect, Run, RunEvent, RunSpec, Status, TaskError, TaskRun};
use dormouse_core::step::{Refused, step};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::{Json, Workflow};

use super::catalog::Catalog;
use super::command::Reply;
use super::steps::Start;
use super::writer::Memory;
use super::{Error, Shared};
use crate::runtime::{Requests, Target};
use crate::store::rows::RunRow;
use crate::store::{Read, StoreError, Tx};

/// Why a command has no effect: the caller is to blame, or the store failed and the batch with it.
#[derive(Debug)]
pub(crate) enum Halt {
    Refused(Error),
    Store(StoreError),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What is to be done once the batch is durable.
#[derive(Default)]
pub(super) struct After {
    pub(super) answers: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) starts: Vec<Start>,
    pub(super) kills: Vec<tokio::task::AbortHandle>,
    /// Runs that have news for those who watch them.
    pub(super) touched: Vec<RunId>,
    pub(super) catalog_changed: bool,
    /// Modules whose compiled form is not needed any more.
    pub(super) forgotten: Vec<ModuleDigest>,
    /// When the next timer is due.
    pub(super) next_timer: Option<Timestamp>,
}

/// A run in memory, as the batch has left it so far.
struct Loaded {
    spec: Arc<RunSpec>,
    run: Run,
    /// What the store has of it; `None` of a new run.
    stored: Option<Stored>,
    /// Whether it is not as the store has it.
    changed: bool,
}

/// What has to be known of the stored state to bring its indexes up to date.
struct Stored {
    status: Status,
    active: Vec<TaskIndex>,
}

/// What came with the result of a step.
#[derive(Default)]
pub(super) struct StepPayload {
    pub(super) requests: Requests,
    pub(super) snapshot: Vec<u8>,
}

/// A run to create.
pub(crate) struct NewRun {
    pub(crate) spec: RunSpec,
    /// Why it cannot run, if that is known already.
    pub(crate) rejected: Option<(dormouse_core::run::Reason, TaskError)>,
}

/// A batch being worked on.
pub(crate) struct Batch<'a, 'tx> {
    pub(crate) tx: &'a mut Tx<'tx>,
    pub(crate) now: Timestamp,
    pub(crate) shared: &'a Arc<Shared>,
    pub(super) memory: &'a mut Memory,
    pub(super) after: After,
    /// Modules that may not be needed any more: to be looked at when all is written.
    pub(super) outdated: BTreeSet<ModuleDigest>,
    runs: HashMap<RunId, Loaded>,
    follow_ups: VecDeque<(RunId, RunEvent)>,
}

impl<'a, 'tx> Batch<'a, 'tx> {
    pub(super) fn new(
        tx: &'a mut Tx<'tx>,
        now: Timestamp,
        shared: &'a Arc<Shared>,
        memory: &'a mut Memory,
    ) -> Self {
        Self {
            tx,
            now,
            shared,
            memory,
            after: After::default(),
            outdated: BTreeSet::new(),
            runs: HashMap::new(),
            follow_ups: VecDeque::new(),
        }
    }

    /// Has the caller answered once the batch is durable.
    pub(super) fn answer<T: Send + 'static>(
        &mut self,
        reply: Reply<T>,
        outcome: Result<T, Halt>,
    ) -> Result<(), StoreError> {
        let answer = match outcome {
            Ok(value) => Ok(value),
            Err(Halt::Refused(error)) => Err(error),
            Err(Halt::Store(error)) => return Err(error),
        };
        // A caller that has gone away needs no answer.
        self.after.answers.push(Box::new(move || drop(reply.send(answer))));
        Ok(())
    }

    /// Creates a run and puts its first tasks in the queue.
    pub(crate) fn create_run(&mut self, new: NewRun) -> Result<(), StoreError> {
        let id = new.spec.id;
        let Some(workflow) = self.memory.catalog.definition(&new.spec.workflow, new.spec.version).cloned()
        else {
            tracing::error!(run.id = %id, workflow = %new.spec.workflow, "a run of an unknown version was not created");
            return Ok(());
        };
        let event = match new.rejected {
            None => self.admit(&new.spec, &workflow)?,
            Some((reason, error)) => RunEvent::Rejected { reason, error },
        };
        let run = Run::new(workflow.tasks.len());
        self.runs.insert(id, Loaded { spec: Arc::new(new.spec), run, stored: None, changed: true });
        self.apply(id, event, StepPayload::default())
    }

    /// Where a run stands, in this batch or in the store.
    pub(crate) fn status(&mut self, id: RunId) -> Result<Option<Status>, StoreError> {
        match self.runs.get(&id) {
            Some(loaded) => Ok(Some(loaded.run.status)),
            None => Ok(self.tx.run_state(id)?.map(|run| run.status)),
        }
    }

    /// A run as far as it has come in this batch.
    pub(crate) fn run(&mut self, id: RunId) -> Result<Option<(Arc<RunSpec>, &Run)>, StoreError> {
        if !self.runs.contains_key(&id) {
            let Some(loaded) = self.load(id)? else { return Ok(None) };
            self.runs.insert(id, loaded);
        }
        Ok(self.runs.get(&id).map(|loaded| (Arc::clone(&loaded.spec), &loaded.run)))
    }

    /// The runs that a run has spawned.
    pub(super) fn children(&self, parent: RunId) -> Result<Vec<RunId>, StoreError> {
        let is_child = |loaded: &&Loaded| loaded.stored.is_none() && loaded.spec.parent == Some(parent);
        let mut children = Vec::new();
        self.tx.visit_children(parent, None, |child| {
            children.push(child);
            ControlFlow::Continue(())
        })?;
        children.extend(self.runs.values().filter(is_child).map(|loaded| loaded.spec.id));
        Ok(children)
    }

    /// The runs of a workflow that have not ended in the store, and those of this batch.
    pub(crate) fn live_runs(&self, workflow: &WorkflowName) -> Result<Vec<RunId>, StoreError> {
        let mut runs: Vec<_> = self.runs.keys().copied().collect();
        for status in [Status::Queued, Status::Running, Status::Sleeping] {
            self.tx.visit_run_ids(Some(workflow), Some(status), None, |id| {
                runs.push(id);
                ControlFlow::Continue(())
            })?;
        }
        Ok(runs)
    }

    /// How many runs of a version have not ended, as this batch has left them so far.
    pub(super) fn live_runs_of(&self, workflow: &WorkflowName, version: Version) -> Result<u64, StoreError> {
        let stored = self.tx.live_runs(workflow, version)?;
        let of_version = |loaded: &&Loaded| {
            loaded.changed && loaded.spec.workflow == *workflow && loaded.spec.version == version
        };
        let was_live = |loaded: &Loaded| loaded.stored.as_ref().is_some_and(|run| !run.status.is_final());
        let change = |loaded: &Loaded| i64::from(!loaded.run.status.is_final()) - i64::from(was_live(loaded));
        let changes: i64 = self.runs.values().filter(of_version).map(change).sum();
        Ok(stored.saturating_add_signed(changes))
    }

    /// The workflows that can be started, as this batch has left them so far.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.memory.catalog
    }

    fn load(&self, id: RunId) -> Result<Option<Loaded>, StoreError> {
        let Some(run) = self.tx.run_state(id)? else { return Ok(None) };
        let spec = match self.memory.spec(id) {
            Some(spec) => Arc::clone(spec),
            None => match self.tx.run_spec(id)? {
                Some(spec) => Arc::new(spec),
                None => return Ok(None),
            },
        };
        let stored = Some(Stored { status: run.status, active: active_tasks(&run) });
        Ok(Some(Loaded { spec, run, stored, changed: false }))
    }

    /// Applies an event to a run and sees to its effects. An event that does not fit any more (a
    /// stale lease, a run that has ended) is dropped: what it reports no longer matters.
    pub(super) fn apply(
        &mut self,
        id: RunId,
        event: RunEvent,
        payload: StepPayload,
    ) -> Result<(), StoreError> {
        let taken = match self.runs.remove(&id) {
            Some(loaded) => Some(loaded),
            None => self.load(id)?,
        };
        let Some(mut loaded) = taken else { return Ok(()) };
        match self.memory.catalog.definition(&loaded.spec.workflow, loaded.spec.version).cloned() {
            Some(workflow) => self.step(&mut loaded, &workflow, event, payload)?,
            None => tracing::error!(run.id = %id, "the version that the run is pinned to is gone"),
        }
        self.runs.insert(id, loaded);
        Ok(())
    }

    fn step(
        &mut self,
        loaded: &mut Loaded,
        workflow: &Workflow,
        event: RunEvent,
        mut payload: StepPayload,
    ) -> Result<(), StoreError> {
        match step(&mut loaded.run, workflow, event, self.now) {
            Ok(effects) => {
                loaded.changed = true;
                effects.into_iter().try_for_each(|effect| {
                    self.perform(&loaded.spec, &loaded.run, workflow, effect, &mut payload)
                })
            }
            Err(Refused::StaleLease | Refused::Ended(_)) => Ok(()),
            Err(refused) => {
                tracing::error!(run.id = %loaded.spec.id, error = %refused, "an event did not fit a run");
                Ok(())
            }
        }
    }

    /// Applies what other runs have to hear of, until nothing is left to tell.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        while let Some((id, event)) = self.follow_ups.pop_front() {
            self.apply(id, event, StepPayload::default())?;
        }
        Ok(())
    }

    /// Has an event applied to a run once the one at hand is done.
    pub(crate) fn follow_up(&mut self, id: RunId, event: RunEvent) {
        self.follow_ups.push_back((id, event));
    }

    /// Gives free slots to those whose turn it is.
    pub(super) fn grant_slots(&mut self) -> Result<(), StoreError> {
        while self.memory.free_slots() > 0 {
            let Some((id, task)) = self.memory.queue.pop() else { break };
            self.apply(id, RunEvent::SlotGranted { task }, StepPayload::default())?;
        }
        Ok(())
    }

    /// Writes every run that was touched, with its indexes, and hands back what is left to do.
    pub(super) fn finish(mut self) -> Result<After, StoreError> {
        self.settle()?;
        self.grant_slots()?;
        let changed = std::mem::take(&mut self.runs).into_iter().filter(|(_, loaded)| loaded.changed);
        for (id, loaded) in changed {
            self.note_end(&loaded);
            self.write(id, loaded)?;
            self.after.touched.push(id);
        }
        self.drop_unneeded_modules()?;
        self.after.next_timer = self.tx.next_timer()?.map(|(at, _)| at);
        Ok(self.after)
    }

    /// The end of a run of an older version may be the end of the need for its module.
    fn note_end(&mut self, Loaded { spec, run, .. }: &Loaded) {
        let current = self.memory.catalog.workflow(&spec.workflow).map(|entry| entry.target.module);
        if run.status.is_final() && current != Some(spec.module) {
            self.outdated.insert(spec.module);
        }
    }

    fn write(&mut self, id: RunId, loaded: Loaded) -> Result<(), StoreError> {
        let active = active_tasks(&loaded.run);
        let before = match loaded.stored {
            None => {
                let Loaded { spec, run, .. } = loaded;
                let spec = Arc::unwrap_or_clone(spec);
                self.tx.insert_run(&RunRow { spec, run })?;
                Vec::new()
            }
            Some(stored) => {
                self.tx.update_run(&loaded.spec, stored.status, &loaded.run)?;
                stored.active
            }
        };
        for &task in before.iter().filter(|task| !active.contains(task)) {
            self.tx.delete_active(id, task)?;
        }
        for &task in active.iter().filter(|task| !before.contains(task)) {
            self.tx.put_active(id, task)?;
        }
        Ok(())
    }

    /// What the version that a run is pinned to says.
    pub(super) fn definition(&self, spec: &RunSpec) -> Option<Arc<Workflow>> {
        self.memory.catalog.definition(&spec.workflow, spec.version).cloned()
    }

    /// The input of a run that a trigger starts, checked against the schema of its version.
    pub(crate) fn check_input(
        &self,
        target: &Target,
        input: &Json,
    ) -> Option<(dormouse_core::run::Reason, TaskError)> {
        let entry = self.memory.catalog.workflow(&target.workflow)?;
        let problem = entry.check_input(input).err()?;
        let message = format!("the input does not fit the schema of `{}`: {problem}", target.workflow);
        Some((dormouse_core::run::Reason::InvalidInput, TaskError::new(message)))
    }

    fn perform(
        &mut self,
        spec: &Arc<RunSpec>,
        run: &Run,
        workflow: &Workflow,
        effect: Effect,
        payload: &mut StepPayload,
    ) -> Result<(), StoreError> {
        super::effects::Performer { batch: self, spec, run, workflow }.perform(effect, payload)
    }
}

/// The tasks that a host has to see to after a restart: those in the queue and those running.
fn active_tasks(run: &Run) -> Vec<TaskIndex> {
    let active = |task: &TaskRun| task.status == Status::Running || task.queued_at.is_some();
    (0..).zip(&run.tasks).filter(|(_, task)| active(task)).map(|(index, _)| TaskIndex(index)).collect()
}
