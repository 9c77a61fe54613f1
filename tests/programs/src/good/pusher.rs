//! Pushes an event and spawns a child, and then takes its time before it suspends, so that a test
//! can kill the host in between: afterwards each must have happened once.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    /// Goes into the payload, so that a test finds its own events.
    tag: String,
    /// How long it really runs on.
    #[serde(default)]
    block_ms: u64,
    /// How long it sleeps after that.
    #[serde(default)]
    sleep_ms: u64,
}

#[data]
pub(crate) struct Pushed {
    event: String,
    child: RunId,
}

/// Pushes `pusher:pushed` and spawns `echo`.
#[workflow]
pub(crate) async fn pusher(ctx: Context, input: Input) -> Result<Pushed> {
    let event = ctx.push_event("pusher:pushed", &json!({ "tag": input.tag }))?;
    let child = ctx.spawn(&super::echo::echo, &json!({ "tag": input.tag }))?;
    println!("effects asked for");
    std::thread::sleep(Duration::from_millis(input.block_ms));
    ctx.sleep(Duration::from_millis(input.sleep_ms)).await;
    Ok(Pushed { event: event.to_string(), child: child.id().clone() })
}
