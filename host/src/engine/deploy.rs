//! Modules and workflows: uploaded, paused, deleted.

use std::sync::Arc;

use dormouse_core::id::{ModuleDigest, Version, WorkflowName};
use dormouse_core::workflow::Workflow;

use super::catalog::DeployedVersion;
use super::find_workflow;
use super::requests::{Deployed, WorkflowChange};
use super::shard::{Handled, Shard};
use crate::error::Error;
use crate::runtime::Inspection;
use crate::store::rows::{ModuleRow, VersionRow, WorkflowRow};
use crate::store::{Read, StoreError};
use crate::triggers::crons::EarlierRuns;

/// What the deciding thread needs to take in a module and would take long to find.
pub(super) struct Prepared {
    /// What the module declares, compiled.
    pub(super) declared: Vec<Arc<DeployedVersion>>,
    pub(super) earlier: EarlierRuns,
}

impl Shard {
    /// Takes in a module: every workflow that it declares gets a new version, which is current
    /// from now on. Bytes that are there already change nothing.
    pub(super) fn deploy(
        &mut self,
        inspection: Inspection,
        prepared: Prepared,
        bytes: &[u8],
    ) -> Handled<Deployed> {
        if let Some(module) = self.rows.module(inspection.digest)? {
            // It was compiled to be looked at.
            self.outdated.insert(module.digest);
            self.revive(&module, &prepared.earlier)?;
            return Ok(Deployed { versions: versions_of(&self.rows, &module)?, module, created: false });
        }
        let Prepared { declared, earlier } = prepared;
        let conflict =
            declared.iter().try_for_each(|version| self.refuse_conflicting_crons(&version.definition));
        if conflict.is_err() {
            // It was compiled to be looked at.
            self.post_commit.forgotten.push(inspection.digest);
        }
        conflict?;
        let Inspection { digest, size_bytes, imports, warnings, .. } = inspection;
        let mut versions = Vec::with_capacity(declared.len());
        for version in declared {
            versions.push(self.add_version(digest, version, &earlier)?);
        }
        let names = versions.iter().map(|row| (row.definition.name.clone(), row.version)).collect();
        let module =
            ModuleRow { digest, size_bytes, uploaded_at: self.now, workflows: names, imports, warnings };
        self.rows.put_module(&module, bytes)?;
        Ok(Deployed { module, versions, created: true })
    }

    fn add_version(
        &mut self,
        module: ModuleDigest,
        declared: Arc<DeployedVersion>,
        earlier: &EarlierRuns,
    ) -> Handled<VersionRow> {
        let definition = Workflow::clone(&declared.definition);
        let name = definition.name.clone();
        let mut row = self.rows.workflow(&name)?.unwrap_or(WorkflowRow {
            name,
            current: None,
            latest: Version(0),
            paused: false,
            created_at: self.now,
            updated_at: self.now,
        });
        row.latest = Version(row.latest.0 + 1);
        row.updated_at = self.now;
        let version = VersionRow { version: row.latest, module, created_at: self.now, definition };
        self.rows.put_version(&version)?;
        Arc::make_mut(&mut self.catalog).put_version(version.version, declared);
        self.make_current(row, version.version, earlier)?;
        Ok(version)
    }

    /// To be called when its crons are known not to conflict with those of the API.
    fn make_current(&mut self, mut row: WorkflowRow, version: Version, earlier: &EarlierRuns) -> Handled<()> {
        self.outdate_current(&row.name);
        let before = self.catalog.workflow(&row.name).map(|entry| Arc::clone(&entry.version));
        row.current = Some(version);
        self.put_workflow(&row)?;
        match self.catalog.version(&row.name, version).cloned() {
            Some(now) => Ok(self.declare_crons(before.as_deref(), &now, earlier)?),
            None => Ok(()),
        }
    }

    /// Writes the row of a workflow, and has the catalog say the same.
    fn put_workflow(&mut self, row: &WorkflowRow) -> Result<(), StoreError> {
        self.rows.put_workflow(row)?;
        Arc::make_mut(&mut self.catalog).put_workflow(row);
        self.post_commit.catalog = Some(Arc::clone(&self.catalog));
        Ok(())
    }

    /// Brings back the workflows of a known module that were deleted since it was uploaded.
    fn revive(&mut self, module: &ModuleRow, earlier: &EarlierRuns) -> Handled<()> {
        let mut deleted = Vec::new();
        for (name, version) in &module.workflows {
            let row = self.rows.workflow(name)?.filter(|row| row.current.is_none());
            if let (Some(row), Some(version)) = (row, self.rows.version(name, *version)?) {
                self.refuse_conflicting_crons(&version.definition)?;
                deleted.push((row, version));
            }
        }
        for (row, version) in deleted {
            self.make_current(row, version.version, earlier)?;
        }
        Ok(())
    }

