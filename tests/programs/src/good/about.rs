//! Says what a task can learn about its run.

use std::collections::BTreeMap;

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct About {
    run: RunId,
    attempt: u32,
    metadata: BTreeMap<String, String>,
    priority: u8,
    parent: Option<RunId>,
    created_at: Timestamp,
    now: Timestamp,
    /// Such as `Cron`.
    trigger: String,
    trigger_id: Option<String>,
    scheduled_at: Option<Timestamp>,
    input: Value,
}

/// Tells everything about the run that it is, and its input.
#[workflow(on_event = "both:*")]
pub(crate) async fn about(ctx: Context, input: Value) -> Result<About> {
    let trigger = ctx.trigger();
    Ok(About {
        run: ctx.run_id(),
        attempt: ctx.attempt(),
        metadata: ctx.metadata(),
        priority: ctx.priority(),
        parent: ctx.parent(),
        created_at: ctx.created_at(),
        now: ctx.now(),
        trigger: format!("{:?}", trigger.kind),
        trigger_id: trigger.id,
        scheduled_at: trigger.scheduled_at,
        input,
    })
}
