//! `dormouse workflows`: looks at workflows, pauses, resumes and deletes them.

use clap::Subcommand;
use dormouse_core::id::WorkflowName;
use serde_json::json;
use ureq::http::Method;

use super::app::{Context, Outcome};
use super::arguments::Stretch;
use super::print::{Column, remark};

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("VERSION", "currentVersion"),
    ("PAUSED", "paused"),
    ("QUEUED", "runCounts.queued"),
    ("RUNNING", "runCounts.running"),
    ("SLEEPING", "runCounts.sleeping"),
    ("COMPLETED", "runCounts.completed"),
    ("FAILED", "runCounts.failed"),
    ("CANCELLED", "runCounts.cancelled"),
];

const PROPERTIES: &[Column] = &[
    ("name", "name"),
    ("description", "definition.description"),
    ("version", "currentVersion"),
    ("paused", "paused"),
    ("runs", "runCounts"),
    ("created", "createdAt"),
    ("updated", "updatedAt"),
];

const VERSION_COLUMNS: &[Column] = &[("VERSION", "version"), ("MODULE", "module"), ("CREATED", "createdAt")];

#[derive(Debug, Subcommand)]
pub(super) enum Workflows {
    /// List workflows
    List(Stretch),
    /// Show a workflow
    Get { name: WorkflowName },
    /// Begin no runs: they wait in the queue
    Pause { name: WorkflowName },
    /// Begin runs again
    Resume { name: WorkflowName },
    /// Delete a workflow and its triggers; runs that have begun go on
    Delete { name: WorkflowName },
}

impl Workflows {
    pub(super) fn run(self, Context { client, printer }: &Context) -> anyhow::Result<Outcome> {
        let pause = |name: &WorkflowName, paused: bool| {
            client.send(Method::PATCH, &format!("/workflows/{name}"), &json!({ "paused": paused }))
        };
        match self {
            Self::List(stretch) => printer.list(&client.list("/workflows", &stretch)?, COLUMNS)?,
            Self::Get { name } => {
                let answer = client.get(&format!("/workflows/{name}"))?;
                printer.one(&answer, PROPERTIES)?;
                printer.part(&answer, "versions", VERSION_COLUMNS)?;
            }
            Self::Pause { name } => printer.one(&pause(&name, true)?, PROPERTIES)?,
            Self::Resume { name } => printer.one(&pause(&name, false)?, PROPERTIES)?,
            Self::Delete { name } => {
                client.delete(&format!("/workflows/{name}"))?;
                remark(format_args!("deleted workflow {name}"));
            }
        }
        Ok(Outcome::Done)
    }
}
