//! Make a cron or change it in place.

use std::sync::Arc;

use dormouse_core::cron::Schedule;
use dormouse_core::id::{CronId, CronName, WorkflowName};
use dormouse_core::validate::validate_cron;
use dormouse_core::workflow::{CronSpec, Overlap};

use super::Result;
use super::read_crons::{existing_cron, show_cron};
use crate::engine::{Handled, Host, Shard, find_workflow};
use crate::error::Error;
use crate::store::Read;
use crate::store::rows::CronRow;
use crate::triggers::crons::{self, CronChange, EarlierRuns};

/// A change of a cron that is known to be valid, with what would take the deciding thread long to find.
struct CheckedChange {
    change: CronChange,
    /// What the cron is after the change, as far as was known.
    spec: CronSpec,
    schedule: Option<Arc<Schedule>>,
    earlier: EarlierRuns,
}

/// Makes the cron of that name or changes it; says whether it is new.
pub(crate) async fn put_cron(
    host: &Host,
    workflow: WorkflowName,
    name: CronName,
    change: CronChange,
) -> Result<(CronRow, bool)> {
    let row = host.read(|store| store.cron_by_name(&workflow, &name))?;
    let checked = check(host, &workflow, row.as_ref(), change)?;
    host.operate(move |shard| decide(shard, workflow, name, checked)).await
}

/// Changes a cron.
pub(crate) async fn change_cron(host: &Host, id: CronId, change: CronChange) -> Result<CronRow> {
    let row = show_cron(host, id)?;
    let checked = check(host, &row.workflow, Some(&row), change)?;
    host.operate(move |shard| {
        let row = existing_cron(&shard.rows, id)?;
        apply(shard, row, checked)
    })
    .await
}

/// Whether a cron may be made or changed like that. The deciding thread merges the change again, with
/// the cron as it is by then: what is valid here fits whatever the other fields have become.
fn check(
    host: &Host,
    workflow: &WorkflowName,
    row: Option<&CronRow>,
    change: CronChange,
) -> Result<CheckedChange> {
    let spec = match row {
        Some(row) => crons::changed_spec(row, &change)?,
        None => {
            find_workflow(&host.catalog(), workflow)?;
            crons::new_spec(&change)?
        }
    };
    // To find what a name of no zone may mean takes milliseconds.
    let (problems, schedule) = tokio::task::block_in_place(|| {
        let problems = if change.is_of_spec() { validate_cron(&spec) } else { Vec::new() };
        (problems, Schedule::parse(&spec.expression, &spec.timezone).ok())
    });
    Error::from_problems(problems)?;
    // A cron can be disabled whatever its input has become.
    if row.is_none() || change.input.is_some() {
        find_workflow(&host.catalog(), workflow)?.check_input(&spec.input)?;
    }
    let was_allowed = row.is_some_and(|row| row.spec.overlap == Overlap::Allow);
    let earlier = match was_allowed && spec.overlap != Overlap::Allow {
        true => host.scan(|store| EarlierRuns::find(store, workflow))?,
        false => EarlierRuns::default(),
    };
    Ok(CheckedChange { change, spec, schedule: schedule.map(Arc::new), earlier })
}

fn decide(
    shard: &mut Shard,
    workflow: WorkflowName,
    name: CronName,
    checked: CheckedChange,
) -> Handled<(CronRow, bool)> {
    if let Some(row) = shard.rows.cron_by_name(&workflow, &name)? {
        return Ok((apply(shard, row, checked)?, false));
    }
    find_workflow(shard.catalog(), &workflow)?;
    let (id, spec) = (shard.clock().cron_id(), crons::new_spec(&checked.change)?);
    let row = crons::new_row(id, workflow, name, false, spec, shard.now);
    Ok((apply(shard, row, checked)?, true))
}

fn apply(shard: &mut Shard, mut row: CronRow, checked: CheckedChange) -> Handled<CronRow> {
    let CheckedChange { change, spec, schedule, earlier } = checked;
    if let Some(schedule) = schedule {
        shard.schedules.keep(&spec, schedule);
    }
    let times = |row: &CronRow| (row.spec.expression.clone(), row.spec.timezone.clone(), row.enabled);
    let (times_before, overlap_before) = (times(&row), row.spec.overlap);
    row.spec = crons::changed_spec(&row, &change)?;
    row.enabled = change.enabled.unwrap_or(row.enabled);
    row.updated_at = shard.now;
    if !row.enabled {
        row.held.clear();
    }
    shard.adopt_overlap(&mut row, overlap_before, &earlier)?;
    match times(&row) == times_before {
        // Also of one that is new.
        true => shard.review_cron(&mut row).map(drop)?,
        false => shard.restart_cron(&mut row)?,
    }
    shard.rows.put_cron(&row)?;
    Ok(row)
}
