//! Workflows, their versions and the modules that hold their code, as the shard has them: rows, the catalog
//! that says the same, and the compiled modules that are needed.

use std::sync::Arc;

use dormouse_core::id::ModuleDigest;

use super::catalog::DeployedVersion;
use super::shard::Shard;
use crate::store::rows::{ModuleRow, VersionRow, WorkflowRow};
use crate::store::{Read, StoreError};

impl Shard {
    /// Adds a version of a workflow.
    pub(crate) fn put_version(
        &mut self,
        row: &VersionRow,
        deployed: Arc<DeployedVersion>,
    ) -> Result<(), StoreError> {
        self.rows.put_version(row)?;
        Arc::make_mut(&mut self.catalog).put_version(row.version, deployed);
        Ok(())
    }

    /// Writes the row of a workflow, and has the catalog and the queue say the same.
    pub(crate) fn put_workflow(&mut self, row: &WorkflowRow) -> Result<(), StoreError> {
        let before = self.catalog.workflow(&row.name).cloned();
        self.rows.put_workflow(row)?;
        Arc::make_mut(&mut self.catalog).put_workflow(row);
        self.post_commit.catalog = Some(Arc::clone(&self.catalog));
        match (before.as_ref().is_some_and(|before| before.paused), row.paused) {
            (false, true) => self.queue.pause(&row.name),
            (true, false) => self.queue.resume(&row.name),
            _ => {}
        }
        if let Some(before) = before
            && row.current != Some(before.target.version)
        {
            self.may_forget(before.target.module);
        }
        Ok(())
    }

    /// Lets go of the compiled form of a module, unless something needs it: that is looked at when the
    /// change set is closed.
    pub(crate) fn may_forget(&mut self, module: ModuleDigest) {
        self.maybe_unneeded.insert(module);
    }

    /// Lets go of the compiled form of a module that nothing needs.
    pub(crate) fn forget(&mut self, module: ModuleDigest) {
        self.post_commit.forgotten.push(module);
    }

    /// Lets go of the compiled form of modules that no workflow and no run needs now: it is made anew
    /// from their bytes if that changes. To be called when all runs are written.
    pub(super) fn drop_unneeded_modules(&mut self) -> Result<(), StoreError> {
        for digest in std::mem::take(&mut self.maybe_unneeded) {
            if let Some(module) = self.rows.module(digest)?
                && !self.is_needed(&module)?
            {
                self.forget(digest);
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
}
