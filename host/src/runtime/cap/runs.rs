//! `runs`: child runs, which begin when the step is committed.

use std::time::Duration;

use dormouse_core::bounds::{IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_TTL};
use dormouse_core::id::RunId;
use dormouse_core::new_run::Target;
use dormouse_core::request::Spawn;
use dormouse_core::workflow::{Json, Metadata};

use crate::runtime::bindings::imports::runs::{Host, SpawnRequest};
use crate::runtime::bindings::types::{HostError, HostErrorCode};
use crate::runtime::budget::{argument, duration, inherited, invalid, priority};
use crate::runtime::ctx::{Ctx, StepCtx};
use crate::runtime::step::TargetError;

impl Host for Ctx {
    fn spawn(&mut self, request: SpawnRequest) -> wasmtime::Result<Result<String, HostError>> {
        let clock = self.clock.clone();
        Ok(spawn(self.step()?, request, || clock.run_id()).map(|id| id.to_string()))
    }
}

fn spawn(step: &mut StepCtx, request: SpawnRequest, id: impl FnOnce() -> RunId) -> Result<RunId, HostError> {
    let bytes = request.input.len() + request.workflow.len();
    let input = argument("input", &request.input)?;
    let metadata = inherited(request.metadata, &step.run.metadata)?;
    let priority = priority(request.priority)?;
    let idempotency = idempotency(request.idempotency_key, request.idempotency_ttl)?;
    let target = target(step, &request.workflow, &input)?;
    if let Some((key, _)) = &idempotency
        && let Some(known) = known_run(step, &target, key)
    {
        if let Known::Earlier(run) = known
            && !step.requests.adopted.contains(&run)
        {
            step.budget.take("child runs", children(step), 0, &Metadata::default())?;
            step.requests.adopted.insert(run);
        }
        return Ok(known.id());
    }
    step.budget.take("child runs", children(step), bytes, &metadata)?;
    let id = id();
    let detached = request.detached;
    step.requests.spawns.push(Spawn { id, target, input, metadata, priority, detached, idempotency });
    Ok(id)
}

fn idempotency(key: Option<String>, ttl: Option<u64>) -> Result<Option<(String, Duration)>, HostError> {
    let Some(key) = key else { return Ok(None) };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(invalid(format!("idempotency-key: it must have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes")));
    }
    let ttl = ttl.map_or(Ok(IDEMPOTENCY_TTL), duration);
    Ok(Some((key, ttl.map_err(|problem| invalid(format!("idempotency-ttl: {problem}")))?)))
}

/// How many runs the step has got.
fn children(step: &StepCtx) -> usize {
    step.requests.spawns.len() + step.requests.adopted.len()
}

/// A run that holds an idempotency key.
enum Known {
    /// This very step spawned it.
    Spawned(RunId),
    Earlier(RunId),
}

impl Known {
    fn id(&self) -> RunId {
        match self {
            Self::Spawned(id) | Self::Earlier(id) => *id,
        }
    }
}

fn known_run(step: &StepCtx, target: &Target, key: &str) -> Option<Known> {
    let holds = |spawn: &&Spawn| {
        spawn.target.workflow == target.workflow && spawn.idempotency.as_ref().is_some_and(|(k, _)| k == key)
    };
    let spawned = step.requests.spawns.iter().find(holds).map(|spawn| Known::Spawned(spawn.id));
    spawned.or_else(|| step.host.idempotent_run(&target.workflow, key).map(Known::Earlier))
}

/// What a workflow is right now, if it takes this input.
pub(super) fn target(step: &StepCtx, workflow: &str, input: &Json) -> Result<Target, HostError> {
    step.host.target(workflow, input).map_err(|error| HostError {
        code: match error {
            TargetError::UnknownWorkflow { .. } => HostErrorCode::UnknownWorkflow,
            TargetError::InvalidInput { .. } => HostErrorCode::InvalidInput,
        },
        message: error.to_string(),
    })
}
