//! Returns more than an output may hold.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    /// 2 MiB when it is left out.
    bytes: Option<usize>,
}

/// Gives a text of so many bytes.
#[workflow]
pub(crate) async fn huge_output(_ctx: Context, input: Input) -> Result<String> {
    Ok("x".repeat(input.bytes.unwrap_or(2 << 20)))
}
