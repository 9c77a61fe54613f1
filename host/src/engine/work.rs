//! Work that is too much for one change set, done in portions: between two of them everything else gets
//! its turn. What is left of it is a row, so that another host goes on where this one stopped.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use dormouse_core::cel::Predicate;
use dormouse_core::event::KeyPattern;
use dormouse_core::id::{EventId, RunId, ScheduledId, TaskIndex, WaitId, WorkflowName};
use dormouse_core::log::LogLevel;
use dormouse_core::run::{Reason, RunEvent, Status};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{WaitCondition, WaitOutcome};

use super::events::{EventRuns, MatchTime};
use super::queue::Limit;
use super::shard::Shard;
use crate::store::rows::{
    EventRow, EventWaitRow, JournalEntry, LogLine, LookBack, RunWaitRow, ScheduledStatus, WaitCursor, Work,
    WorkLine,
};
use crate::store::{Read, StoreError, WorkingSet};
use crate::triggers::Matching;

/// Longest that the deciding thread works on what is left over before it looks at commands again. One
/// evaluation of a filter may exceed it, which has a budget of its own.
const PORTION_TIME: Duration = Duration::from_millis(4);

/// Most pieces of work that get their turn at once.
const TURNS_MAX: usize = if cfg!(test) { 1 } else { 8 };

/// Most runs that one command cancels, or one portion, because another was cancelled or wants its place: each
/// of them is loaded and written, and may have children of its own.
pub(super) const CANCELLATIONS_MAX: usize = if cfg!(test) { 1 } else { 64 };

/// Most tasks or scheduled runs that are seen to in one portion: each loads and writes a run.
const PORTION_RUNS: usize = 64;

/// Most scheduled runs that one portion looks at: all workflows have theirs in one list.
const PORTION_LOOKED_AT: usize = 512;

/// Most events that a wait looks back at: what it waits for is rare among them, or it asks for too much.
const LOOK_BACK_EVENTS_MAX: u32 = 1_000;

impl Shard {
    /// Leaves something to be done in portions.
    pub(crate) fn leave(&mut self, work: &Work) -> Result<(), StoreError> {
        self.has_work = true;
        self.rows.put_work(work)
    }

    /// Does a portion of what is left over.
    pub(super) fn do_work(&mut self) -> Result<(), StoreError> {
        if !self.has_work {
            return Ok(());
        }
        let begun = Instant::now();
        // An event that is pushed here has no time of its own to be held against waits.
        self.portion_until = begun + PORTION_TIME;
        self.go_on_with_cron_review(begun + PORTION_TIME / 2)?;
        for _ in 0..TURNS_MAX {
            self.event_runs = EventRuns::MAX;
            self.cancellations = CANCELLATIONS_MAX;
            // Requests of steps, and what else is left, take turns.
            self.requests_were_last = !self.requests_were_last;
            let are_requests_next = self.requests_were_last && !self.open.is_empty();
            let left = if are_requests_next { None } else { self.turns.next(&mut self.rows)? };
            if let Some((line, number, work)) = left {
                let rest = self.portion(work.clone(), begun)?;
                // Without a slot nobody is told, and nothing is to be written.
                if rest.as_ref() != Some(&work) {
                    self.rows.replace_work(line, number, rest.as_ref())?;
                }
            } else if self.open.is_empty() {
                self.has_work = self.cron_review.is_some();
                break;
            } else {
                self.apply_open_requests(begun + PORTION_TIME)?;
            }
            self.settle()?;
            if begun.elapsed() >= PORTION_TIME || self.has_enough() {
                break;
            }
        }
        Ok(())
    }

