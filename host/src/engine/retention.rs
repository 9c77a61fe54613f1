//! Retention: what has ended goes after a time, in small batches between which others get their
//! turn.
//!
//! Nothing is stored for it. Each kind of thing is gone through by itself, in *passes* from the oldest
//! on, a few rows in each *sweep*: a pass deletes what is due and finds out when the next thing may be.
//! Ids begin with the time of their making, so what was made lately needs no look. A run stays for as
//! long as one goes on that spawned it, got it for an idempotency key or waits for it, and as long as such a key stands for it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use dormouse_core::bounds::EXECUTION_TIMEOUT_MAX;
use dormouse_core::id::{EventId, RunId};
use dormouse_core::time::Timestamp;

use crate::store::rows::{EndedRun, EndedScheduled};
use crate::store::{Deleted, Newer, Read, StoreError, WorkingSet};

/// Rows that a sweep deletes, about, in equal parts of each kind that has its turn: they take the
/// deciding thread a few milliseconds. What else has come is decided before the next sweep.
const DELETED_MAX: usize = 1000;

/// Longest that a sweep deletes runs: their inputs and outputs may be large.
const RUNS_TIME_MAX: Duration = Duration::from_millis(5);

/// Rows that a sweep looks at of each kind: those that were made long ago and ended lately are passed
/// over.
const LOOKED_AT_MAX: usize = 1024;

/// Runs of these that are looked for at a time: a sweep that finds much to delete needs few.
const READ_AT_ONCE: usize = 64;

/// Rows of a run's journal, and of the list of its children, that go at once.
const PORTION_OF_RUN: usize = 500;

/// Bytes of the payloads of the events, and of the inputs of the scheduled runs, that a sweep reads.
const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// Rows of an event, of a scheduled run and of an idempotency key: itself and an index.
const ROWS_OF_ONE: usize = 2;

/// Between two passes of a kind lies this time, and more for each row that the pass looked at and
/// left, so that looking takes a thousandth of the deciding thread's time.
const PASS_PAUSE: Duration = Duration::from_secs(60);
const PASS_PAUSE_PER_ROW: Duration = Duration::from_millis(5);

/// What is due goes at most this late. What is due and still needed is looked at again after it.
const PASS_PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Longest between the push of an event and the moment at which a task that it woke stands in the
/// queue: a step that was running.
const STEP_MAX: Duration = EXECUTION_TIMEOUT_MAX;

/// How long what has ended is kept, and how far the passes have come.
pub(super) struct Retention {
    keep: Duration,
    runs: Pass<EndedRun>,
    events: Pass<EventId>,
    scheduled: Pass<EndedScheduled>,
    /// Keys go in the order in which they expire, so there is nothing to pass over.
    idempotency: Pass<()>,
}

/// A pass through the things of one kind.
struct Pass<C> {
    /// When to go on, or to begin the next pass.
    next: Timestamp,
    /// Up to which thing it has looked.
    looked_at: Option<C>,
    /// When the first of what it has left may be due.
    first_due: Option<Timestamp>,
    /// How many things it has looked at and left.
    left: u32,
}

impl<C> Pass<C> {
    fn new(now: Timestamp) -> Self {
        Self { next: now, looked_at: None, first_due: None, left: 0 }
    }

    /// Something may be due at this time.
    fn note(&mut self, due: Timestamp) {
        self.first_due = Some(self.first_due.map_or(due, |first| first.min(due)));
    }

    /// Something that was looked at stays, and may be due at this time.
    fn leave(&mut self, due: Timestamp) {
        self.note(due);
        self.left = self.left.saturating_add(1);
    }

    /// Whether something is due that ended then; otherwise it is left.
    fn is_due(&mut self, now: Timestamp, ended_at: Timestamp, keep: Duration) -> bool {
        let due = ended_at.after(keep);
        if due > now {
            self.leave(due);
        }
        due <= now
    }

    /// Goes on with the next sweep, or rests when there was no more.
    fn end_sweep(&mut self, now: Timestamp, more: bool, keep: Duration) {
        if more {
            self.next = now;
            return;
        }
        let rest =
            PASS_PAUSE.saturating_add(PASS_PAUSE_PER_ROW.saturating_mul(self.left)).min(PASS_PAUSE_MAX);
        // What is made from now on is due after `keep`, however late the rest.
        let due = self.first_due.unwrap_or(Timestamp::MAX).min(now.after(keep));
        *self = Self::new(due.max(now.after(rest)));
    }
}

