//! Workflows: what is deployed under a name, and whether it takes new runs.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use dormouse_core::run::Status;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::definition::Definition;
use super::error::Result;
use super::extract::{Json, Params, Path};
use super::page::{ListQuery, Rows, page};
use super::text::{DigestText, Text, WorkflowNameText};
use super::values::Time;
use crate::engine::Host;
use crate::operations::{self, WorkflowChange, WorkflowView};

/// A workflow with all there is to know of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Workflow {
    name: WorkflowNameText,
    /// The version that new runs take.
    current_version: Option<u32>,
    /// Of the current version.
    definition: Option<Definition>,
    /// Oldest first.
    versions: Vec<Version>,
    /// A paused workflow begins no runs: they wait in the queue.
    paused: bool,
    /// Numbers of runs by status.
    #[schema(example = json!({"queued": 0, "running": 1, "sleeping": 20, "completed": 300}))]
    run_counts: BTreeMap<&'static str, u64>,
    created_at: Time,
    updated_at: Time,
}

/// What one module says of a workflow.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: u32,
    module: DigestText,
    created_at: Time,
}

impl From<WorkflowView> for Workflow {
    fn from(view: WorkflowView) -> Self {
        let WorkflowView { row, versions, counts } = view;
        let current = versions.iter().find(|version| Some(version.version) == row.current);
        let run_counts = Status::ALL.into_iter().zip(counts).filter(|(status, _)| *status != Status::Skipped);
        Self {
            definition: current.map(|version| Definition::from(&version.definition)),
            name: Text(row.name),
            current_version: row.current.map(|version| version.0),
            versions: versions
                .iter()
                .map(|version| Version {
                    version: version.version.0,
                    module: Text(version.module),
                    created_at: Time(version.created_at),
                })
                .collect(),
            paused: row.paused,
            run_counts: run_counts.map(|(status, count)| (status.word(), count)).collect(),
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
        }
    }
}

/// What to change of a workflow.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PatchWorkflow {
    paused: Option<bool>,
    /// The version that new runs take: an older one rolls back. Runs that have begun keep theirs.
    current_version: Option<u32>,
}

/// List workflows
///
/// In the order of their names.
#[utoipa::path(
    get, path = "/api/v1/workflows", tag = "workflows",
    params(ListQuery),
    responses((status = 200, body = Rows<Workflow>))
)]
pub(super) async fn list_workflows(
    State(host): State<Host>,
    Params(query): Params<ListQuery>,
) -> Result<Answer<Rows<Workflow>>> {
    let workflows = operations::list_workflows(&host, page(query.limit, query.cursor.as_deref())?)?;
    Ok(Answer(Rows::from_paged(workflows, Workflow::from)))
}

/// Show a workflow
#[utoipa::path(
    get, path = "/api/v1/workflows/{name}", tag = "workflows",
    params(("name" = WorkflowNameText, Path)),
    responses((status = 200, body = Workflow))
)]
pub(super) async fn show_workflow(
    State(host): State<Host>,
    Path(name): Path<WorkflowNameText>,
) -> Result<Answer<Workflow>> {
    Ok(Answer(operations::show_workflow(&host, &name.0)?.into()))
}

/// Pause, resume or roll back a workflow
#[utoipa::path(
    patch, path = "/api/v1/workflows/{name}", tag = "workflows",
    params(("name" = WorkflowNameText, Path)),
    responses((status = 200, body = Workflow))
)]
pub(super) async fn patch_workflow(
    State(host): State<Host>,
    Path(name): Path<WorkflowNameText>,
    Json(patch): Json<PatchWorkflow>,
) -> Result<Answer<Workflow>> {
    let PatchWorkflow { paused, current_version } = patch;
    let change = WorkflowChange { paused, current: current_version.map(dormouse_core::id::Version) };
    Ok(Answer(operations::change_workflow(&host, name.0, change).await?.into()))
}

/// Delete a workflow
///
/// Its triggers go with it; its runs stay until their retention is over.
#[utoipa::path(
    delete, path = "/api/v1/workflows/{name}", tag = "workflows",
    params(("name" = WorkflowNameText, Path)),
    responses((status = 204))
)]
pub(super) async fn delete_workflow(
    State(host): State<Host>,
    Path(name): Path<WorkflowNameText>,
) -> Result<StatusCode> {
    operations::delete_workflow(&host, name.0).await?;
    Ok(StatusCode::NO_CONTENT)
}
