//! `dormouse cron`: starts runs at recurring times.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use dormouse_core::id::{CronId, CronName, WorkflowName};
use serde::Serialize;
use serde_json::json;
use ureq::http::Method;

use super::app::{Context, Outcome};
use super::arguments::{Json, Pair, Stretch, as_millis, as_name, as_object, json as parse_json};
use super::print::{Column, remark};
use super::runs;

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("WORKFLOW", "workflow"),
    ("NAME", "name"),
    ("SOURCE", "source"),
    ("EXPRESSION", "expression"),
    ("TIMEZONE", "timezone"),
    ("ENABLED", "enabled"),
    ("NEXT RUN", "nextRunAt"),
    ("LAST RUN", "lastRunAt"),
];

const PROPERTIES: &[Column] = &[
    ("id", "id"),
    ("workflow", "workflow"),
    ("name", "name"),
    ("source", "source"),
    ("expression", "expression"),
    ("description", "description"),
    ("timezone", "timezone"),
    ("enabled", "enabled"),
    ("problem", "problem"),
    ("catch-up", "catchUp"),
    ("overlap", "overlap"),
    ("next run", "nextRunAt"),
    ("last run", "lastRunAt"),
];

/// When crons fire, as `wit/types.wit` has it.
const TIMES: &str = include_str!("cron_times.txt");

#[derive(Debug, Subcommand)]
pub(super) enum Cron {
    /// List crons, newest first
    List(Filter),
    /// Make a cron, or change the one of this name
    #[command(after_long_help = TIMES)]
    Set(Set),
    /// Delete a cron that no module declares
    Delete { id: CronId },
    /// Let a cron fire again
    Enable { id: CronId },
    /// Keep a cron from firing
    Disable { id: CronId },
    /// Start a run now
    Trigger { id: CronId },
}

#[derive(Debug, Args, Serialize)]
pub(super) struct Filter {
    /// Only of this workflow
    #[arg(long)]
    #[serde(serialize_with = "as_name")]
    workflow: Option<WorkflowName>,

    /// Only of this name
    #[arg(long)]
    #[serde(serialize_with = "as_name")]
    name: Option<CronName>,

    /// Only with this pair of metadata; repeatable
    #[arg(long, value_parser = Pair::parse, value_name = "KEY:VALUE")]
    metadata: Vec<Pair>,

    /// Only those that are enabled, or disabled
    #[arg(long)]
    enabled: Option<bool>,

    #[command(flatten)]
    #[serde(flatten)]
    stretch: Stretch,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The workflow to run
    workflow: WorkflowName,

    /// Unique within the workflow
    name: CronName,

    #[command(flatten)]
    body: Body,
}

#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    /// Five fields, six with seconds first, or a name such as @hourly; quote it
    expression: String,

    /// IANA name [default: UTC]
    #[arg(long, value_name = "ZONE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,

    /// Input of its runs: JSON, or @FILE, or @- for standard input [default: null]
    #[arg(long, allow_hyphen_values = true, value_parser = parse_json, value_name = "JSON|@FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Json>,

    /// Of its runs; repeatable
    #[arg(long, value_parser = Pair::parse, value_name = "KEY:VALUE")]
    #[serde(serialize_with = "as_object", skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<Pair>,

    /// Of its runs, from 1 to 3
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,

    /// Whether it fires [default: true]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,

    /// What happens to times that are late by more than a minute, or by more than the interval to the next one if
    /// that is shorter: skip, one or all [default: skip]
    #[arg(long, value_name = "POLICY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    catch_up: Option<CatchUp>,

    /// How far back the policy `all` looks [default: 1d]
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration, requires = "catch_up")]
    #[serde(
        rename = "catchUpWindowMs",
        serialize_with = "as_millis",
        skip_serializing_if = "Option::is_none"
    )]
    catch_up_window: Option<Duration>,

    /// What happens while an earlier run of it is unfinished [default: allow]
    #[arg(long, value_name = "POLICY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    overlap: Option<Overlap>,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "camelCase")]
enum CatchUp {
    Skip,
    One,
    All,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "camelCase")]
#[value(rename_all = "camelCase")]
enum Overlap {
    Allow,
    Skip,
    Queue,
    CancelRunning,
}

impl Cron {
    pub(super) fn run(self, Context { client, printer }: &Context) -> anyhow::Result<Outcome> {
        let enable = |id: CronId, enabled: bool| {
            client.send(Method::PATCH, &format!("/crons/{id}"), &json!({ "enabled": enabled }))
        };
        match self {
            Self::List(filter) => printer.list(&client.list("/crons", &filter)?, COLUMNS)?,
            Self::Set(Set { workflow, name, body }) => {
                let path = format!("/workflows/{workflow}/crons/{name}");
                printer.one(&client.send(Method::PUT, &path, &body)?, PROPERTIES)?;
            }
            Self::Delete { id } => {
                client.delete(&format!("/crons/{id}"))?;
                remark(format_args!("deleted cron {id}"));
            }
            Self::Enable { id } => printer.one(&enable(id, true)?, PROPERTIES)?,
            Self::Disable { id } => printer.one(&enable(id, false)?, PROPERTIES)?,
            Self::Trigger { id } => {
                printer.one(&client.post_empty(&format!("/crons/{id}/trigger"))?, runs::BRIEF)?;
            }
        }
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_says_the_same_of_times() {
        let contract = include_str!("../../../wit/types.wit").lines();
        let comments: Vec<_> = contract.filter_map(|line| line.trim().strip_prefix("///")).collect();
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&comments.join(" ")).contains(&words(TIMES)));
    }
}
