//! `schedules`: runs at a later time, made when the step is committed.

use dormouse_core::id::ScheduledId;
use dormouse_core::request::Schedule;

use super::runs::target;
use crate::runtime::bindings::imports::schedules::{Host, ScheduleRequest};
use crate::runtime::bindings::types::HostError;
use crate::runtime::budget::{argument, inherited, invalid, priority, timestamp};
use crate::runtime::ctx::{Ctx, StepCtx};

impl Host for Ctx {
    fn create(&mut self, request: ScheduleRequest) -> wasmtime::Result<Result<String, HostError>> {
        let clock = self.clock.clone();
        Ok(create(self.step()?, request, || clock.scheduled_id()).map(|id| id.to_string()))
    }
}

fn create(
    step: &mut StepCtx,
    request: ScheduleRequest,
    id: impl FnOnce() -> ScheduledId,
) -> Result<ScheduledId, HostError> {
    let bytes = request.input.len() + request.workflow.len();
    let trigger_at =
        timestamp(request.trigger_at).map_err(|problem| invalid(format!("trigger-at: {problem}")))?;
    let input = argument("input", &request.input)?;
    let metadata = inherited(request.metadata, &step.run.metadata)?;
    let priority = priority(request.priority)?;
    // Of the target only the name counts: the run takes the version that is current by then.
    let workflow = target(step, &request.workflow, &input)?.workflow;
    step.budget.take("scheduled runs", step.requests.schedules.len(), bytes, &metadata)?;
    let id = id();
    step.requests.schedules.push(Schedule { id, workflow, trigger_at, input, metadata, priority });
    Ok(id)
}
