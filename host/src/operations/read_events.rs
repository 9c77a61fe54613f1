//! Look at events: one, a list.

use std::ops::ControlFlow;

use dormouse_core::event::KeyPattern;
use dormouse_core::id::EventId;
use dormouse_core::time::Timestamp;

use super::Result;
use super::page::{ID_LEAD_MAX, Page, Paged, Stretch, earlier};
use crate::engine::Host;
use crate::error::Error;
use crate::store::Read;
use crate::store::rows::EventRow;

/// Which events to list, newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventFilter {
    /// A key, or a pattern with `*`.
    pub(crate) key: Option<String>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) metadata: Vec<(String, String)>,
}

pub(crate) fn show_event(host: &Host, id: EventId) -> Result<EventRow> {
    let found = host.read(|store| store.event(id))?;
    found.ok_or_else(|| Error::not_found("unknown_event", format!("there is no event {id}")))
}

pub(crate) fn list_events(
    host: &Host,
    filter: &EventFilter,
    page: Page<EventId>,
) -> Result<Paged<EventRow, EventId>> {
    let pattern = filter.key.as_deref().map(KeyPattern::parse).transpose();
    let pattern = pattern.map_err(|error| Error::invalid("invalid_key_pattern", "key", error.to_string()))?;
    host.scan(|store| {
        let mut stretch = Stretch::new(page.limit);
        let before =
            earlier(page.after, filter.until.map(|until| EventId::first_at(until.after(ID_LEAD_MAX))));
        store.visit_events(before, |row: EventRow| {
            if filter.since.is_some_and(|since| row.pushed_at < since) {
                return ControlFlow::Break(());
            }
            let wanted = pattern.as_ref().is_none_or(|pattern| pattern.matches(&row.key))
                && filter.until.is_none_or(|until| row.pushed_at < until)
                && row.metadata.contains_all(&filter.metadata);
            stretch.look(row.id, wanted.then_some(row))
        })?;
        Ok(stretch.paged())
    })
}
