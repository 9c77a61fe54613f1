//! `dormouse workflows`: looks at workflows, pauses, resumes, rolls back and deletes them.

use anyhow::Context as _;
use clap::Subcommand;
use dormouse_core::id::WorkflowName;
use serde_json::{Value, json};
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
    /// Have new runs take an older version; runs that have begun keep theirs
    Rollback {
        name: WorkflowName,
        /// The version [default: the one before the current one]
        #[arg(long, value_name = "VERSION")]
        to: Option<u32>,
    },
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
            Self::Rollback { name, to } => {
                let path = format!("/workflows/{name}");
                let version = match to {
                    Some(version) => version,
                    None => previous_version(&client.get(&path)?.parse()?)?,
                };
                let body = json!({ "currentVersion": version });
                printer.one(&client.send(Method::PATCH, &path, &body)?, PROPERTIES)?;
            }
            Self::Delete { name } => {
                client.delete(&format!("/workflows/{name}"))?;
                remark(format_args!("deleted workflow {name}"));
            }
        }
        Ok(Outcome::Done)
    }
}

/// The highest version below the current one.
fn previous_version(workflow: &Value) -> anyhow::Result<u32> {
    let number = |version: &Value| version.as_u64().and_then(|number| u32::try_from(number).ok());
    let current = number(&workflow["currentVersion"]).unwrap_or(0);
    let versions = workflow["versions"].as_array().into_iter().flatten();
    let older = versions.filter_map(|version| number(&version["version"])).filter(|older| *older < current);
    older.max().with_context(|| format!("version {current} is the first: there is none to roll back to"))
}
