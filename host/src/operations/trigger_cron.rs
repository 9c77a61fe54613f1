//! Start a run of a cron now, besides those of its times.

use dormouse_core::id::{CronId, RunId};

use super::Result;
use super::read_crons::existing_cron;
use crate::engine::{Handled, Host, Shard, find_workflow};
use crate::triggers::crons;

/// Starts a run of a cron and answers with its id.
pub(crate) async fn trigger_cron(host: &Host, id: CronId) -> Result<RunId> {
    host.operate(move |shard| decide(shard, id)).await
}

fn decide(shard: &mut Shard, id: CronId) -> Handled<RunId> {
    let mut row = existing_cron(&shard.rows, id)?;
    find_workflow(shard.catalog(), &row.workflow)?;
    let run = shard.clock().run_id();
    let begun = crons::start(&mut row, run, shard.now);
    shard.perform_cron(&mut row, [begun])?;
    shard.rows.put_cron(&row)?;
    Ok(run)
}
