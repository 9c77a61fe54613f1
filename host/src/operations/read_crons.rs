//! Look at crons: one, a list.

use dormouse_core::id::{CronId, WorkflowName};

use super::Result;
use super::page::{Page, Paged, Stretch};
use crate::engine::{Handled, Host};
use crate::error::Error;
use crate::store::rows::CronRow;
use crate::store::{Read, StoreError};

/// Which crons to list, newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct CronFilter {
    pub(crate) workflow: Option<WorkflowName>,
    pub(crate) name: Option<String>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) enabled: Option<bool>,
}

pub(crate) fn show_cron(host: &Host, id: CronId) -> Result<CronRow> {
    let found = host.read(|store| store.cron(id))?;
    found.ok_or_else(|| unknown_cron(id))
}

/// The cron as the deciding thread sees it.
pub(super) fn existing_cron(rows: &impl Read, id: CronId) -> Handled<CronRow> {
    match rows.cron(id) {
        // One bad row is no reason for the host to end.
        Err(error @ StoreError::Unreadable { .. }) => Err(Error::internal(&error).into()),
        row => Ok(row?.ok_or_else(|| unknown_cron(id))?),
    }
}

fn unknown_cron(id: CronId) -> Error {
    Error::not_found("unknown_cron", format!("there is no cron {id}"))
}

pub(crate) fn list_crons(
    host: &Host,
    filter: &CronFilter,
    page: Page<CronId>,
) -> Result<Paged<CronRow, CronId>> {
    host.scan(|store| {
        let mut stretch = Stretch::new(page.limit);
        store.visit_crons(page.after, |row: CronRow| {
            let wanted = filter.workflow.as_ref().is_none_or(|workflow| row.workflow == *workflow)
                && filter.name.as_ref().is_none_or(|name| row.name.as_str() == name)
                && filter.enabled.is_none_or(|enabled| row.enabled == enabled)
                && row.spec.metadata.contains_all(&filter.metadata);
            stretch.look(row.id, wanted.then_some(row))
        })?;
        Ok(stretch.paged())
    })
}
