//! Modules and workflows.

use std::sync::Arc;

use dormouse_core::id::{ModuleDigest, Version, WorkflowName};
use dormouse_core::workflow::Workflow;

use super::{Host, Result, paged};
use crate::engine::catalog::DeployedVersion;
use crate::engine::deploy::versions_of;
use crate::engine::requests::{Deployed, Page, Paged, WorkflowChange, WorkflowView};
use crate::engine::{Error, find_workflow};
use crate::store::rows::ModuleRow;
use crate::store::{Read, StoreError, View};

impl Host {
    /// Takes in a module.
    pub(crate) async fn deploy(&self, bytes: Vec<u8>) -> Result<Deployed> {
        let mut inspection = self.shared.runtime.inspect(bytes.clone()).await?;
        let workflows = std::mem::take(&mut inspection.workflows);
        let versions = self.prepare(inspection.digest, workflows)?;
        self.operate(move |shard| shard.deploy(inspection, versions, &bytes)).await
    }

    /// Compiles what the deciding thread is going to need of a module: what it declares and, as it may
    /// be there already, what it became.
    fn prepare(&self, digest: ModuleDigest, workflows: Vec<Workflow>) -> Result<Vec<Arc<DeployedVersion>>> {
        self.scan(|store| {
            let versions = workflows.into_iter().map(|workflow| DeployedVersion::new(digest, workflow));
            let versions: Vec<_> = versions.map(Arc::new).collect();
            versions.iter().for_each(|version| version.compile());
            let catalog = self.shared.catalog();
            for (name, version) in store.module(digest)?.into_iter().flat_map(|module| module.workflows) {
                catalog.version(&name, version).into_iter().for_each(|version| version.compile());
            }
            Ok(versions)
        })
    }

    pub(crate) fn module(&self, digest: ModuleDigest) -> Result<Deployed> {
        let found =
            self.read(|store| store.module(digest)?.map(|module| deployed(store, module)).transpose())?;
        found.ok_or_else(|| Error::not_found("unknown_module", format!("there is no module {digest}")))
    }

    pub(crate) fn modules(&self, page: Page<ModuleDigest>) -> Result<Paged<Deployed, ModuleDigest>> {
        self.read(|store| {
            let modules = store.modules()?;
            let start = page.after.and_then(|after| modules.iter().position(|module| module.digest == after));
            let rows = modules.into_iter().skip(start.map_or(0, |start| start + 1));
            let rows = rows.take(page.limit + 1).map(|module| deployed(store, module));
            Ok(paged(rows.collect::<std::result::Result<_, _>>()?, page.limit, |row| row.module.digest))
        })
    }

    pub(crate) async fn delete_module(&self, digest: ModuleDigest) -> Result<()> {
        self.operate(move |shard| shard.delete_module(digest)).await
    }

    pub(crate) fn workflows(&self, page: Page<WorkflowName>) -> Result<Paged<WorkflowView, WorkflowName>> {
        let catalog = self.shared.catalog();
        let names = catalog.workflows().into_iter().map(|entry| &entry.target.workflow);
        let names = names.filter(|name| page.after.as_ref().is_none_or(|after| *name > after));
        let rows = names.take(page.limit + 1).map(|name| self.workflow(name)).collect::<Result<_>>()?;
        Ok(paged(rows, page.limit, |view| view.row.name.clone()))
    }

    pub(crate) fn workflow(&self, name: &WorkflowName) -> Result<WorkflowView> {
        find_workflow(&self.shared.catalog(), name)?;
        let view = self.read(|store| {
            let Some(row) = store.workflow(name)? else { return Ok(None) };
            Ok(Some(WorkflowView { row, versions: store.versions(name)?, counts: store.run_counts(name)? }))
        })?;
        view.ok_or_else(|| Error::not_found("unknown_workflow", format!("no workflow is named `{name}`")))
    }

    pub(crate) async fn change_workflow(
        &self,
        workflow: WorkflowName,
        change: WorkflowChange,
    ) -> Result<WorkflowView> {
        let name = workflow.clone();
        if let Some(version) = change.current {
            let catalog = self.shared.catalog();
            // An older version may not have been needed since the host started.
            let version = catalog.version(&workflow, version);
            version.into_iter().for_each(|version| tokio::task::block_in_place(|| version.compile()));
        }
        self.operate(move |shard| shard.change_workflow(&workflow, change)).await?;
        self.workflow(&name)
    }

    pub(crate) async fn delete_workflow(&self, workflow: WorkflowName) -> Result<()> {
        self.operate(move |shard| shard.delete_workflow(&workflow)).await
    }

    /// What a version of a workflow says, be it current or not.
    pub(crate) fn definition(&self, name: &WorkflowName, version: Version) -> Option<Arc<Workflow>> {
        self.shared.catalog().definition(name, version).cloned()
    }
}

fn deployed(store: &View, module: ModuleRow) -> std::result::Result<Deployed, StoreError> {
    Ok(Deployed { versions: versions_of(store, &module)?, module, created: false })
}
