//! Runs one step: a fresh instance, its state, the guest's function, and what came of it.

use std::sync::Arc;

use dormouse_core::request::Requests;
use dormouse_core::run::{Reason, TaskError};

use super::convert::{self, Returned};
use super::ctx::{Ctx, StepCtx};
use super::engine::Inner;
use super::failure;
use super::instance::{Guest, Held};
use super::limits::{MEMORIES_MAX, Refused};
use super::module::Module;
use super::snapshot::{Snapshot, SnapshotError};
use super::step::{StepEnd, StepEntry, StepHost, StepOutcome, StepRequest};
use super::supervise::{TimedOut, supervised};
use super::wasi::Monotonic;
use crate::clock::Clock;

/// Runs a step to its end or its deadline.
pub(super) async fn execute(
    inner: &Inner,
    module: &Module,
    request: StepRequest,
    host: Arc<dyn StepHost>,
) -> StepEnd {
    let clock = &inner.clock;
    let started = clock.stopwatch();
    let taken = match &request.entry {
        StepEntry::Start { .. } => 0,
        StepEntry::Resume { settled, .. } => settled.len(),
    };
    let (time_left, timeout) = (request.time_left, request.execution_timeout);
    let most = inner.memory_bytes_max;
    let memory_bytes_max = request.memory_bytes_max.map_or(most, |max| max.min(most));
    let turn = inner.processors.turn();
    let ctx = Ctx::new(clock.clone(), memory_bytes_max, turn.clone());
    let logs = ctx.logs.clone();
    let ended = supervised(run(inner, module, request, host, ctx), &logs, &turn, started, time_left).await;
    logs.finish();
    let (outcome, requests) = match ended {
        Ok(Ok(ended)) => ended,
        Ok(Err(Broken::ByGuest(error, refused))) => {
            (failure::of_guest(&error, &refused, &logs.last_errors()), Requests::default())
        }
        Ok(Err(Broken::ForGood(reason, message))) => (failed(reason, message, false), Requests::default()),
        Ok(Err(Broken::Unloadable(problem))) => {
            (StepOutcome::Held { error: TaskError::new(problem) }, Requests::default())
        }
        Err(TimedOut) => {
            let message = format!("the attempt ran for longer than its execution timeout of {timeout:?}");
            (failed(Reason::ExecutionTimeout, message, true), Requests::default())
        }
    };
    let ran = started.elapsed().saturating_sub(turn.waited());
    StepEnd { ran, outcome, requests, taken }
}

/// Why a step did not come to a result.
enum Broken {
    /// A call of the guest did not return. What the task was refused before.
    ByGuest(wasmtime::Error, Refused),
    /// Another attempt would only repeat it.
    ForGood(Reason, String),
    /// It has not begun: this host cannot restore its state.
    Unloadable(String),
}

impl Broken {
    fn not_restored(error: wasmtime::Error) -> Self {
        let (_, problem) = failure::explain(&error);
        Self::Unloadable(format!("its state cannot be restored: {problem}"))
    }
}

impl From<wasmtime::Error> for Broken {
    fn from(error: wasmtime::Error) -> Self {
        Self::ByGuest(error, Refused::default())
    }
}

pub(super) fn failed(reason: Reason, message: String, retryable: bool) -> StepOutcome {
    StepOutcome::Failed { reason, error: TaskError::new(message), retryable }
}

