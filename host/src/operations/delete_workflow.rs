//! Delete a workflow with its triggers. Its runs stay, and those that have begun go on.

use dormouse_core::id::WorkflowName;

use super::Result;
use crate::engine::{Handled, Host, Shard, find_workflow};
use crate::store::Read;
use crate::store::rows::Work;

/// Deletes a workflow.
pub(crate) async fn delete_workflow(host: &Host, workflow: WorkflowName) -> Result<()> {
    host.operate(move |shard| decide(shard, workflow)).await
}

fn decide(shard: &mut Shard, name: WorkflowName) -> Handled<()> {
    find_workflow(shard.catalog(), &name)?;
    let Some(mut row) = shard.rows.workflow(&name)? else { return Ok(()) };
    shard.remove_crons(&name)?;
    row.current = None;
    row.paused = false;
    row.updated_at = shard.now;
    shard.put_workflow(&row)?;
    let made_before = shard.now;
    Ok(shard.leave(&Work::CancelScheduled { workflow: name, made_before, after: None })?)
}
