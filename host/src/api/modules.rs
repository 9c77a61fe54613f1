//! Modules: upload, look at and delete components.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::definition::Definition;
use super::error::Result;
use super::extract::{Params, Path, Wasm};
use super::page::{ListQuery, Rows, page};
use super::text::{DigestText, Text, WorkflowNameText};
use super::values::Time;
use crate::engine::Host;
use crate::operations::{self, Deployed};

/// An uploaded component.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Module {
    digest: DigestText,
    /// In bytes, as it was uploaded.
    size: u64,
    uploaded_at: Time,
    workflows: Vec<ModuleWorkflow>,
    /// Names of the interfaces that it imports.
    imports: Vec<String>,
    /// What the upload had to say.
    warnings: Vec<String>,
}

/// A workflow that a module declares.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ModuleWorkflow {
    name: WorkflowNameText,
    /// The version that it became.
    version: u32,
    #[serde(flatten)]
    definition: Definition,
}

impl From<Deployed> for Module {
    fn from(deployed: Deployed) -> Self {
        let Deployed { module, versions, created: _ } = deployed;
        let workflows = versions.iter().map(|row| ModuleWorkflow {
            name: Text(row.definition.name.clone()),
            version: row.version.0,
            definition: Definition::from(&row.definition),
        });
        Self {
            digest: Text(module.digest),
            size: module.size_bytes,
            uploaded_at: Time(module.uploaded_at),
            workflows: workflows.collect(),
            imports: module.imports,
            warnings: module.warnings,
        }
    }
}

/// Upload a module
///
/// The workflows that it declares take this version for their new runs. The same bytes change nothing.
#[utoipa::path(
    post, path = "/api/v1/modules", tag = "modules",
    request_body(
        content = [u8],
        content_type = "application/wasm",
        description = "A component, at most 64 MiB."
    ),
    responses(
        (status = 201, body = Module),
        (status = 200, body = Module, description = "It was there already.")
    )
)]
pub(super) async fn upload_module(
    State(host): State<Host>,
    Wasm(bytes): Wasm,
) -> Result<(StatusCode, Answer<Module>)> {
    let deployed = operations::deploy_module(&host, bytes.into()).await?;
    let status = if deployed.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Answer(deployed.into())))
}

/// List modules
#[utoipa::path(
    get, path = "/api/v1/modules", tag = "modules",
    params(ListQuery),
    responses((status = 200, body = Rows<Module>))
)]
pub(super) async fn list_modules(
    State(host): State<Host>,
    Params(query): Params<ListQuery>,
) -> Result<Answer<Rows<Module>>> {
    let modules = operations::list_modules(&host, page(query.limit, query.cursor.as_deref())?)?;
    Ok(Answer(Rows::from_paged(modules, Module::from)))
}

/// Show a module
#[utoipa::path(
    get, path = "/api/v1/modules/{digest}", tag = "modules",
    params(("digest" = DigestText, Path)),
    responses((status = 200, body = Module))
)]
pub(super) async fn show_module(
    State(host): State<Host>,
    Path(digest): Path<DigestText>,
) -> Result<Answer<Module>> {
    Ok(Answer(operations::show_module(&host, digest.0)?.into()))
}

/// Delete a module
///
/// 409 while runs that have not ended are pinned to it.
#[utoipa::path(
    delete, path = "/api/v1/modules/{digest}", tag = "modules",
    params(("digest" = DigestText, Path)),
    responses((status = 204))
)]
pub(super) async fn delete_module(
    State(host): State<Host>,
    Path(digest): Path<DigestText>,
) -> Result<StatusCode> {
    operations::delete_module(&host, digest.0).await?;
    Ok(StatusCode::NO_CONTENT)
}
