//! Retention: what has ended goes after a time, in small batches between which others get their
//! turn.
//!
//! Nothing is stored for it. Ids begin with the time of their making, so the first rows of each
//! index are the oldest: a pass looks at those, in as many sweeps as that takes, deletes what is due
//! and says when the next may be. A run stays for as long as the one that spawned it goes on, which
//! may ask for its result at any time.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use dormouse_core::id::{RunId, WorkflowName};
use dormouse_core::run::Status;
use dormouse_core::time::Timestamp;

use crate::store::rows::ScheduledStatus;
use crate::store::{Deleted, Read, StoreError, WorkingSet};

/// Rows that one transaction deletes, about.
const ROWS_PER_SWEEP: usize = 4096;

/// Things that one sweep looks at of each kind. Those that were made long ago and ended lately are
/// passed over.
const LOOKED_AT_MAX: usize = 1024;

/// Least time between two passes: what is due goes at most this late.
const REST: Duration = Duration::from_secs(3600);

/// Longest between the push of an event and the moment at which a task that it woke stands in the
/// queue: a step that was running, whose attempt may take a day.
const STEP_MAX: Duration = Duration::from_secs(86_400);

const ENDED: [Status; 3] = [Status::Completed, Status::Failed, Status::Cancelled];

/// How long what has ended is kept, and how far the present pass has come.
pub(super) struct Retention {
    keep: Duration,
    /// When to sweep next.
    next: Timestamp,
    /// Up to which run of a workflow and status the pass has looked.
    looked_at: HashMap<(WorkflowName, Status), RunId>,
    /// When the first of what the pass has left is due.
    first_due: Option<Timestamp>,
}

impl Retention {
    /// Begins with a sweep at this time.
    pub(super) fn new(keep: Duration, now: Timestamp) -> Self {
        Self { keep, next: now, looked_at: HashMap::new(), first_due: None }
    }

    /// When there may be something to do.
    pub(super) fn next(&self) -> Timestamp {
        self.next
    }

    /// Deletes what is due, as much as fits one transaction. `waiting_since` is when the first of those
    /// in the queue came there.
    pub(super) fn sweep(
        &mut self,
        rows: &mut WorkingSet,
        now: Timestamp,
        waiting_since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let mut sweep = Sweep { now, waiting_since, room: ROWS_PER_SWEEP, more: false, retention: self };
        sweep.runs(rows)?;
        sweep.events(rows)?;
        sweep.scheduled(rows)?;
        let expired = rows.delete_expired_idempotency(now, sweep.room)?;
        sweep.take(expired);
        let (room, more) = (sweep.room, sweep.more);
        if room < ROWS_PER_SWEEP {
            rows.put_kept_since(now.before(self.keep))?;
        }
        if room == 0 || more {
            self.next = now;
            return Ok(());
        }
        let expiry = rows.next_idempotency_expiry()?;
        // What ends from now on is due after `keep`, however late the rest.
        let due = self.first_due.take().into_iter().chain(expiry).fold(now.after(self.keep), Timestamp::min);
        self.next = due.max(now.after(REST));
        self.looked_at.clear();
        Ok(())
    }
}

struct Sweep<'a> {
    now: Timestamp,
    waiting_since: Option<Timestamp>,
    /// Rows that may still be deleted.
    room: usize,
    /// Whether the pass has not looked at all runs yet.
    more: bool,
    retention: &'a mut Retention,
}

impl Sweep<'_> {
    /// Whether something that ended then is due; otherwise it is remembered.
    fn is_due(&mut self, ended_at: Timestamp) -> bool {
        let due = ended_at.after(self.retention.keep);
        if due > self.now {
            self.look_again(due);
        }
        due <= self.now
    }

    fn look_again(&mut self, at: Timestamp) {
        let first = self.retention.first_due.get_or_insert(at);
        *first = at.min(*first);
    }

    fn is_old(&self, made_at: Timestamp) -> bool {
        made_at.after(self.retention.keep) <= self.now
    }

    fn take(&mut self, rows: usize) {
        self.room = self.room.saturating_sub(rows);
    }

    fn runs(&mut self, rows: &mut WorkingSet) -> Result<(), StoreError> {
        for workflow in rows.counts_by_workflow()?.into_keys() {
            for status in ENDED {
                self.runs_of(rows, (workflow.clone(), status))?;
            }
        }
        Ok(())
    }

    fn runs_of(&mut self, rows: &mut WorkingSet, which: (WorkflowName, Status)) -> Result<(), StoreError> {
        let mut oldest = Vec::new();
        let after = self.retention.looked_at.get(&which).copied();
        rows.visit_oldest_runs(&which.0, which.1, after, |id| {
            oldest.push(id);
            let more = oldest.len() < LOOKED_AT_MAX && self.is_old(id.time());
            if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.more |= oldest.len() == LOOKED_AT_MAX;
        for id in oldest {
            if self.room == 0 {
                return Ok(());
            }
            let ended_at = rows.run_state(id)?.and_then(|run| run.finished_at);
            if ended_at.is_some_and(|ended_at| self.is_due(ended_at)) {
                if has_live_parent(rows, id)? {
                    self.look_again(self.now);
                } else {
                    match rows.delete_run(id, ROWS_PER_SWEEP)? {
                        Deleted::All(deleted) => self.take(deleted),
                        Deleted::Some(deleted) => {
                            self.take(deleted);
                            self.more = true;
                            return Ok(());
                        }
                    }
                }
            }
            self.retention.looked_at.insert(which.clone(), id);
        }
        Ok(())
    }

    fn events(&mut self, rows: &mut WorkingSet) -> Result<(), StoreError> {
        let mut oldest = Vec::new();
        rows.visit_oldest_events(|event| {
            oldest.push((event.id, event.pushed_at, event.settled_waits > 0));
            let more = oldest.len() < LOOKED_AT_MAX && self.is_old(event.pushed_at);
            if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        for (id, pushed_at, has_settled) in oldest {
            if self.room == 0 {
                break;
            }
            // Somebody may stand in the queue, say of a workflow that is paused, to be told of it.
            let is_awaited =
                has_settled && self.waiting_since.is_some_and(|since| since <= pushed_at.after(STEP_MAX));
            match self.is_due(pushed_at) {
                true if is_awaited => self.look_again(self.now),
                true => {
                    rows.delete_event(id)?;
                    self.take(1);
                }
                false => {}
            }
        }
        Ok(())
    }

    /// Those that fired or were cancelled, once that and their time both lie far enough back.
    fn scheduled(&mut self, rows: &mut WorkingSet) -> Result<(), StoreError> {
        for status in [ScheduledStatus::Fired, ScheduledStatus::Cancelled] {
            let mut oldest = Vec::new();
            rows.visit_scheduled(Some(status), None, |row| {
                oldest.push((row.id, row.trigger_at.max(row.updated_at)));
                let more = oldest.len() < LOOKED_AT_MAX && self.is_old(row.trigger_at);
                if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            for (id, ended_at) in oldest {
                if self.room == 0 {
                    return Ok(());
                }
                if self.is_due(ended_at) {
                    rows.delete_scheduled(id)?;
                    self.take(1);
                }
            }
        }
        Ok(())
    }
}

fn has_live_parent(rows: &WorkingSet, id: RunId) -> Result<bool, StoreError> {
    let parent = rows.run_spec(id)?.and_then(|spec| spec.parent);
    let Some(parent) = parent else { return Ok(false) };
    Ok(rows.run_state(parent)?.is_some_and(|run| !run.status.is_final()))
}
