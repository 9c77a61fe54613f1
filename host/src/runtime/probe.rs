//! Measures what starting, snapshotting and waking one instance takes, for the benchmark: none of it
//! can be seen from outside.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_core::id::{BaseDigest, RunId, TaskIndex, Version, WorkflowName};
use dormouse_core::new_run::Target;
use dormouse_core::run::{RunSpec, Trigger};
use dormouse_core::workflow::{Json, Metadata, Priority};

use super::convert;
use super::ctx::{Ctx, StepCtx};
use super::engine::{Inner, Runtime};
use super::instance::Guest;
use super::module::Module;
use super::snapshot::Snapshot;
use super::step::{GuestLine, StepEntry, StepHost, StepRequest, TargetError};
use super::wasi::Monotonic;

/// How long each part took, once per round.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    /// From nothing to the end of `init`.
    pub(crate) instantiate: Vec<Duration>,
    /// From the suspended guest to the bytes that are stored.
    pub(crate) snapshot: Vec<Duration>,
    /// From these bytes to the guest's memory, in an instance that is there.
    pub(crate) restore: Vec<Duration>,
    /// From nothing to where `resume` is called: an instance, `init` and the restored state.
    pub(crate) wake: Vec<Duration>,
    /// Size of the stored snapshot.
    pub(crate) snapshot_bytes: usize,
}

impl Runtime {
    /// Starts a task that suspends at once, and wakes it, so many times.
    ///
    /// # Errors
    ///
    /// When the module is refused or the task does something else.
    pub(crate) async fn probe(
        &self,
        bytes: Vec<u8>,
        workflow: &WorkflowName,
        input: Json,
        rounds: usize,
    ) -> Result<Timings, String> {
        let inspection = self.inspect(bytes).await.map_err(|refusal| refusal.to_string())?;
        let gone = || Err("its bytes are not kept".to_owned());
        let module = self.load(inspection.digest, gone).await.map_err(|error| error.to_string())?;
        let run = Arc::new(run_spec(inspection.digest, workflow, input));
        let inner = self.inner();
        let work = inner.clone();
        inner.on_guest_threads(async move { measure(&work, &module, &run, rounds).await }).await?
    }
}

async fn measure(
    inner: &Inner,
    module: &Module,
    run: &Arc<RunSpec>,
    rounds: usize,
) -> Result<Timings, String> {
    let _running = inner.ticker.running();
    let mut timings = Timings::default();
    for _ in 0..rounds {
        round(inner, module, run, &mut timings).await.map_err(|error| format!("{error:#}"))?;
    }
    Ok(timings)
}

async fn round(
    inner: &Inner,
    module: &Module,
    run: &Arc<RunSpec>,
    timings: &mut Timings,
) -> wasmtime::Result<()> {
    let fresh = || {
        Guest::new(
            &module.prepared,
            Ctx::new(inner.clock.clone(), inner.memory_bytes_max, inner.processors.turn()),
        )
    };

    let start = Instant::now();
    let mut guest = fresh().await?;
    timings.instantiate.push(start.elapsed());
    let monotonic = Monotonic::begin(&inner.clock);
    guest.ctx().begin(step(run), monotonic);
    guest.start(&convert::task_context(&request(run), Vec::new(), None)).await?;

    let start = Instant::now();
    let changes = guest.changes(&module.base).await?;
    let snapshot = Snapshot { taken_at: inner.clock.now(), monotonic: monotonic.reading(), changes };
    let bytes = snapshot.encode(module.digest, &module.base)?;
    timings.snapshot.push(start.elapsed());
    timings.snapshot_bytes = bytes.len();
    drop(guest);

    let start = Instant::now();
    let mut guest = fresh().await?;
    let restore = Instant::now();
    let snapshot = Snapshot::decode(&bytes, module.digest, &module.base)?;
    guest.load(&module.base, &snapshot.changes).await?;
    timings.restore.push(restore.elapsed());
    guest.ctx().begin(step(run), Monotonic::resume(&inner.clock, snapshot.monotonic, snapshot.taken_at));
    timings.wake.push(start.elapsed());
    Ok(())
}

fn step(run: &Arc<RunSpec>) -> StepCtx {
    StepCtx::new(run.clone(), 1, Arc::new(Nobody))
}

fn request(run: &Arc<RunSpec>) -> StepRequest {
    StepRequest {
        run: run.clone(),
        task: TaskIndex(0),
        // A workflow of one task names it after itself, and names of both follow one rule.
        task_name: run.workflow.as_str().parse().unwrap_or_else(|_| unreachable!("it names a workflow")),
        attempt: 1,
        time_left: Duration::MAX,
        execution_timeout: Duration::MAX,
        memory_bytes_max: None,
        entry: StepEntry::default(),
    }
}

fn run_spec(module: dormouse_core::id::ModuleDigest, workflow: &WorkflowName, input: Json) -> RunSpec {
    RunSpec {
        id: RunId::from_bytes([0; 16]),
        workflow: workflow.clone(),
        version: Version(1),
        module,
        input,
        metadata: Metadata::default(),
        priority: Priority::DEFAULT,
        trigger: Trigger::Call,
        parent: None,
        detached: false,
        created_at: dormouse_core::time::Timestamp::default(),
    }
}

/// There is no host behind the guests of a probe.
struct Nobody;

impl StepHost for Nobody {
    fn target(&self, workflow: &str, _: &Json) -> Result<Target, TargetError> {
        Err(TargetError::UnknownWorkflow { name: workflow.to_owned() })
    }

    fn idempotent_run(&self, _: &WorkflowName, _: &str) -> Option<RunId> {
        None
    }

    fn base_image(&self, _: BaseDigest) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    fn log(&self, _: Vec<GuestLine>) {}
}
