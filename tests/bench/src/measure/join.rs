//! A run that spawns many children at once and joins them.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::Bench;
use crate::beside::Beside;
use crate::programs::{self, PARENT};
use crate::report::{Row, Unit};

const CHILDREN: usize = 10_000;

/// The design's target.
const SECONDS_MAX: f64 = 2.0;

/// Measures one parent, after a small one that warms the host up.
pub(crate) async fn join(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let host = bench.start_host().await?;
    let mut client = host.connect().await?;
    client.complete(PARENT, &programs::parent(10)).await?;

    let children = bench.size(CHILDREN);
    let beside = Beside::start(host.address())?;
    let began = Instant::now();
    let run = client.complete(PARENT, &programs::parent(children)).await;
    let taken = began.elapsed().as_secs_f64();
    let worst = beside.end().await?;
    let (output, expected) = (run?.output, programs::sum_of_children(children));
    ensure!(output == expected, "the children add up to {output}, not to {expected}");

    rows.extend([
        Row::new("spawned and joined", taken, Unit::Seconds)
            .at_most(SECONDS_MAX)
            .note(format!("{children} children")),
        Row::new("children", children as f64 / taken, Unit::PerSecond),
        worst,
    ]);
    Ok(())
}
