//! A cron beside a backlog: all sleepers are due in the same instant, and until the last of them
//! has completed a cron fires each second.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::json;
use tokio::time::sleep;

use crate::Bench;
use crate::beside::Beside;
use crate::client::{Client, start_body};
use crate::clock::now_ms;
use crate::load::start_all;
use crate::programs::{self, ABOUT, SLEEP_UNTIL};
use crate::report::{Row, Unit};
use crate::stats::Samples;

const STARTERS: usize = 64;

/// Sleepers that are brought to sleep first, to learn how long all of them will take.
const WARM_UP: usize = 2_000;

/// All sleep before the first is due: this many times as long as the first of them let expect, and
/// a while.
const LEAD: f64 = 2.0;
const MARGIN: Duration = Duration::from_secs(5);

/// How long the cron is watched at least, and at most while the backlog lasts.
const WATCHED_MIN: Duration = Duration::from_secs(10);
const WATCHED_MAX: Duration = Duration::from_secs(900);

const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The design's target, in milliseconds.
const LATE_MILLIS_MAX: f64 = 1_000.0;

/// Measures how late the cron's runs begin.
pub(crate) async fn backlog(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let count = bench.size(bench.sleepers);
    let host = bench.start_host().await?;
    let mut client = host.connect().await?;

    let later = now_ms() + 86_400_000;
    let body = move |_| start_body(&programs::sleep_until(later));
    let warm_up = bench.size(WARM_UP);
    let load = start_all(host.address(), STARTERS, SLEEP_UNTIL, warm_up, WATCHED_MAX, body).await?;
    let lead = MARGIN + Duration::from_secs_f64(LEAD * count as f64 / load.per_second());
    let due = now_ms() + i64::try_from(lead.as_millis())?;
    let body = move |_| start_body(&programs::sleep_until(due));
    start_all(host.address(), STARTERS, SLEEP_UNTIL, count, lead, body).await?;
    client.counted(SLEEP_UNTIL, "sleeping", warm_up + count, lead).await?;
    ensure!(now_ms() < due, "the sleepers were due before all slept");

    let cron = json!({"expression": "* * * * * *"});
    client.ask(Method::PUT, &format!("/api/v1/workflows/{ABOUT}/crons/each-second"), &cron).await?;
    sleep(Duration::from_millis(u64::try_from(due - now_ms()).unwrap_or_default())).await;
    let beside = Beside::start(host.address())?;
    let drained = drain(&mut client, count).await?;
    let worst = beside.end().await?;

    let late = lateness(&mut client, due).await?;
    let samples = Samples::new(late).context("the cron never fired")?;
    let note = format!("p50 {:.0} ms, {} firings", samples.median(), samples.len());
    rows.extend([
        Row::new("the cron's runs began late, worst", samples.max(), Unit::Millis)
            .at_most(LATE_MILLIS_MAX)
            .note(note),
        Row::new("backlog woken and completed", count as f64 / drained.as_secs_f64(), Unit::PerSecond)
            .note(format!("{count} sleepers in {:.1} s", drained.as_secs_f64())),
        worst,
    ]);
    Ok(())
}

/// Returns once the backlog is gone and the cron has fired a few times. Gives how long the backlog
/// lasted.
async fn drain(client: &mut Client, count: usize) -> Result<Duration> {
    let began = Instant::now();
    let mut drained = None;
    while drained.is_none() || began.elapsed() < WATCHED_MIN {
        ensure!(began.elapsed() < WATCHED_MAX, "the backlog is not gone after {WATCHED_MAX:?}");
        sleep(LOOK_INTERVAL).await;
        if drained.is_none() && client.count(SLEEP_UNTIL, "completed").await? >= count as u64 {
            drained = Some(began.elapsed());
        }
    }
    drained.context("the backlog is gone")
}

/// How late each run of the cron began that was due since a time, in milliseconds.
async fn lateness(client: &mut Client, since_ms: i64) -> Result<Vec<f64>> {
    let runs = client.completed(ABOUT).await?;
    let times = runs.iter().map(|run| {
        programs::due_and_begun(&run.output).context("its output has the times at which it was due and began")
    });
    let times = times.collect::<Result<Vec<_>>>()?;
    Ok(times.iter().filter(|(due, _)| *due >= since_ms).map(|(due, begun)| (begun - due) as f64).collect())
}
