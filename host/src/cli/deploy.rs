//! `dormouse deploy`: uploads modules.

use std::fs;
use std::io::{self, Cursor, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;

use super::app::{Context, Outcome};
use super::client::{Answer, Client};
use super::print::{data, json, remark};

#[derive(Debug, Args)]
pub(super) struct Deploy {
    /// Components
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Module {
    digest: String,
    workflows: Vec<Workflow>,
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Workflow {
    name: String,
    version: u32,
    crons: Vec<Cron>,
    events: Vec<Subscription>,
}

#[derive(Deserialize)]
struct Cron {
    name: String,
    expression: String,
    timezone: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    key_pattern: String,
}

impl Deploy {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Outcome> {
        for file in &self.files {
            let answer =
                upload(&context.client, file).with_context(|| format!("cannot deploy {}", file.display()))?;
            if context.printer.is_json() {
                json(answer.text())?;
            } else {
                print(&answer.parse()?)?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn print(module: &Module) -> anyhow::Result<()> {
    data(format_args!("module {}", module.digest))?;
    for workflow in &module.workflows {
        data(format_args!("  workflow {} version {}", workflow.name, workflow.version))?;
        for Cron { name, expression, timezone } in &workflow.crons {
            data(format_args!("    cron {name}: {expression} ({timezone})"))?;
        }
        for Subscription { key_pattern } in &workflow.events {
            data(format_args!("    event {key_pattern}"))?;
        }
    }
    module.warnings.iter().for_each(|warning| remark(format_args!("warning: {warning}")));
    Ok(())
}

fn upload(client: &Client, file: &Path) -> anyhow::Result<Answer> {
    let bytes = fs::read(file).context("cannot read it")?;
    let length = bytes.len() as u64;
    let name = file.display();
    if !io::stderr().is_terminal() {
        remark(format_args!("uploading {name} ({length} bytes)"));
        return client.upload(Cursor::new(bytes), length);
    }
    let answer =
        client.upload(Progress { bytes: Cursor::new(bytes), name: name.to_string(), shown: None }, length);
    remark("");
    answer
}

/// Shows on the terminal how much has been sent.
struct Progress {
    bytes: Cursor<Vec<u8>>,
    name: String,
    /// The percentage that was shown last.
    shown: Option<u64>,
}

impl Read for Progress {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        let (sent, length) = (self.bytes.position(), self.bytes.get_ref().len() as u64);
        let percent = Some((sent * 100).checked_div(length).unwrap_or(100));
        if percent != self.shown {
            self.shown = percent;
            // A terminal that is gone shows nothing, and the upload goes on.
            let _ = write!(io::stderr(), "\ruploading {}: {sent} of {length} bytes", self.name);
        }
        Ok(read)
    }
}
