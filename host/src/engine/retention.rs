//! Retention: what has ended goes after a time, in small batches between which others get their
//! turn.
//!
//! Nothing is stored for it. Ids begin with the time of their making, so the first rows of each
//! index are the oldest: a sweep looks at those, deletes what is due and says when the next may be.

use std::ops::ControlFlow;
use std::time::Duration;

use dormouse_core::run::Status;
use dormouse_core::time::Timestamp;

use crate::store::rows::ScheduledStatus;
use crate::store::{Read, StoreError, Tx};

/// Rows that one transaction deletes, about.
const ROWS_PER_SWEEP: usize = 4096;

/// Things that one sweep looks at of each kind. Those that were made long ago and ended lately are
/// passed over.
const LOOKED_AT_MAX: usize = 1024;

/// Least time between two sweeps that leave nothing over: what is due goes at most this late.
const REST: Duration = Duration::from_secs(3600);

const ENDED: [Status; 3] = [Status::Completed, Status::Failed, Status::Cancelled];

/// Deletes what ended longer than `keep` ago, as much as fits one transaction. Returns when to
/// sweep again.
pub(super) fn sweep(tx: &mut Tx<'_>, now: Timestamp, keep: Duration) -> Result<Timestamp, StoreError> {
    let mut sweep = Sweep { now, keep, room: ROWS_PER_SWEEP, next: now.after(keep) };
    sweep.runs(tx)?;
    sweep.events(tx)?;
    sweep.scheduled(tx)?;
    let expired = tx.delete_expired_idempotency(now, sweep.room)?;
    sweep.room -= expired;
    if sweep.room < ROWS_PER_SWEEP {
        tx.put_kept_since(now.before(keep))?;
    }
    if let Some(expires_at) = tx.next_idempotency_expiry()? {
        sweep.next = sweep.next.min(expires_at);
    }
    Ok(if sweep.room == 0 { now } else { sweep.next.max(now.after(REST)) })
}

struct Sweep {
    now: Timestamp,
    keep: Duration,
    /// Rows that may still be deleted.
    room: usize,
    /// When the first of what stays is due.
    next: Timestamp,
}

impl Sweep {
    /// Whether something that ended then is due; otherwise it is remembered.
    fn is_due(&mut self, ended_at: Timestamp) -> bool {
        let due = ended_at.after(self.keep);
        if due > self.now {
            self.next = self.next.min(due);
        }
        due <= self.now
    }

    fn take(&mut self, rows: usize) {
        self.room = self.room.saturating_sub(rows);
    }

    fn runs(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for workflow in tx.counts_by_workflow()?.into_keys() {
            for status in ENDED {
                let mut oldest = Vec::new();
                tx.visit_oldest_runs(&workflow, status, |id| {
                    oldest.push(id);
                    let more = oldest.len() < LOOKED_AT_MAX && id.time().after(self.keep) <= self.now;
                    if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                for id in oldest {
                    if self.room == 0 {
                        return Ok(());
                    }
                    let ended_at = tx.run_state(id)?.and_then(|run| run.finished_at);
                    if ended_at.is_some_and(|ended_at| self.is_due(ended_at)) {
                        let rows = tx.journal_len(id)?;
                        tx.delete_run(id)?;
                        self.take(1 + usize::try_from(rows).unwrap_or(usize::MAX));
                    }
                }
            }
        }
        Ok(())
    }

    fn events(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let mut oldest = Vec::new();
        tx.visit_oldest_events(|event| {
            oldest.push((event.id, event.pushed_at));
            let more = oldest.len() < LOOKED_AT_MAX && event.pushed_at.after(self.keep) <= self.now;
            if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        for (id, pushed_at) in oldest {
            if self.room == 0 {
                break;
            }
            if self.is_due(pushed_at) {
                tx.delete_event(id)?;
                self.take(1);
            }
        }
        Ok(())
    }

    /// Those that fired or were cancelled, once that and their time both lie far enough back.
    fn scheduled(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for status in [ScheduledStatus::Fired, ScheduledStatus::Cancelled] {
            let mut oldest = Vec::new();
            tx.visit_scheduled(Some(status), None, |row| {
                oldest.push((row.id, row.trigger_at.max(row.updated_at)));
                let more = oldest.len() < LOOKED_AT_MAX && row.trigger_at.after(self.keep) <= self.now;
                if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            for (id, ended_at) in oldest {
                if self.room == 0 {
                    return Ok(());
                }
                if self.is_due(ended_at) {
                    tx.delete_scheduled(id)?;
                    self.take(1);
                }
            }
        }
        Ok(())
    }
}
