//! Randomness before and after a restore: it must not come out of the snapshot.

use std::hash::{BuildHasher, RandomState};

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    sleep_ms: u64,
}

#[data]
pub(crate) struct Draw {
    host: [u64; 2],
    uuids: [String; 2],
    /// From the keys of a hash map, which the standard library draws once and then counts up.
    hash: String,
}

/// Draws before and after a sleep.
#[workflow]
pub(crate) async fn random(ctx: Context, input: Input) -> Result<[Draw; 2]> {
    let before = draw(&ctx);
    ctx.sleep(Duration::from_millis(input.sleep_ms)).await;
    Ok([before, draw(&ctx)])
}

fn draw(ctx: &Context) -> Draw {
    Draw {
        host: [ctx.random_u64(), ctx.random_u64()],
        uuids: [ctx.uuid(), ctx.uuid()],
        hash: RandomState::new().hash_one(7).to_string(),
    }
}