impl Retention {
    /// Begins with a sweep at this time.
    pub(super) fn new(keep: Duration, now: Timestamp) -> Self {
        Self {
            keep,
            runs: Pass::new(now),
            events: Pass::new(now),
            scheduled: Pass::new(now),
            idempotency: Pass::new(now),
        }
    }

    /// Forgets when there may be something to do: what it knows of that may be by a clock that was ahead.
    pub(super) fn begin_anew(&mut self, now: Timestamp) {
        *self = Self::new(self.keep, now);
    }

    /// When there may be something to do.
    pub(super) fn next(&self) -> Timestamp {
        let Self { keep: _, runs, events, scheduled, idempotency } = self;
        runs.next.min(events.next).min(scheduled.next).min(idempotency.next)
    }

    /// Deletes some of what is due. `waiting_since` is when the first of those in the queue came there.
    pub(super) fn sweep(
        &mut self,
        rows: &mut WorkingSet,
        now: Timestamp,
        waiting_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let turns = [self.runs.next, self.events.next, self.scheduled.next, self.idempotency.next];
        let [runs, events, scheduled, idempotency] = turns.map(|next| next <= now);
        let kinds = turns.iter().filter(|next| **next <= now).count();
        let quota = DELETED_MAX / kinds.max(1);
        let mut deleted = 0;
        if runs {
            deleted += self.sweep_runs(rows, now, quota)?;
        }
        if events {
            deleted += self.sweep_events(rows, now, quota, waiting_since)?;
        }
        if scheduled {
            deleted += self.sweep_scheduled(rows, now, quota)?;
        }
        if idempotency {
            self.sweep_idempotency(rows, now, quota)?;
        }
        if deleted > 0 {
            rows.put_kept_since(now.before(self.keep))?;
        }
        Ok(())
    }

    fn sweep_runs(
        &mut self,
        rows: &mut WorkingSet,
        now: Timestamp,
        quota: usize,
    ) -> Result<usize, StoreError> {
        let (keep, pass, begun) = (self.keep, &mut self.runs, Instant::now());
        let (mut deleted, mut looked_at) = (0, 0);
        let is_enough = |deleted: usize| deleted >= quota || begun.elapsed() >= RUNS_TIME_MAX;
        while !is_enough(deleted) && looked_at < LOOKED_AT_MAX {
            let (mut old, after) = (Vec::new(), pass.looked_at.clone());
            let go_on = rows.visit_ended_runs(after.as_ref(), READ_AT_ONCE, |key| {
                let old_at = key.2.time().after(keep);
                if old_at <= now {
                    old.push(key.clone());
                    return Newer::Wanted;
                }
                pass.note(old_at);
                Newer::Unwanted
            })?;
            looked_at += READ_AT_ONCE;
            for key in old {
                match delete_run(rows, pass, key.2, now, keep)? {
                    Deleted::All(count) => deleted += count,
                    Deleted::Some(count) => {
                        pass.end_sweep(now, true, keep);
                        return Ok(deleted + count);
                    }
                }
                pass.looked_at = Some(key);
                if is_enough(deleted) {
                    break;
                }
            }
            if is_enough(deleted) {
                break;
            }
            if go_on.is_none() {
                pass.end_sweep(now, false, keep);
                return Ok(deleted);
            }
            pass.looked_at = go_on;
        }
        pass.end_sweep(now, true, keep);
        Ok(deleted)
    }

