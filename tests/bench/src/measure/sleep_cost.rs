//! What one sleep and wake costs, after a few of them and after many: it must not grow with the
//! number of sleeps that lie behind a run.

use anyhow::{Context, Result};

use crate::Bench;
use crate::beside::Beside;
use crate::client::Client;
use crate::clock::parse_ms;
use crate::programs::{self, COUNTER};
use crate::report::{Row, Unit};
use crate::stats::{Samples, mean};

/// Sleeps before the early stretch and before the late one.
const FEW: usize = 10;
const MANY: usize = 1_000;

/// Sleeps of a stretch. The mean over them is more exact than the milliseconds in a history.
const STRETCH: usize = 100;

/// Runs, one after the other; the median of their means counts.
const RUNS: usize = 10;

/// Measures sleeps that are due at once, where all of the time is cost, and sleeps of 1 ms, which
/// go through the timer.
pub(crate) async fn sleep_cost(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let host = bench.start_host().await?;
    let mut client = host.connect().await?;
    client.complete(COUNTER, &programs::counter(FEW, 0)).await?;

    for sleep_ms in [0, 1] {
        let (mut early, mut late) = (Vec::new(), Vec::new());
        for _ in 0..bench.size(RUNS) {
            early.push(mean(&laps(&mut client, FEW, sleep_ms).await?));
            late.push(mean(&laps(&mut client, MANY, sleep_ms).await?));
        }
        let early = Samples::new(early).context("no run was measured")?;
        let late = Samples::new(late).context("no run was measured")?;
        let ratio = late.median() / early.median();
        let name = |behind: usize| match sleep_ms {
            0 => format!("sleep of 0 ms and wake, after {behind} of them"),
            _ => format!("sleep of {sleep_ms} ms and wake, after {behind} of them, with the {sleep_ms} ms"),
        };
        let [few, many] = [(FEW, early), (MANY, late)].map(|(behind, samples)| {
            Row::new(name(behind), samples.median(), Unit::Millis).note(format!(
                "from {:.2} to {:.2} ms",
                samples.percentile(0),
                samples.max()
            ))
        });
        let all = if sleep_ms == 0 { [few.at_most(0.3), many.at_most(0.3)] } else { [few, many] };
        rows.extend(all);
        rows.push(Row::new(format!("after {MANY} against after {FEW}"), ratio, Unit::Ratio).at_most(1.05));
    }

    // In a run of its own: a call beside a sleep shares its commit, and so its cost.
    let beside = Beside::start(host.address())?;
    laps(&mut client, MANY, 0).await?;
    rows.push(beside.end().await?);
    Ok(())
}

/// How long each of the last sleeps of a run took in milliseconds, from one wake to the next, by the end
/// of its history, with so many behind them.
async fn laps(client: &mut Client, behind: usize, sleep_ms: u64) -> Result<Vec<f64>> {
    let sleeps = behind + STRETCH;
    let run = client.complete(COUNTER, &programs::counter(sleeps, sleep_ms)).await?;
    let history = client.history(&run.id).await?;
    let steps = history.iter().filter(|transition| transition.status == "running");
    let steps = steps.map(|transition| parse_ms(&transition.at)).collect::<Result<Vec<_>>>()?;
    let last = steps.len().checked_sub(STRETCH + 1).map(|first| &steps[first..]);
    let last = last.with_context(|| {
        format!("the history of a run that slept {sleeps} times has {} wakes", steps.len())
    })?;
    Ok(last.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect())
}
