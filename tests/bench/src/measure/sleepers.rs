//! A host with many sleepers: what they take on the disk and in memory, whether the host is idle,
//! and how fast it is back after it was killed.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::sleep;

use super::{idle, restart};
use crate::Bench;
use crate::beside::Beside;
use crate::client::start_body;
use crate::clock::now_ms;
use crate::host::Host;
use crate::load::start_all;
use crate::process::{allocated_bytes, resident_bytes};
use crate::programs::{self, COUNTER, ECHO, MAP_CHECKSUM, SLEEP_UNTIL};
use crate::report::{Row, Unit};

/// Sleepers that hold data, and how much.
const LADEN_SLEEPERS: usize = 1_000;
const LADEN_ENTRIES: usize = 1_000;

/// Runs that are brought to sleep beside the others, with calls beside them.
const MORE: usize = 10_000;

const STARTERS: usize = 64;

/// Nobody wakes while this lasts.
const A_DAY_MS: u64 = 86_400_000;

/// Longest that starting the runs may take, and then that the last of them may take to sleep: a
/// while, and what the slowest acceptable host needs.
const LIMIT: Duration = Duration::from_secs(60);
const STARTED_PER_SECOND_MIN: usize = 200;

/// What the host does in the background after a load is over by then.
const SETTLING: Duration = Duration::from_secs(2);

/// Measures the host with its sleepers.
pub(crate) async fn sleepers(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let count = bench.size(bench.sleepers);
    let mut host = bench.start_host().await?;
    let resident_empty = megabytes(resident_bytes(host.pid())?);
    let asleep = fall_asleep(&host, COUNTER, programs::counter(1, A_DAY_MS), count).await?;
    let resident = megabytes(resident_bytes(host.pid())?);
    rows.extend([
        Row::new("started and brought to sleep", asleep.per_second, Unit::PerSecond)
            .note(format!("{count} sleepers")),
        Row::new("on disk per sleeper", asleep.bytes_each, Unit::Bytes).at_most(1_800.0),
        Row::new("resident memory", resident, Unit::Megabytes)
            .at_most(resident_megabytes_max(count))
            .note(format!("{resident_empty:.0} MB before the first of them")),
    ]);
    rows.extend(idle::idle(&host).await?);
    rows.push(worst_beside_more(&host, bench.size(MORE)).await?);
    rows.extend(restart::restart(&mut host, COUNTER, count).await?);
    drop(host);

    let host = bench.start_host().await?;
    let input = programs::map_checksum(LADEN_ENTRIES, A_DAY_MS);
    let asleep = fall_asleep(&host, MAP_CHECKSUM, input, bench.size(LADEN_SLEEPERS)).await?;
    let name = format!("on disk per sleeper with a map of {LADEN_ENTRIES} entries");
    rows.push(Row::new(name, asleep.bytes_each, Unit::Bytes));
    Ok(())
}

/// What it took to bring runs to sleep.
struct Asleep {
    per_second: f64,
    bytes_each: f64,
}

/// Starts runs and returns when all of them sleep and the host has settled.
async fn fall_asleep(host: &Host, workflow: &str, input: Value, count: usize) -> Result<Asleep> {
    let mut client = host.connect().await?;
    // What the first run of all leaves in the store is not counted.
    client.complete(ECHO, &programs::echo()).await?;
    let before = allocated_bytes(&host.store())?;
    let body = start_body(&input);
    let limit = LIMIT + Duration::from_secs((count / STARTED_PER_SECOND_MIN) as u64);
    let began = std::time::Instant::now();
    start_all(host.address(), STARTERS, workflow, count, limit, move |_| body.clone())
        .await
        .with_context(|| format!("starting {count} sleepers"))?;
    client.counted(workflow, "sleeping", count, limit).await?;
    let per_second = count as f64 / began.elapsed().as_secs_f64();
    drop(client);
    sleep(SETTLING).await;
    let taken = allocated_bytes(&host.store())?.saturating_sub(before);
    Ok(Asleep { per_second, bytes_each: taken as f64 / count as f64 })
}

/// Brings more runs to sleep, with calls beside them: those leave rows behind, which would count as
/// the sleepers' in the numbers above.
async fn worst_beside_more(host: &Host, count: usize) -> Result<Row> {
    let body = start_body(&programs::sleep_until(now_ms() + A_DAY_MS as i64));
    let beside = Beside::start(host.address())?;
    start_all(host.address(), STARTERS, SLEEP_UNTIL, count, LIMIT, move |_| body.clone()).await?;
    beside.end_as(format!("worst answer beside {count} more that fall asleep")).await
}

/// The design has three targets: of ten thousand, a million and ten million sleepers.
pub(super) fn resident_megabytes_max(sleepers: usize) -> f64 {
    match sleepers {
        0..=10_000 => 70.0,
        10_001..=1_000_000 => 130.0,
        _ => 300.0,
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
