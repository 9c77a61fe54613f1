//! Scheduled runs: one run at a set time.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use dormouse_core::workflow::Json as JsonText;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::Result;
use super::extract::{Json, Params, Path};
use super::page::{PairText, Rows, page, pairs};
use super::run::Run;
use super::text::{RunIdText, ScheduledIdText, Text, WorkflowNameText};
use super::values::{JsonValue, Metadata, Priority, Time, bounded, present};
use crate::engine::Host;
use crate::operations::{self, ScheduleRun, ScheduledFilter};
use crate::store::rows::{ScheduledRow, ScheduledStatus};
use crate::triggers::scheduled::ScheduledChange;

/// One run at a set time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scheduled {
    id: ScheduledIdText,
    workflow: WorkflowNameText,
    trigger_at: Time,
    status: ScheduledStatusWord,
    /// The run that it became.
    run_id: Option<RunIdText>,
    source: ScheduledSource,
    /// The run whose task made it.
    source_run_id: Option<RunIdText>,
    input: JsonValue,
    metadata: Metadata,
    /// `null`: that of the workflow.
    priority: Option<Priority>,
    created_at: Time,
    updated_at: Time,
}

/// What has become of a scheduled run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ScheduledStatus)]
pub(super) enum ScheduledStatusWord {
    Pending,
    Fired,
    Cancelled,
}

/// Who made a scheduled run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum ScheduledSource {
    Api,
    Task,
}

impl From<ScheduledStatus> for ScheduledStatusWord {
    fn from(status: ScheduledStatus) -> Self {
        match status {
            ScheduledStatus::Pending => Self::Pending,
            ScheduledStatus::Fired => Self::Fired,
            ScheduledStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<ScheduledStatusWord> for ScheduledStatus {
    fn from(word: ScheduledStatusWord) -> Self {
        match word {
            ScheduledStatusWord::Pending => Self::Pending,
            ScheduledStatusWord::Fired => Self::Fired,
            ScheduledStatusWord::Cancelled => Self::Cancelled,
        }
    }
}

impl From<ScheduledRow> for Scheduled {
    fn from(row: ScheduledRow) -> Self {
        Self {
            id: Text(row.id),
            workflow: Text(row.workflow),
            trigger_at: Time(row.trigger_at),
            status: row.status.into(),
            run_id: row.run.map(Text),
            source: if row.made_by.is_some() { ScheduledSource::Task } else { ScheduledSource::Api },
            source_run_id: row.made_by.map(Text),
            input: row.input.into(),
            metadata: Metadata(row.metadata),
            priority: row.priority.map(Priority),
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
        }
    }
}

/// A run to schedule.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ScheduleRunBody {
    /// A time that has passed means at once.
    trigger_at: Time,
    /// By default `null`.
    input: Option<JsonValue>,
    #[serde(default)]
    metadata: Metadata,
    /// By default that of the workflow.
    priority: Option<Priority>,
}

/// What to change of a scheduled run; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PatchScheduled {
    pub(super) trigger_at: Option<Time>,
    #[serde(default, deserialize_with = "present")]
    pub(super) input: Option<JsonValue>,
    pub(super) metadata: Option<Metadata>,
    pub(super) priority: Option<Priority>,
}

impl PatchScheduled {
    pub(super) fn into_change(self) -> Result<ScheduledChange> {
        Ok(ScheduledChange {
            trigger_at: self.trigger_at.map(|time| time.0),
            input: bounded(self.input, "input")?,
            metadata: self.metadata.map(|metadata| metadata.0),
            priority: self.priority.map(|priority| priority.0),
        })
    }
}

/// Schedule a run
#[utoipa::path(
    post, path = "/api/v1/workflows/{name}/scheduled", tag = "scheduled",
    params(("name" = WorkflowNameText, Path)),
    responses((status = 201, body = Scheduled))
)]
pub(super) async fn schedule_run(
    State(host): State<Host>,
    Path(workflow): Path<WorkflowNameText>,
    Json(body): Json<ScheduleRunBody>,
) -> Result<(StatusCode, Answer<Scheduled>)> {
    let request = ScheduleRun {
        trigger_at: body.trigger_at.0,
        input: bounded(body.input, "input")?.unwrap_or_else(JsonText::null),
        metadata: body.metadata.0,
        priority: body.priority.map(|priority| priority.0),
    };
    Ok((StatusCode::CREATED, Answer(operations::schedule_run(&host, workflow.0, request).await?.into())))
}

