//! How late sleepers wake: all due in the same instant, or evenly one after the other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::Bench;
use crate::beside::Beside;
use crate::client::{Run, start_body};
use crate::clock::{now_ms, parse_ms};
use crate::load::start_all;
use crate::programs::{self, SLEEP_UNTIL};
use crate::report::{Row, Unit};
use crate::stats::Samples;

const SLEEPERS: usize = 10_000;
const STARTERS: usize = 64;

/// Sleepers due each second when they come one after the other, 2 ms apart.
const STEADY_PER_SECOND: usize = 500;

/// How fast a host must at least bring runs to sleep, and a margin: the first is due after all
/// sleep, so that neither starting them nor the load generator is in the way.
const STARTED_PER_SECOND_MIN: usize = 250;
const MARGIN: Duration = Duration::from_secs(5);

/// Longest that the last sleeper may take from its deadline to its end.
const LATENESS_LIMIT: Duration = Duration::from_secs(120);

/// Sleepers that are all due in the same millisecond.
pub(crate) async fn lateness_burst(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let (sleepers, worst) = sleep_and_wake(bench, |_| 0).await?;
    let last = sleepers.iter().map(|sleeper| sleeper.finished_late_ms).fold(0.0, f64::max);
    let [woke, finished] = lateness(&sleepers)?;
    let rate = sleepers.len() as f64 / last * 1e3;
    let rate = Row::new("woken and completed", rate, Unit::PerSecond);
    rows.extend([woke.at_most(400.0), finished, rate, worst]);
    Ok(())
}

/// Sleepers of which one is due every 2 ms.
pub(crate) async fn lateness_steady(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let (sleepers, worst) = sleep_and_wake(bench, |number| number * 1000 / STEADY_PER_SECOND).await?;
    let [woke, finished] = lateness(&sleepers)?;
    rows.extend([woke.at_most(5.0), finished, worst]);
    Ok(())
}

/// One sleeper that has woken.
struct Sleeper {
    /// From its deadline to the guest's first instruction behind the sleep.
    woke_late_ms: f64,
    /// From its deadline to the time at which it counts as completed.
    finished_late_ms: f64,
}

impl Sleeper {
    fn of(run: &Run) -> Result<Self> {
        let due = programs::due(&run.input).context("its input has its deadline")?;
        let woke = programs::woke(&run.output).context("its output has the time at which it woke")?;
        let finished = parse_ms(run.finished_at.as_deref().context("it has finished")?)?;
        ensure!(woke >= due, "it woke {} ms before its deadline", due - woke);
        Ok(Self { woke_late_ms: (woke - due) as f64, finished_late_ms: (finished - due) as f64 })
    }
}

fn lateness(sleepers: &[Sleeper]) -> Result<[Row; 2]> {
    let row = |what: &str, values: Vec<f64>| {
        let samples = Samples::new(values).context("no sleeper woke")?;
        let note =
            format!("p50 {} ms, max {} ms, {} sleepers", samples.median(), samples.max(), sleepers.len());
        Ok::<_, anyhow::Error>(Row::new(what, samples.percentile(99), Unit::Millis).note(note))
    };
    Ok([
        row("woke late, p99", sleepers.iter().map(|sleeper| sleeper.woke_late_ms).collect())?,
        row("completed late, p99", sleepers.iter().map(|sleeper| sleeper.finished_late_ms).collect())?,
    ])
}

/// Brings all sleepers to sleep, lets them wake, and reads what they say; also gives the worst
/// answer beside them. `offset_ms` is the delay of each one's deadline behind that of the first.
async fn sleep_and_wake(
    bench: &Bench,
    offset_ms: impl Fn(usize) -> usize + Send + Sync + 'static,
) -> Result<(Vec<Sleeper>, Row)> {
    let count = bench.size(SLEEPERS);
    let host = bench.start_host().await?;
    let mut client = host.connect().await?;
    client.complete(SLEEP_UNTIL, &programs::sleep_until(now_ms())).await.context("the first sleeper")?;

    let lead = MARGIN + Duration::from_secs((count / STARTED_PER_SECOND_MIN) as u64);
    let due = now_ms() + i64::try_from(lead.as_millis())?;
    let last = due + offset_ms(count - 1) as i64;
    let body = move |number| start_body(&programs::sleep_until(due + offset_ms(number) as i64));
    start_all(host.address(), STARTERS, SLEEP_UNTIL, count, lead, body).await?;
    client.counted(SLEEP_UNTIL, "sleeping", count, until(due)).await?;
    ensure!(now_ms() < due, "the first sleeper was due before all slept");

    // Of the host nothing is asked while they wake but by the client beside them.
    let beside = Beside::start(host.address())?;
    sleep(until(last) + Duration::from_secs(1)).await;
    let worst = beside.end().await?;
    client.counted(SLEEP_UNTIL, "completed", count + 1, LATENESS_LIMIT).await?;
    let runs = client.completed(SLEEP_UNTIL).await?;
    // The first of all, which is last in the list, only warmed the host up.
    ensure!(runs.len() == count + 1, "{} runs are listed as completed, not {}", runs.len(), count + 1);
    let sleepers =
        runs[..count].iter().map(|run| Sleeper::of(run).with_context(|| format!("run {}", run.id)));
    Ok((sleepers.collect::<Result<_>>()?, worst))
}

/// How long it is until a time; nothing when it has passed.
fn until(at_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(at_ms - now_ms()).unwrap_or_default())
}
