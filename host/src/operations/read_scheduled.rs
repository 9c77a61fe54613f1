//! Look at scheduled runs: one, a list, all that match.

use dormouse_core::id::{ScheduledId, WorkflowName};
use dormouse_core::time::Timestamp;

use super::Result;
use super::page::{Page, Paged, Stretch};
use crate::engine::{Handled, Host};
use crate::error::Error;
use crate::store::Read;
use crate::store::rows::{ScheduledRow, ScheduledStatus};

/// Which scheduled runs to list, earliest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ScheduledFilter {
    pub(crate) workflow: Option<WorkflowName>,
    pub(crate) status: Option<ScheduledStatus>,
    pub(crate) metadata: Vec<(String, String)>,
}

/// Where a list of scheduled runs stands.
pub(crate) type ScheduledCursor = (Timestamp, ScheduledId);

pub(crate) fn show_scheduled(host: &Host, id: ScheduledId) -> Result<ScheduledRow> {
    let found = host.read(|store| store.scheduled(id))?;
    found.ok_or_else(|| unknown_scheduled(id))
}

fn unknown_scheduled(id: ScheduledId) -> Error {
    Error::not_found("unknown_scheduled_run", format!("there is no scheduled run {id}"))
}

/// A scheduled run that has not fired, as the deciding thread sees it.
pub(super) fn pending(rows: &impl Read, id: ScheduledId) -> Handled<ScheduledRow> {
    let row = rows.scheduled(id)?.ok_or_else(|| unknown_scheduled(id))?;
    let state = match row.status {
        ScheduledStatus::Pending => return Ok(row),
        ScheduledStatus::Fired => "has fired",
        ScheduledStatus::Cancelled => "is cancelled",
    };
    let text = format!("scheduled run {id} {state} and cannot be changed any more; schedule a new one");
    Err(Error::conflict("not_pending", text).into())
}

pub(crate) fn list_scheduled(
    host: &Host,
    filter: &ScheduledFilter,
    page: Page<ScheduledCursor>,
) -> Result<Paged<ScheduledRow, ScheduledCursor>> {
    host.scan(|store| {
        let mut stretch = Stretch::new(page.limit);
        store.visit_scheduled(filter.status, page.after, |row: ScheduledRow| {
            let wanted = filter.workflow.as_ref().is_none_or(|workflow| row.workflow == *workflow)
                && row.metadata.contains_all(&filter.metadata);
            stretch.look((row.trigger_at, row.id), wanted.then_some(row))
        })?;
        Ok(stretch.paged())
    })
}

/// The ids of all scheduled runs that match, pending ones unless the filter says otherwise,
/// earliest first. Refuses to gather more than `most`.
pub(crate) fn matching_scheduled(
    host: &Host,
    filter: ScheduledFilter,
    most: usize,
) -> Result<Vec<ScheduledId>> {
    let filter = ScheduledFilter { status: filter.status.or(Some(ScheduledStatus::Pending)), ..filter };
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = list_scheduled(host, &filter, Page { limit: most + 1, after })?;
        ids.extend(page.rows.into_iter().map(|row| row.id));
        if ids.len() > most {
            let text = format!("the filter matches more than {most} scheduled runs; narrow it");
            return Err(Error::invalid("too_many_scheduled_runs", "filter", text));
        }
        after = page.next;
        if after.is_none() {
            return Ok(ids);
        }
    }
}
