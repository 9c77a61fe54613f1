//! Stays with a run to its end and tells what happens to it.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::app::Outcome;
use super::client::{Answer, Client};
use super::event_stream::StreamEvent;
use super::print::{Printer, data, remark};

/// How long one request for the end of a run waits when its stream broke off.
const WAIT_MS: u32 = 10_000;

/// What to tell of a run while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// What its status becomes, on standard error.
    Status,
    /// Its log as well, on standard error: its output is the data.
    LogAndStatus,
    /// Its log as the data.
    LogAsData { json: bool },
}

/// What the client has to know of a run.
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    pub(super) id: String,
    status: String,
    reason: Option<String>,
    output: Option<Box<RawValue>>,
    error: Option<RunError>,
}

#[derive(Debug, Deserialize)]
struct RunError {
    message: String,
}

#[derive(Deserialize)]
struct StatusChange {
    task: Option<String>,
    attempt: u32,
    status: String,
    reason: Option<String>,
}

/// A line of a run's log.
#[derive(Deserialize)]
pub(super) struct LogLine {
    at: String,
    task: Option<String>,
    level: String,
    message: String,
}

impl Run {
    fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "cancelled")
    }
}

/// Tells what happens to a run until it has ended; then answers with it.
pub(super) fn follow(client: &Client, id: &str, show: Show) -> anyhow::Result<Answer> {
    let mut last_event_id = None;
    loop {
        if let Some(events) = client.stream(&format!("/runs/{id}/stream"), last_event_id.as_deref())? {
            for event in events {
                // A connection that breaks off is taken up again where it ended.
                let Ok(event) = event else { break };
                tell(&event, show)?;
                last_event_id = event.id.or(last_event_id);
            }
        }
        let answer = client
            .get(&format!("/runs/{id}?wait={WAIT_MS}"))
            .with_context(|| format!("lost sight of run {id}, which goes on without"))?;
        // What came after the stream broke off is told by the next one.
        if answer.parse::<Run>()?.has_ended() {
            return Ok(answer);
        }
    }
}

fn tell(event: &StreamEvent, show: Show) -> anyhow::Result<()> {
    match (event.kind.as_str(), show) {
        ("status", Show::Status | Show::LogAndStatus) => {
            let change: StatusChange = serde_json::from_str(&event.data)?;
            remark(change.line());
        }
        ("log", Show::LogAndStatus) => remark(serde_json::from_str::<LogLine>(&event.data)?.line()),
        ("log", Show::LogAsData { json: true }) => data(&event.data)?,
        ("log", Show::LogAsData { json: false }) => {
            data(serde_json::from_str::<LogLine>(&event.data)?.line())?
        }
        _ => {}
    }
    Ok(())
}

impl StatusChange {
    fn line(&self) -> String {
        let what = match &self.task {
            Some(task) if self.attempt > 1 => format!("task {task} (attempt {})", self.attempt),
            Some(task) => format!("task {task}"),
            None => "run".to_owned(),
        };
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{what}: {}{reason}", self.status)
    }
}

impl LogLine {
    pub(super) fn line(&self) -> String {
        let task = self.task.as_deref().unwrap_or("-");
        format!("{}  {:5}  {task}  {}", self.at, self.level, self.message)
    }
}

/// Prints the output of a run that has ended, or why there is none.
pub(super) fn print_end(printer: &Printer, answer: &Answer) -> anyhow::Result<Outcome> {
    let run: Run = answer.parse()?;
    let completed = run.status == "completed";
    if printer.is_json() {
        data(answer.text())?;
    } else if completed {
        data(run.output.as_deref().map_or("null", RawValue::get))?;
    }
    if completed {
        return Ok(Outcome::Done);
    }
    let reason = run.reason.as_deref().unwrap_or("no reason given");
    match run.error {
        Some(error) => {
            remark(format_args!("error: run {} {} ({reason}): {}", run.id, run.status, error.message))
        }
        None => remark(format_args!("error: run {} {} ({reason})", run.id, run.status)),
    }
    Ok(Outcome::Failed)
}
