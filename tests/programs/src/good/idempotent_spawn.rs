//! Spawns the same child twice under one idempotency key.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    key: String,
    ttl_ms: Option<u64>,
}

#[data]
pub(crate) struct Spawned {
    first: RunId,
    second: RunId,
    /// What both gave.
    outputs: [Value; 2],
}

/// Spawns twice, before and after a checkpoint, and waits for both.
#[workflow]
pub(crate) async fn idempotent_spawn(ctx: Context, input: Input) -> Result<Spawned> {
    let mut options = SpawnOptions::new().idempotency_key(input.key);
    if let Some(ms) = input.ttl_ms {
        options = options.idempotency_ttl(Duration::from_millis(ms));
    }
    let first = ctx.spawn_with(&super::echo::echo, &json!("first"), options.clone())?;
    ctx.checkpoint().await;
    let second = ctx.spawn_with(&super::echo::echo, &json!("second"), options)?;
    let outputs = try_join!(first.result(), second.result())?;
    Ok(Spawned { first: first.id().clone(), second: second.id().clone(), outputs: outputs.into() })
}
