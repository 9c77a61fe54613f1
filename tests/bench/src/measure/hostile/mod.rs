//! Hostile modules and loads, each on a host of its own: how long each takes, what memory it costs,
//! and what a trivial call beside it waits.

mod act;
mod loads;
mod module;
mod schemas;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::{sleep, timeout};

use self::act::{Act, Done};
use crate::Bench;
use crate::beside::Beside;
use crate::report::{Row, Unit};

/// Longest that a load may take to be set up, and then to do its harm. What a host has not got
/// done by then counts as a hang: the host is killed, and the next load has a fresh one.
const SETUP_LIMIT: Duration = Duration::from_secs(180);
const LIMIT: Duration = Duration::from_secs(30);

/// How long trivial calls are made before the harm is done, and how long after: what a host has to
/// do because of it may begin with its answer.
const CALM_BEFORE: Duration = Duration::from_millis(100);
const AFTERMATH: Duration = Duration::from_millis(500);

/// One way to harm a host.
struct Load {
    name: String,
    /// What is done before anything is measured.
    before: Vec<Act>,
    /// What does the harm.
    acts: Vec<Act>,
    /// How long the host was down, by its clock, between the two.
    down: Option<Duration>,
}

impl Load {
    fn new(name: impl Into<String>, before: Vec<Act>, acts: Vec<Act>) -> Self {
        Self { name: name.into(), before, acts, down: None }
    }
}

/// Measures every load whose name has the chosen text in it.
pub(crate) async fn hostile(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let loads = loads::all(bench);
    let chosen: Vec<_> = loads.into_iter().filter(|load| load.name.contains(&bench.loads)).collect();
    ensure!(!chosen.is_empty(), "no load has `{}` in its name", bench.loads);
    for load in chosen {
        eprintln!("  {} ...", load.name);
        rows.extend(measure(bench, &load).await.with_context(|| load.name.clone())?);
    }
    Ok(())
}

async fn measure(bench: &Bench, load: &Load) -> Result<Vec<Row>> {
    let took = format!("{}: took", load.name);
    let mut host = bench.start_host_behind(load.down, &[]).await?;
    let guest = std::fs::read(&bench.guest)?;
    let mut client = host.connect().await?;
    match timeout(SETUP_LIMIT, act::perform(&mut client, &guest, &load.before)).await {
        Ok(Ok(Done::All(_))) => {}
        Ok(Ok(Done::Refused(why))) => {
            return Ok(vec![Row::missing(took, Unit::Seconds, format!("the module is refused: {why}"))]);
        }
        Ok(Err(error)) => {
            return Ok(vec![Row::missing(took, Unit::Seconds, format!("not set up: {error:#}"))]);
        }
        Err(_) => {
            let why = format!("it could not be set up within {SETUP_LIMIT:?}");
            return Ok(vec![Row::missing(took, Unit::Seconds, why)]);
        }
    }

    if load.down.is_some() {
        host.kill_and_restart_now()?;
        host.answers().await?;
        client = host.connect().await?;
    }
    host.forget_peak();
    let beside = Beside::start(host.address())?;
    sleep(CALM_BEFORE).await;
    let began = Instant::now();
    let done = timeout(LIMIT, act::perform(&mut client, &guest, &load.acts)).await;
    let taken = began.elapsed();
    sleep(AFTERMATH).await;
    let worst = beside.end_as(format!("{}: worst answer beside it", load.name)).await?;
    let note = match done {
        Ok(Ok(Done::All(note))) => note,
        Ok(Ok(Done::Refused(why))) => format!("the module is refused: {why}"),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "not done by then".to_owned(),
    };
    let mut rows = vec![Row::new(took, taken.as_secs_f64(), Unit::Seconds).note(shortened(&note)), worst];
    // A host that did not live has no memory either.
    if let Ok(bytes) = host.peak_bytes() {
        let name = format!("{}: peak resident memory", load.name);
        rows.push(Row::new(name, bytes as f64 / 1e6, Unit::Megabytes));
    }
    Ok(rows)
}

/// The first line of a note, as much of it as stands in a table.
fn shortened(note: &str) -> String {
    const CHARS: usize = 120;
    let line = note.lines().next().unwrap_or_default();
    if line.chars().count() <= CHARS {
        line.to_owned()
    } else {
        line.chars().take(CHARS).chain(['…']).collect()
    }
}
