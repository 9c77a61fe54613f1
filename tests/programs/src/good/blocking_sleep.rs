//! Blocks its thread instead of suspending: time that counts as running.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    ms: u64,
}

/// Blocks for so long. The time-out is a second.
#[workflow(execution_timeout = "1s")]
pub(crate) async fn blocking_sleep(_ctx: Context, input: Input) -> Result<()> {
    println!("blocking");
    std::thread::sleep(Duration::from_millis(input.ms));
    println!("blocked");
    Ok(())
}
