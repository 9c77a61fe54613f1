//! Waits for events: where they are, and which of them an event may settle. Waits for exactly one key
//! are in the order of what their filters ask for, so that a filter such as `input.order == "7"` is looked
//! up; waits for patterns are in the order of what their patterns begin with.

use std::ops::ControlFlow;

use dormouse_core::event::KeyPattern;
use dormouse_core::wait::FilterIndex;

use super::error::StoreError;
use super::keys::{self, NAMESPACE};
use super::rows::{Behind, EventWaitRow, WaitCursor, WaitKey};
use super::source::{Access, Span};
use super::tables::{EVENT_PATTERN_WAITS, EVENT_WAITS, EventPatternWaitKey, EventWaitKey, Table};
use super::working_set::WorkingSet;

type Result<T> = std::result::Result<T, StoreError>;

/// Most paths or patterns without a match that are passed over at a time.
const PASSED_OVER_MAX: usize = 64;

/// What lies behind a cursor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextWait {
    /// A wait whose key matches, and whose filter does if an index could tell.
    Candidate(Box<EventWaitRow>),
    /// Many paths or patterns that do not match; there is more behind the cursor.
    PassedOver,
    End,
}

impl WaitCursor {
    /// Before all waits.
    pub(crate) const START: Self = Self::Exact(Behind::Nothing);
}

/// The key of a row, as its table has it.
pub(super) enum EventWaitPlace {
    Exact(EventWaitKey),
    Pattern(EventPatternWaitKey),
}

/// Where a wait for events is.
pub(super) fn place(
    key_pattern: &str,
    index: Option<&FilterIndex>,
    (run, task, wait): WaitKey,
) -> EventWaitPlace {
    match key_pattern.split_once('*') {
        Some((prefix, _)) => {
            EventWaitPlace::Pattern((NAMESPACE, prefix.to_owned(), key_pattern.to_owned(), run, task, wait))
        }
        None => {
            let [path, value] = index
                .map_or([String::new(), String::new()], |index| [index.path.clone(), index.value.clone()]);
            EventWaitPlace::Exact((NAMESPACE, key_pattern.to_owned(), path, value, run, task, wait))
        }
    }
}

impl EventWaitPlace {
    pub(super) fn of(row: &EventWaitRow) -> Self {
        place(&row.key_pattern, row.index.as_ref(), (row.run, row.task, row.wait))
    }
}

impl WorkingSet {
    pub(crate) fn put_event_wait(&mut self, wait: &EventWaitRow) -> Result<()> {
        match EventWaitPlace::of(wait) {
            EventWaitPlace::Exact(key) => self.put(EVENT_WAITS, key, wait),
            EventWaitPlace::Pattern(key) => self.put(EVENT_PATTERN_WAITS, key, wait),
        }
    }

    /// Only the key of the row is used.
    pub(crate) fn delete_event_wait(&mut self, wait: &EventWaitRow) {
        match EventWaitPlace::of(wait) {
            EventWaitPlace::Exact(key) => self.delete(EVENT_WAITS, key),
            EventWaitPlace::Pattern(key) => self.delete(EVENT_PATTERN_WAITS, key),
        }
    }

    /// The next wait behind a cursor that an event of this key may settle; the cursor moves behind it.
    /// `value_at` gives what the event has at a path.
    pub(crate) fn next_event_wait(
        &self,
        key: &str,
        cursor: &mut WaitCursor,
        mut value_at: impl FnMut(&str) -> Option<String>,
    ) -> Result<NextWait> {
        for _ in 0..PASSED_OVER_MAX {
            let found = match cursor {
                WaitCursor::Exact(behind) => match self.next_exact(key, behind, &mut value_at)? {
                    None if self.scan_keys(EVENT_PATTERN_WAITS, Span::under(NAMESPACE))?.next().is_none() => {
                        return Ok(NextWait::End);
                    }
                    None => {
                        *cursor = WaitCursor::Pattern { prefix: 0, behind: Behind::Nothing };
                        continue;
                    }
                    Some(found) => found,
                },
                WaitCursor::Pattern { prefix, behind } => {
                    let Some(begin) = key.get(..usize::from(*prefix)) else {
                        if usize::from(*prefix) > key.len() {
                            return Ok(NextWait::End);
                        }
                        // Within a character.
                        *prefix += 1;
                        continue;
                    };
                    match self.next_pattern(key, begin, behind)? {
                        None => {
                            (*prefix, *behind) = (*prefix + 1, Behind::Nothing);
                            continue;
                        }
                        Some(found) => found,
                    }
                }
            };
            if let ControlFlow::Break(row) = found {
                return Ok(NextWait::Candidate(Box::new(row)));
            }
        }
        Ok(NextWait::PassedOver)
    }

