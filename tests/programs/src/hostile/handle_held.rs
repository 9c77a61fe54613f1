//! Holds a resource of the host over a sleep, which no snapshot can keep.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    /// Whether it closes the resource before it sleeps, as it should.
    close: bool,
}

/// Opens a pollable of the monotonic clock and sleeps for a second.
#[workflow]
pub(crate) async fn handle_held(ctx: Context, input: Input) -> Result<bool> {
    #[cfg(target_os = "wasi")]
    let held = wasip2::clocks::monotonic_clock::subscribe_duration(u64::MAX);
    #[cfg(not(target_os = "wasi"))]
    let held = Box::new("only a component has handles");
    if input.close {
        drop(held);
        ctx.sleep(Duration::from_secs(1)).await;
    } else {
        ctx.sleep(Duration::from_secs(1)).await;
        drop(held);
    }
    Ok(input.close)
}
