//! A store that has grown, with retention at work. Nothing is kept for less than a day, so the clock
//! of the host is moved back while the store is filled; then the host is started anew with the clock
//! as it is. Half of what is in the store is due at once, as after a downtime, and the rest becomes
//! due as fast as it came, while the load goes on: as much goes as comes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::sleep;

use crate::Bench;
use crate::beside::Beside;
use crate::client::{start_body, start_path};
use crate::clock::{now_ms, parse_ms};
use crate::host::Host;
use crate::load::{Load, Requests, drive};
use crate::process::allocated_bytes;
use crate::programs::{self, ECHO};
use crate::report::{Row, Unit};

const CLIENTS: usize = 64;
const WAIT_MS: u32 = 10_000;

/// The shortest retention, and the host's argument for it.
const KEPT: Duration = Duration::from_secs(86_400);
const ARGUMENTS: [&str; 2] = ["--retention-days", "1"];

/// How long the throughput is measured, in the new store and in the end.
const MEASURED: Duration = Duration::from_secs(20);

/// How often the size of the store is looked at, unless that were too rarely for the report.
const WINDOW: Duration = Duration::from_secs(5);

/// How long `steady` fills the store.
const STEADY_FILL: Duration = Duration::from_secs(60);

/// What a run of `long` works on, and returns: with less, an hour is over before the store has 10 GB.
const LONG_INPUT_BYTES: usize = 1_000;

/// A store grows slower the larger it is: this much more time is given to fill it than the new one
/// lets expect.
const SLACK: f64 = 1.25;

/// How often the size is in the report, for each of the two halves.
const SIZES: usize = 4;

/// How far the clock of the host may be from where it was moved to.
const CLOCK_ERROR_MS: u64 = 10_000;

/// The design's targets: of the throughput, and that rows go as fast as they come, but for what is
/// still to go in the end.
const THROUGHPUT_KEPT_MIN: f64 = 0.8;
const GONE_MIN: f64 = 0.9;

/// A minute of filling and a minute of the steady state.
pub(crate) async fn steady(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let fill = STEADY_FILL / if bench.quick { 10 } else { 1 };
    age(bench, u64::MAX, fill, programs::echo(), rows).await
}

/// A store of many bytes, or an hour, whichever comes first.
pub(crate) async fn long(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let input = Value::String("x".repeat(LONG_INPUT_BYTES));
    age(bench, bench.long_bytes, bench.long / 2, input, rows).await
}

async fn age(
    bench: &Bench,
    bytes_max: u64,
    fill_max: Duration,
    input: Value,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let measured = MEASURED / if bench.quick { 10 } else { 1 };
    let host = bench.start_host_behind(None, &ARGUMENTS).await?;
    runs(&host, &input, measured / 4).await?;
    let before = allocated_bytes(&host.store())?;
    let new = runs(&host, &input, measured).await?;
    let bytes_each =
        (allocated_bytes(&host.store())?.saturating_sub(before)) as f64 / new.latencies.len() as f64;
    drop(host);
    rows.push(Row::new("64 clients, runs, new store", new.per_second(), Unit::PerSecond));

    let expected = bytes_max as f64 / (new.per_second() * bytes_each.max(1.0)) * SLACK;
    let fill = fill_max.min(Duration::try_from_secs_f64(expected).unwrap_or(fill_max)).max(2 * WINDOW);
    // What comes in the middle of the filling is due when that is over.
    let mut host = bench.start_host_behind(Some(KEPT - fill / 2), &ARGUMENTS).await?;
    clock_is_behind(&host, KEPT - fill / 2).await?;
    let began = Instant::now();
    let filled = under_load(&host, &input, fill, bytes_max).await?;
    let note = format!("{} runs in {:.0} s", filled.runs, filled.elapsed.as_secs_f64());
    rows.push(
        Row::new("64 clients, runs, filling the store", filled.per_second(), Unit::PerSecond).note(note),
    );
    rows.extend(filled.sizes("filling"));
    sleep(fill.saturating_sub(began.elapsed())).await;

    let restarted = host.kill_and_restart_now()?;
    host.answers().await.context("after the store was filled")?;
    let mut client = host.connect().await?;
    client.complete(ECHO, &programs::echo()).await.context("the first run after the store was filled")?;
    let started = restarted.elapsed().as_secs_f64();
    rows.push(Row::new("start after kill -9 to first run completed", started, Unit::Seconds));

    let there = client.count(ECHO, "completed").await?;
    let beside = Beside::start(host.address())?;
    let steady = under_load(&host, &input, fill, u64::MAX).await?;
    let end = runs(&host, &input, measured).await?;
    rows.push(beside.end().await?);
    let left = client.count(ECHO, "completed").await?;
    let came = (steady.runs + end.latencies.len()) as f64;
    let gone = there as f64 + came - left as f64;
    rows.extend(steady.sizes("the steady state"));
    rows.extend([
        Row::new("64 clients, runs, steady state", steady.per_second(), Unit::PerSecond),
        Row::new("64 clients, runs, in the end", end.per_second(), Unit::PerSecond),
        Row::new("in the end against the new store", end.per_second() / new.per_second(), Unit::Ratio)
            .at_least(THROUGHPUT_KEPT_MIN),
        Row::new("runs gone against those that were there", gone / there as f64, Unit::Ratio)
            .at_least(GONE_MIN)
            .note(format!("{there} were there, {came:.0} came, {gone:.0} went")),
    ]);
    Ok(())
}