    /// Deletes a module that nothing needs any more.
    pub(super) fn delete_module(&mut self, digest: ModuleDigest) -> Handled<()> {
        let missing = || Error::not_found("unknown_module", format!("there is no module {digest}"));
        let module = self.rows.module(digest)?.ok_or_else(missing)?;
        for (name, version) in &module.workflows {
            if self.rows.workflow(name)?.is_some_and(|row| row.current == Some(*version)) {
                let text = format!(
                    "the module holds the current version of `{name}`; deploy another one or delete the workflow first"
                );
                return Err(Error::conflict("module_current", text).into());
            }
        }
        for (name, version) in &module.workflows {
            let live = self.live_runs_of(name, *version)?;
            if live > 0 {
                let text = format!(
                    "{live} runs of `{name}` are pinned to the module and have not ended; cancel them or let them end first"
                );
                return Err(Error::conflict("module_in_use", text).into());
            }
        }
        self.rows.delete_module(digest);
        self.post_commit.forgotten.push(digest);
        Ok(())
    }

    /// Notes that the current version of a workflow is about to be one no more.
    fn outdate_current(&mut self, name: &WorkflowName) {
        let current = self.catalog().workflow(name).map(|entry| entry.target.module);
        self.outdated.extend(current);
    }

    /// Lets go of the compiled form of modules that no workflow and no run needs now: it is made anew
    /// from their bytes if that changes. To be called when all runs are written.
    pub(super) fn drop_unneeded_modules(&mut self) -> Result<(), StoreError> {
        for digest in std::mem::take(&mut self.outdated) {
            if let Some(module) = self.rows.module(digest)?
                && !self.is_needed(&module)?
            {
                self.post_commit.forgotten.push(digest);
            }
        }
        Ok(())
    }

    fn is_needed(&self, module: &ModuleRow) -> Result<bool, StoreError> {
        for (name, version) in &module.workflows {
            let current = self.catalog().workflow(name).map(|entry| entry.target.version);
            if current == Some(*version) || self.live_runs_of(name, *version)? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Rolls a workflow back or forth to a version, holds back its steps or lets them go on.
    pub(super) fn change_workflow(
        &mut self,
        name: &WorkflowName,
        change: WorkflowChange,
        earlier: &EarlierRuns,
    ) -> Handled<()> {
        find_workflow(self.catalog(), name)?;
        if let Some(version) = change.current {
            self.set_current(name, version, earlier)?;
        }
        match change.paused {
            Some(paused) => self.set_paused(name, paused),
            None => Ok(()),
        }
    }

    /// Has new runs take a version that is there already. Its crons and subscriptions come back with
    /// it; runs that have begun keep theirs.
    fn set_current(&mut self, name: &WorkflowName, wanted: Version, earlier: &EarlierRuns) -> Handled<()> {
        let Some(mut row) = self.rows.workflow(name)? else { return Ok(()) };
        if row.current == Some(wanted) {
            return Ok(());
        }
        let Some(version) = self.rows.version(name, wanted)? else {
            let text = format!(
                "`{name}` has no version {}; its versions go from 1 to {}, see `GET /api/v1/workflows/{name}`",
                wanted.0, row.latest.0
            );
            return Err(Error::invalid("unknown_version", "currentVersion", text).into());
        };
        if self.rows.module(version.module)?.is_none() {
            let text = format!(
                "version {} of `{name}` is in module {}, which was deleted; deploy it again",
                wanted.0, version.module
            );
            return Err(Error::conflict("module_deleted", text).into());
        }
        self.refuse_conflicting_crons(&version.definition)?;
        row.updated_at = self.now;
        self.make_current(row, version.version, earlier)
    }

    /// Holds back the steps of a workflow, or lets them go on.
    fn set_paused(&mut self, name: &WorkflowName, paused: bool) -> Handled<()> {
        let Some(mut row) = self.rows.workflow(name)? else { return Ok(()) };
        if row.paused != paused {
            row.paused = paused;
            row.updated_at = self.now;
            self.put_workflow(&row)?;
            if paused {
                self.queue.pause(name);
            } else {
                self.queue.resume(name);
            }
        }
        Ok(())
    }

    /// Deletes a workflow with its triggers. Its runs stay, and those that have begun go on.
    pub(super) fn delete_workflow(&mut self, name: &WorkflowName) -> Handled<()> {
        find_workflow(self.catalog(), name)?;
        let Some(mut row) = self.rows.workflow(name)? else { return Ok(()) };
        self.remove_crons(name)?;
        self.cancel_scheduled_of(name)?;
        if row.paused {
            self.queue.resume(name);
        }
        self.outdate_current(name);
        row.current = None;
        row.paused = false;
        row.updated_at = self.now;
        Ok(self.put_workflow(&row)?)
    }
}

/// The versions that a module became.
pub(super) fn versions_of(store: &impl Read, module: &ModuleRow) -> Result<Vec<VersionRow>, StoreError> {
    let rows = module.workflows.iter().map(|(name, version)| store.version(name, *version));
    rows.filter_map(Result::transpose).collect()
}
