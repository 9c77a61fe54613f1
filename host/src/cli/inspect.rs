//! `dormouse inspect`: what a component declares and imports, without a host.

use std::path::PathBuf;
use std::{fs, thread};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::app::{Context, Outcome};
use super::print::{data, json};
use crate::clock::Clock;
use crate::runtime::{Compiler, Inspection, Runtime, RuntimeConfig};

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// A component
    file: PathBuf,
}

/// What there is to say of a component that was not uploaded.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    digest: String,
    size_bytes: u64,
    /// A line for each workflow and each of its triggers.
    workflows: Vec<String>,
    imports: Vec<String>,
    warnings: Vec<String>,
    /// Memory that every instance begins with; snapshots hold what differs from it.
    base_image_bytes: u64,
    /// Mutable globals; snapshots hold all of them.
    globals: usize,
}

impl Inspect {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Outcome> {
        let name = self.file.display();
        let bytes = fs::read(&self.file).with_context(|| format!("cannot read {name}"))?;
        let report = Report::from(inspect(bytes).with_context(|| format!("{name} cannot be deployed"))?);
        if context.printer.is_json() {
            json(&serde_json::to_string(&report)?)?;
            return Ok(Outcome::Done);
        }
        data(format_args!("digest:     {}", report.digest))?;
        data(format_args!("size:       {} bytes", report.size_bytes))?;
        data(format_args!(
            "snapshots:  yes, of what differs from {} bytes, and of {} globals",
            report.base_image_bytes, report.globals
        ))?;
        for (heading, lines) in
            [("workflows", &report.workflows), ("imports", &report.imports), ("warnings", &report.warnings)]
        {
            data(format_args!("{heading}:"))?;
            lines.iter().try_for_each(|line| data(format_args!("  {line}")))?;
        }
        Ok(Outcome::Done)
    }
}

fn inspect(bytes: Vec<u8>) -> anyhow::Result<Inspection> {
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
    Ok(tokio.block_on(runtime.inspect(bytes))?)
}

impl From<Inspection> for Report {
    fn from(inspection: Inspection) -> Self {
        let mut workflows = Vec::new();
        for workflow in inspection.workflows {
            workflows.push(workflow.name.to_string());
            let crons = workflow.crons.iter();
            workflows.extend(crons.map(|cron| {
                format!("  cron {}: {} {}", cron.name, cron.spec.expression, cron.spec.timezone)
            }));
            workflows.extend(workflow.events.iter().map(|event| format!("  event {}", event.key_pattern)));
            workflows.extend(workflow.tasks.iter().map(|task| format!("  task {}", task.name)));
        }
        Self {
            digest: inspection.digest.to_string(),
            size_bytes: inspection.size_bytes,
            workflows,
            imports: inspection.imports,
            warnings: inspection.warnings,
            globals: inspection.image.globals,
            base_image_bytes: inspection.image.memories_bytes.iter().sum(),
        }
    }
}
