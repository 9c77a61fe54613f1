//! Blocks its thread instead of suspending: time that counts as running.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    ms: u64,
    /// How many steps block for so long, with a minute of sleep between them: 1 when it is left out.
    steps: Option<u32>,
}

/// Blocks for so long. The time-out is a second.
#[workflow(execution_timeout = "1s")]
pub(crate) async fn blocking_sleep(ctx: Context, input: Input) -> Result<()> {
    for step in 0..input.steps.unwrap_or(1) {
        if step > 0 {
            ctx.sleep(Duration::from_secs(60)).await;
        }
        println!("blocking");
        std::thread::sleep(Duration::from_millis(input.ms));
        println!("blocked");
    }
    Ok(())
}
