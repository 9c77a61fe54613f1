//! A run at a set time, and a task that schedules the next one itself.
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2 -p scheduled-chain
//! dormouse deploy target/wasm32-wasip2/release/scheduled_chain.wasm
//! dormouse schedule create remind --in 1m --input '{"text": "water the plants", "times": 3}'
//! dormouse schedule list
//! ```

use dormouse_sdk::prelude::*;

#[data]
struct Reminder {
    text: String,
    /// How often it is still to be said, this time included.
    times: u32,
}

#[data]
struct Reminded {
    /// The next one, if any.
    next: Option<ScheduledId>,
}

/// Reminds, and 15 seconds later again, as often as it was told.
#[workflow]
async fn remind(ctx: Context, reminder: Reminder) -> Result<Reminded> {
    println!("remember: {}", reminder.text);
    if reminder.times <= 1 {
        return Ok(Reminded { next: None });
    }
    let again = Reminder { times: reminder.times - 1, ..reminder };
    // The schedule and the end of this run are one transaction: there is never one without the other.
    let next = ctx.schedule(&remind, ctx.now() + Duration::from_secs(15), &again)?;
    Ok(Reminded { next: Some(next) })
}

module![remind];
