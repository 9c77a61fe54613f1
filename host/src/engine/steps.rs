//! Steps on their way to the runtime and back.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use dormouse_core::id::{BaseDigest, ModuleDigest, RunId, TaskIndex, TaskName, WaitId, WorkflowName};
use dormouse_core::new_run::Target;
use dormouse_core::request::{Push, Requests};
use dormouse_core::run::{
    Dropped, Lease, Part, Reason, Run, RunEvent, RunSpec, Status, StepResult, TaskError,
};
use dormouse_core::step::same_id;
use dormouse_core::wait::{Settled, Wait, WaitOutcome};
use dormouse_core::workflow::{Json, Workflow};
use futures_util::FutureExt;

use super::Shared;
use super::catalog::{Catalog, DeployedVersion};
use super::command::Command;
use super::events::Matched;
use super::modules::module_bytes;
use super::node::StepHandle;
use super::queue::TaskKey;
use super::shard::{Loaded, Shard, StepPayload};
use crate::runtime::{
    GuestLine, SettledOutcome, SettledWait, StepEnd, StepEntry, StepHost, StepOutcome, StepRequest,
    TargetError,
};
use crate::store::rows::{HeldEnd, IdempotencyScope, JournalEntry, LogLine, RunRow, WaitRow};
use crate::store::{Read, StoreError, View};
use crate::triggers::Matching;

/// What is known of a run while an effect of it is performed.
type AtHand<'a> = (&'a Arc<RunSpec>, &'a Run, &'a Workflow);

/// Most bytes of payloads that one resume hands to a guest. What settled besides is handed over by the
/// steps that follow; an outcome that alone is larger still goes.
const RESUME_BYTES_MAX: usize = 16 << 20;

/// A step that is to start.
pub(super) struct Start {
    pub(super) request: StepRequest,
    pub(super) entry: Entry,
    module: ModuleDigest,
    pub(super) lease: Lease,
    /// Whether the step began before and left nothing.
    repeated: bool,
    /// The version whose schema the input has to fit, if that is not known.
    unchecked: Option<Arc<DeployedVersion>>,
    /// What the store shows: snapshots and payloads are loaded by the step itself.
    pub(super) view: Arc<View>,
}

/// Where the step begins, and with what.
pub(super) enum Entry {
    Start {
        parents: Vec<Parent>,
    },
    Resume {
        /// `None` when the view shows it.
        snapshot: Option<Vec<u8>>,
        settled: Vec<Settled>,
        /// Outcomes that the view does not show yet, by the position of their waits.
        outcomes: HashMap<usize, SettledOutcome>,
    },
}

/// A task that the task depends on.
pub(super) struct Parent {
    index: TaskIndex,
    name: TaskName,
    /// Elsewhere when the view shows it.
    output: Part<Json>,
}

impl Start {
    /// Gathers what the step needs to know and the view does not show.
    pub(super) fn prepare(
        shard: &mut Shard,
        (spec, run, workflow): AtHand<'_>,
        task: TaskIndex,
        lease: Lease,
        resume: Option<Vec<Settled>>,
        time_left: Duration,
    ) -> Result<Self, StoreError> {
        let policy = &workflow.tasks[usize::from(task.0)];
        let entry = match resume {
            Some(mut settled) => Entry::Resume {
                snapshot: match shard.rows.has_new_snapshot(spec.id, task) {
                    true => shard.rows.snapshot(spec.id, task)?,
                    false => None,
                },
                outcomes: shard.new_outcomes(&mut settled)?,
                settled,
            },
            None => Entry::Start { parents: shard.parents((spec, run, workflow), task)? },
        };
        let request = StepRequest {
            run: Arc::clone(spec),
            task,
            task_name: policy.name.clone(),
            attempt: lease.attempt,
            time_left,
            execution_timeout: policy.execution_timeout,
            memory_bytes_max: policy.memory_bytes_max,
            entry: StepEntry::default(),
        };
        let repeated = run.tasks[usize::from(task.0)].repeated;
        let begins_run =
            matches!(entry, Entry::Start { .. }) && lease.attempt == 1 && policy.parents.is_empty();
        let unchecked = match begins_run && !shard.checked.take(spec.id) {
            true => {
                shard.catalog.version(&spec.workflow, spec.version).filter(|version| version.has_schema())
            }
            false => None,
        };
        let unchecked = unchecked.cloned();
        let view = Arc::clone(shard.rows.view());
        Ok(Self { request, entry, module: spec.module, lease, repeated, unchecked, view })
    }

