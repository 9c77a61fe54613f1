//! A shard as the deciding thread sees it: its rows, its queue, its limits and its catalog, and the
//! runs that are at hand. Operations and steps change it; what they did becomes a change set, and what
//! has to wait for the commit of that is gathered beside it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_core::id::{CronId, EventId, ModuleDigest, RunId, TaskIndex, Version, WorkflowName};
use dormouse_core::new_run::{NewRun, Target};
use dormouse_core::request::Requests;
use dormouse_core::run::{Reason, Run, RunEvent, RunSpec, Status, StepResult};
use dormouse_core::step::{Refused, step};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{SETTLED_MAX, Settled, WaitCondition};
use dormouse_core::workflow::{Json, Workflow};
use tokio::sync::oneshot;

use super::Shared;
use super::catalog::Catalog;
use super::checked::CheckedInputs;
use super::command::Reply;
use super::events::{EventRuns, Matched, UnansweredPush};
use super::metrics::QueueState;
use super::node::Node;
use super::post_commit::{PostCommit, Started};
use super::queue::{ReadyQueue, TaskKey};
use super::requests::OpenTasks;
use super::work::{CANCELLATIONS_MAX, Filters, Turns};
use crate::clock::Clock;
use crate::error::Error;
use crate::store::rows::Work;
use crate::store::{ChangeSet, Read, StoreError, WorkingSet, Written};
use crate::triggers::Schedules;

/// Most rows and bytes of an open change set: when it has more, no command is taken until it is on its
/// way. What one command does is committed together, and each line of timers has its turn, so a change set
/// can be larger by these.
pub(super) const OPEN_ROWS_MAX: usize = 4_000;
pub(super) const OPEN_BYTES_MAX: usize = 1 << 20;

/// Longest that steps run alone, one after the other, after the host has started.
const SUSPECTS_TIME_MAX: Duration = Duration::from_secs(60);

/// A clock that goes back by more than this was set back.
const SET_BACK_MIN: Duration = Duration::from_secs(1);

/// A run that has changed writes about so many rows when the change set is closed.
const ROWS_PER_RUN: usize = 4;

/// Most ancestors of a run that are looked at before it begins a step, while something is left to be done.
const ANCESTORS_MAX: usize = 32;

/// Why a command has no effect.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The caller is to blame.
    Refused(Error),
    /// The store failed, and the shard cannot go on.
    Store(StoreError),
}

impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What an operation comes to.
pub(crate) type Handled<T> = Result<T, CommandError>;

/// A run in memory, as it has been decided so far.
pub(super) struct Loaded {
    pub(super) spec: Arc<RunSpec>,
    pub(super) run: Run,
    /// The status under which the rows list it; `None` of a run that has no rows yet.
    pub(super) listed: Option<Status>,
    /// Whether it is not as the rows have it.
    pub(super) changed: bool,
}

/// What came with an event: mostly with the result of a step.
#[derive(Default)]
pub(super) struct StepPayload {
    pub(super) requests: Requests,
    /// What the events that it pushes start.
    pub(super) matched: Vec<Matched>,
    pub(super) snapshot: Vec<u8>,
    /// What the wait that settles waits for, if that was looked up.
    pub(super) settling: Option<WaitCondition>,
}

