//! Opens more waits than a task run may.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    /// 10001 when it is left out: one too many.
    waits: Option<u64>,
    /// Of the shortest; each further one is a millisecond longer.
    sleep_ms: u64,
}

/// Sleeps so many sleeps at once.
#[workflow]
pub(crate) async fn wait_flood(ctx: Context, input: Input) -> Result<usize> {
    let sleeps =
        (0..input.waits.unwrap_or(10_001)).map(|n| ctx.sleep(Duration::from_millis(input.sleep_ms + n)));
    Ok(join_all(sleeps).await.len())
}