    /// Whether it is the start of that step.
    pub(super) fn is(&self, run: RunId, task: TaskIndex, lease: Lease) -> bool {
        self.request.run.id == run && self.request.task == task && self.lease == lease
    }

    /// Runs the step; its end comes back as a command.
    pub(super) fn spawn(self, shared: &Arc<Shared>, handle: &StepHandle) {
        let abort = shared.runtime.spawn(self.run(Arc::clone(shared)));
        // A step is started once.
        drop(handle.set(abort));
    }

    async fn run(self, shared: Arc<Shared>) {
        let Self { mut request, entry, module, lease, repeated, unchecked, view } = self;
        let (run, task) = (request.run.id, request.task);
        let attempt = lease.attempt;
        let link = StepLink { shared: Arc::clone(&shared), module, run, task, attempt, repeated };
        let commands = shared.commands.clone();
        let store = shared.store.clone();
        let bytes = move || module_bytes(&store, module);
        let step = async {
            if let Some(version) = unchecked
                && let Some(end) = check_input(&shared, version, &request.run).await
            {
                return end;
            }
            request.entry = match load(&shared, entry, &view, run, task) {
                Ok(entry) => entry,
                Err(error) => return held(format!("the state of the task cannot be read: {error}")),
            };
            // What it shows is not needed any more, however long the step runs.
            drop(view);
            match shared.runtime.load(module, bytes).await {
                Ok(module) => {
                    shared.keep_base_image(&module);
                    shared.runtime.run_step(&module, request, Arc::new(link)).await
                }
                Err(error) => held(format!("module {module} cannot be loaded: {error}")),
            }
        };
        // A run must not hang because this program has a bug.
        let end = AssertUnwindSafe(step).catch_unwind().await;
        let end = end.unwrap_or_else(|_| {
            let error = TaskError::new("the host failed while it ran the step; its log says more");
            ended(StepOutcome::Failed { reason: Reason::Unloadable, error, retryable: true })
        });
        let catalog = shared.catalog();
        let mut matched = Vec::with_capacity(end.requests.events.len());
        for Push { key, payload, metadata, .. } in &end.requests.events {
            matched.push(Matched::find(&catalog, &mut Matching::new(key, payload, metadata)));
            // Filters may take a while, and other steps are to have their turn.
            tokio::task::yield_now().await;
        }
        // Whoever hears that nothing runs any more may stop the host and open its store again.
        drop(shared);
        // A deciding thread that has ended has given the step back.
        drop(commands.send(Command::StepEnded { run, task, lease, end: Box::new(end), matched }));
    }
}

/// Reads what the step begins with. Of the settled waits it is told as many, from the front, as fit.
pub(super) fn load(
    shared: &Shared,
    entry: Entry,
    view: &View,
    run: RunId,
    task: TaskIndex,
) -> Result<StepEntry, StoreError> {
    let (snapshot, settled, mut outcomes) = match entry {
        Entry::Start { parents } => {
            let with_output = |Parent { index, name, output }| {
                let output = match output {
                    Part::Here(output) => output,
                    Part::Elsewhere => view.task_output(run, index)?,
                };
                Ok((name, output))
            };
            let parents = parents.into_iter().map(with_output).collect::<Result<_, StoreError>>()?;
            return Ok(StepEntry::Start { parents, failure: None });
        }
        Entry::Resume { snapshot, settled, outcomes } => (snapshot, settled, outcomes),
    };
    let snapshot = match snapshot {
        Some(snapshot) => snapshot,
        None => view.snapshot(run, task)?.unwrap_or_default(),
    };
    let catalog = shared.catalog();
    let mut source = Outcomes::new(view, &catalog);
    let mut told = Vec::new();
    let mut bytes = 0;
    for (position, Settled { id, outcome }) in settled.into_iter().enumerate() {
        let outcome = match outcomes.remove(&position) {
            Some(outcome) => outcome,
            None => source.outcome(outcome)?,
        };
        bytes += outcome.bytes();
        if bytes > RESUME_BYTES_MAX && !told.is_empty() {
            break;
        }
        told.push(SettledWait { id, outcome });
    }
    Ok(StepEntry::Resume { snapshot, settled: told })
}

