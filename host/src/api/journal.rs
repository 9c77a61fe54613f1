//! What happened in a run: its history, its log and its live stream. All three read one journal
//! and share its sequence numbers.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use dormouse_core::id::{RunId, TaskIndex};
use dormouse_core::log::LogLevel;
use dormouse_core::run::Transition;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, Result};
use super::extract::{Params, Path};
use super::page::{Rows, page};
use super::run::TaskNames;
use super::state::Stopping;
use super::text::RunIdText;
use super::values::{StatusWord, Time};
use crate::engine::Host;
use crate::operations::{self, Page};
use crate::store::rows::{JournalEntry, LogLine};

/// A quiet stream sends a comment this often, so that nobody in between takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A proxy hands each event on as it comes, and neither keeps nor compresses it.
const UNBUFFERED: [(HeaderName, &str); 2] =
    [(CACHE_CONTROL, "no-cache, no-transform"), (HeaderName::from_static("x-accel-buffering"), "no")];

/// Which entries to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JournalQuery {
    /// Only entries behind this sequence number.
    since: Option<u64>,
    /// At most this many rows: from 1 to 200, by default 50.
    limit: Option<usize>,
    /// The `nextCursor` of the stretch before, which may be without rows where much else lies between two of them.
    cursor: Option<String>,
}

/// A transition of a task run, and of its run with it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryEntry {
    sequence: u64,
    at: Time,
    task: Option<String>,
    attempt: u32,
    /// What the task run became.
    status: StatusWord,
    /// Why, where there is something to say.
    #[schema(value_type = Option<String>)]
    reason: Option<&'static str>,
    /// What the run is since then.
    run_status: StatusWord,
}

/// A line of a run's log.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogEntry {
    sequence: u64,
    at: Time,
    task: Option<String>,
    attempt: u32,
    level: Level,
    /// Whether the step that wrote it had run before without a result: the host did not survive it,
    /// or another run was quicker to take an idempotency key.
    repeated: bool,
    message: String,
}

/// How much a line of the log matters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// What a task published to the run's stream.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk {
    sequence: u64,
    at: Time,
    task: Option<String>,
    text: String,
}

impl HistoryEntry {
    fn new(sequence: u64, transition: &Transition, names: &TaskNames) -> Self {
        Self {
            sequence,
            at: Time(transition.at),
            task: name(names, transition.task),
            attempt: transition.attempt,
            status: transition.status.into(),
            reason: transition.reason.map(|reason| reason.word()),
            run_status: transition.run.into(),
        }
    }
}

impl LogEntry {
    fn new(sequence: u64, line: LogLine, names: &TaskNames) -> Self {
        Self {
            sequence,
            at: Time(line.at),
            task: name(names, line.task),
            attempt: line.attempt,
            level: line.level.into(),
            repeated: line.repeated,
            message: line.message,
        }
    }
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Trace => Self::Trace,
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Warn => Self::Warn,
            LogLevel::Error => Self::Error,
        }
    }
}

fn name(names: &TaskNames, task: TaskIndex) -> Option<String> {
    names.name(task).map(str::to_owned)
}

/// Show the history of a run
///
/// The transitions of the run and its tasks, oldest first. Of a run that lives long the first hundred
/// and the last thousand are kept.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/history", tag = "runs",
    params(("id" = RunIdText, Path), JournalQuery),
    responses((status = 200, body = Rows<HistoryEntry>))
)]
pub(super) async fn list_history(
    State(host): State<Host>,
    Path(id): Path<RunIdText>,
    Params(query): Params<JournalQuery>,
) -> Result<Answer<Rows<HistoryEntry>>> {
    let names = TaskNames::of(&host, &operations::show_run(&host, id.0)?.spec);
    let pick = |sequence, entry| match entry {
        JournalEntry::Transition(transition) => Some(HistoryEntry::new(sequence, &transition, &names)),
        JournalEntry::Log(_) | JournalEntry::Chunk { .. } => None,
    };
    rows(&host, id.0, &query, pick).map(Answer)
}

