//! Events against many waits on one key that each have a filter of their own: how long a push
//! takes, and that it wakes the one task that it is for.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::json;

use crate::Bench;
use crate::beside::Beside;
use crate::client::{Client, start_body};
use crate::load::start_all;
use crate::programs::{self, EVENT_WAITER};
use crate::report::{Row, Unit};
use crate::stats::Samples;

const WAITS: usize = 100_000;
const STARTERS: usize = 64;
const KEY: &str = "order:changed";

/// How much is pushed at most, whichever comes first.
const PUSHES: usize = 200;
const PUSHES_LIMIT: Duration = Duration::from_secs(30);

/// Longest that the waits may take to open, and that what was woken may take to complete.
const OPEN_LIMIT: Duration = Duration::from_secs(600);
const WAKE_LIMIT: Duration = Duration::from_secs(30);

/// The design's target, in milliseconds.
const PUSH_MILLIS_MAX: f64 = 50.0;

/// Pushes events that one of the waits is for each.
pub(crate) async fn filtered_waits(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let count = bench.size(WAITS);
    let host = bench.start_host().await?;
    let mut client = host.connect().await?;
    let began = Instant::now();
    let body = |number| start_body(&programs::event_waiter(KEY, &filter(number)));
    start_all(host.address(), STARTERS, EVENT_WAITER, count, OPEN_LIMIT, body).await?;
    client.counted(EVENT_WAITER, "sleeping", count, OPEN_LIMIT).await?;
    let opened = count as f64 / began.elapsed().as_secs_f64();
    rows.push(
        Row::new("started and brought to wait", opened, Unit::PerSecond).note(format!("{count} waits")),
    );

    let beside = Beside::start(host.address())?;
    let mut taken = Vec::new();
    let began = Instant::now();
    while taken.len() < bench.size(PUSHES) && began.elapsed() < PUSHES_LIMIT {
        let before = Instant::now();
        push(&mut client, order(taken.len(), count)).await?;
        taken.push(before.elapsed());
    }
    let worst = beside.end().await?;
    client.counted(EVENT_WAITER, "completed", taken.len(), WAKE_LIMIT).await?;
    woken_are_meant(&mut client, taken.len()).await?;

    let samples = Samples::millis(&taken).context("nothing was pushed")?;
    let note = format!("{} pushes, each woke the one that it was for", taken.len());
    rows.extend([
        Row::new("push, p50", samples.median(), Unit::Millis).at_most(PUSH_MILLIS_MAX).note(note),
        Row::new("push, slowest", samples.max(), Unit::Millis).at_most(PUSH_MILLIS_MAX),
        worst,
    ]);
    Ok(())
}

fn filter(order: usize) -> String {
    format!("input.order == \"{order}\"")
}

/// The order of a push: another one each time, from all over.
fn order(push: usize, count: usize) -> usize {
    // Prime to every size here, so that no order comes twice.
    push * 7919 % count
}

async fn push(client: &mut Client, order: usize) -> Result<()> {
    let event = json!({"key": KEY, "payload": {"order": order.to_string()}});
    let pushed = client.ask(Method::POST, "/api/v1/events", &event).await?;
    // A host may settle waits after its answer, if it says so by leaving the number out.
    let settled = pushed["settledWaits"].as_u64();
    ensure!(settled.is_none_or(|settled| settled == 1), "order {order} settled {settled:?} waits, not one");
    Ok(())
}

/// Every task that woke has received the event that its filter asks for.
async fn woken_are_meant(client: &mut Client, pushes: usize) -> Result<()> {
    let runs = client.completed(EVENT_WAITER).await?;
    ensure!(runs.len() == pushes, "{pushes} events woke {} tasks", runs.len());
    for run in runs {
        let order = programs::payload(&run.output)["order"].as_str().context("a payload has its order")?;
        let filter = programs::filter(&run.input).context("its input has its filter")?;
        let meant = format!("input.order == \"{order}\"");
        ensure!(filter == meant, "run {} asks for `{filter}` and was woken by order {order}", run.id);
    }
    Ok(())
}
