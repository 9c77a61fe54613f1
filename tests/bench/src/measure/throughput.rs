//! Trivial runs per second over HTTP, every one durable, from the call to the completed run in the
//! answer.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::Bench;
use crate::beside::Beside;
use crate::client::{start_body, start_path};
use crate::host::Host;
use crate::load::{Load, Requests, drive};
use crate::process::Usage;
use crate::programs;
use crate::report::{Row, Unit};
use crate::stats::Samples;

const CLIENTS: usize = 64;

/// How much is measured at most, whichever comes first.
const RUNS_OF_ONE: usize = 5_000;
const RUNS_OF_ALL: usize = 100_000;
const LIMIT: Duration = Duration::from_secs(20);

/// Runs before the first that counts: connections, caches and the store's file are warm then.
const WARM_UP: usize = 2_000;

/// How long the host waits for the end of a run before it answers.
const WAIT_MS: u32 = 10_000;

/// Measures one client and many.
pub(crate) async fn throughput(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let host = bench.start_host().await?;
    load(&host, CLIENTS, bench.size(WARM_UP)).await?;

    let (one, note) = load(&host, 1, bench.size(RUNS_OF_ONE)).await?;
    let latencies = Samples::millis(&one.latencies).context("no run completed")?;
    let p99 = format!("p99 {:.2} ms", latencies.percentile(99));
    rows.extend([
        Row::new("1 client, call to completed, p50", latencies.median(), Unit::Millis).at_most(0.6).note(p99),
        Row::new("1 client, runs", one.per_second(), Unit::PerSecond).note(note),
    ]);

    let beside = Beside::start(host.address())?;
    let (all, note) = load(&host, CLIENTS, bench.size(RUNS_OF_ALL)).await?;
    let worst = beside.end().await?;
    let latencies = Samples::millis(&all.latencies).context("no run completed")?;
    let p99 = format!("p99 {:.2} ms", latencies.percentile(99));
    rows.extend([
        Row::new("64 clients, runs", all.per_second(), Unit::PerSecond).at_least(20_000.0).note(note),
        Row::new("64 clients, call to completed, p50", latencies.median(), Unit::Millis).note(p99),
        worst,
    ]);
    Ok(())
}

/// Completes trivial runs; also says who kept the processor busy.
async fn load(host: &Host, clients: usize, runs: usize) -> Result<(Load, String)> {
    let usage = || Ok::<_, anyhow::Error>((Usage::of(host.pid())?, Usage::of(std::process::id())?));
    let body = start_body(&programs::echo());
    let requests = Requests {
        path: start_path(programs::ECHO, Some(WAIT_MS)),
        body: Box::new(move |_| body.clone()),
        must_complete: true,
        count: runs,
        limit: LIMIT,
    };
    let (host_before, own_before) = usage()?;
    let load = drive(host.address(), clients, requests).await?;
    let (host_after, own_after) = usage()?;
    let cores = |usage: Usage| usage.cpu.as_secs_f64() / load.elapsed.as_secs_f64();
    let note = format!(
        "{} runs; cores busy: host {:.1}, load {:.1}",
        load.latencies.len(),
        cores(host_after.since(host_before)),
        cores(own_after.since(own_before))
    );
    Ok((load, note))
}
