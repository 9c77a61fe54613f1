//! An event as filters see it.

use std::collections::HashMap;

use dormouse_core::cel::{FieldPath, Predicate, Subject};
use dormouse_core::workflow::{Json, Metadata};

use crate::store::rows::EventRow;

/// An event that is being matched. Its payload is parsed when the first filter looks at it, and
/// each filter of a wait is evaluated once, however many waits have it.
pub(crate) struct Matching<'a> {
    key: &'a str,
    payload: &'a Json,
    metadata: &'a Metadata,
    subject: Option<Subject>,
    /// What it has at paths that were asked for.
    values: HashMap<String, Option<String>>,
}

impl<'a> Matching<'a> {
    pub(crate) fn new(key: &'a str, payload: &'a Json, metadata: &'a Metadata) -> Self {
        Self { key, payload, metadata, subject: None, values: HashMap::new() }
    }

    /// Of an event that is stored.
    pub(crate) fn of(event: &'a EventRow) -> Self {
        Self::new(&event.key, &event.payload, &event.metadata)
    }

    pub(crate) fn key(&self) -> &'a str {
        self.key
    }

    /// Whether a filter holds. One that has no value for this event, as of a field that the payload
    /// lacks, does not.
    pub(crate) fn satisfies(&mut self, filter: &Predicate) -> bool {
        let key = self.key;
        filter.holds(self.subject()).unwrap_or_else(|error| {
            tracing::debug!(event.key = key, %error, "a filter has no value, so the event does not match");
            false
        })
    }

    /// What the event has at a path, as an index of filters has it.
    pub(crate) fn value_at(&mut self, path: &str) -> Option<String> {
        if let Some(known) = self.values.get(path) {
            return known.clone();
        }
        let subject = self.subject();
        let value = FieldPath::parse(path).and_then(|path| subject.value_at(&path));
        let value = value.map(|value| value.as_str().to_owned());
        self.values.insert(path.to_owned(), value.clone());
        value
    }

    /// Parses the payload, if that was not done.
    pub(crate) fn parse(&mut self) {
        self.subject();
    }

    fn subject(&mut self) -> &Subject {
        self.subject.get_or_insert_with(|| Subject::of_event(self.key, self.payload, self.metadata))
    }
}
