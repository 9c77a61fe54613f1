//! Spawns more than a step may.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    /// A million when it is left out.
    runs: Option<u32>,
}

#[data]
pub(crate) struct Flood {
    accepted: u32,
    refused: u32,
    /// What the host said to the first that it refused.
    refusal: Option<String>,
}

/// Counts how many spawns the host took.
#[workflow]
pub(crate) async fn spawn_flood(ctx: Context, input: Input) -> Result<Flood> {
    let mut flood = Flood { accepted: 0, refused: 0, refusal: None };
    for _ in 0..input.runs.unwrap_or(1_000_000) {
        match ctx.spawn(&crate::good::echo::echo, &Value::Null) {
            Ok(_) => flood.accepted += 1,
            Err(error) => {
                flood.refused += 1;
                flood.refusal.get_or_insert_with(|| error.to_string());
            }
        }
    }
    Ok(flood)
}
