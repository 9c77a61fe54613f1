//! A host that is killed with many sleepers in its store, while it completes other runs: how soon
//! another one is back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::sleepers::resident_megabytes_max;
use crate::client::{start_body, start_path};
use crate::host::Host;
use crate::load::{Requests, drive};
use crate::process::resident_bytes;
use crate::programs::{self, ECHO};
use crate::report::{Row, Unit};
use crate::stats::Samples;

/// Times that the host is killed.
const KILLS: usize = 5;

/// The host is this long under load before it is killed, by this many clients.
const LOADED: Duration = Duration::from_millis(300);
const CLIENTS: usize = 16;

/// The design's target, whatever the number of sleepers.
const SECONDS_MAX: f64 = 0.05;

/// Kills the host again and again; all sleepers of the workflow must be there each time.
pub(crate) async fn restart(host: &mut Host, workflow: &str, sleepers: usize) -> Result<Vec<Row>> {
    let (mut healthy, mut answered, mut resident) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..KILLS {
        under_load(host).await?;
        let began = host.kill_and_restart()?;
        host.answers().await.context("after a kill")?;
        healthy.push(began.elapsed());
        let mut client = host.connect().await?;
        client.complete(ECHO, &programs::echo()).await.context("the first run after a kill")?;
        answered.push(began.elapsed());
        resident.push(resident_bytes(host.pid())? as f64 / 1e6);
        let left = client.count(workflow, "sleeping").await?;
        ensure!(left == sleepers as u64, "after a kill {left} of {sleepers} sleepers are there");
    }
    let row = |what: &str, times: &[Duration]| {
        let times = Samples::millis(times).context("the host was never killed")?;
        let note = format!("slowest of {KILLS}: {:.0} ms", times.max());
        Ok::<_, anyhow::Error>(Row::new(what, times.median() / 1e3, Unit::Seconds).note(note))
    };
    let resident = Samples::new(resident).context("the host was never killed")?;
    Ok(vec![
        row("start after kill -9 to first run completed", &answered)?.at_most(SECONDS_MAX),
        row("start after kill -9 to answer of /healthz", &healthy)?,
        Row::new("resident memory after it", resident.median(), Unit::Megabytes)
            .at_most(resident_megabytes_max(sleepers)),
    ])
}

/// Lets clients complete runs for a while, and leaves them in the middle of it.
async fn under_load(host: &Host) -> Result<()> {
    let body = start_body(&programs::echo());
    let requests = Requests {
        path: start_path(ECHO, Some(1_000)),
        body: Box::new(move |_| body.clone()),
        must_complete: false,
        count: usize::MAX,
        limit: Duration::MAX,
    };
    tokio::select! {
        load = drive(host.address(), CLIENTS, requests) => load.map(drop),
        () = sleep(LOADED) => Ok(()),
    }
}