    /// Does a portion, and returns what is left.
    fn portion(&mut self, work: Work, begun: Instant) -> Result<Option<Work>, StoreError> {
        match work {
            Work::TellWaiters { awaited } => self.tell_waiters(awaited),
            Work::CancelChildren { parent, after } => self.cancel_some_children(parent, after),
            Work::MakeRoom { workflow, index, key, room, made_before } => {
                self.make_room(Limit { workflow, index, key }, room, made_before)
            }
            Work::CancelScheduled { workflow, made_before, after } => {
                self.cancel_some_scheduled((workflow, made_before), after, begun + PORTION_TIME)
            }
            Work::MatchEvent { event, cursor } => {
                let rest = self.match_event(event, cursor)?;
                self.took_in_if_done(event, rest)
            }
            Work::StartSubscribers { event, after } => {
                let rest = self.start_subscribers(event, after, begun + PORTION_TIME)?;
                self.took_in_if_done(event, rest)
            }
            Work::LookBack(at) => self.look_back(at, begun + PORTION_TIME),
            Work::TryHeld { after } => self.try_held(after),
        }
    }

    fn took_in_if_done(&mut self, event: EventId, rest: Option<Work>) -> Result<Option<Work>, StoreError> {
        if rest.is_none() {
            self.took_in(event)?;
        }
        Ok(rest)
    }

    /// Holds an event against more waits.
    fn match_event(&mut self, event: EventId, cursor: WaitCursor) -> Result<Option<Work>, StoreError> {
        // Retention may have taken it.
        let Some(mut row) = self.rows.event(event)? else { return Ok(None) };
        let before = row.settled_waits;
        let rest = self.match_waits(&mut row, cursor, MatchTime::For(PORTION_TIME))?;
        if row.settled_waits > before {
            self.rows.put_event(&row)?;
        }
        Ok(rest.map(|cursor| Work::MatchEvent { event, cursor }))
    }

    /// Tells some of those who wait for a run that it has ended.
    ///
    /// As many as there are slots: a flood in the queue would stand there before whatever comes later.
    pub(super) fn tell_waiters(&mut self, awaited: RunId) -> Result<Option<Work>, StoreError> {
        let limit = self.node.free_slots().min(PORTION_RUNS);
        let waits = self.rows.run_waits(awaited, limit + 1)?;
        let more = waits.len() > limit;
        let waits = waits.into_iter().take(limit);
        for wait in waits {
            let RunWaitRow { run, task, wait: id, .. } = wait;
            // The core closes the wait, unless the run has ended.
            self.rows.delete_run_wait(wait);
            let outcome = WaitOutcome::Run(awaited);
            self.follow_up(run, RunEvent::WaitSettled { task, wait: id, outcome });
        }
        Ok(more.then_some(Work::TellWaiters { awaited }))
    }

    /// Has some of the tasks that are held tried again.
    fn try_held(&mut self, after: Option<(RunId, TaskIndex)>) -> Result<Option<Work>, StoreError> {
        let limit = self.node.free_slots().min(PORTION_RUNS);
        let held = self.rows.held_tasks(after, limit + 1)?;
        let more = held.len() > limit;
        let mut last = after;
        for (run, task) in held.into_iter().take(limit) {
            last = Some((run, task));
            self.follow_up(run, RunEvent::RetryDue { task });
        }
        Ok(more.then_some(Work::TryHeld { after: last }))
    }

