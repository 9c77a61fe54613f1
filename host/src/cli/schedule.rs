//! `dormouse schedule`: starts one run at a set time.

use clap::{Args, Subcommand};
use dormouse_core::id::{ScheduledId, WorkflowName};
use serde::Serialize;
use ureq::http::Method;

use super::app::{Context, Outcome};
use super::arguments::{Json, Pair, Stretch, When, as_name, as_object, json};
use super::print::{Column, remark};
use super::runs;

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("WORKFLOW", "workflow"),
    ("TRIGGER AT", "triggerAt"),
    ("STATUS", "status"),
    ("SOURCE", "source"),
    ("RUN", "runId"),
];

const PROPERTIES: &[Column] = &[
    ("id", "id"),
    ("workflow", "workflow"),
    ("trigger at", "triggerAt"),
    ("status", "status"),
    ("input", "input"),
    ("metadata", "metadata"),
    ("priority", "priority"),
];

#[derive(Debug, Subcommand)]
pub(super) enum Schedule {
    /// List scheduled runs, earliest first
    List(Filter),
    /// Schedule a run
    Create(Create),
    /// Change a scheduled run that has not fired
    Update(Update),
    /// Cancel a scheduled run
    Delete { id: ScheduledId },
    /// Start the run now
    Trigger { id: ScheduledId },
}

#[derive(Debug, Args, Serialize)]
pub(super) struct Filter {
    /// Only of this workflow
    #[arg(long)]
    #[serde(serialize_with = "as_name")]
    workflow: Option<WorkflowName>,

    /// pending, fired or cancelled
    #[arg(long)]
    status: Option<String>,

    /// Only with this pair of metadata; repeatable
    #[arg(long, value_parser = Pair::parse, value_name = "KEY:VALUE")]
    metadata: Vec<Pair>,

    #[command(flatten)]
    #[serde(flatten)]
    stretch: Stretch,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("time").args(["at", "after"]).required(true))]
pub(super) struct Create {
    /// The workflow to run
    workflow: WorkflowName,

    #[command(flatten)]
    when: When,

    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    id: ScheduledId,

    #[command(flatten)]
    when: When,

    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args, Serialize)]
struct Fields {
    /// Input of the run: JSON, or @FILE, or @- for standard input
    #[arg(long, allow_hyphen_values = true, value_parser = json, value_name = "JSON|@FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Json>,

    /// Of the run; repeatable
    #[arg(long, value_parser = Pair::parse, value_name = "KEY:VALUE")]
    #[serde(serialize_with = "as_object", skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<Pair>,

    /// Of the run, from 1 to 3
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger_at: Option<String>,
    #[serde(flatten)]
    fields: Fields,
}

impl Body {
    fn new(when: &When, fields: Fields) -> Self {
        Self { trigger_at: when.text(), fields }
    }
}

impl Schedule {
    pub(super) fn run(self, Context { client, printer }: &Context) -> anyhow::Result<Outcome> {
        match self {
            Self::List(filter) => printer.list(&client.list("/scheduled", &filter)?, COLUMNS)?,
            Self::Create(Create { workflow, when, fields }) => {
                let path = format!("/workflows/{workflow}/scheduled");
                printer.one(&client.send(Method::POST, &path, &Body::new(&when, fields))?, PROPERTIES)?;
            }
            Self::Update(Update { id, when, fields }) => {
                let path = format!("/scheduled/{id}");
                printer.one(&client.send(Method::PATCH, &path, &Body::new(&when, fields))?, PROPERTIES)?;
            }
            Self::Delete { id } => {
                client.delete(&format!("/scheduled/{id}"))?;
                remark(format_args!("cancelled scheduled run {id}"));
            }
            Self::Trigger { id } => {
                printer.one(&client.post_empty(&format!("/scheduled/{id}/trigger"))?, runs::BRIEF)?;
            }
        }
        Ok(Outcome::Done)
    }
}
