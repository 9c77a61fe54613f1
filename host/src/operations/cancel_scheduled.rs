//! Cancel scheduled runs that have not fired; their rows stay.

use dormouse_core::id::ScheduledId;

use super::Result;
use super::bulk::{Outcomes, decide_in_stretches, only_outcome};
use super::read_scheduled::pending;
use crate::engine::{Handled, Host, Shard};
use crate::store::rows::ScheduledStatus;

/// Cancels a scheduled run.
pub(crate) async fn cancel_scheduled(host: &Host, id: ScheduledId) -> Result<()> {
    only_outcome(cancel_scheduled_runs(host, vec![id]).await?)
}

/// Cancels many.
pub(crate) async fn cancel_scheduled_runs(host: &Host, ids: Vec<ScheduledId>) -> Result<Outcomes<()>> {
    decide_in_stretches(host, ids, |_| 0, decide).await
}

pub(crate) fn decide(shard: &mut Shard, id: ScheduledId) -> Handled<()> {
    let row = pending(&shard.rows, id)?;
    Ok(shard.end_scheduled(row, ScheduledStatus::Cancelled, None)?)
}
