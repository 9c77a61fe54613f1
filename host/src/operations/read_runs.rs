//! Look at runs: one, one when it has ended, a list, all that match.

use std::ops::ControlFlow;
use std::time::Duration;

use dormouse_core::id::{RunId, WorkflowName};
use dormouse_core::run::{Run, RunSpec, Status, Trigger, TriggerKind};
use dormouse_core::time::Timestamp;

use super::Result;
use super::page::{ID_LEAD_MAX, Page, Paged, Stretch, earlier};
use crate::engine::Host;
use crate::error::Error;
use crate::store::rows::RunRow;
use crate::store::{Read, StoreError, View};

/// Runs that are read at a time while all that match are gathered.
const PAGE: usize = 500;

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RunFilter {
    pub(crate) workflow: Option<WorkflowName>,
    pub(crate) status: Option<Status>,
    pub(crate) metadata: Vec<(String, String)>,
    /// Created at or after.
    pub(crate) since: Option<Timestamp>,
    /// Created before.
    pub(crate) until: Option<Timestamp>,
    pub(crate) parent: Option<RunId>,
    pub(crate) trigger: Option<TriggerFilter>,
    /// Whether a task of it is held.
    pub(crate) held: Option<bool>,
}

/// What started the runs to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TriggerFilter {
    Kind(TriggerKind),
    /// The id of a cron, scheduled run, event, parent or replayed run: its 16 bytes.
    Id([u8; 16]),
}

pub(crate) fn show_run(host: &Host, id: RunId) -> Result<RunRow> {
    let found = host.read(|store| store.run(id))?;
    found.ok_or_else(|| unknown_run(id))
}

/// There is no such run.
pub(super) fn unknown_run(id: RunId) -> Error {
    Error::not_found("unknown_run", format!("there is no run {id}"))
}

/// The run once it has ended, or as it is when `timeout` is over.
pub(crate) async fn wait_for_run(host: &Host, id: RunId, timeout: Duration) -> Result<RunRow> {
    let watch = host.watch(id);
    let ended = async {
        loop {
            let news = watch.news();
            let row = show_run(host, id)?;
            if row.run.status.is_final() {
                return Ok(row);
            }
            news.await;
        }
    };
    match tokio::time::timeout(timeout, ended).await {
        Ok(row) => row,
        Err(_) => show_run(host, id),
    }
}

pub(crate) fn list_runs(host: &Host, filter: &RunFilter, page: Page<RunId>) -> Result<Paged<RunRow, RunId>> {
    list_matching(host, filter, page, View::whole_run)
}

/// A stretch of the runs that match, each as it is to be shown: only of these more is read than the two
/// rows.
fn list_matching<T>(
    host: &Host,
    filter: &RunFilter,
    page: Page<RunId>,
    show: impl Fn(&View, RunSpec, Run) -> std::result::Result<T, StoreError>,
) -> Result<Paged<T, RunId>> {
    host.scan(|store| {
        let mut stretch = Stretch::new(page.limit);
        let mut failed = None;
        let read = |id: RunId| match store.run_rows(id)? {
            Some((spec, run)) if matches(filter, &spec, &run) => show(store, spec, run).map(Some),
            _ => Ok(None),
        };
        let visit = |id: RunId| match read(id) {
            Ok(row) => stretch.look(id, row),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        let before = earlier(page.after, filter.until.map(|until| RunId::first_at(until.after(ID_LEAD_MAX))));
        match filter.parent {
            Some(parent) => store.visit_newest_children(parent, before, visit)?,
            None if filter.held == Some(true) => store.visit_held_runs(before, visit)?,
            None => store.visit_run_ids(filter.workflow.as_ref(), filter.status, before, visit)?,
        }
        failed.map_or_else(|| Ok(stretch.paged()), Err)
    })
}

/// The ids of all runs that match and have ended, or have not, newest first. Refuses to gather
/// more than `most`.
pub(crate) fn matching_runs(host: &Host, filter: &RunFilter, ended: bool, most: usize) -> Result<Vec<RunId>> {
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let status = |_: &View, spec: RunSpec, run: Run| Ok((spec.id, run.status));
        let page = list_matching(host, filter, Page { limit: PAGE, after }, status)?;
        let wanted = page.rows.into_iter().filter(|(_, status)| status.is_final() == ended);
        ids.extend(wanted.map(|(id, _)| id));
        if ids.len() > most {
            let text =
                format!("the filter matches more than {most} runs; narrow it, as with `since` and `until`");
            return Err(Error::invalid("too_many_runs", "filter", text));
        }
        after = page.next;
        if after.is_none() {
            return Ok(ids);
        }
    }
}

fn matches(filter: &RunFilter, spec: &RunSpec, run: &Run) -> bool {
    let id = match spec.trigger {
        Trigger::Call => None,
        Trigger::Cron { id, .. } => Some(id.to_bytes()),
        Trigger::Scheduled { id, .. } => Some(id.to_bytes()),
        Trigger::Event(id) => Some(id.to_bytes()),
        Trigger::Parent(id) | Trigger::Replay(id) => Some(id.to_bytes()),
    };
    let trigger = filter.trigger.as_ref().is_none_or(|trigger| match trigger {
        TriggerFilter::Kind(wanted) => spec.trigger.kind() == *wanted,
        TriggerFilter::Id(wanted) => id == Some(*wanted),
    });
    trigger
        && filter.status.is_none_or(|status| run.status == status)
        && filter.workflow.as_ref().is_none_or(|workflow| spec.workflow == *workflow)
        && filter.held.is_none_or(|held| run.tasks.iter().any(|task| task.held > 0) == held)
        && filter.since.is_none_or(|since| spec.created_at >= since)
        && filter.until.is_none_or(|until| spec.created_at < until)
        && spec.metadata.contains_all(&filter.metadata)
}
