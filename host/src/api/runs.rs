//! Runs: start, list, look at and cancel them.

use std::str::FromStr;
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use dormouse_core::bounds::{DURATION_MAX, IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_TTL};
use dormouse_core::id::RunId;
use dormouse_core::workflow::Json as JsonText;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use utoipa::ToSchema;

use super::error::{ApiError, Result};
use super::extract::{Json, Params, Path};
use super::page::{PairText, Rows, page, pairs};
use super::run::{Run, TriggerWord};
use super::state::Stopping;
use super::text::{Described, RunIdText, Text, WorkflowNameText};
use super::values::{JsonValue, Metadata, Priority, StatusWord, Time, bounded, present};
use crate::engine::Host;
use crate::operations::{self, RunFilter, StartRun, TriggerFilter};
use crate::store::rows::RunRow;

/// Longest that a request may wait for the end of a run.
const WAIT_MS_MAX: u64 = 60_000;

/// A call of a workflow.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StartRunBody {
    /// By default `null`.
    input: Option<JsonValue>,
    #[serde(default)]
    metadata: Metadata,
    /// By default that of the workflow.
    priority: Option<Priority>,
    /// A second call with the same key answers with the first one's run.
    idempotency_key: Option<String>,
    /// How long the key is remembered: by default 86400000, a day.
    #[schema(minimum = 1)]
    idempotency_ttl_ms: Option<u64>,
}

impl StartRunBody {
    pub(super) fn into_request(self) -> Result<StartRun> {
        let ttl = match (&self.idempotency_key, self.idempotency_ttl_ms) {
            (None, Some(_)) => {
                let description =
                    "`idempotencyTtlMs` says how long a key is remembered: give `idempotencyKey` too";
                return Err(ApiError::invalid("invalid_idempotency", "idempotencyTtlMs", description));
            }
            (_, ttl_ms) => ttl_ms.map_or(IDEMPOTENCY_TTL, Duration::from_millis),
        };
        if !(Duration::from_millis(1)..=DURATION_MAX).contains(&ttl) {
            let description = format!("`idempotencyTtlMs` goes from 1 to {}", DURATION_MAX.as_millis());
            return Err(ApiError::invalid("invalid_idempotency", "idempotencyTtlMs", description));
        }
        Ok(StartRun {
            input: bounded(self.input, "input")?.unwrap_or_else(JsonText::null),
            metadata: self.metadata.0,
            priority: self.priority.map(|priority| priority.0),
            idempotency: checked_key(self.idempotency_key)?.map(|key| (key, ttl)),
        })
    }
}

/// An idempotency key of an acceptable length.
pub(super) fn checked_key(key: Option<String>) -> Result<Option<String>> {
    match key {
        Some(key) if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX => {
            let description = format!("an idempotency key has from 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes");
            Err(ApiError::invalid("invalid_idempotency", "idempotencyKey", description))
        }
        key => Ok(key),
    }
}

/// How long to wait for the end of a run.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Answers when the run has ended, or as it is after this many milliseconds: at most 60000.
    wait: Option<u64>,
}

impl WaitQuery {
    fn timeout(&self) -> Result<Option<Duration>> {
        match self.wait {
            Some(wait) if wait > WAIT_MS_MAX => {
                let description = format!("a request may wait for at most {WAIT_MS_MAX} milliseconds");
                Err(ApiError::invalid("invalid_wait", "wait", description))
            }
            wait => Ok(wait.filter(|wait| *wait > 0).map(Duration::from_millis)),
        }
    }
}

/// The run once it has ended, the time is over or the server is to stop.
async fn look_at(host: &Host, id: RunId, wait: Option<Duration>, stopping: Stopping) -> Result<RunRow> {
    let row = match wait {
        None => operations::show_run(host, id)?,
        Some(timeout) => tokio::select! {
            row = operations::wait_for_run(host, id, timeout) => row?,
            () = stopping.announced() => operations::show_run(host, id)?,
        },
    };
    Ok(row)
}

/// Start a run
#[utoipa::path(
    post, path = "/api/v1/workflows/{name}/runs", tag = "runs",
    params(("name" = WorkflowNameText, Path), WaitQuery),
    responses(
        (status = 202, body = Run, description = "It is accepted."),
        (status = 200, body = Run, description = "It ended within `wait`, or the key had started it before.")
    )
)]
pub(super) async fn start_run(
    State(host): State<Host>,
    State(stopping): State<Stopping>,
    Path(name): Path<WorkflowNameText>,
    Params(query): Params<WaitQuery>,
    Json(body): Json<StartRunBody>,
) -> Result<(StatusCode, Answer<Run>)> {
    let wait = query.timeout()?;
    let started = operations::start_run(&host, name.0, body.into_request()?).await?;
    let row = match started.row {
        Some(row) if wait.is_none() || row.run.status.is_final() => *row,
        _ => look_at(&host, started.id, wait, stopping).await?,
    };
    let has_ended = wait.is_some() && row.run.status.is_final();
    let status = if started.existing || has_ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Answer(Run::of(&host, row))))
}