    /// One step among the waits for exactly a key. `None` when there is nothing left.
    fn next_exact(
        &self,
        key: &str,
        behind: &mut Behind,
        value_at: &mut impl FnMut(&str) -> Option<String>,
    ) -> Result<Option<ControlFlow<EventWaitRow>>> {
        let all = Span::under((NAMESPACE, key));
        let rest = match behind {
            Behind::Nothing => Some(all),
            Behind::Group(path) => all.past((NAMESPACE, key, path.as_str())),
            Behind::Row(last) => {
                // Rows of one path and value stand together, and all of them are wanted.
                let last: EventWaitKey = decoded(EVENT_WAITS, last)?;
                let (_, _, path, value, ..) = &last;
                let group = Span::under((NAMESPACE, key, path.as_str(), value.as_str())).after(Some(&last));
                if let Some(row) = self.scan(EVENT_WAITS, group)?.next().transpose()? {
                    return Ok(Some(ControlFlow::Break(self.take(row, behind))));
                }
                *behind = Behind::Group(path.clone());
                return Ok(Some(ControlFlow::Continue(())));
            }
        };
        let Some(rest) = rest else { return Ok(None) };
        let Some(row) = self.scan(EVENT_WAITS, rest)?.next().transpose()? else { return Ok(None) };
        let (_, _, path, ..) = &row.0;
        if path.is_empty() {
            return Ok(Some(ControlFlow::Break(self.take(row, behind))));
        }
        let wanted = match value_at(path) {
            Some(value) => {
                let group = Span::under((NAMESPACE, key, path.as_str(), value.as_str()));
                self.scan(EVENT_WAITS, group)?.next().transpose()?
            }
            None => None,
        };
        Ok(Some(match wanted {
            Some(row) => ControlFlow::Break(self.take(row, behind)),
            None => {
                *behind = Behind::Group(path.clone());
                ControlFlow::Continue(())
            }
        }))
    }

    /// One step among the waits for patterns that begin like this. `None` when there is nothing left.
    fn next_pattern(
        &self,
        key: &str,
        begin: &str,
        behind: &mut Behind,
    ) -> Result<Option<ControlFlow<EventWaitRow>>> {
        let all = Span::under((NAMESPACE, begin));
        let rest = match behind {
            Behind::Nothing => Some(all),
            Behind::Group(pattern) => all.past((NAMESPACE, begin, pattern.as_str())),
            Behind::Row(last) => {
                // The pattern has matched.
                let last: EventPatternWaitKey = decoded(EVENT_PATTERN_WAITS, last)?;
                let (_, _, pattern, ..) = &last;
                let group = Span::under((NAMESPACE, begin, pattern.as_str())).after(Some(&last));
                if let Some(row) = self.scan(EVENT_PATTERN_WAITS, group)?.next().transpose()? {
                    return Ok(Some(ControlFlow::Break(self.take(row, behind))));
                }
                *behind = Behind::Group(pattern.clone());
                return Ok(Some(ControlFlow::Continue(())));
            }
        };
        let Some(rest) = rest else { return Ok(None) };
        let Some(row) = self.scan(EVENT_PATTERN_WAITS, rest)?.next().transpose()? else { return Ok(None) };
        let (_, _, pattern, ..) = &row.0;
        if KeyPattern::parse(pattern).is_ok_and(|pattern| pattern.matches(key)) {
            return Ok(Some(ControlFlow::Break(self.take(row, behind))));
        }
        *behind = Behind::Group(pattern.clone());
        Ok(Some(ControlFlow::Continue(())))
    }

    fn take<K: keys::Key>(&self, (key, row): (K, EventWaitRow), behind: &mut Behind) -> EventWaitRow {
        *behind = Behind::Row(keys::encode(&key));
        row
    }
}

fn decoded<K: keys::Key, V>(table: Table<K, V>, key: &[u8]) -> Result<K> {
    keys::decode(key).map_err(|source| StoreError::Unreadable { table: table.name, source })
}
