//! `dormouse runs`: looks at runs and cancels them.

use clap::{Args, Subcommand};
use dormouse_core::id::{RunId, WorkflowName};
use dormouse_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::app::{Context, Outcome};
use super::arguments::{Pair, Stretch, as_name, as_time, time};
use super::follow::{LogLine, Show, follow};
use super::print::{Column, data};

/// What is told of a run that was just started.
pub(super) const BRIEF: &[Column] =
    &[("id", "id"), ("workflow", "workflow"), ("version", "version"), ("status", "status")];

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("WORKFLOW", "workflow"),
    ("VERSION", "version"),
    ("STATUS", "status"),
    ("REASON", "reason"),
    ("TRIGGER", "trigger.kind"),
    ("CREATED", "createdAt"),
    ("FINISHED", "finishedAt"),
];

const PROPERTIES: &[Column] = &[
    ("id", "id"),
    ("workflow", "workflow"),
    ("version", "version"),
    ("module", "module"),
    ("status", "status"),
    ("reason", "reason"),
    ("trigger", "trigger.kind"),
    ("trigger id", "trigger.id"),
    ("parent", "parentId"),
    ("priority", "priority"),
    ("metadata", "metadata"),
    ("input", "input"),
    ("output", "output"),
    ("error", "error.message"),
    ("created", "createdAt"),
    ("started", "startedAt"),
    ("finished", "finishedAt"),
];

const TASK_COLUMNS: &[Column] = &[
    ("TASK", "name"),
    ("STATUS", "status"),
    ("REASON", "reason"),
    ("ATTEMPT", "attempt"),
    ("RAN MS", "ranMs"),
    ("WAITS", "waits"),
    ("ERROR", "error.message"),
];

#[derive(Debug, Subcommand)]
pub(super) enum Runs {
    /// List runs, newest first
    List(Filter),
    /// Show a run
    Get { id: RunId },
    /// End a run that has not ended
    Cancel { id: RunId },
    /// Print the log of a run
    Logs(Logs),
}

#[derive(Debug, Args, Serialize)]
pub(super) struct Filter {
    /// Only of this workflow
    #[arg(long)]
    #[serde(serialize_with = "as_name")]
    workflow: Option<WorkflowName>,

    /// queued, running, sleeping, completed, failed or cancelled
    #[arg(long)]
    status: Option<String>,

    /// Only with this pair of metadata; repeatable
    #[arg(long, value_parser = Pair::parse, value_name = "KEY:VALUE")]
    metadata: Vec<Pair>,

    /// Created at or after this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    #[serde(serialize_with = "as_time")]
    since: Option<Timestamp>,

    /// Created before this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    #[serde(serialize_with = "as_time")]
    until: Option<Timestamp>,

    /// Spawned by this run
    #[arg(long, value_name = "ID")]
    #[serde(serialize_with = "as_name")]
    parent: Option<RunId>,

    /// Started by a call, cron, scheduled, event, parent or replay, or by the one with this id
    #[arg(long, value_name = "KIND|ID")]
    trigger: Option<String>,

    #[command(flatten)]
    #[serde(flatten)]
    stretch: Stretch,
}

#[derive(Debug, Args)]
pub(super) struct Logs {
    id: RunId,

    /// Go on until the run has ended
    #[arg(short, long)]
    follow: bool,
}

/// A stretch of a log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogRows {
    rows: Vec<LogLine>,
    next_cursor: Option<String>,
}

impl Runs {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Outcome> {
        let Context { client, printer } = context;
        match self {
            Self::List(filter) => printer.list(&client.list("/runs", &filter)?, COLUMNS)?,
            Self::Get { id } => {
                let answer = client.get(&format!("/runs/{id}"))?;
                printer.one(&answer, PROPERTIES)?;
                printer.part(&answer, "tasks", TASK_COLUMNS)?;
            }
            Self::Cancel { id } => printer.one(&client.post_empty(&format!("/runs/{id}/cancel"))?, BRIEF)?,
            Self::Logs(Logs { id, follow: true }) => {
                let show = Show::LogAsData { json: printer.is_json() };
                follow(client, &id.to_string(), show)?;
            }
            Self::Logs(Logs { id, follow: false }) => print_log(context, id)?,
        }
        Ok(Outcome::Done)
    }
}

/// Prints the whole log, however many stretches it takes.
fn print_log(Context { client, printer }: &Context, id: RunId) -> anyhow::Result<()> {
    let mut since = String::new();
    loop {
        let answer = client.get(&format!("/runs/{id}/logs?limit=200{since}"))?;
        let stretch: LogRows = answer.parse()?;
        if printer.is_json() {
            printer.lines(&answer)?;
        } else {
            stretch.rows.iter().try_for_each(|line| data(line.line()))?;
        }
        match stretch.next_cursor {
            Some(cursor) => since = format!("&since={cursor}"),
            None => return Ok(()),
        }
    }
}
