//! `dormouse run`: starts a run and, if asked, stays with it to its end.

use std::time::Duration;

use clap::Args;
use dormouse_core::id::WorkflowName;
use serde::Serialize;
use ureq::http::Method;

use super::app::{Context, Outcome};
use super::arguments::{Json, Pair, as_millis, as_object, json};
use super::follow::{Show, follow, print_end};
use super::runs;

#[derive(Debug, Args)]
pub(super) struct StartRun {
    /// The workflow to run
    workflow: WorkflowName,

    #[command(flatten)]
    body: Body,

    /// Wait for the end and print the output
    #[arg(long)]
    wait: bool,

    /// Show the log while waiting
    #[arg(long)]
    follow: bool,
}

#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    /// What it works on: JSON, or @FILE, or @- for standard input [default: null]
    #[arg(long, allow_hyphen_values = true, value_parser = json, value_name = "JSON|@FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Json>,

    /// For filters and for the task; repeatable
    #[arg(long, value_parser = Pair::parse, value_name = "KEY:VALUE")]
    #[serde(serialize_with = "as_object")]
    metadata: Vec<Pair>,

    /// From 1, the last to go, to 3, the first
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,

    /// A second call with the same key gives the first one's run
    #[arg(long, value_name = "KEY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,

    /// How long the key is remembered [default: 1d]
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration, requires = "idempotency_key")]
    #[serde(
        rename = "idempotencyTtlMs",
        serialize_with = "as_millis",
        skip_serializing_if = "Option::is_none"
    )]
    idempotency_ttl: Option<Duration>,
}

impl StartRun {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Outcome> {
        let Context { client, printer } = context;
        let answer = client.send(Method::POST, &format!("/workflows/{}/runs", self.workflow), &self.body)?;
        if !self.wait && !self.follow {
            printer.one(&answer, runs::BRIEF)?;
            return Ok(Outcome::Done);
        }
        let id = answer.parse::<super::follow::Run>()?.id;
        let show = if self.follow { Show::LogAndStatus } else { Show::Status };
        let answer = follow(client, &id, show)?;
        print_end(printer, &answer)
    }
}