/// A host in which the clock could not be moved keeps everything, and nothing would be measured.
async fn clock_is_behind(host: &Host, by: Duration) -> Result<()> {
    let run = host.connect().await?.complete(ECHO, &programs::echo()).await?;
    let finished = parse_ms(run.finished_at.as_deref().context("it has finished")?)?;
    let moved = now_ms() - i64::try_from(by.as_millis())?;
    ensure!(finished.abs_diff(moved) < CLOCK_ERROR_MS, "the clock of the host could not be moved");
    Ok(())
}

/// What a load left.
struct Grown {
    runs: usize,
    elapsed: Duration,
    /// Bytes of the store, after each window.
    bytes: Vec<u64>,
}

impl Grown {
    fn per_second(&self) -> f64 {
        self.runs as f64 / self.elapsed.as_secs_f64()
    }

    /// The size after each part of the time.
    fn sizes(&self, of: &str) -> Vec<Row> {
        let part = |part: usize| {
            let bytes = self.bytes.get((self.bytes.len() * part).div_ceil(SIZES).saturating_sub(1));
            let name = format!("size of the store, {part} of {SIZES} parts of {of}");
            bytes.map(|bytes| Row::new(name, *bytes as f64 / 1e6, Unit::Megabytes))
        };
        (1..=SIZES).filter_map(part).collect()
    }
}

/// Completes runs for so long, or until the store has so many bytes.
async fn under_load(host: &Host, input: &Value, time: Duration, bytes_max: u64) -> Result<Grown> {
    let (began, window) = (Instant::now(), WINDOW.min(time / SIZES as u32));
    let mut grown = Grown { runs: 0, elapsed: Duration::ZERO, bytes: Vec::new() };
    while grown.elapsed < time && grown.bytes.last().is_none_or(|bytes| *bytes < bytes_max) {
        grown.runs += runs(host, input, window.min(time - grown.elapsed)).await?.latencies.len();
        grown.bytes.push(allocated_bytes(&host.store())?);
        grown.elapsed = began.elapsed();
    }
    Ok(grown)
}

/// Completes trivial runs for so long.
async fn runs(host: &Host, input: &Value, time: Duration) -> Result<Load> {
    let body = start_body(input);
    let requests = Requests {
        path: start_path(ECHO, Some(WAIT_MS)),
        body: Box::new(move |_| body.clone()),
        must_complete: true,
        count: usize::MAX,
        limit: time,
    };
    drive(host.address(), CLIENTS, requests).await
}
