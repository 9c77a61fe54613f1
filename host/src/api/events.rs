//! Events: push them and look at what came of them.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use dormouse_core::workflow::Json as JsonText;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::Result;
use super::extract::{Json, Params, Path};
use super::page::{PairText, Rows, page, pairs};
use super::runs::checked_key;
use super::text::{EventIdText, RunIdText, Text, WorkflowNameText};
use super::values::{JsonValue, Metadata, Priority, Time, bounded};
use crate::engine::{Host, Pushed};
use crate::operations::{self, EventFilter, PushEvent};
use crate::store::rows::EventRow;

/// An event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Event {
    id: EventIdText,
    key: String,
    payload: JsonValue,
    metadata: Metadata,
    /// Of the runs that it starts; `null`: that of their workflow.
    priority: Option<Priority>,
    pushed_at: Time,
}

/// What came of an event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventOutcome {
    runs: Vec<StartedRun>,
    /// How many waits of sleeping tasks it settled.
    settled_waits: u32,
}

/// A run that an event started.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StartedRun {
    id: RunIdText,
    workflow: WorkflowNameText,
}

/// An event that was just pushed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PushedEvent {
    event: Event,
    #[serde(flatten)]
    outcome: EventOutcome,
}

/// An event and what came of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventWithRuns {
    #[serde(flatten)]
    event: Event,
    #[serde(flatten)]
    outcome: EventOutcome,
}

fn shape(row: EventRow) -> (Event, EventOutcome) {
    let event = Event {
        id: Text(row.id),
        key: row.key,
        payload: row.payload.into(),
        metadata: Metadata(row.metadata),
        priority: row.priority.map(Priority),
        pushed_at: Time(row.pushed_at),
    };
    let runs =
        row.runs.into_iter().map(|(id, workflow)| StartedRun { id: Text(id), workflow: Text(workflow) });
    (event, EventOutcome { runs: runs.collect(), settled_waits: row.settled_waits })
}

impl From<EventRow> for PushedEvent {
    fn from(row: EventRow) -> Self {
        let (event, outcome) = shape(row);
        Self { event, outcome }
    }
}

impl From<EventRow> for EventWithRuns {
    fn from(row: EventRow) -> Self {
        let (event, outcome) = shape(row);
        Self { event, outcome }
    }
}

/// An event to push.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PushEventBody {
    /// From 1 to 256 bytes, without `*`.
    key: String,
    /// By default `null`.
    payload: Option<JsonValue>,
    #[serde(default)]
    metadata: Metadata,
    /// Of the runs that it starts, by default that of their workflow.
    priority: Option<Priority>,
    /// A second push with the same key within a day answers with the first one's event, or with 409
    /// `idempotency_conflict` if it is of another event key or payload.
    idempotency_key: Option<String>,
}

impl PushEventBody {
    pub(super) fn into_request(self) -> Result<PushEvent> {
        Ok(PushEvent {
            key: self.key,
            payload: bounded(self.payload, "payload")?.unwrap_or_else(JsonText::null),
            metadata: self.metadata.0,
            priority: self.priority.map(|priority| priority.0),
            idempotency_key: checked_key(self.idempotency_key)?,
        })
    }
}

/// Push an event
///
/// Starts a run for each subscription that it matches and settles the waits for it, all at once.
#[utoipa::path(
    post, path = "/api/v1/events", tag = "events",
    responses(
        (status = 201, body = PushedEvent),
        (status = 200, body = PushedEvent, description = "An earlier push with the same idempotency key had stored it.")
    )
)]
pub(super) async fn push_event(
    State(host): State<Host>,
    Json(body): Json<PushEventBody>,
) -> Result<(StatusCode, Answer<PushedEvent>)> {
    let Pushed { event, is_new } = operations::push_event(&host, body.into_request()?).await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Answer(event.into())))
}

/// Which events to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// A key, or a pattern in which `*` stands for one or more characters.
    key: Option<String>,
    /// Pushed at or after this time.
    since: Option<Time>,
    /// Pushed before this time.
    until: Option<Time>,
    /// `key:value`, repeatable: all must match.
    #[serde(default)]
    metadata: Vec<PairText>,
    /// At most this many rows: from 1 to 200, by default 50.
    limit: Option<usize>,
    /// The `nextCursor` of the stretch before.
    cursor: Option<String>,
}

/// List events
///
/// Newest first.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(EventsQuery),
    responses((status = 200, body = Rows<EventWithRuns>))
)]
pub(super) async fn list_events(
    State(host): State<Host>,
    Params(query): Params<EventsQuery>,
) -> Result<Answer<Rows<EventWithRuns>>> {
    let page = page(query.limit, query.cursor.as_deref())?;
    let filter = EventFilter {
        key: query.key,
        since: query.since.map(|time| time.0),
        until: query.until.map(|time| time.0),
        metadata: pairs(query.metadata),
    };
    Ok(Answer(Rows::from_paged(operations::list_events(&host, &filter, page)?, EventWithRuns::from)))
}

/// Show an event
#[utoipa::path(
    get, path = "/api/v1/events/{id}", tag = "events",
    params(("id" = EventIdText, Path)),
    responses((status = 200, body = EventWithRuns))
)]
pub(super) async fn show_event(
    State(host): State<Host>,
    Path(id): Path<EventIdText>,
) -> Result<Answer<EventWithRuns>> {
    Ok(Answer(operations::show_event(&host, id.0)?.into()))
}
