//! Schedules itself.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Link {
    /// How many more there will be.
    left: u32,
    /// How long after this one.
    ms: u64,
}

#[data]
pub(crate) struct Next {
    next: Option<ScheduledId>,
}

/// Schedules its successor, until none is left.
#[workflow]
pub(crate) async fn chain(ctx: Context, link: Link) -> Result<Next> {
    let Some(left) = link.left.checked_sub(1) else { return Ok(Next { next: None }) };
    let at = ctx.now() + Duration::from_millis(link.ms);
    let next = ctx.schedule_with(
        &chain,
        at,
        &Link { left, ms: link.ms },
        ScheduleOptions::new().metadata("left", left.to_string()).priority(2),
    )?;
    Ok(Next { next: Some(next) })
}
