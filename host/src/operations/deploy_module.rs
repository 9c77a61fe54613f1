//! Take in a module: every workflow that it declares gets a new version, which is current from now on.
//! Bytes that are there already change nothing, but bring back what was deleted of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use dormouse_core::id::{ModuleDigest, Version};
use dormouse_core::workflow::Workflow;

use super::Result;
use super::current_version::{earlier_runs, make_current, refuse_conflicting_crons};
use super::read_modules::Deployed;
use crate::engine::{DeployedVersion, Handled, Host, Shard};
use crate::runtime::Inspection;
use crate::store::Read;
use crate::store::rows::{ModuleRow, VersionRow, WorkflowRow};
use crate::triggers::crons::EarlierRuns;

/// A module that may be taken in, with what the deciding thread would take long to find.
struct Upload {
    inspection: Inspection,
    bytes: Vec<u8>,
    /// What the module declares, compiled.
    declared: Vec<Arc<DeployedVersion>>,
    earlier: EarlierRuns,
}

/// Takes in a module, if it is one that this host can run.
pub(crate) async fn deploy_module(host: &Host, bytes: Vec<u8>) -> Result<Deployed> {
    let mut inspection = host.runtime().inspect(bytes.clone()).await?;
    let workflows = std::mem::take(&mut inspection.workflows);
    let (declared, earlier) = compile(host, inspection.digest, workflows)?;
    let upload = Upload { inspection, bytes, declared, earlier };
    host.operate_on(upload.bytes.len(), move |shard| decide(shard, upload)).await
}

/// Compiles what the deciding thread is going to need of a module: what it declares and, as it may
/// be there already, what it became.
fn compile(
    host: &Host,
    digest: ModuleDigest,
    workflows: Vec<Workflow>,
) -> Result<(Vec<Arc<DeployedVersion>>, EarlierRuns)> {
    host.scan(|store| {
        let versions = workflows.into_iter().map(|workflow| DeployedVersion::new(digest, workflow));
        let declared: Vec<_> = versions.map(Arc::new).collect();
        let catalog = host.catalog();
        let mut earlier = EarlierRuns::default();
        for version in &declared {
            version.compile();
            earlier.extend(earlier_runs(store, &catalog, version)?);
        }
        for (name, version) in store.module(digest)?.into_iter().flat_map(|module| module.workflows) {
            catalog.version(&name, version).into_iter().for_each(|version| version.compile());
        }
        Ok((declared, earlier))
    })
}

fn decide(shard: &mut Shard, upload: Upload) -> Handled<Deployed> {
    let Upload { inspection, bytes, declared, earlier } = upload;
    if let Some(module) = shard.rows.module(inspection.digest)? {
        // It was compiled to be looked at.
        shard.may_forget(module.digest);
        revive(shard, &module, &earlier)?;
        let mut deployed = Deployed::of(&shard.rows, module)?;
        let kept = not_current(&shard.rows, &deployed.module)?;
        deployed.module.warnings.extend(kept);
        return Ok(deployed);
    }
    for version in &declared {
        if let Err(conflict) = refuse_conflicting_crons(shard, &version.definition) {
            // It was compiled to be looked at.
            shard.forget(inspection.digest);
            return Err(conflict);
        }
    }
    let Inspection { digest, size_bytes, imports, mut warnings, .. } = inspection;
    warnings.extend(left_behind(shard, &declared)?);
    let mut versions = Vec::with_capacity(declared.len());
    for version in declared {
        versions.push(add_version(shard, digest, version, &earlier)?);
    }
    let names = versions.iter().map(|row| (row.definition.name.clone(), row.version)).collect();
    let uploaded_at = shard.now;
    let module = ModuleRow { digest, size_bytes, uploaded_at, workflows: names, imports, warnings };
    shard.rows.put_module(&module, &bytes)?;
    Ok(Deployed { module, versions, created: true })
}

fn add_version(
    shard: &mut Shard,
    module: ModuleDigest,
    declared: Arc<DeployedVersion>,
    earlier: &EarlierRuns,
) -> Handled<VersionRow> {
    let definition = Workflow::clone(&declared.definition);
    let name = definition.name.clone();
    let mut row = shard.rows.workflow(&name)?.unwrap_or(WorkflowRow {
        name,
        current: None,
        latest: Version(0),
        paused: false,
        created_at: shard.now,
        updated_at: shard.now,
    });
    row.latest = Version(row.latest.0 + 1);
    row.updated_at = shard.now;
    let version = VersionRow { version: row.latest, module, created_at: shard.now, definition };
    shard.put_version(&version, declared)?;
    make_current(shard, row, version.version, earlier)?;
    Ok(version)
}

/// What is to be said of bytes that are there already, where the current version is another one.
fn not_current(rows: &impl Read, module: &ModuleRow) -> Handled<Vec<String>> {
    let mut warnings = Vec::new();
    for (name, version) in &module.workflows {
        let current = rows.workflow(name)?.and_then(|row| row.current);
        if let Some(current) = current.filter(|current| current != version) {
            let version = version.0;
            warnings.push(format!(
                "`{name}` stays at version {}: these bytes were taken in before, as version {version}; `dormouse workflows rollback {name} --to {version}` has new runs take that one",
                current.0
            ));
        }
    }
    Ok(warnings)
}

/// What is to be said of workflows that are not in this module, though they are in the one that declared the same
/// workflows before: a workflow that was renamed goes on beside its successor.
fn left_behind(shard: &Shard, declared: &[Arc<DeployedVersion>]) -> Handled<Vec<String>> {
    let current = declared.iter().filter_map(|version| shard.catalog().workflow(&version.definition.name));
    let before: BTreeSet<_> = current.map(|entry| entry.version.module).collect();
    let mut warnings = Vec::new();
    for digest in before {
        for (name, version) in shard.rows.module(digest)?.into_iter().flat_map(|module| module.workflows) {
            let is_current = shard.rows.workflow(&name)?.is_some_and(|row| row.current == Some(version));
            if is_current && declared.iter().all(|other| other.definition.name != name) {
                warnings.push(format!(
                    "`{name}` is not in this module, as it was in the one before, and goes on with its crons and events; `dormouse workflows delete {name}` ends that"
                ));
            }
        }
    }
    Ok(warnings)
}

/// Brings back the workflows of a known module that were deleted since it was uploaded.
fn revive(shard: &mut Shard, module: &ModuleRow, earlier: &EarlierRuns) -> Handled<()> {
    let mut deleted = Vec::new();
    for (name, version) in &module.workflows {
        let row = shard.rows.workflow(name)?.filter(|row| row.current.is_none());
        if let (Some(row), Some(version)) = (row, shard.rows.version(name, *version)?) {
            refuse_conflicting_crons(shard, &version.definition)?;
            deleted.push((row, version));
        }
    }
    for (row, version) in deleted {
        make_current(shard, row, version.version, earlier)?;
    }
    Ok(())
}
