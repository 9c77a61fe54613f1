//! Workflows, their versions and the modules that hold their code, as the shard has them: rows, the catalog
//! that says the same, and the compiled modules that are needed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dormouse_core::id::{BaseDigest, ModuleDigest};

use super::Shared;
use super::catalog::DeployedVersion;
use super::command::Command;
use super::shard::Shard;
use crate::runtime::Module;
use crate::store::rows::{ModuleRow, VersionRow, WorkflowRow};
use crate::store::{Read, Store, StoreError};

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

    /// Stores what snapshots of a module are told apart from on this host, unless it is stored.
    pub(super) fn put_base_image(
        &mut self,
        module: ModuleDigest,
        base: BaseDigest,
        image: &[u8],
    ) -> Result<(), StoreError> {
        if self.rows.module(module)?.is_some() && !self.rows.has_base_image(module, base)? {
            self.rows.put_base_image(module, base, image);
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

impl Shared {
    /// Has the base image of a module stored before any snapshot of this host is told apart from it.
    pub(super) fn keep_base_image(&self, module: &Module) {
        let digest = module.digest();
        // What cannot be read is written once more.
        let is_stored = |base| self.store.view().has_base_image(digest, base).unwrap_or(false);
        module.keep_base(is_stored, |base, image| {
            self.send(Command::BaseImage { module: digest, base, image });
        });
    }

    /// Has base images stored of modules that an older host took in, which stored none: their tasks sleep, and may
    /// wake where `init` leaves another memory.
    pub(super) async fn keep_old_base_images(self: Arc<Self>) {
        let missing = || {
            let view = self.store.view();
            let mut missing = Vec::new();
            for ModuleRow { digest, workflows, .. } in view.modules()? {
                let mut live = 0;
                for (name, version) in &workflows {
                    live += view.live_runs(name, *version)?;
                }
                if live > 0 && !view.has_base_images(digest)? {
                    missing.push(digest);
                }
            }
            Ok::<_, StoreError>(missing)
        };
        for digest in missing().unwrap_or_default() {
            if self.is_stopping.load(Ordering::Relaxed) {
                return;
            }
            let store = self.store.clone();
            // One that cannot be loaded holds its tasks, which says so.
            if let Ok(module) = self.runtime.load(digest, move || module_bytes(&store, digest)).await {
                self.keep_base_image(&module);
            }
        }
    }
}

/// The bytes of a module, as it was uploaded.
pub(super) fn module_bytes(store: &Store, module: ModuleDigest) -> Result<Vec<u8>, String> {
    let bytes = store.view().module_bytes(module).map_err(|error| error.to_string())?;
    bytes.ok_or_else(|| "they are gone".to_owned())
}
