//! `dormouse probe`: measures instances and snapshots of a module, for the benchmark.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, anyhow};
use clap::Args;
use dormouse_core::id::WorkflowName;
use dormouse_core::workflow::Json;
use serde::Serialize;

use super::app::{Context, Outcome};
use super::print::{data, json};
use crate::clock::Clock;
use crate::runtime::{Compiler, Runtime, RuntimeConfig, Timings};

#[derive(Debug, Args)]
pub(super) struct Probe {
    /// A component
    file: PathBuf,

    /// A workflow of it that sleeps at once
    #[arg(long, default_value = "counter")]
    workflow: WorkflowName,

    /// Its input
    #[arg(long, default_value = r#"{"times":2,"ms":1000}"#)]
    input: String,

    /// How often to measure
    #[arg(long, default_value_t = 2000)]
    rounds: usize,
}

/// In microseconds, but for the size.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    instantiate_micros: Percentiles,
    snapshot_micros: Percentiles,
    restore_micros: Percentiles,
    wake_micros: Percentiles,
    snapshot_bytes: usize,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
}

impl Probe {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Outcome> {
        let report = Report::from(self.measure()?);
        if context.printer.is_json() {
            json(&serde_json::to_string(&report)?)?;
        } else {
            data(format_args!("{report:#?}"))?;
        }
        Ok(Outcome::Done)
    }

    fn measure(self) -> anyhow::Result<Timings> {
        let bytes = fs::read(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        let cache = tempfile::tempdir().context("cannot make a temporary folder")?;
        let config = RuntimeConfig {
            cache_dir: cache.path().join("cache"),
            compiler: Compiler::Program(Compiler::own_program()?),
            slots: 1,
            memory_bytes_max: 64 << 20,
            guest_threads: thread::available_parallelism().map_or(1, usize::from),
        };
        let runtime = Runtime::new(config, Clock::system())?;
        let tokio = tokio::runtime::Runtime::new().context("cannot start threads")?;
        let input = Json::parse(&self.input).context("the input cannot be taken")?;
        let probe = runtime.probe(bytes, &self.workflow, input, self.rounds);
        tokio.block_on(probe).map_err(|problem| anyhow!(problem))
    }
}

impl From<Timings> for Report {
    fn from(timings: Timings) -> Self {
        Self {
            instantiate_micros: percentiles(timings.instantiate),
            snapshot_micros: percentiles(timings.snapshot),
            restore_micros: percentiles(timings.restore),
            wake_micros: percentiles(timings.wake),
            snapshot_bytes: timings.snapshot_bytes,
        }
    }
}

fn percentiles(mut times: Vec<Duration>) -> Percentiles {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    Percentiles { p50: at(50), p99: at(99) }
}
