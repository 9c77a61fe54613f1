//! The monotonic clock across a sleep: it may jump ahead but never goes back.

use std::time::Instant;

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    sleep_ms: u64,
}

#[data]
pub(crate) struct Clocks {
    /// How long the sleep was by the monotonic clock; `None` when that went back.
    monotonic_ms: Option<u64>,
    /// How long it was by the host's clock.
    host_ms: u64,
}

/// Measures a sleep by both clocks.
#[workflow]
pub(crate) async fn clocks(ctx: Context, input: Input) -> Result<Clocks> {
    let (before, began) = (Instant::now(), ctx.now());
    ctx.sleep(Duration::from_millis(input.sleep_ms)).await;
    let monotonic = Instant::now().checked_duration_since(before);
    Ok(Clocks {
        monotonic_ms: monotonic.map(|duration| duration.as_millis() as u64),
        host_ms: (ctx.now() - began).as_millis() as u64,
    })
}
