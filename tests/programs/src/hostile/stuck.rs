//! Awaits what nothing will ever wake.

use dormouse_sdk::prelude::*;

/// Fails at once, as the SDK sees that there is no open wait.
#[workflow]
pub(crate) async fn stuck(_ctx: Context) {
    std::future::pending().await
}
