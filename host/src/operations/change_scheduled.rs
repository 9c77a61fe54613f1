//! Change scheduled runs that have not fired.

use dormouse_core::id::ScheduledId;

use super::Result;
use super::bulk::{Outcomes, decide_in_stretches, handle_valid, only_outcome};
use super::read_scheduled::pending;
use crate::engine::{Handled, Host, Shard, find_workflow};
use crate::store::Read;
use crate::store::rows::{ScheduledRow, ScheduledStatus, Timer};
use crate::triggers::scheduled::{self, ScheduledChange};

/// Changes a scheduled run.
pub(crate) async fn change_scheduled(
    host: &Host,
    id: ScheduledId,
    change: ScheduledChange,
) -> Result<ScheduledRow> {
    only_outcome(change_scheduled_runs(host, vec![(id, change)]).await?)
}

/// Changes many.
pub(crate) async fn change_scheduled_runs(
    host: &Host,
    changes: Vec<(ScheduledId, ScheduledChange)>,
) -> Result<Outcomes<ScheduledRow>> {
    let checked = |(id, change)| check(host, id, &change).map(|()| (id, change));
    let changes = tokio::task::block_in_place(|| changes.into_iter().map(checked).collect());
    handle_valid(changes, |changes: Vec<(ScheduledId, ScheduledChange)>| {
        let bytes = |(_, change): &(ScheduledId, ScheduledChange)| {
            change.input.as_ref().map_or(0, |input| input.as_str().len())
        };
        decide_in_stretches(host, changes, bytes, |shard, (id, change)| decide(shard, id, change))
    })
    .await
}

/// Holds a new input against the schema as it is now. What else may be wrong is for the deciding thread to
/// find.
fn check(host: &Host, id: ScheduledId, change: &ScheduledChange) -> Result<()> {
    if let Some(input) = &change.input
        && let Some(row) = host.read(|store| store.scheduled(id))?
        && row.status == ScheduledStatus::Pending
    {
        find_workflow(&host.catalog(), &row.workflow)?.check_input(input)?;
    }
    Ok(())
}

fn decide(shard: &mut Shard, id: ScheduledId, change: ScheduledChange) -> Handled<ScheduledRow> {
    let mut row = pending(&shard.rows, id)?;
    let before = row.trigger_at;
    scheduled::change(&mut row, change, shard.now);
    if row.trigger_at != before {
        shard.rows.delete_timer(before, Timer::Scheduled(id));
        shard.rows.put_timer(row.trigger_at, Timer::Scheduled(id))?;
    }
    shard.rows.put_scheduled(&row)?;
    Ok(row)
}