/// Which scheduled runs to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ScheduledQuery {
    workflow: Option<WorkflowNameText>,
    status: Option<ScheduledStatusWord>,
    /// `key:value`, repeatable: all must match.
    #[serde(default)]
    metadata: Vec<PairText>,
    /// At most this many rows: from 1 to 200, by default 50.
    limit: Option<usize>,
    /// The `nextCursor` of the stretch before.
    cursor: Option<String>,
}

/// List scheduled runs
///
/// Earliest first.
#[utoipa::path(
    get, path = "/api/v1/scheduled", tag = "scheduled",
    params(ScheduledQuery),
    responses((status = 200, body = Rows<Scheduled>))
)]
pub(super) async fn list_scheduled(
    State(host): State<Host>,
    Params(query): Params<ScheduledQuery>,
) -> Result<Answer<Rows<Scheduled>>> {
    let page = page(query.limit, query.cursor.as_deref())?;
    let filter = ScheduledFilter {
        workflow: query.workflow.map(|name| name.0),
        status: query.status.map(Into::into),
        metadata: pairs(query.metadata),
    };
    Ok(Answer(Rows::from_paged(operations::list_scheduled(&host, &filter, page)?, Scheduled::from)))
}

/// Show a scheduled run
#[utoipa::path(
    get, path = "/api/v1/scheduled/{id}", tag = "scheduled",
    params(("id" = ScheduledIdText, Path)),
    responses((status = 200, body = Scheduled))
)]
pub(super) async fn show_scheduled(
    State(host): State<Host>,
    Path(id): Path<ScheduledIdText>,
) -> Result<Answer<Scheduled>> {
    Ok(Answer(operations::show_scheduled(&host, id.0)?.into()))
}

/// Change a scheduled run
///
/// 409 once it has fired.
#[utoipa::path(
    patch, path = "/api/v1/scheduled/{id}", tag = "scheduled",
    params(("id" = ScheduledIdText, Path)),
    responses((status = 200, body = Scheduled))
)]
pub(super) async fn patch_scheduled(
    State(host): State<Host>,
    Path(id): Path<ScheduledIdText>,
    Json(body): Json<PatchScheduled>,
) -> Result<Answer<Scheduled>> {
    Ok(Answer(operations::change_scheduled(&host, id.0, body.into_change()?).await?.into()))
}

/// Cancel a scheduled run
///
/// It stays in the lists, with the status `cancelled`.
#[utoipa::path(
    delete, path = "/api/v1/scheduled/{id}", tag = "scheduled",
    params(("id" = ScheduledIdText, Path)),
    responses((status = 204))
)]
pub(super) async fn delete_scheduled(
    State(host): State<Host>,
    Path(id): Path<ScheduledIdText>,
) -> Result<StatusCode> {
    operations::cancel_scheduled(&host, id.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Run a scheduled run now
#[utoipa::path(
    post, path = "/api/v1/scheduled/{id}/trigger", tag = "scheduled",
    params(("id" = ScheduledIdText, Path)),
    responses((status = 202, body = Run))
)]
pub(super) async fn trigger_scheduled(
    State(host): State<Host>,
    Path(id): Path<ScheduledIdText>,
) -> Result<(StatusCode, Answer<Run>)> {
    let run = operations::trigger_scheduled(&host, id.0).await?;
    Ok((StatusCode::ACCEPTED, Answer(Run::of(&host, operations::show_run(&host, run)?))))
}