/// What one pipeline owns. All of it but the rows can be rebuilt from them.
pub(crate) struct Shard {
    pub(crate) rows: WorkingSet,
    /// The time of the decision at hand.
    pub(crate) now: Timestamp,
    /// The latest time that there was since the clock was set back.
    latest: Timestamp,
    pub(super) shared: Arc<Shared>,
    pub(super) queue: ReadyQueue,
    pub(super) catalog: Arc<Catalog>,
    pub(super) checked: CheckedInputs,
    pub(crate) schedules: Schedules,
    /// Where its steps run.
    pub(super) node: Node,
    /// Modules of held tasks that the log has told of.
    pub(super) warned_of: HashSet<ModuleDigest>,
    /// Crons that cannot be read.
    pub(super) unreadable_crons: HashSet<CronId>,
    /// While the next times of crons are found anew: the crons that were made before this one are to come.
    pub(super) cron_review: Option<CronId>,
    /// How many tasks are held.
    pub(super) held: usize,
    /// Whether the host is starting.
    pub(super) is_recovering: bool,
    /// Tasks that run alone, the last one first.
    pub(super) suspects: Vec<TaskKey>,
    /// Until when those that are left may run alone, once the first one has begun.
    suspects_until: Option<Instant>,
    /// What waits for the commit of the change set that is open.
    pub(super) post_commit: PostCommit,
    /// Modules that may not be needed any more: to be looked at when the change set is closed.
    pub(super) maybe_unneeded: BTreeSet<ModuleDigest>,
    /// Runs that have changed, and those whose steps run.
    runs: HashMap<RunId, Loaded>,
    /// How many of the runs have changed.
    changed_runs: usize,
    /// Bytes of the inputs of those that are new, and of outputs and errors, which are written when the
    /// change set is closed.
    new_payload_bytes: usize,
    follow_ups: VecDeque<(RunId, RunEvent)>,
    /// Filters of waits.
    pub(super) filters: Filters,
    /// Until when the command at hand may hold events against waits and let requests of a step take effect; what
    /// is left is done in portions.
    pub(super) portion_until: Instant,
    /// How many runs the command at hand, or the portion, may cancel besides those that it is about.
    pub(super) cancellations: usize,
    /// The children of runs that no row lists yet.
    new_children: HashMap<RunId, Vec<RunId>>,
    /// How many runs the command at hand, or the portion, may have events start.
    pub(super) event_runs: EventRuns,
    /// Events that are taken in in portions, as far as this host has begun with them, and in how many pieces
    /// of work.
    pub(super) taken_in_later: HashMap<EventId, usize>,
    /// Pushes that wait for that.
    pub(super) pushes: Vec<UnansweredPush>,
    /// Tasks with requests that have not taken effect.
    pub(super) open: OpenTasks,
    /// Whether something may be left to be done in portions.
    pub(super) has_work: bool,
    pub(super) turns: Turns,
    /// Whether requests of steps had the last turn.
    pub(super) requests_were_last: bool,
    /// Callers of `AwaitIdle`.
    pub(super) idlers: Vec<oneshot::Sender<Option<Timestamp>>>,
}

impl Shard {
    pub(super) fn new(shared: Arc<Shared>, catalog: Arc<Catalog>, slots: usize) -> Self {
        Self {
            rows: WorkingSet::new(shared.store.view()),
            now: shared.clock.now(),
            latest: shared.clock.now(),
            shared,
            queue: ReadyQueue::default(),
            catalog,
            checked: CheckedInputs::default(),
            schedules: Schedules::default(),
            node: Node::new(slots),
            post_commit: PostCommit::default(),
            maybe_unneeded: BTreeSet::new(),
            warned_of: HashSet::new(),
            unreadable_crons: HashSet::new(),
            cron_review: None,
            held: 0,
            is_recovering: true,
            suspects: Vec::new(),
            suspects_until: None,
            runs: HashMap::new(),
            changed_runs: 0,
            new_payload_bytes: 0,
            follow_ups: VecDeque::new(),
            filters: Filters::default(),
            portion_until: Instant::now(),
            cancellations: CANCELLATIONS_MAX,
            new_children: HashMap::new(),
            event_runs: EventRuns::MAX,
            taken_in_later: HashMap::new(),
            pushes: Vec::new(),
            open: OpenTasks::default(),
            has_work: true,
            turns: Turns::default(),
            requests_were_last: false,
            idlers: Vec::new(),
        }
    }

    /// Takes the time of what is decided next. Tells whether the clock was set back.
    pub(super) fn look_at_clock(&mut self) -> Result<bool, StoreError> {
        let now = self.shared.clock.now();
        let was_set_back = now < self.latest.before(SET_BACK_MIN);
        if was_set_back {
            tracing::warn!(from = %self.latest, to = %now, "the clock was set back");
            self.latest = now;
            self.begin_cron_review();
            if self.held > 0 {
                self.leave(&Work::TryHeld { after: None })?;
            }
        }
        self.latest = self.latest.max(now);
        self.now = now;
        Ok(was_set_back)
    }

    /// The input of a run, if there is such a run.
    pub(crate) fn input_of(&self, id: RunId) -> Result<Option<Json>, StoreError> {
        match self.runs.get(&id) {
            Some(loaded) => Ok(Some(loaded.spec.input.clone())),
            None => Ok(self.rows.run_spec(id)?.map(|spec| spec.input)),
        }
    }

