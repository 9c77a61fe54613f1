//! Fire a scheduled run before its time.

use dormouse_core::id::{RunId, ScheduledId};

use super::Result;
use super::read_scheduled::pending;
use crate::engine::{Handled, Host, Shard, find_workflow};

/// Fires a scheduled run and answers with the id of the run that it became.
pub(crate) async fn trigger_scheduled(host: &Host, id: ScheduledId) -> Result<RunId> {
    host.operate(move |shard| decide(shard, id)).await
}

pub(crate) fn decide(shard: &mut Shard, id: ScheduledId) -> Handled<RunId> {
    let row = pending(&shard.rows, id)?;
    find_workflow(shard.catalog(), &row.workflow)?;
    let run = shard.clock().run_id();
    shard.fire_scheduled(row, run)?;
    Ok(run)
}
