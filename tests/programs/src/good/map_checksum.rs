//! Keeps a hash map over a sleep: memory, its allocator and its random hash keys must survive.

use std::collections::HashMap;

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    n: u64,
    sleep_ms: u64,
}

#[data]
pub(crate) struct Checksum {
    /// Of all entries, looked up by key after the sleep: `n * n * (n - 1) / 2`, wrapping.
    checksum: u64,
    slept_ms: u64,
}

/// Fills a map, sleeps, and adds up what it finds.
#[workflow]
pub(crate) async fn map_checksum(ctx: Context, input: Input) -> Result<Checksum> {
    let map: HashMap<u64, u64> = (0..input.n).map(|key| (key, key.wrapping_mul(input.n))).collect();
    println!("before");
    let slept = ctx.sleep(Duration::from_millis(input.sleep_ms)).await;
    println!("after");
    let checksum = (0..input.n).fold(0u64, |sum, key| sum.wrapping_add(map[&key]));
    Ok(Checksum { checksum, slept_ms: slept.as_millis() as u64 })
}
