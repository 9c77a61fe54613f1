//! Instances and snapshots, without engine and store: the host measures itself, because none of it
//! can be seen over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use crate::Bench;
use crate::report::{Row, Unit};

const LIMIT: Duration = Duration::from_secs(120);

/// The host's hidden subcommand: `probe MODULE --json`.
const SUBCOMMAND: &str = "probe";

/// A number of the answer, its name for people and its target in microseconds.
const TIMES: [(&str, &str, Option<f64>); 4] = [
    ("instantiateMicros", "start of an instance: instantiate + init", Some(15.0)),
    ("snapshotMicros", "take a snapshot", None),
    ("restoreMicros", "restore a snapshot", None),
    ("wakeMicros", "wake: restore to first instruction", Some(30.0)),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    snapshot_bytes: f64,
    #[serde(flatten)]
    times: BTreeMap<String, Time>,
}

#[derive(Deserialize, Clone, Copy)]
struct Time {
    p50: f64,
    p99: f64,
}

/// Asks the host how long instances and snapshots of the test programs take.
pub(crate) async fn instance(bench: &Bench, rows: &mut Vec<Row>) -> Result<()> {
    let mut command = Command::new(&bench.host);
    command.arg(SUBCOMMAND).arg(&bench.guest).arg("--json").kill_on_drop(true);
    let output = timeout(LIMIT, command.output()).await.context("the host's probe does not end")??;
    let probe: Option<Probe> =
        output.status.success().then(|| serde_json::from_slice(&output.stdout)).transpose()?;
    let why = || format!("the host's `{SUBCOMMAND}` ended with {}", output.status);

    for (field, name, target) in TIMES {
        let name = format!("{name}, p50");
        let row = match probe.as_ref().and_then(|probe| probe.times.get(field)) {
            Some(time) => Row::new(name, time.p50, Unit::Micros).note(format!("p99 {:.0} µs", time.p99)),
            None => Row::missing(name, Unit::Micros, why()),
        };
        rows.push(match target {
            Some(target) => row.at_most(target),
            None => row,
        });
    }
    rows.extend(probe.map(|probe| Row::new("a snapshot, as stored", probe.snapshot_bytes, Unit::Bytes)));
    Ok(())
}
