//! Fails as often as it is told.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    /// How many attempts fail.
    attempts: u32,
    /// Whether they fail for good.
    #[serde(default)]
    fatal: bool,
    /// How long each attempt sleeps before it fails.
    #[serde(default)]
    sleep_ms: u64,
}

/// Gives the number of the attempt that succeeded. Tried again five times.
#[workflow(retries = 5, backoff(initial = "1s", factor = 2.0, max = "10s", jitter = 0.0))]
pub(crate) async fn fails(ctx: Context, input: Input) -> Result<u32> {
    let attempt = ctx.attempt();
    if input.sleep_ms > 0 {
        ctx.sleep(Duration::from_millis(input.sleep_ms)).await;
    }
    if attempt > input.attempts {
        return Ok(attempt);
    }
    // None of these must be seen by anyone: the attempt fails.
    ctx.push_event("fails:pushed", &attempt)?;
    ctx.spawn(&super::echo::echo, &json!(attempt))?;
    ctx.schedule(&super::echo::echo, ctx.now() + Duration::from_secs(1), &json!(attempt))?;
    let error = Error::new(format!("attempt {attempt} fails")).with_details(json!({ "attempt": attempt }));
    Err(if input.fatal { error.into_fatal() } else { error })
}
