//! What a deploy and a roll-back have in common: a version of a workflow becomes the one that new runs take.
//! Its crons and subscriptions come with it; runs that have begun keep theirs.

use std::sync::Arc;

use dormouse_core::id::Version;
use dormouse_core::workflow::{DeclaredCron, Overlap, Workflow};

use crate::engine::{Catalog, DeployedVersion, Handled, Shard};
use crate::error::Error;
use crate::store::rows::WorkflowRow;
use crate::store::{Read, StoreError, View};
use crate::triggers::crons::{self, EarlierRuns};

/// Live runs of crons that a version is going to keep from overlapping, and that may overlap now. Not for
/// the deciding thread.
pub(super) fn earlier_runs(
    store: &View,
    catalog: &Catalog,
    version: &DeployedVersion,
) -> Result<EarlierRuns, StoreError> {
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

/// Refuses a definition that declares a cron of the same name as one made over the API: neither
/// may take the other's place unasked.
pub(super) fn refuse_conflicting_crons(shard: &Shard, workflow: &Workflow) -> Handled<()> {
    for DeclaredCron { name, .. } in &workflow.crons {
        if let Some(row) = shard.rows.cron_by_name(&workflow.name, name)?
            && !row.declared
        {
            let text = format!(
                "the module declares a cron `{name}` for `{}`, but one of that name was made over the API: delete that one (`dormouse cron delete {}`) or rename the declared one",
                row.workflow, row.id
            );
            return Err(Error::conflict("cron_conflict", text).into());
        }
    }
    Ok(())
}

/// Has new runs take a version. To be called when its crons are known not to conflict with those of the
/// API.
pub(super) fn make_current(
    shard: &mut Shard,
    mut row: WorkflowRow,
    version: Version,
    earlier: &EarlierRuns,
) -> Handled<()> {
    let before = shard.catalog().workflow(&row.name).map(|entry| Arc::clone(&entry.version));
    row.current = Some(version);
    shard.put_workflow(&row)?;
    match shard.catalog().version(&row.name, version).cloned() {
        Some(now) => Ok(declare_crons(shard, before.as_deref(), &now, earlier)?),
        None => Ok(()),
    }
}

/// Brings the declared crons of a workflow in line with a new version of it: by name, with
/// what an operator set (`enabled`, also over versions without the cron) and what has happened kept.
pub(crate) fn declare_crons(
    shard: &mut Shard,
    before: Option<&DeployedVersion>,
    now: &DeployedVersion,
    earlier: &EarlierRuns,
) -> Result<(), StoreError> {
    let workflow = &now.definition.name;
    for DeclaredCron { name, .. } in before.into_iter().flat_map(|before| &before.definition.crons) {
        if now.definition.crons.iter().all(|cron| cron.name != *name)
            && let Some(row) = shard.rows.cron_by_name(workflow, name)?
            && row.declared
        {
            if !row.enabled {
                shard.rows.put_disabled_cron(workflow, name)?;
            }
            shard.remove_cron(&row)?;
        }
    }
    for (DeclaredCron { name, spec }, schedule) in now.crons() {
        if let Some(schedule) = schedule {
            shard.schedules.keep(spec, Arc::clone(schedule));
        }
        let mut row = match shard.rows.cron_by_name(workflow, name)? {
            Some(row) => row,
            None => {
                let id = shard.clock().cron_id();
                let mut row =
                    crons::new_row(id, workflow.clone(), name.clone(), true, spec.clone(), shard.now);
                row.enabled = !shard.rows.take_disabled_cron(workflow, name)?;
                row
            }
        };
        let same_times = (&row.spec.expression, &row.spec.timezone) == (&spec.expression, &spec.timezone);
        let overlap_before = std::mem::replace(&mut row.spec, spec.clone()).overlap;
        row.updated_at = shard.now;
        shard.adopt_overlap(&mut row, overlap_before, earlier)?;
        match same_times {
            true => shard.review_cron(&mut row).map(drop)?,
            false => shard.restart_cron(&mut row)?,
        }
        shard.rows.put_cron(&row)?;
    }
    Ok(())
}
