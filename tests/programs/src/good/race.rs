//! An event against a sleep; the loser is dropped.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    key: String,
    sleep_ms: u64,
    /// How long it sleeps once it is decided, so that a test can see the loser gone.
    #[serde(default)]
    linger_ms: u64,
}

#[data]
pub(crate) struct Winner {
    /// The payload, if the event won.
    event: Option<Value>,
}

/// Says who was first.
#[workflow]
pub(crate) async fn race(ctx: Context, input: Input) -> Result<Winner> {
    let event = select! {
        event = ctx.wait_for_event(&input.key) => Some(event?),
        _ = ctx.sleep(Duration::from_millis(input.sleep_ms)) => None,
    };
    if input.linger_ms > 0 {
        ctx.sleep(Duration::from_millis(input.linger_ms)).await;
    }
    Ok(Winner { event })
}