    fn sweep_events(
        &mut self,
        rows: &mut WorkingSet,
        now: Timestamp,
        quota: usize,
        waiting_since: Option<Timestamp>,
    ) -> Result<usize, StoreError> {
        let (keep, pass) = (self.keep, &mut self.events);
        let (mut due, mut looked_at, mut bytes, mut more) = (Vec::new(), 0, 0, false);
        let after = pass.looked_at;
        rows.visit_oldest_events(after, |event| {
            if event.pushed_at.after(keep) > now {
                pass.note(event.pushed_at.after(keep));
                return ControlFlow::Break(());
            }
            pass.looked_at = Some(event.id);
            // Somebody may stand in the queue, say of a workflow that is paused, to be told of it.
            let is_awaited = event.settled_waits > 0
                && waiting_since.is_some_and(|since| since <= event.pushed_at.after(STEP_MAX));
            if is_awaited {
                pass.leave(now.after(PASS_PAUSE_MAX));
            } else {
                due.push(event.id);
            }
            looked_at += 1;
            bytes += event.payload.as_str().len();
            more =
                due.len() * ROWS_OF_ONE >= quota || looked_at >= LOOKED_AT_MAX || bytes >= PAYLOAD_BYTES_MAX;
            if more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let deleted = due.len() * ROWS_OF_ONE;
        due.into_iter().try_for_each(|id| rows.delete_event(id).map(drop))?;
        pass.end_sweep(now, more, keep);
        Ok(deleted)
    }

    /// Scheduled runs that fired or were cancelled lie in the order of the times that they were
    /// scheduled for, which says nothing of when they ended. So all are looked at; of those that were
    /// made lately only the keys.
    fn sweep_scheduled(
        &mut self,
        rows: &mut WorkingSet,
        now: Timestamp,
        quota: usize,
    ) -> Result<usize, StoreError> {
        let (keep, pass) = (self.keep, &mut self.scheduled);
        let mut keys = Vec::new();
        rows.visit_ended_scheduled(pass.looked_at, |key| {
            keys.push(key);
            if keys.len() < LOOKED_AT_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let mut more = keys.len() == LOOKED_AT_MAX;
        let (mut deleted, mut bytes) = (0, 0);
        for key @ (.., id) in keys {
            if deleted >= quota || bytes >= PAYLOAD_BYTES_MAX {
                more = true;
                break;
            }
            pass.looked_at = Some(key);
            if id.time().after(keep) > now {
                pass.leave(id.time().after(keep));
                continue;
            }
            let Some(row) = rows.scheduled(id)? else { continue };
            bytes += row.input.as_str().len();
            // Nothing of it changes once it has ended.
            if pass.is_due(now, row.updated_at, keep) {
                rows.delete_scheduled(id)?;
                deleted += ROWS_OF_ONE;
            }
        }
        pass.end_sweep(now, more, keep);
        Ok(deleted)
    }

    fn sweep_idempotency(
        &mut self,
        rows: &mut WorkingSet,
        now: Timestamp,
        quota: usize,
    ) -> Result<(), StoreError> {
        let limit = quota / ROWS_OF_ONE;
        let more = rows.delete_expired_idempotency(now, limit)? == limit;
        if !more && let Some(expiry) = rows.next_idempotency_expiry()? {
            self.idempotency.note(expiry);
        }
        self.idempotency.end_sweep(now, more, self.keep);
        Ok(())
    }
}

/// Deletes a run that is old, if it is due.
fn delete_run(
    rows: &mut WorkingSet,
    pass: &mut Pass<EndedRun>,
    id: RunId,
    now: Timestamp,
    keep: Duration,
) -> Result<Deleted, StoreError> {
    let ended_at = rows.run_state(id)?.and_then(|run| run.finished_at);
    if !ended_at.is_some_and(|ended_at| pass.is_due(now, ended_at, keep)) {
        return Ok(Deleted::All(0));
    }
    let adopters = forget_ended_adopters(rows, id)?;
    if adopters == Adopters::More {
        return Ok(Deleted::Some(ADOPTERS_MAX));
    }
    if let Some(until) = rows.keyed_until(id)?.filter(|until| *until > now) {
        pass.leave(until);
        return Ok(Deleted::All(0));
    }
    let is_waited_for = !rows.run_waits(id, 1)?.is_empty();
    if adopters == Adopters::Live || is_waited_for || has_live_parent(rows, id)? {
        pass.leave(now.after(PASS_PAUSE_MAX));
        return Ok(Deleted::All(0));
    }
    rows.delete_run(id, PORTION_OF_RUN)
}

fn has_live_parent(rows: &WorkingSet, id: RunId) -> Result<bool, StoreError> {
    let parent = rows.run_spec(id)?.and_then(|spec| spec.parent);
    let Some(parent) = parent else { return Ok(false) };
    is_live(rows, parent)
}

fn is_live(rows: &WorkingSet, run: RunId) -> Result<bool, StoreError> {
    Ok(rows.run_state(run)?.is_some_and(|run| !run.status.is_final()))
}

/// Those who got a run for an idempotency key, of which so many are looked at in a go.
const ADOPTERS_MAX: usize = 64;

/// Who has got a run for an idempotency key.
#[derive(PartialEq)]
enum Adopters {
    /// Nobody who goes on.
    Ended,
    /// Somebody who goes on, and may ask for it.
    Live,
    /// All who were looked at have ended, and there may be more.
    More,
}

fn forget_ended_adopters(rows: &mut WorkingSet, id: RunId) -> Result<Adopters, StoreError> {
    let adopters = rows.adopters(id, ADOPTERS_MAX)?;
    let count = adopters.len();
    for by in adopters {
        if is_live(rows, by)? {
            return Ok(Adopters::Live);
        }
        rows.delete_adoption(id, by);
    }
    Ok(if count == ADOPTERS_MAX { Adopters::More } else { Adopters::Ended })
}