    /// Cancels some of the children of a run, the older of those that the rows list.
    pub(super) fn cancel_some_children(
        &mut self,
        parent: RunId,
        after: Option<RunId>,
    ) -> Result<Option<Work>, StoreError> {
        while self.cancellations > 0
            && let Some(child) = self.next_new_child(parent)
        {
            self.cancellations -= 1;
            self.cancel_child(child)?;
        }
        let (mut children, most) = (Vec::new(), self.cancellations);
        if most > 0 {
            self.rows.visit_children(parent, after, |child| {
                children.push(child);
                if children.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        self.cancellations -= children.len();
        let after = children.last().copied().or(after);
        for child in children {
            self.cancel_child(child)?;
        }
        Ok((self.cancellations == 0).then_some(Work::CancelChildren { parent, after }))
    }

    pub(super) fn cancel_child(&mut self, child: RunId) -> Result<(), StoreError> {
        let has_ended = self.status(child)?.is_none_or(Status::is_final);
        if !has_ended && self.run(child)?.is_some_and(|(spec, _)| !spec.detached) {
            self.follow_up(child, RunEvent::Cancel { reason: Reason::ParentCancelled });
        }
        Ok(())
    }

    fn cancel_some_scheduled(
        &mut self,
        (workflow, made_before): (WorkflowName, Timestamp),
        after: Option<(Timestamp, ScheduledId)>,
        until: Instant,
    ) -> Result<Option<Work>, StoreError> {
        let (mut pending, mut last, mut looked_at, mut more) = (Vec::new(), None, 0, false);
        self.rows.visit_scheduled(Some(ScheduledStatus::Pending), after, |row| {
            looked_at += 1;
            last = Some((row.trigger_at, row.id));
            pending.extend((row.workflow == workflow && row.created_at <= made_before).then_some(row));
            more = looked_at == PORTION_LOOKED_AT || pending.len() == PORTION_RUNS || Instant::now() >= until;
            if more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        for row in pending {
            self.end_scheduled(row, ScheduledStatus::Cancelled, None)?;
        }
        Ok(more.then_some(Work::CancelScheduled { workflow, made_before, after: last }))
    }

    /// Has a wait look back, so far as a portion goes.
    fn look_back(&mut self, at: LookBack, until: Instant) -> Result<Option<Work>, StoreError> {
        let LookBack { run, task, wait, since, mut before, mut looked_at } = at;
        let Some(row) = self.open_event_wait(run, task, wait)? else { return Ok(None) };
        // What does not parse was refused when the step ended.
        let Ok(pattern) = KeyPattern::parse(&row.key_pattern) else { return Ok(None) };
        let filter = row.filter.as_deref().map(|text| self.filters.get(text));
        let mut found = None;
        let mut more = false;
        let visit = |event: EventRow| {
            if event.pushed_at < since {
                return ControlFlow::Break(());
            }
            looked_at += 1;
            before = Some(event.id);
            let mut matching = Matching::of(&event);
            let holds = pattern.matches(&event.key)
                && filter
                    .as_ref()
                    .is_none_or(|filter| filter.as_ref().is_some_and(|filter| matching.satisfies(filter)));
            found = holds.then_some(event.id);
            more = looked_at < LOOK_BACK_EVENTS_MAX && Instant::now() >= until;
            if holds || more || looked_at >= LOOK_BACK_EVENTS_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        match pattern.as_exact() {
            Some(key) => self.rows.visit_events_by_key(key, since, at.before, visit)?,
            None => self.rows.visit_events(at.before, visit)?,
        }
        if let Some(event) = found {
            let outcome = WaitOutcome::Event(event);
            self.follow_up(run, RunEvent::WaitSettled { task, wait, outcome });
            return Ok(None);
        }
        if looked_at >= LOOK_BACK_EVENTS_MAX {
            self.warn_of_look_back(&row)?;
        }
        Ok(more.then_some(Work::LookBack(LookBack { before, looked_at, ..at })))
    }

    /// Has a new wait look back, in portions.
    pub(super) fn begin_look_back(
        &mut self,
        (run, task, wait): (RunId, TaskIndex, WaitId),
        since: Timestamp,
    ) -> Result<(), StoreError> {
        self.leave(&Work::LookBack(LookBack { run, task, wait, since, before: None, looked_at: 0 }))
    }

    /// Says in the log of the run that a wait has looked back far enough.
    fn warn_of_look_back(&mut self, row: &EventWaitRow) -> Result<(), StoreError> {
        let EventWaitRow { key_pattern, run, task, wait, .. } = row;
        let message = format!(
            "wait {} looked back at {LOOK_BACK_EVENTS_MAX} events, which is the most, and none matched: wait for a key of its own instead of `{key_pattern}`, or look back less far",
            wait.0
        );
        let attempt = self.run(*run)?.and_then(|(_, run)| run.task(*task).map(|task| task.attempt));
        let attempt = attempt.unwrap_or_default();
        let line =
            LogLine { at: self.now, task: *task, attempt, level: LogLevel::Warn, repeated: false, message };
        self.rows.append_journal(*run, JournalEntry::Log(line))?;
        self.post_commit.touched.push(*run);
        Ok(())
    }

    /// The row of an open wait for events that has not settled.
    fn open_event_wait(
        &mut self,
        run: RunId,
        task: TaskIndex,
        wait: WaitId,
    ) -> Result<Option<EventWaitRow>, StoreError> {
        let condition = self.open_condition((run, task, wait))?;
        let Some(WaitCondition::Event { key_pattern, index, .. }) = condition else { return Ok(None) };
        let row = self.rows.event_wait(&key_pattern, index.as_ref(), (run, task, wait))?;
        Ok(row.filter(|row| row.settled_by.is_none()))
    }
}

/// Whose turn it is: the lines take turns, and in each everything that is left does.
#[derive(Default)]
pub(super) struct Turns {
    lines: [Passes; WorkLine::ALL.len()],
    /// The line that had the last turn.
    last: usize,
}

/// The turns of a line, in passes. What is left during a pass has its turn in the next one, so that no stream of
/// new work keeps the rest waiting.
#[derive(Default)]
struct Passes {
    /// The number of the first work there was when the pass began. All before it is done.
    first: u64,
    next: u64,
    /// Work with this number or a higher one is not part of the pass.
    end: u64,
}

impl Turns {
    fn next(&mut self, rows: &mut WorkingSet) -> Result<Option<(WorkLine, u64, Work)>, StoreError> {
        for _ in 0..WorkLine::ALL.len() {
            self.last = (self.last + 1) % WorkLine::ALL.len();
            let line = WorkLine::ALL[self.last];
            if let Some((number, work)) = self.lines[self.last].next(rows, line)? {
                return Ok(Some((line, number, work)));
            }
        }
        Ok(None)
    }
}

impl Passes {
    fn next(&mut self, rows: &mut WorkingSet, line: WorkLine) -> Result<Option<(u64, Work)>, StoreError> {
        let mut next = match self.next < self.end {
            true => rows.next_work(line, self.next)?.filter(|(number, _)| *number < self.end),
            false => None,
        };
        if next.is_none() {
            next = rows.next_work(line, self.first)?;
            if let Some((number, _)) = next {
                self.first = number;
                self.end = rows.work_end(line)?;
            }
        }
        if let Some((number, _)) = next {
            self.next = number + 1;
        }
        Ok(next)
    }
}

/// Filters that were compiled, by their texts: an event may be held against the same ones again and
/// again.
#[derive(Default)]
pub(crate) struct Filters {
    /// `None` of a text that is no filter.
    compiled: HashMap<String, Option<Predicate>>,
    bytes: usize,
}

/// Most bytes of texts of filters that are kept compiled; beyond that the cache begins anew. Compiled, a
/// filter takes some ten times as much.
const FILTER_BYTES_MAX: usize = 1 << 20;

impl Filters {
    /// A filter, compiled. `None` if the text is none: it was refused when the step ended.
    pub(crate) fn get(&mut self, text: &str) -> Option<Predicate> {
        if let Some(known) = self.compiled.get(text) {
            return known.clone();
        }
        if self.bytes + text.len() > FILTER_BYTES_MAX {
            self.compiled.clear();
            self.bytes = 0;
        }
        self.bytes += text.len();
        let filter = Predicate::compile(text).ok();
        self.compiled.insert(text.to_owned(), filter.clone());
        filter
    }
}
