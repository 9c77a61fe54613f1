//! Waits for a sleep, an event and a child at once.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    sleep_ms: u64,
    key: String,
}

#[data]
pub(crate) struct Joined {
    slept_ms: u64,
    event: Value,
    child: Value,
}

/// Ends when all three have come, in whatever order.
#[workflow]
pub(crate) async fn joiner(ctx: Context, input: Input) -> Result<Joined> {
    let child = ctx.spawn(&super::echo::echo, &json!("child"))?;
    let (slept, event, child) = join!(
        ctx.sleep(Duration::from_millis(input.sleep_ms)),
        ctx.wait_for_event(&input.key),
        child.result(),
    );
    Ok(Joined { slept_ms: slept.as_millis() as u64, event: event?, child: child? })
}
