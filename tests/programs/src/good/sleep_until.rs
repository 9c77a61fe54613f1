//! Sleeps until a time that may have passed; the benchmarks learn from it how late a task wakes.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    /// In milliseconds since the Unix epoch.
    at: u64,
}

#[data]
pub(crate) struct Woke {
    /// The host's clock at the first instruction behind the sleep, as `at`.
    woke_at: u64,
    slept_ms: u64,
}

/// Sleeps until this time and says when it woke.
#[workflow]
pub(crate) async fn sleep_until(ctx: Context, input: Input) -> Result<Woke> {
    let slept = ctx.sleep_until(Timestamp::from_millis(input.at)).await;
    Ok(Woke { woke_at: ctx.now().as_millis(), slept_ms: slept.as_millis() as u64 })
}
