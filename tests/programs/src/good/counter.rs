//! Sleeps many times and keeps count: the state of a task over many snapshots.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    times: u32,
    /// Of each sleep. With 0 each is a checkpoint.
    ms: u64,
}

#[data]
pub(crate) struct Count {
    count: u32,
    slept_ms: u64,
}

/// Sleeps so many times.
#[workflow]
pub(crate) async fn counter(ctx: Context, input: Input) -> Result<Count> {
    let mut slept = Duration::ZERO;
    let mut count = 0;
    while count < input.times {
        slept += ctx.sleep(Duration::from_millis(input.ms)).await;
        count += 1;
    }
    Ok(Count { count, slept_ms: slept.as_millis() as u64 })
}