async fn run(
    inner: &Inner,
    module: &Module,
    mut request: StepRequest,
    host: Arc<dyn StepHost>,
    ctx: Ctx,
) -> Result<(StepOutcome, Requests), Broken> {
    let clock = &inner.clock;
    let guest = Guest::new(&module.prepared, ctx).await;
    let mut guest = match &request.entry {
        StepEntry::Start { .. } => guest?,
        // It was an instance before.
        StepEntry::Resume { .. } => guest.map_err(Broken::not_restored)?,
    };
    let held = guest.held();
    let step = StepCtx::new(request.run.clone(), request.attempt, Arc::clone(&host));
    let refused;
    let (monotonic, result) = match std::mem::take(&mut request.entry) {
        StepEntry::Start { parents, failure } => {
            let context = convert::task_context(&request, parents, failure);
            let monotonic = Monotonic::begin(clock);
            refused = guest.ctx().begin(step, monotonic);
            (monotonic, guest.start(&context).await)
        }
        StepEntry::Resume { snapshot, settled } => {
            let snapshot = read(inner, module, &*host, &snapshot)
                .map_err(|error| Broken::Unloadable(error.to_string()))?;
            guest.load(&module.base, &snapshot.changes).await.map_err(Broken::not_restored)?;
            let monotonic = Monotonic::resume(clock, snapshot.monotonic, snapshot.taken_at);
            refused = guest.ctx().begin(step, monotonic);
            (monotonic, guest.resume(&convert::settled(settled)).await)
        }
    };
    let result = result.map_err(|error| Broken::ByGuest(error, refused.clone()))?;
    let returned = convert::returned(result).await;
    let returned = returned.map_err(|problem| Broken::ForGood(Reason::InvalidResult, problem))?;
    let outcome = match returned {
        Returned::Completed(output) => StepOutcome::Completed { output },
        Returned::Failed { mut error, retryable } => {
            if let Some(limit) = refused.limit() {
                error.message += &format!(" ({limit})");
            }
            let outcome = StepOutcome::Failed { reason: Reason::Error, error, retryable };
            return Ok((outcome, Requests::default()));
        }
        Returned::Suspended { waits, dropped } => {
            let snapshot = snapshot(clock, module, &mut guest, &held, monotonic).await?;
            StepOutcome::Suspended { waits, dropped, snapshot }
        }
    };
    Ok((outcome, guest.ctx().take_requests()))
}

/// Reads a snapshot as one that is told apart from the base image that the module has on this host.
fn read(
    inner: &Inner,
    module: &Module,
    host: &dyn StepHost,
    bytes: &[u8],
) -> Result<Snapshot, SnapshotError> {
    let found = match Snapshot::decode(bytes, module.digest, &module.base) {
        Err(SnapshotError::Base { found }) => found,
        read => return read,
    };
    let memory_bytes_max = inner.memory_bytes_max.saturating_mul(u64::from(MEMORIES_MAX));
    let stored = module.stored_base(found, || host.base_image(found), memory_bytes_max)?;
    if stored.handles != module.base.handles {
        let (then, now) = (stored.handles.join(", "), module.base.handles.join(", "));
        return Err(SnapshotError::Handles { then, now });
    }
    let snapshot = Snapshot::decode(bytes, module.digest, &stored)?;
    let changes = snapshot.changes.rebased(&stored, &module.base);
    if !changes.fits(&module.base) {
        return Err(SnapshotError::Damaged(
            "its memory is smaller than that of a fresh instance on this host",
        ));
    }
    Ok(Snapshot { changes, ..snapshot })
}

async fn snapshot(
    clock: &Clock,
    module: &Module,
    guest: &mut Guest<'_>,
    held: &Held,
    monotonic: Monotonic,
) -> Result<Vec<u8>, Broken> {
    if guest.held() != *held {
        let more = guest.held_besides(held);
        let message = match more.as_slice() {
            [] => "the task has closed a resource that it got in `init`; keep it open".to_owned(),
            more => format!("the task holds {}; close it before you sleep", more.join(", ")),
        };
        return Err(Broken::ForGood(Reason::HandleHeld, message));
    }
    let changes = guest.changes(&module.base).await?;
    let snapshot = Snapshot { taken_at: clock.now(), monotonic: monotonic.reading(), changes };
    let encoded = snapshot.encode(module.digest, &module.base);
    encoded.map_err(|error| Broken::ForGood(Reason::Limit, error.to_string()))
}
