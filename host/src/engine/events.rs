//! Events: taken in, matched against subscriptions and waits, all in the transaction at hand.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_core::id::EventId;
use dormouse_core::request::Push;
use dormouse_core::run::RunEvent;
use dormouse_core::wait::WaitOutcome;

use super::catalog::{Catalog, Entry};
use super::command::Reply;
use super::shard::{Handled, Shard};
use crate::store::rows::{EventRow, EventWaitRow, SubscriptionPlace, Timer, WaitCursor, Work};
use crate::store::{NextWait, Read, StoreError};
use crate::triggers::{Matching, events};

/// Most tasks that are told of an event in the transaction that takes it in.
const TOLD_AT_ONCE_MAX: u32 = 64;

impl Shard {
    /// Answers a push of events when each is taken in: the answer says which runs it has started and how many
    /// waits it has settled.
    pub(crate) fn answer_when_matched(
        &mut self,
        reply: Reply<Outcomes>,
        outcomes: Handled<Outcomes>,
    ) -> Result<(), StoreError> {
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            refused => return self.answer(reply, refused),
        };
        let ids = outcomes.iter().flatten().map(|pushed| pushed.event.id);
        let under_way: HashSet<_> = ids.filter(|id| self.taken_in_later.contains_key(id)).collect();
        if under_way.is_empty() {
            return self.answer(reply, Ok(outcomes));
        }
        self.pushes.push(UnansweredPush { under_way, outcomes, reply });
        Ok(())
    }

    /// Leaves something of taking in an event to be done in portions.
    fn take_in_later(&mut self, id: EventId, work: &Work) -> Result<(), StoreError> {
        *self.taken_in_later.entry(id).or_default() += 1;
        self.leave(work)
    }

    /// Notes that something of that is done. With the last of it, pushes are answered all of whose events are
    /// taken in.
    pub(super) fn took_in(&mut self, id: EventId) -> Result<(), StoreError> {
        let Some(left) = self.taken_in_later.get_mut(&id) else { return Ok(()) };
        *left -= 1;
        if *left > 0 {
            return Ok(());
        }
        self.taken_in_later.remove(&id);
        if self.pushes.iter().all(|push| !push.under_way.contains(&id)) {
            return Ok(());
        }
        let row = self.rows.event(id)?;
        for push in &mut self.pushes {
            if push.under_way.remove(&id)
                && let Some(row) = &row
            {
                let events = push.outcomes.iter_mut().flatten().map(|pushed| &mut pushed.event);
                events.filter(|event| event.id == id).for_each(|event| event.clone_from(row));
            }
        }
        let done: Vec<_> = self.pushes.extract_if(.., |push| push.under_way.is_empty()).collect();
        done.into_iter()
            .try_for_each(|UnansweredPush { outcomes, reply, .. }| self.answer(reply, Ok(outcomes)))
    }

    /// Stores an event, starts the runs that subscribe to it and settles the waits that it matches: as many as
    /// there is room and time for at once, and the others in portions.
    pub(crate) fn take_in_event(
        &mut self,
        push: Push,
        matched: Option<Matched>,
    ) -> Result<EventRow, StoreError> {
        let id = push.id;
        let mut event = events::new_row(push, self.now);
        let until = MatchTime::Until(self.portion_until);
        if let Some(cursor) = self.match_waits(&mut event, WaitCursor::START, until)? {
            self.take_in_later(id, &Work::MatchEvent { event: id, cursor })?;
        }
        let rest = match matched {
            Some(Matched { catalog, subscribers }) if catalog.has_subscriptions_of(&self.catalog) => {
                self.start_matched(&mut event, subscribers)?
            }
            _ if self.catalog.has_no_subscription_to(&event.key) => None,
            // Workflows have changed since.
            _ => Some(None),
        };
        if let Some(after) = rest {
            self.take_in_later(id, &Work::StartSubscribers { event: id, after })?;
        }
        self.rows.put_event(&event)?;
        Ok(event)
    }

    /// Starts runs that an event is known to start, as many as there is room for. Returns behind which
    /// subscription to go on.
    fn start_matched(
        &mut self,
        event: &mut EventRow,
        subscribers: Vec<(SubscriptionPlace, Arc<Entry>)>,
    ) -> Result<Option<Option<SubscriptionPlace>>, StoreError> {
        let mut last = None;
        for (place, entry) in subscribers {
            if !self.event_runs.take(event.payload.as_str().len()) {
                return Ok(Some(last));
            }
            self.start_subscriber(event, &entry)?;
            last = Some(place);
        }
        Ok(None)
    }

    /// Holds an event against the subscriptions behind a place, and starts the runs that it is to start. Returns
    /// what is left.
    pub(super) fn start_subscribers(
        &mut self,
        event: EventId,
        after: Option<SubscriptionPlace>,
        until: Instant,
    ) -> Result<Option<Work>, StoreError> {
        // Retention may have taken it.
        let Some(mut row) = self.rows.event(event)? else { return Ok(None) };
        let catalog = Arc::clone(&self.catalog);
        let (mut wanted, mut rest) = (Vec::new(), None);
        let mut matching = Matching::of(&row);
        for (place, entry) in catalog.hold_against_subscriptions(&mut matching, after) {
            wanted.extend(entry.cloned());
            let has_room = entry.is_none() || self.event_runs.take(row.payload.as_str().len());
            if !has_room || Instant::now() >= until {
                rest = Some(place);
                break;
            }
        }
        for entry in &wanted {
            self.start_subscriber(&mut row, entry)?;
        }
        if !wanted.is_empty() {
            self.rows.put_event(&row)?;
        }
        Ok(rest.map(|place| Work::StartSubscribers { event, after: Some(place) }))
    }

    fn start_subscriber(&mut self, event: &mut EventRow, entry: &Entry) -> Result<(), StoreError> {
        let run = self.shared.clock.run_id();
        self.create_run(events::start(event, entry.target.clone(), run))
    }

    /// Holds an event against the waits behind a cursor, and settles those that it matches. Returns where
    /// to go on when there was no time for all.
    pub(super) fn match_waits(
        &mut self,
        event: &mut EventRow,
        mut cursor: WaitCursor,
        time: MatchTime,
    ) -> Result<Option<WaitCursor>, StoreError> {
        let (id, pushed_at, mut settled) = (event.id, event.pushed_at, event.settled_waits);
        let mut matching = Matching::of(event);
        let until = match time {
            MatchTime::Until(until) => until,
            MatchTime::For(time) => {
                matching.parse();
                Instant::now() + time
            }
        };
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
}

