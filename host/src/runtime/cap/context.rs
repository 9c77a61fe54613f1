//! `context`: of what the running step is a part.

use dormouse_core::run::Trigger;
use dormouse_core::time::Timestamp;

use crate::runtime::bindings::imports::context::{self, Host, RunContext, TriggerKind};
use crate::runtime::convert::pairs;
use crate::runtime::ctx::Ctx;

impl Host for Ctx {
    fn current(&mut self) -> wasmtime::Result<RunContext> {
        let step = self.step()?;
        let run = &step.run;
        Ok(RunContext {
            run_id: run.id.to_string(),
            attempt: step.attempt,
            metadata: pairs(&run.metadata),
            priority: run.priority.number(),
            trigger: trigger(run.trigger),
            parent: run.parent.map(|parent| parent.to_string()),
            created_at: run.created_at.as_millis(),
        })
    }
}

fn trigger(trigger: Trigger) -> context::Trigger {
    let plain = |kind, id: Option<String>| context::Trigger { kind, id, scheduled_at: None };
    let timed = |kind, id: String, nominal: Timestamp| context::Trigger {
        kind,
        id: Some(id),
        scheduled_at: Some(nominal.as_millis()),
    };
    match trigger {
        Trigger::Call => plain(TriggerKind::Call, None),
        Trigger::Cron { id, nominal } => timed(TriggerKind::Cron, id.to_string(), nominal),
        Trigger::Scheduled { id, nominal } => timed(TriggerKind::Scheduled, id.to_string(), nominal),
        Trigger::Event(id) => plain(TriggerKind::Event, Some(id.to_string())),
        Trigger::Parent(id) => plain(TriggerKind::Parent, Some(id.to_string())),
        Trigger::Replay(id) => plain(TriggerKind::Replay, Some(id.to_string())),
    }
}
