//! Modules and workflows.

use std::sync::Arc;

use dormouse_core::id::{ModuleDigest, Version, WorkflowName};
use dormouse_core::workflow::{DeclaredCron, Overlap, Workflow};

use super::{Host, Result, paged};
use crate::engine::catalog::{Catalog, DeployedVersion};
use crate::engine::deploy::{Prepared, versions_of};
use crate::engine::find_workflow;
use crate::engine::requests::{Deployed, Page, Paged, WorkflowChange, WorkflowView};
use crate::error::Error;
use crate::store::rows::ModuleRow;
use crate::store::{Read, StoreError, View};
use crate::triggers::crons::EarlierRuns;

impl Host {
    /// Takes in a module.
    pub(crate) async fn deploy(&self, bytes: Vec<u8>) -> Result<Deployed> {
        let mut inspection = self.shared.runtime.inspect(bytes.clone()).await?;
        let workflows = std::mem::take(&mut inspection.workflows);
        let prepared = self.prepare(inspection.digest, workflows)?;
        self.operate_on(bytes.len(), move |shard| shard.deploy(inspection, prepared, &bytes)).await
    }

    /// Compiles what the deciding thread is going to need of a module: what it declares and, as it may
    /// be there already, what it became.
    fn prepare(&self, digest: ModuleDigest, workflows: Vec<Workflow>) -> Result<Prepared> {
        self.scan(|store| {
            let versions = workflows.into_iter().map(|workflow| DeployedVersion::new(digest, workflow));
            let declared: Vec<_> = versions.map(Arc::new).collect();
            let catalog = self.shared.catalog();
            let mut earlier = EarlierRuns::default();
            for version in &declared {
                version.compile();
                earlier.extend(earlier_runs(store, &catalog, version)?);
            }
            for (name, version) in store.module(digest)?.into_iter().flat_map(|module| module.workflows) {
                catalog.version(&name, version).into_iter().for_each(|version| version.compile());
            }
            Ok(Prepared { declared, earlier })
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
        let catalog = self.shared.catalog();
        let version = change.current.and_then(|version| catalog.version(&workflow, version));
        let earlier = self.scan(|store| match version {
            Some(version) => {
                // An older version may not have been needed since the host started.
                version.compile();
                earlier_runs(store, &catalog, version)
            }
            None => Ok(EarlierRuns::default()),
        })?;
        self.operate(move |shard| shard.change_workflow(&workflow, change, &earlier)).await?;
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

/// Live runs of crons that a version is going to keep from overlapping, and that may overlap now.
fn earlier_runs(
    store: &View,
    catalog: &Catalog,
    version: &DeployedVersion,
) -> std::result::Result<EarlierRuns, StoreError> {
    let name = &version.definition.name;
    let current = catalog.workflow(name).map_or(&[][..], |entry| &entry.version.definition.crons);
    let is_stricter = |cron: &DeclaredCron| {
        let before = current.iter().find(|before| before.name == cron.name);
        before.is_some_and(|before| before.spec.overlap == Overlap::Allow)
            && cron.spec.overlap != Overlap::Allow
    };
    match version.definition.crons.iter().any(is_stricter) {
        true => EarlierRuns::find(store, name),
        false => Ok(EarlierRuns::default()),
    }
}

fn deployed(store: &View, module: ModuleRow) -> std::result::Result<Deployed, StoreError> {
    Ok(Deployed { versions: versions_of(store, &module)?, module, created: false })
}