/// Where outcomes of waits are read.
struct Outcomes<'a, S> {
    view: &'a S,
    catalog: &'a Catalog,
    /// Many waits may have settled with one event or one run.
    known: HashMap<WaitOutcome, SettledOutcome>,
}

impl<'a, S: Read> Outcomes<'a, S> {
    fn new(view: &'a S, catalog: &'a Catalog) -> Self {
        Self { view, catalog, known: HashMap::new() }
    }

    /// What the guest gets to see of what settled a wait.
    fn outcome(&mut self, outcome: WaitOutcome) -> Result<SettledOutcome, StoreError> {
        let (view, catalog) = (self.view, self.catalog);
        self.known(outcome, || {
            Ok(match outcome {
                WaitOutcome::Elapsed => SettledOutcome::Elapsed,
                WaitOutcome::Event(id) => match view.event(id)? {
                    Some(event) => SettledOutcome::Event {
                        id,
                        key: event.key,
                        payload: event.payload,
                        metadata: event.metadata,
                        pushed_at: event.pushed_at,
                    },
                    None => SettledOutcome::RunFailed {
                        error: TaskError::new(format!("event {id} is not kept any more")),
                    },
                },
                WaitOutcome::Run(id) => match view.run(id)? {
                    Some(RunRow { spec, run, .. }) => {
                        of_run(&run, catalog.definition(&spec.workflow, spec.version))
                    }
                    None => {
                        SettledOutcome::RunFailed { error: TaskError::new(format!("there is no run {id}")) }
                    }
                },
            })
        })
    }

    /// The outcome as it is known, or as it is found.
    fn known(
        &mut self,
        outcome: WaitOutcome,
        find: impl FnOnce() -> Result<SettledOutcome, StoreError>,
    ) -> Result<SettledOutcome, StoreError> {
        if let Some(known) = self.known.get(&outcome) {
            return Ok(known.clone());
        }
        let found = find()?;
        self.known.insert(outcome, found.clone());
        Ok(found)
    }
}

/// What a guest gets to see of a run that has ended, with its outputs and errors at hand.
fn of_run(run: &Run, workflow: Option<&Arc<Workflow>>) -> SettledOutcome {
    match run.status {
        Status::Failed => {
            let failed = run.tasks.iter().find(|task| task.status == Status::Failed);
            let error = failed.and_then(|task| task.error.as_ref()?.here());
            let error = error.cloned().unwrap_or_else(|| TaskError::new("the run failed"));
            SettledOutcome::RunFailed { error }
        }
        Status::Cancelled => {
            SettledOutcome::RunCancelled { reason: run.reason.map_or("", Reason::word).to_owned() }
        }
        _ => SettledOutcome::RunCompleted {
            output: workflow.map_or_else(Json::null, |workflow| run.output(workflow)),
        },
    }
}

impl Shard {
    /// The tasks that a task depends on, with their outputs unless the last commit shows these.
    fn parents(&self, (spec, run, workflow): AtHand<'_>, task: TaskIndex) -> Result<Vec<Parent>, StoreError> {
        let mut parents = Vec::new();
        for index in workflow.task(task).into_iter().flat_map(|task| &task.parents).copied() {
            let (Some(policy), Some(parent)) = (workflow.task(index), run.task(index)) else { continue };
            let output = match &parent.output {
                None => Part::Here(Json::null()),
                Some(Part::Elsewhere) if self.rows.has_new_output(spec.id, index) => {
                    Part::Here(self.rows.task_output(spec.id, index)?)
                }
                Some(output) => output.clone(),
            };
            parents.push(Parent { index, name: policy.name.clone(), output });
        }
        Ok(parents)
    }