/// Show the log of a run
///
/// Oldest first. Of a run that logs much the first 64 KiB and the last 8 MiB are kept, chunks of its
/// stream included; a line, or some short ones that came together, counts for 512 bytes at least.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/logs", tag = "runs",
    params(("id" = RunIdText, Path), JournalQuery),
    responses((status = 200, body = Rows<LogEntry>))
)]
pub(super) async fn list_logs(
    State(host): State<Host>,
    Path(id): Path<RunIdText>,
    Params(query): Params<JournalQuery>,
) -> Result<Answer<Rows<LogEntry>>> {
    let names = TaskNames::of(&host, &operations::show_run(&host, id.0)?.spec);
    let pick = |sequence, entry| match entry {
        JournalEntry::Log(line) => Some(LogEntry::new(sequence, line, &names)),
        JournalEntry::Transition(_) | JournalEntry::Chunk { .. } => None,
    };
    rows(&host, id.0, &query, pick).map(Answer)
}

/// The entries that `pick` takes.
fn rows<T>(
    host: &Host,
    id: RunId,
    query: &JournalQuery,
    pick: impl FnMut(u64, JournalEntry) -> Option<T>,
) -> Result<Rows<T>> {
    let Page { limit, after } = page(query.limit, query.cursor.as_deref())?;
    let page = Page { limit, after: after.max(query.since) };
    Ok(Rows::from_paged(operations::list_journal(host, id, page, pick)?, |row| row))
}

/// Where a stream begins.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// Only events behind this one. The header `Last-Event-ID`, which browsers send when they
    /// connect again, says the same and comes first.
    last_event_id: Option<u64>,
}

/// Follow a run
///
/// Server-sent events: `status` (a `HistoryEntry`), `log` (a `LogEntry`) and `chunk` (a `Chunk`),
/// each with its sequence number as id. First comes what was, then what happens, until the run has
/// ended. 204 tells a client that it has seen the end.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/stream", tag = "runs",
    params(("id" = RunIdText, Path), StreamQuery, ("Last-Event-ID" = Option<u64>, Header)),
    responses(
        (status = 200, content_type = "text/event-stream", body = Chunk),
        (status = 204, description = "The run has ended and nothing lies behind the last event.")
    )
)]
pub(super) async fn follow_run(
    State(host): State<Host>,
    State(stopping): State<Stopping>,
    Path(id): Path<RunIdText>,
    Params(query): Params<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let since = last_event_id(&headers)?.or(query.last_event_id);
    let row = operations::show_run(&host, id.0)?;
    if since.is_some() && row.run.status.is_final() && is_at_end(&host, id.0, since)? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let names = TaskNames::of(&host, &row.spec);
    let events = operations::follow_run(&host, id.0, since)?
        .filter_map(move |(sequence, entry)| std::future::ready(event(sequence, entry, &names)))
        .map(Ok::<_, Infallible>)
        .take_until(stopping.announced());
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok((UNBUFFERED, events).into_response())
}

/// Whether a run has nothing behind this entry.
fn is_at_end(host: &Host, id: RunId, since: Option<u64>) -> Result<bool> {
    let rest =
        operations::list_journal(host, id, Page { limit: 1, after: since }, |sequence, _| Some(sequence))?;
    Ok(rest.rows.is_empty())
}

/// The id of the last event that a client has seen.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    let unknown =
        || ApiError::malformed("invalid_event_id", "event ids are sequence numbers").about("Last-Event-ID");
    id.map(Some).ok_or_else(unknown)
}

fn event(sequence: u64, entry: JournalEntry, names: &TaskNames) -> Option<Event> {
    let event = Event::default().id(sequence.to_string());
    let event = match entry {
        JournalEntry::Transition(transition) => {
            event.event("status").json_data(HistoryEntry::new(sequence, &transition, names))
        }
        JournalEntry::Log(line) => event.event("log").json_data(LogEntry::new(sequence, line, names)),
        JournalEntry::Chunk { at, task, text } => {
            event.event("chunk").json_data(Chunk { sequence, at: Time(at), task: name(names, task), text })
        }
    };
    // The data is plain, so that it always has a JSON form.
    event.ok()
}
