//! Sleeping: the task is away for as long as it likes and goes on where it stopped. While it
//! sleeps it is a row in the store; stop the host, start it again, and it still wakes.
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2 -p durable-sleep
//! dormouse deploy target/wasm32-wasip2/release/durable_sleep.wasm
//! dormouse run durable-sleep --input '{"seconds": 10}' --wait
//! ```

use dormouse_sdk::prelude::*;

#[data]
struct Input {
    seconds: u64,
}

#[data]
struct Slept {
    /// How long it was asked to sleep.
    asked_ms: u64,
    /// How long it slept. More when the host was down at the time.
    slept_ms: u64,
}

/// Sleeps and says how long it was.
#[workflow]
async fn durable_sleep(ctx: Context, input: Input) -> Result<Slept> {
    let asked = Duration::from_secs(input.seconds);
    println!("good night");
    let slept = ctx.sleep(asked).await;
    println!("good morning");
    Ok(Slept { asked_ms: asked.as_millis() as u64, slept_ms: slept.as_millis() as u64 })
}

module![durable_sleep];
