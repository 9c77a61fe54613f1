//! An event as filters see it.

use std::collections::HashMap;

use dormouse_core::cel::{Predicate, Subject};
use dormouse_core::workflow::{Json, Metadata};

use crate::store::rows::EventRow;

/// An event that is being matched. Its payload is parsed when the first filter looks at it, and
/// each filter of a wait is evaluated once, however many waits have it.
pub(crate) struct Matching<'a> {
    key: &'a str,
    payload: &'a Json,
    metadata: &'a Metadata,
    subject: Option<Subject>,
    known: HashMap<String, bool>,
}

impl<'a> Matching<'a> {
    pub(crate) fn new(event: &'a EventRow) -> Self {
        let EventRow { key, payload, metadata, .. } = event;
        Self { key, payload, metadata, subject: None, known: HashMap::new() }
    }

    pub(crate) fn key(&self) -> &'a str {
        self.key
    }

    /// Whether a filter holds. One that has no value for this event, as of a field that the payload
    /// lacks, does not.
    pub(crate) fn satisfies(&mut self, filter: &Predicate) -> bool {
        let subject =
            self.subject.get_or_insert_with(|| Subject::of_event(self.key, self.payload, self.metadata));
        filter.holds(subject).unwrap_or_else(|error| {
            tracing::debug!(event.key = self.key, %error, "a filter has no value, so the event does not match");
            false
        })
    }

    /// The same for the text of a filter; everything satisfies none.
    pub(crate) fn satisfies_text(&mut self, filter: Option<&str>) -> bool {
        let Some(text) = filter else { return true };
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        // A filter that does not compile was refused when the step ended.
        let holds = Predicate::compile(text).is_ok_and(|filter| self.satisfies(&filter));
        self.known.insert(text.to_owned(), holds);
        holds
    }
}
