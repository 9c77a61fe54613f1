//! Fails when it has to stand in the queue for long.

use dormouse_sdk::prelude::*;

/// Must begin within ten seconds. Sleeps for a minute, which does not count.
#[workflow(schedule_timeout = "10s")]
pub(crate) async fn impatient(ctx: Context) -> Result<()> {
    ctx.sleep(Duration::from_secs(60)).await;
    Ok(())
}