    /// Has the caller answered once what was decided is durable.
    pub(crate) fn answer<T: Send + 'static>(
        &mut self,
        reply: Reply<T>,
        outcome: Handled<T>,
    ) -> Result<(), StoreError> {
        let answer = match outcome {
            Ok(value) => Ok(value),
            Err(CommandError::Refused(error)) => Err(error),
            Err(CommandError::Store(error)) => return Err(error),
        };
        // A caller that has gone away needs no answer.
        self.post_commit.answers.push(Box::new(move || drop(reply.send(answer))));
        Ok(())
    }

    /// The same with the run as the commit will leave it.
    pub(crate) fn answer_started(
        &mut self,
        reply: Reply<Started>,
        outcome: Handled<Started>,
    ) -> Result<(), StoreError> {
        match outcome {
            Ok(started) => {
                self.post_commit.started.push((started, reply));
                Ok(())
            }
            refused => self.answer(reply, refused),
        }
    }

    /// Creates a run and puts its first tasks in the queue.
    pub(crate) fn create_run(&mut self, mut new: NewRun) -> Result<(), StoreError> {
        let (id, Target { workflow: name, version, .. }) = (new.id, &new.target);
        let Some(version) = self.catalog.version(name, *version).cloned() else {
            tracing::error!(run.id = %id, workflow = %name, "a run of an unknown version was not created");
            return Ok(());
        };
        if new.checked && version.has_schema() {
            self.checked.add(id);
        }
        let workflow = &version.definition;
        let (keys, ended_by) = (new.limit_keys.take(), new.ended_by.take());
        let spec = new.into_spec(workflow, self.now);
        let event = match ended_by {
            None => self.admit(&spec, workflow, keys)?,
            Some(event) => event,
        };
        let run = Run::new(workflow.tasks.len());
        if let Some(parent) = spec.parent {
            self.new_children.entry(parent).or_default().push(id);
        }
        self.rows.begin_journal(id);
        self.changed_runs += 1;
        self.new_payload_bytes += spec.input.as_str().len();
        let mut loaded = Loaded { spec: Arc::new(spec), run, listed: None, changed: true };
        self.step(&mut loaded, workflow, event, StepPayload::default())?;
        self.runs.insert(id, loaded);
        Ok(())
    }

    /// Where a run stands.
    pub(crate) fn status(&self, id: RunId) -> Result<Option<Status>, StoreError> {
        match self.runs.get(&id) {
            Some(loaded) => Ok(Some(loaded.run.status)),
            None => Ok(self.rows.run_state(id)?.map(|run| run.status)),
        }
    }

    /// A run as far as it has come.
    pub(crate) fn run(&mut self, id: RunId) -> Result<Option<(Arc<RunSpec>, &Run)>, StoreError> {
        if !self.runs.contains_key(&id) {
            let Some(loaded) = self.load(id)? else { return Ok(None) };
            self.runs.insert(id, loaded);
        }
        Ok(self.runs.get(&id).map(|loaded| (Arc::clone(&loaded.spec), &loaded.run)))
    }

    /// A run that has changed and whose rows do not say so yet.
    pub(super) fn changed_run(&self, id: RunId) -> Option<&Loaded> {
        self.runs.get(&id).filter(|loaded| loaded.changed)
    }

    /// A child of a run that no row lists yet. Each comes out once.
    pub(super) fn next_new_child(&mut self, parent: RunId) -> Option<RunId> {
        let children = self.new_children.get_mut(&parent)?;
        let child = children.pop();
        if children.is_empty() {
            self.new_children.remove(&parent);
        }
        child
    }

    /// How many runs of a version have not ended.
    pub(crate) fn live_runs_of(&self, workflow: &WorkflowName, version: Version) -> Result<u64, StoreError> {
        let listed = self.rows.live_runs(workflow, version)?;
        let of_version = |loaded: &&Loaded| {
            loaded.changed && loaded.spec.workflow == *workflow && loaded.spec.version == version
        };
        let was_live = |loaded: &Loaded| loaded.listed.is_some_and(|status| !status.is_final());
        let change = |loaded: &Loaded| i64::from(!loaded.run.status.is_final()) - i64::from(was_live(loaded));
        let changes: i64 = self.runs.values().filter(of_version).map(change).sum();
        Ok(listed.saturating_add_signed(changes))
    }

    /// Where times and ids come from.
    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The workflows that can be started.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn load(&self, id: RunId) -> Result<Option<Loaded>, StoreError> {
        let Some(run) = self.rows.run_state(id)? else { return Ok(None) };
        let Some(spec) = self.rows.run_spec(id)? else { return Ok(None) };
        Ok(Some(Loaded { listed: Some(run.status), spec: Arc::new(spec), run, changed: false }))
    }

    /// Applies an event to a run and sees to its effects. An event that does not fit any more (a
    /// stale lease, a run that has ended) is dropped: what it reports no longer matters.
    pub(super) fn apply(
        &mut self,
        id: RunId,
        event: RunEvent,
        mut payload: StepPayload,
    ) -> Result<(), StoreError> {
        if let RunEvent::WaitSettled { task, wait, .. } = event
            && payload.settling.is_none()
        {
            payload.settling = self.open_condition((id, task, wait))?;
            if payload.settling.is_none() {
                return Ok(());
            }
        }
        let taken = match self.runs.remove(&id) {
            Some(loaded) => Some(loaded),
            None => self.load(id)?,
        };
        let Some(mut loaded) = taken else { return Ok(()) };
        match self.catalog.definition(&loaded.spec.workflow, loaded.spec.version).cloned() {
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
        let bytes = match &event {
            RunEvent::StepEnded { result: StepResult::Completed { output }, .. } => output.as_str().len(),
            RunEvent::StepEnded { result: StepResult::Failed { error, .. }, .. } => error.bytes(),
            _ => 0,
        };
        match step(&mut loaded.run, workflow, event, self.now) {
            Ok(effects) => {
                self.new_payload_bytes += bytes;
                self.changed_runs += usize::from(!loaded.changed);
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
    pub(crate) fn settle(&mut self) -> Result<(), StoreError> {
        while let Some((id, event)) = self.follow_ups.pop_front() {
            self.apply(id, event, StepPayload::default())?;
        }
        Ok(())
    }

    /// Ends a run that has not ended, and its children that are not detached.
    pub(crate) fn cancel(&mut self, id: RunId, reason: Reason) -> Result<(), StoreError> {
        self.apply(id, RunEvent::Cancel { reason }, StepPayload::default())
    }

    /// Has an event applied to a run once the one at hand is done.
    pub(crate) fn follow_up(&mut self, id: RunId, event: RunEvent) {
        self.follow_ups.push_back((id, event));
    }

    /// Has suspects run in a random order: one that takes its host with it after others have had their time would
    /// otherwise never be alone.
    pub(super) fn shuffle_suspects(&mut self) {
        self.suspects.sort_unstable();
        for last in (1..self.suspects.len()).rev() {
            let random = u64::from_le_bytes(self.shared.clock.random());
            let other = usize::try_from(random % (last as u64 + 1)).unwrap_or(last);
            self.suspects.swap(last, other);
        }
    }

    /// Gives free slots to the tasks whose turn it is, and starts their steps.
    pub(super) fn grant_slots(&mut self) -> Result<(), StoreError> {
        while self.node.free_slots() > 0 {
            if let Some(key) = self.suspects.pop() {
                // There are some only when the host has just started. Those whose turn has not come in time run beside
                // others: so all of them together hold up nobody for longer.
                let until = *self.suspects_until.get_or_insert_with(|| Instant::now() + SUSPECTS_TIME_MAX);
                if Instant::now() < until && !self.is_paused(key.0)? {
                    tracing::warn!(run.id = %key.0, "a step runs alone: hosts did not survive it");
                    self.grant_slot(key)?;
                    self.node.run_alone(key);
                } else if let Some((spec, run)) = self.run(key.0)? {
                    let since = run.task(key.1).and_then(|task| task.queued_at);
                    let line = (&spec.workflow, spec.trigger.kind());
                    self.queue.push(key, line, spec.priority, since.unwrap_or(self.now));
                }
                continue;
            }
            let Some(key) = self.queue.pop() else { break };
            self.grant_slot(key)?;
        }
        Ok(())
    }

    fn grant_slot(&mut self, (id, task): TaskKey) -> Result<(), StoreError> {
        if self.has_work && self.is_to_be_cancelled(id)? {
            return self.cancel(id, Reason::ParentCancelled);
        }
        let backlog = self.first_of_backlog(id, task)?;
        self.apply(id, RunEvent::SlotGranted { task, backlog }, StepPayload::default())
    }

    fn is_paused(&mut self, id: RunId) -> Result<bool, StoreError> {
        let Some((spec, _)) = self.run(id)? else { return Ok(false) };
        Ok(self.catalog().workflow(&spec.workflow).is_some_and(|entry| entry.paused))
    }

    /// Whether a run goes with one that was cancelled: children are cancelled in portions, and those whose turn
    /// for that has not come begin no step any more.
    fn is_to_be_cancelled(&mut self, id: RunId) -> Result<bool, StoreError> {
        let mut child = id;
        for _ in 0..ANCESTORS_MAX {
            let Some((spec, _)) = self.run(child)? else { return Ok(false) };
            let Some(parent) = spec.parent.filter(|_| !spec.detached) else { return Ok(false) };
            match self.status(parent)? {
                Some(Status::Cancelled) => return Ok(true),
                Some(status) if !status.is_final() => child = parent,
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Settled waits of the backlog of a task that its next step can be told of.
    fn first_of_backlog(&mut self, id: RunId, index: TaskIndex) -> Result<Vec<Settled>, StoreError> {
        let Some((_, run)) = self.run(id)? else { return Ok(Vec::new()) };
        match run.task(index) {
            Some(task) if task.backlog > 0 => {
                let room = SETTLED_MAX.saturating_sub(task.settled.len());
                self.rows.backlog(id, index, room)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// How much is to be written by now.
    pub(super) fn written(&self) -> Written {
        let Written { rows, bytes } = self.rows.written();
        Written { rows: rows + ROWS_PER_RUN * self.changed_runs, bytes: bytes + self.new_payload_bytes }
    }

    /// Whether the open change set has as much as it may.
    pub(super) fn has_enough(&self) -> bool {
        let written = self.written();
        written.rows >= OPEN_ROWS_MAX || written.bytes >= OPEN_BYTES_MAX
    }

    /// How many bytes are to be written by now.
    pub(crate) fn written_bytes(&self) -> usize {
        self.written().bytes
    }

    /// Whether there is anything to commit or to answer.
    pub(super) fn has_decided(&self) -> bool {
        self.written() != Written::default() || !self.post_commit.is_empty()
    }

    /// Writes every run that has changed, with its indexes, and closes the change set. Hands back what
    /// is left to do when it is durable.
    pub(super) fn close(&mut self) -> Result<(Option<Arc<ChangeSet>>, PostCommit), StoreError> {
        let mut changed: Vec<RunId> =
            self.runs.iter().filter(|(_, loaded)| loaded.changed).map(|(id, _)| *id).collect();
        changed.sort_unstable();
        for id in &changed {
            let Some(loaded) = self.runs.get_mut(id) else { continue };
            let Loaded { spec, run, listed, changed } = loaded;
            self.rows.put_parts_elsewhere(*id, run)?;
            match listed {
                None => self.rows.insert_run(spec, run)?,
                Some(status) => self.rows.update_run(spec, *status, run)?,
            }
            (*listed, *changed) = (Some(run.status), false);
            // The end of a run of an older version may be the end of the need for its module.
            let current = self.catalog.workflow(&spec.workflow).map(|entry| entry.target.module);
            if run.status.is_final() && current != Some(spec.module) {
                self.maybe_unneeded.insert(spec.module);
            }
        }
        self.drop_unneeded_modules()?;
        let mut post_commit = std::mem::take(&mut self.post_commit);
        for (mut started, reply) in std::mem::take(&mut post_commit.started) {
            // An earlier call may have started one that has a lot to show by now.
            if !started.existing
                && let Some(Loaded { spec, run, .. }) = self.runs.get(&started.id)
            {
                started.row = Some(Box::new(self.rows.whole_run(RunSpec::clone(spec), run.clone())?));
            }
            post_commit.answers.push(Box::new(move || drop(reply.send(Ok(started)))));
        }
        post_commit.touched.extend(changed);
        post_commit.queue = Some(self.queue_state());
        (self.changed_runs, self.new_payload_bytes) = (0, 0);
        self.new_children.clear();
        let node = &mut self.node;
        self.runs.retain(|id, _| node.runs_steps_of(*id));
        node.closed();
        Ok((self.rows.close()?, post_commit))
    }

    pub(super) fn queue_state(&self) -> QueueState {
        let (depth, oldest) = self.queue.waiting();
        let depth = depth + self.suspects.len();
        QueueState { depth, oldest, running: self.node.running() }
    }
}
