//! Runs out of stack.

use std::hint::black_box;

use dormouse_sdk::prelude::*;

/// Recurses without end.
#[workflow]
pub(crate) async fn deep_recursion(_ctx: Context) -> Result<u64> {
    Ok(deeper(0))
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    deeper(depth + 1) + frame[3]
}
