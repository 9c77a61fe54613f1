//! Logs in all the ways there are.

use dormouse_sdk::prelude::*;

/// Logs a line of every level and prints two. The first attempt fails after the first of them.
#[workflow(retries = 1, backoff(initial = "1s", jitter = 0.0))]
pub(crate) async fn logger(ctx: Context) -> Result<()> {
    log::trace!("trace");
    if ctx.attempt() == 1 {
        return Err(Error::new("once more"));
    }
    log::debug!("debug");
    log::info!("info");
    log::warn!("warn");
    log::error!("error");
    println!("to standard output");
    eprintln!("to standard error");
    Ok(())
}
