//! Steps on their way to the runtime and back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use dormouse_core::id::{ModuleDigest, RunId, TaskIndex, TaskName, WorkflowName};
use dormouse_core::run::{Lease, Reason, Status, TaskError};
use dormouse_core::wait::{Settled, WaitOutcome};
use dormouse_core::workflow::Json;

use futures_util::FutureExt;

use super::Shared;
use super::command::Command;
use super::effects::Performer;
use crate::runtime::{
    GuestLine, Requests, SettledOutcome, SettledWait, StepEnd, StepEntry, StepHost, StepOutcome, StepRequest,
    Target, TargetError,
};
use crate::store::rows::IdempotencyScope;
use crate::store::{Read, StoreError};

/// A step that is to start once its lease is durable.
pub(super) struct Start {
    request: StepRequest,
    module: ModuleDigest,
    lease: Lease,
    /// Whether the step began before and left nothing.
    repeated: bool,
}

impl Start {
    /// Gathers what the step needs to know.
    pub(super) fn prepare(
        performer: &mut Performer<'_, '_, '_>,
        task: TaskIndex,
        lease: Lease,
        resume: Option<Vec<Settled>>,
        time_left: Duration,
    ) -> Result<Self, StoreError> {
        let policy = &performer.workflow.tasks[usize::from(task.0)];
        let entry = match resume {
            Some(settled) => StepEntry::Resume {
                snapshot: performer.batch.tx.snapshot(performer.spec.id, task)?.unwrap_or_default(),
                settled: performer.settled(settled)?,
            },
            None => StepEntry::Start { parents: performer.parents(task), failure: None },
        };
        let request = StepRequest {
            run: Arc::clone(performer.spec),
            task,
            task_name: policy.name.clone(),
            attempt: lease.attempt,
            time_left,
            execution_timeout: policy.execution_timeout,
            memory_bytes_max: policy.memory_bytes_max,
            entry,
        };
        let repeated = performer.run.tasks[usize::from(task.0)].repeated;
        Ok(Self { request, module: performer.spec.module, lease, repeated })
    }

    /// Whether it is the start of that step.
    pub(super) fn is(&self, run: RunId, task: TaskIndex, lease: Lease) -> bool {
        self.request.run.id == run && self.request.task == task && self.lease == lease
    }

    /// The task run that the step is part of.
    pub(super) fn key(&self) -> (RunId, TaskIndex) {
        (self.request.run.id, self.request.task)
    }

    /// Runs the step; its end comes back as a command.
    pub(super) fn spawn(self, shared: &Arc<Shared>) -> tokio::task::AbortHandle {
        shared.runtime.spawn(self.run(Arc::clone(shared)))
    }

    async fn run(self, shared: Arc<Shared>) {
        let Self { request, module, lease, repeated } = self;
        let (run, task) = (request.run.id, request.task);
        let link = StepLink { shared: Arc::clone(&shared), run, task, attempt: lease.attempt, repeated };
        let commands = shared.commands.clone();
        let store = shared.store.clone();
        let bytes = move || {
            let bytes = store.reader().and_then(|reader| reader.module_bytes(module));
            bytes.map_err(|error| error.to_string())?.ok_or_else(|| "its bytes are gone".to_owned())
        };
        let step = async {
            match shared.runtime.load(module, bytes).await {
                Ok(module) => shared.runtime.run_step(&module, request, Arc::new(link)).await,
                Err(error) => failed(format!("module {module} cannot be loaded: {error}")),
            }
        };
        // A run must not hang because this program has a bug.
        let end = AssertUnwindSafe(step).catch_unwind().await;
        let end = end.unwrap_or_else(|_| {
            failed("the host failed while it ran the step; its log says more".to_owned())
        });
        // Whoever hears that nothing runs any more may stop the host and open its store again.
        drop(shared);
        // A writer that has ended has given the step back.
        drop(commands.send(Command::StepEnded { run, task, lease, end: Box::new(end) }));
    }
}

fn failed(message: String) -> StepEnd {
    let error = TaskError::new(message);
    StepEnd {
        ran: Duration::ZERO,
        outcome: StepOutcome::Failed { reason: Reason::Unloadable, error, retryable: true },
        requests: Requests::default(),
    }
}

impl Performer<'_, '_, '_> {
    fn parents(&self, task: TaskIndex) -> Vec<(TaskName, Json)> {
        let output = |index: &TaskIndex| {
            let parent = self.workflow.task(*index)?;
            let output = self.run.task(*index)?.output.clone();
            Some((parent.name.clone(), output.unwrap_or_else(Json::null)))
        };
        self.workflow
            .task(task)
            .map_or_else(Vec::new, |task| task.parents.iter().filter_map(output).collect())
    }

    fn settled(&mut self, settled: Vec<Settled>) -> Result<Vec<SettledWait>, StoreError> {
        settled
            .into_iter()
            .map(|wait| Ok(SettledWait { id: wait.id, outcome: self.outcome(wait.outcome)? }))
            .collect()
    }

    /// What the guest gets to see of what settled a wait.
    fn outcome(&mut self, outcome: WaitOutcome) -> Result<SettledOutcome, StoreError> {
        Ok(match outcome {
            WaitOutcome::Elapsed => SettledOutcome::Elapsed,
            WaitOutcome::Event(id) => match self.batch.tx.event(id)? {
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
            WaitOutcome::Run(id) => self.run_outcome(id)?,
        })
    }

    fn run_outcome(&mut self, id: RunId) -> Result<SettledOutcome, StoreError> {
        let Some((spec, run)) = self.batch.run(id)? else {
            return Ok(SettledOutcome::RunFailed { error: TaskError::new(format!("there is no run {id}")) });
        };
        let (status, reason) = (run.status, run.reason);
        Ok(match status {
            Status::Failed => {
                let failed = run.tasks.iter().find(|task| task.status == Status::Failed);
                let error = failed.and_then(|task| task.error.clone());
                SettledOutcome::RunFailed { error: error.unwrap_or_else(|| TaskError::new("the run failed")) }
            }
            Status::Cancelled => {
                SettledOutcome::RunCancelled { reason: reason.map_or("", |reason| reason.word()).to_owned() }
            }
            _ => {
                let run = run.clone();
                let workflow = self.batch.definition(&spec);
                SettledOutcome::RunCompleted {
                    output: workflow.map_or_else(Json::null, |workflow| run.output(&workflow)),
                }
            }
        })
    }
}

/// What a running step can ask of the host at once.
struct StepLink {
    shared: Arc<Shared>,
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
        match entry.check_input(input) {
            Ok(()) => Ok(entry.target.clone()),
            Err(problem) => {
                Err(TargetError::InvalidInput { workflow: entry.target.workflow.clone(), problem })
            }
        }
    }

    fn idempotent_run(&self, workflow: &WorkflowName, key: &str) -> Option<RunId> {
        let reader = self.shared.store.reader().ok()?;
        let row = reader.idempotency(IdempotencyScope::Runs(workflow), key).ok()??;
        (row.expires_at > self.shared.clock.now()).then(|| RunId::from_bytes(row.id))
    }

    fn log(&self, lines: Vec<GuestLine>) {
        let (run, task, attempt, repeated) = (self.run, self.task, self.attempt, self.repeated);
        self.shared.send(Command::Log { run, task, attempt, repeated, lines });
    }
}
