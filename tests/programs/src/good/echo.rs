//! The least that a task can do; the benchmarks start it.

use dormouse_sdk::prelude::*;

/// Gives its input back.
#[workflow]
pub(crate) async fn echo(_ctx: Context, input: Value) -> Result<Value> {
    Ok(input)
}