    /// Outcomes of waits that the last commit does not show, by their positions. When they are more than
    /// fit into a resume, the rest is left to the next one.
    fn new_outcomes(&self, settled: &mut Vec<Settled>) -> Result<HashMap<usize, SettledOutcome>, StoreError> {
        let mut outcomes = HashMap::new();
        let mut source = Outcomes::new(&self.rows, &self.catalog);
        let mut bytes = 0;
        for (position, wait) in settled.iter().enumerate() {
            let outcome = match wait.outcome {
                WaitOutcome::Event(id) if self.rows.has_new_event(id) => source.outcome(wait.outcome)?,
                WaitOutcome::Run(id) => match self.changed_run(id) {
                    Some(Loaded { spec, run, .. }) => source.known(wait.outcome, || {
                        let mut run = run.clone();
                        self.rows.fill(id, &mut run)?;
                        Ok(of_run(&run, self.catalog.definition(&spec.workflow, spec.version)))
                    })?,
                    None if self.rows.has_new_state(id) => source.outcome(wait.outcome)?,
                    None => continue,
                },
                WaitOutcome::Elapsed | WaitOutcome::Event(_) => continue,
            };
            bytes += outcome.bytes();
            if bytes > RESUME_BYTES_MAX && position > 0 {
                settled.truncate(position);
                break;
            }
            outcomes.insert(position, outcome);
        }
        Ok(outcomes)
    }

    /// Gives the step a slot and starts it: at once, as nobody outside can see what it does before that
    /// is committed. Only a module that is itself not committed has to wait for that.
    pub(super) fn begin_step(&mut self, key: TaskKey, start: Start) {
        let handle = self.node.occupy(key);
        if self.rows.has_new_module(start.module) {
            self.post_commit.starts.push((start, handle));
        } else {
            (self.shared.start_step)(start, &self.shared, &handle);
        }
    }

    /// Takes in what a step came to.
    pub(super) fn step_ended(
        &mut self,
        (run, task): TaskKey,
        lease: Lease,
        end: StepEnd,
        matched: Vec<Matched>,
    ) -> Result<(), StoreError> {
        if self.open.has((run, task)) {
            // The step has ended before.
            return Ok(());
        }
        let StepEnd { ran, outcome, requests, taken } = end;
        if !matches!(outcome, StepOutcome::Held { .. }) {
            self.shared.metrics.step_ended(ran);
        }
        if self.conflicts(&requests)? {
            let event = RunEvent::StepEnded { task, lease, ran, result: StepResult::Conflicted };
            return self.apply(run, event, StepPayload::default());
        }
        let mut saved = Vec::new();
        let result = match outcome {
            StepOutcome::Completed { output } if self.is_bulk(&requests) => {
                return self.hold_end((run, task), HeldEnd { lease, ran, output }, requests, matched);
            }
            StepOutcome::Completed { output } => StepResult::Completed { output },
            StepOutcome::Failed { reason, error, retryable } => {
                StepResult::Failed { reason, error, retryable, chance: self.shared.clock.chance() }
            }
            StepOutcome::Suspended { waits, dropped, snapshot } => {
                self.shared.metrics.snapshot_taken(snapshot.len());
                saved = snapshot;
                self.suspended((run, task), waits, dropped, taken)?
            }
            StepOutcome::Held { error } => {
                let (reason, chance) = (Reason::Unloadable, self.shared.clock.chance());
                StepResult::Held { reason, error, chance }
            }
        };
        let payload = StepPayload { requests, matched, snapshot: saved, settling: None };
        self.apply(run, RunEvent::StepEnded { task, lease, ran, result }, payload)
    }

    /// What a suspension comes to, by the waits that the task has.
    fn suspended(
        &self,
        (run, task): TaskKey,
        waits: Vec<Wait>,
        dropped: Vec<WaitId>,
        taken: usize,
    ) -> Result<StepResult, StoreError> {
        let mut by_id = BTreeMap::new();
        for id in dropped {
            let known = self.rows.wait((run, task, id))?;
            by_id.insert(
                id,
                match known {
                    Some(WaitRow::Open(_)) => Dropped::Open(id),
                    Some(WaitRow::InBacklog(_)) => Dropped::InBacklog(id),
                    None => Dropped::Other(id),
                },
            );
        }
        for Wait { id, .. } in &waits {
            if !by_id.contains_key(id) && self.rows.wait((run, task, *id))?.is_some() {
                let (reason, error) = (Reason::InvalidResult, TaskError::new(same_id(*id)));
                return Ok(StepResult::Failed { reason, error, retryable: false, chance: 0.0 });
            }
        }
        Ok(StepResult::Suspended { waits, dropped: by_id.into_values().collect(), taken })
    }

