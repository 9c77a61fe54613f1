//! Runs one step: a fresh instance, its state, the guest's function, and what came of it.

use std::sync::Arc;

use dormouse_core::request::Requests;
use dormouse_core::run::{Reason, TaskError};

use super::convert::{self, Returned};
use super::ctx::{Ctx, StepCtx};
use super::engine::Inner;
use super::failure;
use super::instance::{Guest, Held};
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
    let ended = supervised(run(clock, module, request, host, ctx), &logs, &turn, started, time_left).await;
    logs.finish();
    let (outcome, requests) = match ended {
        Ok(Ok(ended)) => ended,
        Ok(Err(Ended::ByGuest(error))) => {
            (failure::of_guest(&error, &logs.last_errors()), Requests::default())
        }
        Ok(Err(Ended::ForGood(reason, message))) => (failed(reason, message, false), Requests::default()),
        Err(TimedOut) => {
            let message = format!("the attempt ran for longer than its execution timeout of {timeout:?}");
            (failed(Reason::ExecutionTimeout, message, true), Requests::default())
        }
    };
    StepEnd { ran: started.elapsed().saturating_sub(turn.waited()), outcome, requests, taken }
}

/// Why a step did not come to a result.
enum Ended {
    /// A call of the guest did not return.
    ByGuest(wasmtime::Error),
    /// Another attempt would only repeat it.
    ForGood(Reason, String),
}

impl From<wasmtime::Error> for Ended {
    fn from(error: wasmtime::Error) -> Self {
        Self::ByGuest(error)
    }
}

impl From<SnapshotError> for Ended {
    fn from(error: SnapshotError) -> Self {
        Self::ForGood(Reason::Unloadable, error.to_string())
    }
}

pub(super) fn failed(reason: Reason, message: String, retryable: bool) -> StepOutcome {
    StepOutcome::Failed { reason, error: TaskError::new(message), retryable }
}

async fn run(
    clock: &Clock,
    module: &Module,
    mut request: StepRequest,
    host: Arc<dyn StepHost>,
    ctx: Ctx,
) -> Result<(StepOutcome, Requests), Ended> {
    let mut guest = Guest::new(&module.prepared, ctx).await?;
    let held = guest.held();
    let step = StepCtx::new(request.run.clone(), request.attempt, host);
    let (monotonic, result) = match std::mem::take(&mut request.entry) {
        StepEntry::Start { parents, failure } => {
            let context = convert::task_context(&request, parents, failure);
            let monotonic = Monotonic::begin(clock);
            guest.ctx().begin(step, monotonic);
            (monotonic, guest.start(&context).await?)
        }
        StepEntry::Resume { snapshot, settled } => {
            let snapshot = Snapshot::decode(&snapshot, module.digest, &module.base)?;
            guest.load(&module.base, &snapshot.changes).await?;
            let monotonic = Monotonic::resume(clock, snapshot.monotonic, snapshot.taken_at);
            guest.ctx().begin(step, monotonic);
            (monotonic, guest.resume(&convert::settled(settled)).await?)
        }
    };
    let returned = convert::returned(result).await;
    let returned = returned.map_err(|problem| Ended::ForGood(Reason::InvalidResult, problem))?;
    let outcome = match returned {
        Returned::Completed(output) => StepOutcome::Completed { output },
        Returned::Failed { error, retryable } => {
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

async fn snapshot(
    clock: &Clock,
    module: &Module,
    guest: &mut Guest<'_>,
    held: &Held,
    monotonic: Monotonic,
) -> Result<Vec<u8>, Ended> {
    if guest.held() != *held {
        let more = guest.held_besides(held);
        let message = match more.as_slice() {
            [] => "the task has closed a resource that it got in `init`; keep it open".to_owned(),
            more => format!("the task holds {}; close it before you sleep", more.join(", ")),
        };
        return Err(Ended::ForGood(Reason::HandleHeld, message));
    }
    let changes = guest.changes(&module.base).await?;
    let snapshot = Snapshot { taken_at: clock.now(), monotonic: monotonic.reading(), changes };
    Ok(snapshot.encode(module.digest, &module.base)?)
}
