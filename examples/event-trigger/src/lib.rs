//! A workflow that an event starts, and that pushes one itself.
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2 -p event-trigger
//! dormouse deploy target/wasm32-wasip2/release/event_trigger.wasm
//! dormouse event push user:create --payload '{"email": "ann@example.com", "should_skip": false}'
//! dormouse runs list
//! ```

use dormouse_sdk::prelude::*;

#[data]
struct UserCreated {
    email: String,
    should_skip: bool,
}

#[data]
struct Greeted {
    email: String,
    greeted: bool,
}

/// Greets every new user, but for those that are to be skipped.
#[workflow(on_event = "user:create", retries = 3)]
async fn greet_user(ctx: Context, user: UserCreated) -> Result<Greeted> {
    if user.should_skip {
        println!("skipping {}", user.email);
        return Ok(Greeted { email: user.email, greeted: false });
    }
    println!("welcome, {}", user.email);
    ctx.push_event("user:greeted", &json!({ "email": user.email }))?;
    Ok(Greeted { email: user.email, greeted: true })
}

/// Counts as greeted whoever has an address at our own company, without a run for the others.
#[workflow(on_event("user:greeted", filter = "input.email.endsWith('@example.com')"))]
async fn note_colleague(ctx: Context, user: Value) -> Result<()> {
    log::info!("{} is one of us, says event {:?}", user["email"], ctx.trigger().id);
    Ok(())
}

module![greet_user, note_colleague];
