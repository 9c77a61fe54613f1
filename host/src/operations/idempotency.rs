//! What calls and pushes with a known idempotency key have in common.

use crate::error::Error;

/// A key stands for something else than what comes with it now.
pub(super) fn conflict(key: &str, of: String) -> Error {
    let text = format!(
        "the idempotency key `{key}` is that of {of}; repeat a request as it was, or take another key"
    );
    Error { field: Some("idempotencyKey".to_owned()), ..Error::conflict("idempotency_conflict", text) }
}
