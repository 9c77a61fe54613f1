//! `dormouse event`: pushes events and lists them.

use clap::{Args, Subcommand};
use dormouse_core::time::Timestamp;
use serde::Serialize;
use ureq::http::Method;

use super::app::{Context, Outcome};
use super::arguments::{Json, Pair, Stretch, as_object, as_time, json, time};
use super::print::Column;

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("KEY", "key"),
    ("PUSHED", "pushedAt"),
    ("SETTLED WAITS", "settledWaits"),
    ("RUNS", "runs"),
];

const PUSHED: &[Column] = &[("id", "event.id"), ("key", "event.key"), ("settled waits", "settledWaits")];

const RUN_COLUMNS: &[Column] = &[("RUN", "id"), ("WORKFLOW", "workflow")];

#[derive(Debug, Subcommand)]
pub(super) enum Event {
    /// Push an event
    Push(Push),
    /// List events, newest first
    List(Filter),
}

#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Push {
    /// What subscriptions match
    key: String,

    /// JSON, or @FILE, or @- for standard input [default: null]
    #[arg(long, allow_hyphen_values = true, value_parser = json, value_name = "JSON|@FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Json>,

    /// Of the event and the runs that it starts; repeatable
    #[arg(long, value_parser = Pair::parse, value_name = "KEY:VALUE")]
    #[serde(serialize_with = "as_object")]
    metadata: Vec<Pair>,

    /// Of the runs that it starts, from 1 to 3
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,

    /// A second push with the same key within a day gives the first one's event
    #[arg(long, value_name = "KEY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub(super) struct Filter {
    /// A key, or a pattern with *
    #[arg(long)]
    key: Option<String>,

    /// Pushed at or after this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    #[serde(serialize_with = "as_time")]
    since: Option<Timestamp>,

    /// Pushed before this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    #[serde(serialize_with = "as_time")]
    until: Option<Timestamp>,

    /// Only with this pair of metadata; repeatable
    #[arg(long, value_parser = Pair::parse, value_name = "KEY:VALUE")]
    metadata: Vec<Pair>,

    #[command(flatten)]
    #[serde(flatten)]
    stretch: Stretch,
}

impl Event {
    pub(super) fn run(self, Context { client, printer }: &Context) -> anyhow::Result<Outcome> {
        match self {
            Self::Push(push) => {
                let answer = client.send(Method::POST, "/events", &push)?;
                printer.one(&answer, PUSHED)?;
                printer.part(&answer, "runs", RUN_COLUMNS)?;
            }
            Self::List(filter) => printer.list(&client.list("/events", &filter)?, COLUMNS)?,
        }
        Ok(Outcome::Done)
    }
}
