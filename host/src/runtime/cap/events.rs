//! `events`: events that a task pushes, taken in when the step is committed.

use dormouse_core::event::check_key;
use dormouse_core::id::EventId;
use dormouse_core::request::Push;

use crate::runtime::bindings::imports::events::{Event, Host};
use crate::runtime::bindings::types::HostError;
use crate::runtime::budget::{argument, inherited, invalid, priority};
use crate::runtime::ctx::{Ctx, StepCtx};

impl Host for Ctx {
    fn push(&mut self, event: Event) -> wasmtime::Result<Result<String, HostError>> {
        let clock = self.clock.clone();
        Ok(push(self.step()?, event, || clock.event_id()).map(|id| id.to_string()))
    }
}

fn push(step: &mut StepCtx, event: Event, id: impl FnOnce() -> EventId) -> Result<EventId, HostError> {
    let key = event.key;
    check_key(&key).map_err(|error| invalid(format!("key: {error}")))?;
    let payload = argument("payload", &event.payload)?;
    let metadata = inherited(event.metadata, &step.run.metadata)?;
    let priority = priority(event.priority)?;
    step.budget.take("events", step.requests.events.len(), key.len() + payload.as_str().len(), &metadata)?;
    let id = id();
    step.requests.events.push(Push { id, key, payload, metadata, priority });
    Ok(id)
}
