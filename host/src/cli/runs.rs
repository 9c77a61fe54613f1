//! `dormouse runs`: looks at runs, cancels them and runs them again.

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{Args, Subcommand};
use dormouse_core::id::{RunId, WorkflowName};
use dormouse_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ureq::http::Method;

use super::app::{Context, Outcome};
use super::arguments::{Json, Pair, Stretch, as_name, as_object, as_time, json as json_argument, time};
use super::client::Refusal;
use super::follow::{LogLine, Show, follow};
use super::print::{Column, data, remark};

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
    ("held", "held"),
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

/// What came of each of many runs that were cancelled, and of many that were run again.
const CANCELLED_COLUMNS: &[Column] = &[("ID", "id")];
const REPLAYED_COLUMNS: &[Column] = &[("ID", "id"), ("NEW RUN", "runId")];

#[derive(Debug, Subcommand)]
pub(super) enum Runs {
    /// List runs, newest first
    List(List),
    /// Show a run
    Get { id: RunId },
    /// End runs that have not ended: those named, or all that match
    Cancel(Selection),
    /// Run runs again that have ended: those named, or all that match
    Replay(Replay),
    /// Print the log of a run
    Logs(Logs),
}

#[derive(Debug, Args, Serialize)]
pub(super) struct List {
    #[command(flatten)]
    #[serde(flatten)]
    filter: Filter,

    #[command(flatten)]
    #[serde(flatten)]
    stretch: Stretch,
}

/// Some runs, or all that match.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// These runs
    #[arg(value_name = "ID", required_unless_present = "Filter", conflicts_with = "Filter")]
    ids: Vec<RunId>,

    #[command(flatten)]
    filter: Option<Filter>,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    selection: Selection,

    /// Another input, for one run: JSON, or @FILE, or @- for standard input [default: that of the run]
    #[arg(long, allow_hyphen_values = true, value_parser = json_argument, value_name = "JSON|@FILE", conflicts_with = "Filter")]
    input: Option<Json>,
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

    /// Only with a task that is held: one that cannot go on for a reason that is not its own
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    held: Option<bool>,
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
            Self::Cancel(selection) => return selection.all(context, "cancel", None),
            Self::Replay(Replay { selection, input }) => return selection.all(context, "replay", input),
            Self::Logs(Logs { id, follow: true }) => {
                let show = Show::LogAsData { json: printer.is_json() };
                follow(client, &id.to_string(), show)?;
            }
            Self::Logs(Logs { id, follow: false }) => print_log(context, id)?,
        }
        Ok(Outcome::Done)
    }
}

impl Selection {
    /// Has something done to the runs. A single one is shown as it is then, of many what came of each.
    fn all(self, context: &Context, what: &str, input: Option<Json>) -> anyhow::Result<Outcome> {
        let Context { client, printer } = context;
        if let ([id], None) = (self.ids.as_slice(), &self.filter) {
            let body = input.map_or_else(|| json!({}), |input| json!({ "input": input }));
            printer.one(&client.send(Method::POST, &format!("/runs/{id}/{what}"), &body)?, BRIEF)?;
            return Ok(Outcome::Done);
        }
        if input.is_some() {
            clap::Error::raw(ErrorKind::TooManyValues, "--input goes with one run: name one ID\n").exit();
        }
        let body = match &self.filter {
            Some(filter) => json!({ "filter": filter.body()? }),
            None => json!({ "ids": self.ids.iter().map(RunId::to_string).collect::<Vec<_>>() }),
        };
        let answer = client.send(Method::POST, &format!("/runs/{what}"), &body)?;
        printer.list(&answer, if what == "cancel" { CANCELLED_COLUMNS } else { REPLAYED_COLUMNS })?;
        let rows = answer.parse::<OutcomeRows>()?.rows;
        let refused: Vec<_> = rows.iter().filter_map(|row| Some((&row.id, row.refusal.as_ref()?))).collect();
        for (id, refusal) in &refused {
            remark(format_args!("{id}: {refusal}"));
        }
        remark(format_args!("{} runs, {} refused", rows.len(), refused.len()));
        Ok(if refused.is_empty() { Outcome::Done } else { Outcome::Failed })
    }
}

impl Filter {
    /// As bodies have it: the pairs are an object there.
    fn body(&self) -> anyhow::Result<Value> {
        #[derive(Serialize)]
        struct Object<'a>(#[serde(serialize_with = "as_object")] &'a [Pair]);
        let mut body = serde_json::to_value(self).context("cannot write the filter")?;
        body["metadata"] = serde_json::to_value(Object(&self.metadata)).context("cannot write the filter")?;
        Ok(body)
    }
}

/// What came of each of many runs.
#[derive(Deserialize)]
struct OutcomeRows {
    rows: Vec<OutcomeRow>,
}

#[derive(Deserialize)]
struct OutcomeRow {
    id: String,
    #[serde(flatten)]
    refusal: Option<Refusal>,
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
