//! Schedule a run: one run at a set time.

use dormouse_core::id::WorkflowName;
use dormouse_core::request::Schedule;
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::{Json, Metadata, Priority};

use super::Result;
use crate::engine::{Handled, Host, Shard, find_workflow};
use crate::store::rows::ScheduledRow;

/// A run to schedule.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleRun {
    /// A time that has passed means at once.
    pub(crate) trigger_at: Timestamp,
    pub(crate) input: Json,
    pub(crate) metadata: Metadata,
    pub(crate) priority: Option<Priority>,
}

/// Schedules a run, if the workflow takes its input now. Whether it still does when the run begins is seen
/// then.
pub(crate) async fn schedule_run(
    host: &Host,
    workflow: WorkflowName,
    request: ScheduleRun,
) -> Result<ScheduledRow> {
    find_workflow(&host.catalog(), &workflow)?.check_input(&request.input)?;
    host.operate_on(request.input.as_str().len(), move |shard| decide(shard, workflow, request)).await
}

fn decide(shard: &mut Shard, workflow: WorkflowName, request: ScheduleRun) -> Handled<ScheduledRow> {
    find_workflow(shard.catalog(), &workflow)?;
    let ScheduleRun { trigger_at, input, metadata, priority } = request;
    let id = shard.clock().scheduled_id();
    Ok(shard.schedule(Schedule { id, workflow, trigger_at, input, metadata, priority }, None)?)
}
