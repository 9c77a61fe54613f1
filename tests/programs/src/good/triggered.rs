//! Started by events.

use dormouse_sdk::prelude::*;

/// Gives the payload of the event that started it.
#[workflow(
    on_event = "triggered:plain",
    on_event("triggered:*:adult", filter = "input.age >= 18"),
    on_event = "both:at-once"
)]
pub(crate) async fn triggered(_ctx: Context, payload: Value) -> Result<Value> {
    Ok(payload)
}