/// Which runs to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RunsQuery {
    workflow: Option<WorkflowNameText>,
    status: Option<StatusWord>,
    /// `key:value`, repeatable: all must match.
    #[serde(default)]
    metadata: Vec<PairText>,
    /// Created at or after this time.
    since: Option<Time>,
    /// Created before this time.
    until: Option<Time>,
    /// Spawned by this run.
    parent: Option<RunIdText>,
    /// What started them: a kind, or the id of a cron, scheduled run, event or run.
    trigger: Option<TriggerText>,
    /// Those with a task that is held, or those without.
    held: Option<bool>,
    /// At most this many rows: from 1 to 200, by default 50.
    limit: Option<usize>,
    /// The `nextCursor` of the stretch before.
    cursor: Option<String>,
}

pub(super) type TriggerText = Text<TriggerFilter>;

impl Described for TriggerFilter {
    const NAME: &'static str = "TriggerFilter";
}

impl FromStr for TriggerFilter {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let word: StrDeserializer<'_, ValueError> = text.into_deserializer();
        TriggerWord::deserialize(word)
            .map(|word| Self::Kind(word.into()))
            .or_else(|_| text.parse::<RunId>().map(|id| Self::Id(id.to_bytes())))
            .map_err(|_| "a trigger is call, cron, scheduled, event, parent, replay or the id of one")
    }
}

/// List runs
///
/// Newest first.
#[utoipa::path(
    get, path = "/api/v1/runs", tag = "runs",
    params(RunsQuery),
    responses((status = 200, body = Rows<Run>))
)]
pub(super) async fn list_runs(
    State(host): State<Host>,
    Params(query): Params<RunsQuery>,
) -> Result<Answer<Rows<Run>>> {
    let page = page(query.limit, query.cursor.as_deref())?;
    let filter = RunFilter {
        workflow: query.workflow.map(|name| name.0),
        status: query.status.map(Into::into),
        metadata: pairs(query.metadata),
        since: query.since.map(|time| time.0),
        until: query.until.map(|time| time.0),
        parent: query.parent.map(|id| id.0),
        trigger: query.trigger.map(|trigger| trigger.0),
        held: query.held,
    };
    let runs = operations::list_runs(&host, &filter, page)?;
    Ok(Answer(Rows::try_from_paged(runs, |row| Ok(Run::of(&host, row)))?))
}

/// Show a run
#[utoipa::path(
    get, path = "/api/v1/runs/{id}", tag = "runs",
    params(("id" = RunIdText, Path), WaitQuery),
    responses((status = 200, body = Run))
)]
pub(super) async fn show_run(
    State(host): State<Host>,
    State(stopping): State<Stopping>,
    Path(id): Path<RunIdText>,
    Params(query): Params<WaitQuery>,
) -> Result<Answer<Run>> {
    let row = look_at(&host, id.0, query.timeout()?, stopping).await?;
    Ok(Answer(Run::of(&host, row)))
}

/// Cancel a run
///
/// A step that runs is killed, what waits is dropped, and the run's children end with it unless
/// they are detached.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/cancel", tag = "runs",
    params(("id" = RunIdText, Path)),
    responses((status = 200, body = Run))
)]
pub(super) async fn cancel_run(State(host): State<Host>, Path(id): Path<RunIdText>) -> Result<Answer<Run>> {
    let row = operations::cancel_run(&host, id.0).await?;
    Ok(Answer(Run::of(&host, row)))
}

/// What to replay a run with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReplayRunBody {
    /// By default that of the run.
    #[serde(default, deserialize_with = "present")]
    input: Option<JsonValue>,
}

/// Run a run again
///
/// A run that has ended is started anew, with its metadata and its priority, in the current version
/// of its workflow. The answer is the new run.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/replay", tag = "runs",
    params(("id" = RunIdText, Path)),
    responses((status = 202, body = Run))
)]
pub(super) async fn replay_run(
    State(host): State<Host>,
    Path(id): Path<RunIdText>,
    Json(body): Json<ReplayRunBody>,
) -> Result<(StatusCode, Answer<Run>)> {
    let row = operations::replay_run(&host, id.0, bounded(body.input, "input")?).await?;
    Ok((StatusCode::ACCEPTED, Answer(Run::of(&host, row))))
}
