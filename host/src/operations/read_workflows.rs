//! Look at workflows: one, a list, what a version says.

use std::sync::Arc;

use dormouse_core::id::{Version, WorkflowName};
use dormouse_core::workflow::Workflow;

use super::Result;
use super::page::{Page, Paged, paged};
use crate::engine::{Host, find_workflow};
use crate::error::Error;
use crate::store::Read;
use crate::store::rows::{VersionRow, WorkflowRow};

/// A workflow with all there is to know of it.
#[derive(Debug, Clone)]
pub(crate) struct WorkflowView {
    pub(crate) row: WorkflowRow,
    /// Oldest first.
    pub(crate) versions: Vec<VersionRow>,
    /// Numbers of runs, in the order of `Status::ALL`.
    pub(crate) counts: [u64; 7],
}

pub(crate) fn show_workflow(host: &Host, name: &WorkflowName) -> Result<WorkflowView> {
    find_workflow(&host.catalog(), name)?;
    let view = host.read(|store| {
        let Some(row) = store.workflow(name)? else { return Ok(None) };
        Ok(Some(WorkflowView { row, versions: store.versions(name)?, counts: store.run_counts(name)? }))
    })?;
    view.ok_or_else(|| Error::not_found("unknown_workflow", format!("no workflow is named `{name}`")))
}

pub(crate) fn list_workflows(
    host: &Host,
    page: Page<WorkflowName>,
) -> Result<Paged<WorkflowView, WorkflowName>> {
    let catalog = host.catalog();
    let names = catalog.workflows().into_iter().map(|entry| &entry.target.workflow);
    let names = names.filter(|name| page.after.as_ref().is_none_or(|after| *name > after));
    let rows = names.take(page.limit + 1).map(|name| show_workflow(host, name)).collect::<Result<_>>()?;
    Ok(paged(rows, page.limit, |view| view.row.name.clone()))
}

/// What a version of a workflow says, be it current or not.
pub(crate) fn definition(host: &Host, name: &WorkflowName, version: Version) -> Option<Arc<Workflow>> {
    host.catalog().definition(name, version).cloned()
}
