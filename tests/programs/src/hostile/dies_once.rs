//! Dies in its first attempt.

use dormouse_sdk::prelude::*;

#[data]
#[serde(rename_all = "snake_case")]
pub(crate) enum Death {
    Trap,
    /// Of its memory.
    Limit,
    Timeout,
}

/// Gives the number of the attempt that lived, which is the second.
#[workflow(retries = 1, execution_timeout = "500ms", backoff(initial = "1s", jitter = 0.0))]
pub(crate) async fn dies_once(ctx: Context, how: Death) -> Result<u32> {
    if ctx.attempt() == 1 {
        match how {
            Death::Trap => std::process::abort(),
            Death::Limit => super::memory_bomb::hoard_forever(),
            Death::Timeout => super::endless_loop::run_forever(),
        }
    }
    Ok(ctx.attempt())
}