/// How long an event may be held against waits.
pub(super) enum MatchTime {
    Until(Instant),
    /// Not counting the time in which its payload is parsed: a large one would have none left.
    For(Duration),
}

/// What came of each event of a push.
/// What came of a push.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) event: EventRow,
    /// Otherwise an earlier push with the same idempotency key had stored it.
    pub(crate) is_new: bool,
}

type Outcomes = crate::error::Outcomes<Pushed>;

/// A push that is answered when its events are taken in.
pub(super) struct UnansweredPush {
    under_way: HashSet<EventId>,
    outcomes: Outcomes,
    reply: Reply<Outcomes>,
}

/// What an event starts, as it was found before the event got to the deciding thread, which evaluates filters
/// of modules in portions only.
pub(crate) struct Matched {
    catalog: Arc<Catalog>,
    subscribers: Vec<(SubscriptionPlace, Arc<Entry>)>,
}

impl Matched {
    /// Finds what an event starts.
    pub(crate) fn find(catalog: &Arc<Catalog>, event: &mut Matching<'_>) -> Self {
        let held = catalog.hold_against_subscriptions(event, None);
        let subscribers = held.filter_map(|(place, entry)| Some((place, Arc::clone(entry?)))).collect();
        Self { catalog: Arc::clone(catalog), subscribers }
    }
}

/// How many runs events may start at once. Those of an event that starts more begin in several transactions,
/// and all of them whatever becomes of the host.
pub(super) struct EventRuns {
    runs: usize,
    bytes: usize,
}

impl EventRuns {
    /// Most runs, and most bytes of their inputs, each of which is the payload of an event: they take the
    /// deciding thread some ten milliseconds.
    pub(super) const MAX: Self = Self { runs: if cfg!(test) { 1 } else { 1_000 }, bytes: 2 << 20 };

    /// Room for a run with an input of so many bytes. The first has room however long that is.
    fn take(&mut self, bytes: usize) -> bool {
        if self.runs == 0 || self.bytes == 0 {
            return false;
        }
        self.runs -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}
