//! Crons: make, change, list, trigger and delete them.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::cron::{CatchUpWord, Cron, OverlapWord};
use super::error::Result;
use super::extract::{Json, Params, Path};
use super::page::{PairText, Rows, page, pairs};
use super::run::Run;
use super::text::{CronIdText, CronNameText, WorkflowNameText};
use super::values::{JsonValue, Metadata, Priority, bounded, present};
use crate::engine::Host;
use crate::operations::{self, CronFilter};
use crate::triggers::crons::CronChange;

/// A body that sets fields of a cron. They share all fields but the few that come first. A macro
/// writes them out, because flattening one into the other would not keep the text of the input.
macro_rules! cron_bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Deserialize, ToSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$attribute])* $field: $type,)*
            /// IANA name, by default `UTC`.
            timezone: Option<String>,
            /// Of its runs, by default `null`.
            #[serde(default, deserialize_with = "present")]
            input: Option<JsonValue>,
            metadata: Option<Metadata>,
            /// Of its runs, by default that of the workflow.
            priority: Option<Priority>,
            /// By default true.
            enabled: Option<bool>,
            /// By default `skip`.
            catch_up: Option<CatchUpWord>,
            /// How far back the catch-up policy `all` looks: by default 86400000, a day.
            catch_up_window_ms: Option<u64>,
            /// By default `allow`.
            overlap: Option<OverlapWord>,
        }

        impl $name {
            /// The change without the fields that not all bodies have.
            fn into_change(self, expression: Option<String>) -> Result<CronChange> {
                Ok(CronChange {
                    expression,
                    timezone: self.timezone,
                    input: bounded(self.input, "input")?,
                    metadata: self.metadata.map(|metadata| metadata.0),
                    priority: self.priority.map(|priority| priority.0),
                    enabled: self.enabled,
                    catch_up: CatchUpWord::into_core(self.catch_up, self.catch_up_window_ms)?,
                    overlap: self.overlap.map(Into::into),
                })
            }
        }
    )* };
}

cron_bodies! {
    /// A cron to make or to change.
    PutCron {
        /// Five fields, six with seconds first, or a name such as `@hourly`.
        expression: String
    }
    /// A cron to make or to change, with its name.
    CreateCron {
        /// Unique within the workflow.
        name: CronNameText,
        /// Five fields, six with seconds first, or a name such as `@hourly`.
        expression: String
    }
    /// What to change of a cron; what is absent stays.
    PatchCron {
        /// Five fields, six with seconds first, or a name such as `@hourly`.
        expression: Option<String>
    }
}

/// Make or change a cron
#[utoipa::path(
    put, path = "/api/v1/workflows/{name}/crons/{cronName}", tag = "crons",
    params(("name" = WorkflowNameText, Path), ("cronName" = CronNameText, Path)),
    responses(
        (status = 201, body = Cron),
        (status = 200, body = Cron, description = "It was there and is changed.")
    )
)]
pub(super) async fn put_cron(
    State(host): State<Host>,
    Path((workflow, name)): Path<(WorkflowNameText, CronNameText)>,
    Json(mut body): Json<PutCron>,
) -> Result<(StatusCode, Answer<Cron>)> {
    let expression = std::mem::take(&mut body.expression);
    upsert(&host, workflow, name, body.into_change(Some(expression))?).await
}

/// Make or change a cron, named in the body
#[utoipa::path(
    post, path = "/api/v1/workflows/{name}/crons", tag = "crons",
    params(("name" = WorkflowNameText, Path)),
    responses(
        (status = 201, body = Cron),
        (status = 200, body = Cron, description = "It was there and is changed.")
    )
)]
pub(super) async fn create_cron(
    State(host): State<Host>,
    Path(workflow): Path<WorkflowNameText>,
    Json(mut body): Json<CreateCron>,
) -> Result<(StatusCode, Answer<Cron>)> {
    let (name, expression) = (body.name.clone(), std::mem::take(&mut body.expression));
    upsert(&host, workflow, name, body.into_change(Some(expression))?).await
}

async fn upsert(
    host: &Host,
    workflow: WorkflowNameText,
    name: CronNameText,
    change: CronChange,
) -> Result<(StatusCode, Answer<Cron>)> {
    let (row, created) = operations::put_cron(host, workflow.0, name.0, change).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Answer(row.into())))
}

/// Which crons to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CronsQuery {
    workflow: Option<WorkflowNameText>,
    name: Option<CronNameText>,
    /// `key:value`, repeatable: all must match.
    #[serde(default)]
    metadata: Vec<PairText>,
    enabled: Option<bool>,
    /// At most this many rows: from 1 to 200, by default 50.
    limit: Option<usize>,
    /// The `nextCursor` of the stretch before.
    cursor: Option<String>,
}

/// List crons
///
/// Newest first.
#[utoipa::path(
    get, path = "/api/v1/crons", tag = "crons",
    params(CronsQuery),
    responses((status = 200, body = Rows<Cron>))
)]
pub(super) async fn list_crons(
    State(host): State<Host>,
    Params(query): Params<CronsQuery>,
) -> Result<Answer<Rows<Cron>>> {
    let page = page(query.limit, query.cursor.as_deref())?;
    let filter = CronFilter {
        workflow: query.workflow.map(|name| name.0),
        name: query.name.map(|name| name.0.to_string()),
        metadata: pairs(query.metadata),
        enabled: query.enabled,
    };
    Ok(Answer(Rows::from_paged(operations::list_crons(&host, &filter, page)?, Cron::from)))
}

/// Show a cron
#[utoipa::path(
    get, path = "/api/v1/crons/{id}", tag = "crons",
    params(("id" = CronIdText, Path)),
    responses((status = 200, body = Cron))
)]
pub(super) async fn show_cron(State(host): State<Host>, Path(id): Path<CronIdText>) -> Result<Answer<Cron>> {
    Ok(Answer(operations::show_cron(&host, id.0)?.into()))
}

/// Change a cron
#[utoipa::path(
    patch, path = "/api/v1/crons/{id}", tag = "crons",
    params(("id" = CronIdText, Path)),
    responses((status = 200, body = Cron))
)]
pub(super) async fn patch_cron(
    State(host): State<Host>,
    Path(id): Path<CronIdText>,
    Json(mut body): Json<PatchCron>,
) -> Result<Answer<Cron>> {
    let expression = body.expression.take();
    Ok(Answer(operations::change_cron(&host, id.0, body.into_change(expression)?).await?.into()))
}

/// Delete a cron
///
/// 409 for a cron that a module declares: disable it instead.
#[utoipa::path(
    delete, path = "/api/v1/crons/{id}", tag = "crons",
    params(("id" = CronIdText, Path)),
    responses((status = 204))
)]
pub(super) async fn delete_cron(State(host): State<Host>, Path(id): Path<CronIdText>) -> Result<StatusCode> {
    operations::delete_cron(&host, id.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Run a cron now
#[utoipa::path(
    post, path = "/api/v1/crons/{id}/trigger", tag = "crons",
    params(("id" = CronIdText, Path)),
    responses((status = 202, body = Run))
)]
pub(super) async fn trigger_cron(
    State(host): State<Host>,
    Path(id): Path<CronIdText>,
) -> Result<(StatusCode, Answer<Run>)> {
    let run = operations::trigger_cron(&host, id.0).await?;
    Ok((StatusCode::ACCEPTED, Answer(Run::of(&host, operations::show_run(&host, run)?))))
}
