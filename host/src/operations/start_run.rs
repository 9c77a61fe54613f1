//! Call a workflow: start a run, or find the one that an earlier call with the same key has started.

use std::sync::Arc;
use std::time::Duration;

use dormouse_core::id::{RunId, WorkflowName};
use dormouse_core::new_run::{NewRun, Target};
use dormouse_core::run::Trigger;
use dormouse_core::workflow::{Json, Metadata, Priority};

use super::Result;
use super::bulk::{Outcomes, decide_each, handle_valid};
use super::idempotency::conflict;
use crate::engine::{Entry, Handled, Host, Shard, Started, find_workflow};
use crate::store::rows::{IdempotencyRow, IdempotencyScope};

/// A call of a workflow.
#[derive(Debug, Clone)]
pub(crate) struct StartRun {
    pub(crate) input: Json,
    pub(crate) metadata: Metadata,
    /// The workflow's default if none.
    pub(crate) priority: Option<Priority>,
    /// A key and how long it is remembered.
    pub(crate) idempotency: Option<(String, Duration)>,
}

impl StartRun {
    /// About how many bytes it carries.
    fn bytes(&self) -> usize {
        self.input.as_str().len()
    }
}

/// What a call was found to fit.
#[derive(Debug, Clone)]
pub(crate) struct Fitting {
    /// The version that was current.
    pub(crate) target: Target,
    /// The keys of its concurrency limits.
    pub(crate) limit_keys: Vec<String>,
}

impl Fitting {
    fn of(entry: &Entry, request: &StartRun) -> Result<Self> {
        let limit_keys = entry.check_call(&request.input, &request.metadata)?;
        Ok(Self { target: entry.target.clone(), limit_keys })
    }
}

/// Starts a run, if the workflow takes its input.
pub(crate) async fn start_run(host: &Host, workflow: WorkflowName, request: StartRun) -> Result<Started> {
    let fitting = {
        let catalog = host.catalog();
        let entry = find_workflow(&catalog, &workflow)?;
        aside_if(entry.is_long_to_check(&request.input), || Fitting::of(entry, &request))?
    };
    host.operate_with(request.bytes(), move |shard, reply| {
        let outcome = decide(shard, fitting, request);
        shard.answer_started(reply, outcome)
    })
    .await
}

/// Starts many runs of a workflow in one transaction.
pub(crate) async fn start_runs(
    host: &Host,
    workflow: WorkflowName,
    requests: Vec<StartRun>,
) -> Result<Outcomes<Started>> {
    let requests = {
        let catalog = host.catalog();
        let entry = find_workflow(&catalog, &workflow)?;
        let checked = |request: StartRun| Ok((Fitting::of(entry, &request)?, request));
        let is_long = requests.iter().any(|request| entry.is_long_to_check(&request.input));
        aside_if(is_long, || requests.into_iter().map(checked).collect())
    };
    handle_valid(requests, |requests: Vec<(Fitting, StartRun)>| {
        host.operate_on(requests.iter().map(|(_, request)| request.bytes()).sum(), move |shard| {
            decide_each(shard, requests, |shard, (fitting, request)| decide(shard, fitting, request))
        })
    })
    .await
}

/// Does what may take long without holding up the other requests of this thread.
fn aside_if<T>(is_long: bool, work: impl FnOnce() -> T) -> T {
    if is_long { tokio::task::block_in_place(work) } else { work() }
}

/// The input is known to fit the version that was current when the call was checked. Another may be by now.
pub(crate) fn decide(shard: &mut Shard, fitting: Fitting, request: StartRun) -> Handled<Started> {
    let Fitting { target: fitting, limit_keys } = fitting;
    let StartRun { input, metadata, priority, idempotency } = request;
    let entry = Arc::clone(find_workflow(shard.catalog(), &fitting.workflow)?);
    let checked = entry.target == fitting;
    let target = entry.target.clone();
    if let Some((key, _)) = &idempotency
        && let Some(row) = shard.idempotent_run(&target.workflow, key)?
        && row.expires_at > shard.now
        && let id = RunId::from_bytes(row.id)
        && let Some(before) = shard.input_of(id)?
    {
        return match before.is_same(&input) {
            true => Ok(Started { id, existing: true, row: None }),
            false => Err(conflict(key, format!("run {id}, which has another input")).into()),
        };
    }
    let id = shard.clock().run_id();
    if let Some((key, ttl)) = idempotency {
        let row = IdempotencyRow { id: id.to_bytes(), expires_at: shard.now.after(ttl) };
        shard.rows.put_idempotency(IdempotencyScope::Runs(&target.workflow), &key, &row)?;
    }
    let new = NewRun::of(target, id, Trigger::Call, input, metadata);
    shard.create_run(NewRun { priority, checked, limit_keys: checked.then_some(limit_keys), ..new })?;
    Ok(Started { id, existing: false, row: None })
}
