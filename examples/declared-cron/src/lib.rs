//! Crons that a workflow declares itself. They belong to the version: deploying a changed module
//! replaces them, and whether each is enabled stays as it was.
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2 -p declared-cron
//! dormouse deploy target/wasm32-wasip2/release/declared_cron.wasm
//! dormouse cron list
//! dormouse cron trigger ID
//! ```

use dormouse_sdk::prelude::*;

#[data]
struct Region {
    region: String,
}

#[data]
struct Report {
    region: String,
    /// When it was due, however late it began.
    due: Option<Timestamp>,
}

/// Reports on a region on working days, in the morning of that region.
#[workflow(
    cron(
        "0 9 * * MON-FRI",
        name = "europe",
        timezone = "Europe/Paris",
        input = r#"{"region": "europe"}"#,
        catch_up = "one",
        overlap = "skip"
    ),
    cron(
        "0 9 * * MON-FRI",
        name = "asia",
        timezone = "Asia/Tokyo",
        input = r#"{"region": "asia"}"#,
        catch_up = "one",
        overlap = "skip"
    ),
    retries = 3
)]
async fn daily_report(ctx: Context, input: Region) -> Result<Report> {
    println!("reporting on {}", input.region);
    Ok(Report { region: input.region, due: ctx.trigger().scheduled_at })
}

/// Says that it is alive, every ten seconds.
#[workflow(cron("*/10 * * * * *"))]
async fn heartbeat(ctx: Context) {
    log::info!("alive at {}", ctx.now());
}

module![daily_report, heartbeat];