    /// Takes in lines that a step logged.
    pub(super) fn log(
        &mut self,
        (run, task): TaskKey,
        attempt: u32,
        repeated: bool,
        lines: Vec<GuestLine>,
    ) -> Result<(), StoreError> {
        for GuestLine { at, level, message } in lines {
            let line = LogLine { at, task, attempt, level, repeated, message };
            self.rows.append_journal(run, JournalEntry::Log(line))?;
        }
        self.post_commit.touched.push(run);
        Ok(())
    }

    /// Stops every running step; the next host repeats it. No slot is granted any more.
    pub(super) fn give_steps_back(&mut self) -> Result<(), StoreError> {
        for ((run, task), handle) in self.node.close() {
            if self.open.has((run, task)) {
                // Its step has ended.
                continue;
            }
            self.post_commit.kills.push(handle);
            let given_back = RunEvent::HostLost { task, crashed: false, alone: false };
            self.apply(run, given_back, StepPayload::default())?;
        }
        Ok(())
    }
}

/// Holds the input of a run against the schema of its version. If it does not fit, the step ends with
/// that, before there is an instance.
async fn check_input(shared: &Shared, version: Arc<DeployedVersion>, run: &Arc<RunSpec>) -> Option<StepEnd> {
    let input = run.input.clone();
    let problem = match shared.runtime.blocking(move || version.check_input(&input)).await {
        Ok(Ok(())) => return None,
        Ok(Err(problem)) => problem,
        Err(problem) => return Some(held(problem)),
    };
    let problem = format!("the input does not fit the schema of `{}`: {problem}", run.workflow);
    let (reason, error) = (Reason::InvalidInput, TaskError::new(problem));
    Some(ended(StepOutcome::Failed { reason, error, retryable: false }))
}

/// The end of a step that could not begin.
fn held(message: String) -> StepEnd {
    ended(StepOutcome::Held { error: TaskError::new(message) })
}

/// The end of a step that came to no instance.
fn ended(outcome: StepOutcome) -> StepEnd {
    StepEnd { ran: Duration::ZERO, outcome, requests: Requests::default(), taken: 0 }
}

/// What a running step can ask of the host at once.
struct StepLink {
    shared: Arc<Shared>,
    module: ModuleDigest,
    run: RunId,
    task: TaskIndex,
    attempt: u32,
    repeated: bool,
}

impl StepHost for StepLink {
    fn target(&self, workflow: &str, input: &Json) -> Result<Target, TargetError> {
        let catalog = self.shared.catalog();
        let name = workflow.parse::<WorkflowName>().ok();
        let entry = name.and_then(|name| catalog.workflow(&name).cloned());
        let Some(entry) = entry else {
            return Err(TargetError::UnknownWorkflow { name: workflow.to_owned() });
        };
        match entry.version.check_input(input) {
            Ok(()) => Ok(entry.target.clone()),
            Err(problem) => {
                Err(TargetError::InvalidInput { workflow: entry.target.workflow.clone(), problem })
            }
        }
    }

    fn idempotent_run(&self, workflow: &WorkflowName, key: &str) -> Option<RunId> {
        let row = self.shared.store.view().idempotency(IdempotencyScope::Runs(workflow), key).ok()??;
        (row.expires_at > self.shared.clock.now()).then(|| RunId::from_bytes(row.id))
    }

    fn base_image(&self, base: BaseDigest) -> Result<Option<Vec<u8>>, String> {
        self.shared.store.view().base_image(self.module, base).map_err(|error| error.to_string())
    }

    fn log(&self, lines: Vec<GuestLine>) {
        let (run, task, attempt, repeated) = (self.run, self.task, self.attempt, self.repeated);
        self.shared.send(Command::Log { run, task, attempt, repeated, lines });
    }
}
