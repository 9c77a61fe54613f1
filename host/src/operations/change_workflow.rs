//! Change a workflow: roll it back or forth to a version, hold back its steps or let them go on.

use dormouse_core::id::{Version, WorkflowName};

use super::Result;
use super::current_version::{earlier_runs, make_current, refuse_conflicting_crons};
use super::read_workflows::{WorkflowView, show_workflow};
use crate::engine::{Handled, Host, Shard, find_workflow};
use crate::error::Error;
use crate::store::Read;
use crate::triggers::crons::EarlierRuns;

/// What to change of a workflow; what is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WorkflowChange {
    /// Whether its steps are held back.
    pub(crate) paused: Option<bool>,
    /// The version that new runs take.
    pub(crate) current: Option<Version>,
}

/// Changes a workflow and answers with it.
pub(crate) async fn change_workflow(
    host: &Host,
    workflow: WorkflowName,
    change: WorkflowChange,
) -> Result<WorkflowView> {
    let name = workflow.clone();
    let catalog = host.catalog();
    let version = change.current.and_then(|version| catalog.version(&workflow, version));
    let earlier = host.scan(|store| match version {
        Some(version) => {
            // An older version may not have been needed since the host started.
            version.compile();
            earlier_runs(store, &catalog, version)
        }
        None => Ok(EarlierRuns::default()),
    })?;
    host.operate(move |shard| decide(shard, &workflow, change, &earlier)).await?;
    show_workflow(host, &name)
}

pub(crate) fn decide(
    shard: &mut Shard,
    name: &WorkflowName,
    change: WorkflowChange,
    earlier: &EarlierRuns,
) -> Handled<()> {
    find_workflow(shard.catalog(), name)?;
    if let Some(version) = change.current {
        set_current(shard, name, version, earlier)?;
    }
    match change.paused {
        Some(paused) => set_paused(shard, name, paused),
        None => Ok(()),
    }
}

fn set_current(
    shard: &mut Shard,
    name: &WorkflowName,
    wanted: Version,
    earlier: &EarlierRuns,
) -> Handled<()> {
    let Some(mut row) = shard.rows.workflow(name)? else { return Ok(()) };
    if row.current == Some(wanted) {
        return Ok(());
    }
    let Some(version) = shard.rows.version(name, wanted)? else {
        let text = format!(
            "`{name}` has no version {}; its versions go from 1 to {}, see `GET /api/v1/workflows/{name}`",
            wanted.0, row.latest.0
        );
        return Err(Error::invalid("unknown_version", "currentVersion", text).into());
    };
    if shard.rows.module(version.module)?.is_none() {
        let text = format!(
            "version {} of `{name}` is in module {}, which was deleted; deploy it again",
            wanted.0, version.module
        );
        return Err(Error::conflict("module_deleted", text).into());
    }
    refuse_conflicting_crons(shard, &version.definition)?;
    row.updated_at = shard.now;
    make_current(shard, row, version.version, earlier)
}

fn set_paused(shard: &mut Shard, name: &WorkflowName, paused: bool) -> Handled<()> {
    let Some(mut row) = shard.rows.workflow(name)? else { return Ok(()) };
    if row.paused != paused {
        row.paused = paused;
        row.updated_at = shard.now;
        shard.put_workflow(&row)?;
    }
    Ok(())
}
