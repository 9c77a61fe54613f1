//! Waits for an event, with all that can be said about which.

use std::collections::BTreeMap;

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    pattern: String,
    filter: Option<String>,
    look_back_ms: Option<u64>,
    /// Before it waits, so that an event can come too early.
    #[serde(default)]
    sleep_ms: u64,
}

#[data]
pub(crate) struct Received {
    id: String,
    key: String,
    payload: Value,
    metadata: BTreeMap<String, String>,
    pushed_at: Timestamp,
}

/// Gives the event that came.
#[workflow]
pub(crate) async fn event_waiter(ctx: Context, input: Input) -> Result<Received> {
    if input.sleep_ms > 0 {
        ctx.sleep(Duration::from_millis(input.sleep_ms)).await;
    }
    let mut wait = ctx.wait_for_event(&input.pattern);
    if let Some(filter) = input.filter {
        wait = wait.filter(filter);
    }
    if let Some(ms) = input.look_back_ms {
        wait = wait.look_back(Duration::from_millis(ms));
    }
    let event = wait.whole().await?;
    Ok(Received {
        id: event.id.to_string(),
        key: event.key,
        payload: event.payload,
        metadata: event.metadata,
        pushed_at: event.pushed_at,
    })
}
