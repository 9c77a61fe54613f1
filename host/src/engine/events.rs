//! Events: taken in, matched against subscriptions and waits, all in the transaction at hand.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use dormouse_core::id::EventId;
use dormouse_core::request::Push;
use dormouse_core::run::RunEvent;
use dormouse_core::wait::WaitOutcome;

use super::catalog::{Catalog, Entry};
use super::command::Reply;
use super::shard::{Handled, Shard};
use crate::store::rows::{EventRow, EventWaitRow, Timer, WaitCursor, Work};
use crate::store::{NextWait, StoreError};
use crate::triggers::{Matching, events};

/// Most tasks that are told of an event in the transaction that takes it in.
const TOLD_AT_ONCE_MAX: u32 = 64;

impl Shard {
    /// Answers a push of events when each has been held against all waits: the answer says how many it
    /// has settled.
    pub(crate) fn answer_when_matched(
        &mut self,
        reply: Reply<Outcomes>,
        outcomes: Handled<Outcomes>,
    ) -> Result<(), StoreError> {
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            refused => return self.answer(reply, refused),
        };
        let ids = outcomes.iter().flatten().map(|event| event.id);
        let unmatched: HashSet<_> = ids.filter(|id| self.being_matched.contains(id)).collect();
        if unmatched.is_empty() {
            return self.answer(reply, Ok(outcomes));
        }
        self.pushes.push(UnansweredPush { unmatched, outcomes, reply });
        Ok(())
    }

    /// Answers pushes all of whose events have been held against all waits, now that this one has, and has
    /// settled so many.
    pub(super) fn has_matched(&mut self, id: EventId, settled: u32) -> Result<(), StoreError> {
        self.being_matched.remove(&id);
        for push in &mut self.pushes {
            if push.unmatched.remove(&id) {
                let outcomes = push.outcomes.iter_mut().flatten().filter(|outcome| outcome.id == id);
                outcomes.for_each(|outcome| outcome.settled_waits = settled);
            }
        }
        let done: Vec<_> = self.pushes.extract_if(.., |push| push.unmatched.is_empty()).collect();
        done.into_iter()
            .try_for_each(|UnansweredPush { outcomes, reply, .. }| self.answer(reply, Ok(outcomes)))
    }

    /// Stores an event, starts the runs that subscribe to it and settles the waits that it matches: those
    /// for which there is time at once, and the others in portions.
    pub(crate) fn take_in_event(
        &mut self,
        push: Push,
        matched: Option<Matched>,
    ) -> Result<EventRow, StoreError> {
        let id = push.id;
        let mut event = events::new_row(push, self.now);
        let until = self.match_until;
        let rest = self.match_waits(&mut event, WaitCursor::START, until)?;
        let subscribers = match matched {
            Some(Matched { catalog, subscribers }) if Arc::ptr_eq(&catalog, &self.catalog) => subscribers,
            // Workflows have changed since.
            _ => self.catalog().subscribers(&mut Matching::of(&event)),
        };
        self.start_subscribers(&mut event, subscribers)?;
        self.rows.put_event(&event)?;
        if let Some(cursor) = rest {
            self.being_matched.insert(id);
            self.leave(&Work::MatchEvent { event: id, cursor })?;
        }
        Ok(event)
    }

    /// Holds an event against the waits behind a cursor, and settles those that it matches. Returns where
    /// to go on when there was no time for all.
    pub(super) fn match_waits(
        &mut self,
        event: &mut EventRow,
        mut cursor: WaitCursor,
        until: Instant,
    ) -> Result<Option<WaitCursor>, StoreError> {
        let (id, pushed_at, mut settled) = (event.id, event.pushed_at, event.settled_waits);
        let mut matching = Matching::of(event);
        let rest = loop {
            match self.rows.next_event_wait(&event.key, &mut cursor, |path| matching.value_at(path))? {
                NextWait::End => break None,
                NextWait::PassedOver => {}
                NextWait::Candidate(row) => {
                    let is_open = row.settled_by.is_none() && row.since <= pushed_at;
                    let holds = || match row.filter.as_deref().filter(|_| row.index.is_none()) {
                        None => true,
                        Some(text) => {
                            self.filters.get(text).is_some_and(|filter| matching.satisfies(&filter))
                        }
                    };
                    if is_open && { holds }() {
                        self.settle_wait(id, *row, settled)?;
                        settled += 1;
                    }
                }
            }
            if Instant::now() >= until {
                break Some(cursor);
            }
        };
        event.settled_waits = settled;
        Ok(rest)
    }

    /// Settles a wait, so that no other event does. The first few tasks are told at once; of a flood the
    /// others are told as timers are: in portions, between which others get their turn.
    fn settle_wait(&mut self, event: EventId, mut row: EventWaitRow, told: u32) -> Result<(), StoreError> {
        let EventWaitRow { run, task, wait, .. } = row;
        if told < TOLD_AT_ONCE_MAX {
            self.rows.delete_event_wait(&row);
            let outcome = WaitOutcome::Event(event);
            self.follow_up(run, RunEvent::WaitSettled { task, wait, outcome });
            return Ok(());
        }
        row.settled_by = Some((event, self.now));
        self.rows.put_event_wait(&row)?;
        self.rows.put_timer(self.now, Timer::Event { run, task, wait })
    }

    fn start_subscribers(
        &mut self,
        event: &mut EventRow,
        subscribers: Vec<Arc<Entry>>,
    ) -> Result<(), StoreError> {
        subscribers.into_iter().try_for_each(|entry| {
            let run = self.shared.clock.run_id();
            self.create_run(events::start(event, entry.target.clone(), run))
        })
    }
}

/// What came of each event of a push.
type Outcomes = crate::error::Outcomes<EventRow>;

/// A push that is answered when its events have been held against all waits.
pub(super) struct UnansweredPush {
    unmatched: HashSet<EventId>,
    outcomes: Outcomes,
    reply: Reply<Outcomes>,
}

/// What an event starts, as it was found before the event got to the deciding thread: filters of modules
/// are not evaluated there.
pub(crate) struct Matched {
    catalog: Arc<Catalog>,
    subscribers: Vec<Arc<Entry>>,
}

impl Matched {
    /// Finds what an event starts.
    pub(crate) fn find(catalog: &Arc<Catalog>, event: &mut Matching<'_>) -> Self {
        Self { catalog: Arc::clone(catalog), subscribers: catalog.subscribers(event) }
    }
}
