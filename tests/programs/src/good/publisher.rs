//! Publishes to the stream of its run.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    chunks: u32,
    /// Between two chunks; with 0 all are published in one step.
    #[serde(default)]
    sleep_ms: u64,
}

/// Publishes `chunk 0`, `chunk 1` and so on.
#[workflow]
pub(crate) async fn publisher(ctx: Context, input: Input) -> Result<u32> {
    for n in 0..input.chunks {
        ctx.publish(format!("chunk {n}"))?;
        if input.sleep_ms > 0 {
            ctx.sleep(Duration::from_millis(input.sleep_ms)).await;
        }
    }
    Ok(input.chunks)
}
