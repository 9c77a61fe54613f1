//! Cancel a run: a step that runs is killed, waits are dropped, children end with it unless they are
//! detached.

use dormouse_core::id::RunId;
use dormouse_core::run::Reason;

use super::Result;
use super::bulk::{Outcomes, decide_in_stretches, only_outcome};
use super::read_runs::{show_run, unknown_run};
use crate::engine::{Handled, Host, Shard};
use crate::error::Error;
use crate::store::rows::RunRow;

/// Cancels a run and answers with it.
pub(crate) async fn cancel_run(host: &Host, id: RunId) -> Result<RunRow> {
    only_outcome(cancel_runs(host, vec![id]).await?)?;
    show_run(host, id)
}

/// Cancels many.
pub(crate) async fn cancel_runs(host: &Host, ids: Vec<RunId>) -> Result<Outcomes<()>> {
    decide_in_stretches(host, ids, |_| 0, decide).await
}

pub(crate) fn decide(shard: &mut Shard, id: RunId) -> Handled<()> {
    let status = shard.find_run(id)?.ok_or_else(|| unknown_run(id))?;
    if status.is_final() {
        let text = format!("run {id} has ended: it is {}", status.word());
        return Err(Error::conflict("run_ended", text).into());
    }
    Ok(shard.cancel(id, Reason::Requested)?)
}
