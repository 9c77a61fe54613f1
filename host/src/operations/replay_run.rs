//! Run a run that has ended once more from the start, as its workflow is now.

use dormouse_core::id::RunId;
use dormouse_core::new_run::NewRun;
use dormouse_core::run::Trigger;
use dormouse_core::workflow::Json;

use super::Result;
use super::bulk::{Outcomes, decide_in_stretches};
use super::read_runs::{show_run, unknown_run};
use super::start_run::Fitting;
use crate::engine::{Handled, Host, Shard};
use crate::error::Error;
use crate::store::Read;
use crate::store::rows::RunRow;

/// A run to run again.
struct Replay {
    id: RunId,
    /// Its own if none.
    input: Option<Json>,
    /// What the input is known to fit.
    fitting: Option<Fitting>,
}

/// Replays a run with the same or another input.
pub(crate) async fn replay_run(host: &Host, id: RunId, input: Option<Json>) -> Result<RunRow> {
    let request = check(host, id, input)?;
    let replay = host.operate(move |shard| decide(shard, request)).await?;
    show_run(host, replay)
}

/// Replays many with their own inputs.
pub(crate) async fn replay_runs(host: &Host, ids: Vec<RunId>) -> Result<Outcomes<RunId>> {
    let checked = |id| check(host, id, None);
    let requests: Vec<_> = tokio::task::block_in_place(|| ids.into_iter().map(checked).collect());
    decide_in_stretches(host, requests, |_| 0, |shard, request| decide(shard, request?)).await
}

/// Holds the input against the schema as it is now. What else may be wrong is for the deciding thread to
/// find.
fn check(host: &Host, id: RunId, input: Option<Json>) -> Result<Replay> {
    let catalog = host.catalog();
    let row = host.read(|store| store.run(id))?.filter(|row| row.run.status.is_final());
    let mut fitting = None;
    if let Some(RunRow { spec, .. }) = &row
        && let Some(entry) = catalog.workflow(&spec.workflow)
    {
        let limit_keys = entry.check_call(input.as_ref().unwrap_or(&spec.input), &spec.metadata)?;
        fitting = Some(Fitting { target: entry.target.clone(), limit_keys });
    }
    Ok(Replay { id, input, fitting })
}

fn decide(shard: &mut Shard, request: Replay) -> Handled<RunId> {
    let Replay { id, input, fitting } = request;
    shard.find_run(id)?;
    let Some((spec, run)) = shard.run(id)? else { return Err(unknown_run(id).into()) };
    if !run.status.is_final() {
        let text = format!("run {id} is {}; cancel it or let it end first", run.status.word());
        return Err(Error::conflict("run_not_ended", text).into());
    }
    let Some(entry) = shard.catalog().workflow(&spec.workflow).cloned() else {
        let text = format!("`{}` was deleted; deploy it again to replay its runs", spec.workflow);
        return Err(Error::conflict("workflow_deleted", text).into());
    };
    let input = input.unwrap_or_else(|| spec.input.clone());
    let fitting = fitting.filter(|fitting| fitting.target == entry.target);
    let (checked, limit_keys) = (fitting.is_some(), fitting.map(|fitting| fitting.limit_keys));
    let replay = shard.clock().run_id();
    let target = entry.target.clone();
    let new = NewRun::of(target, replay, Trigger::Replay(id), input, spec.metadata.clone());
    shard.create_run(NewRun { priority: Some(spec.priority), checked, limit_keys, ..new })?;
    Ok(replay)
}
