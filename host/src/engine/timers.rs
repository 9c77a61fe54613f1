//! Timers: what is due, a line for each kind.

use std::time::{Duration, Instant};

use dormouse_core::run::{RunEvent, TaskTimer};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{WaitCondition, WaitOutcome};

use super::shard::{Shard, StepPayload};
use crate::store::rows::{Due, Timer, TimerLine, WaitKey, WaitRow};
use crate::store::{Read, StoreError};

/// Most timers of a line that are worked off at once, so that a flood of them holds up neither calls
/// nor other lines.
const AT_ONCE_MAX: usize = 256;

/// A line has had its turn when it has written so many bytes, as the inputs of crons can be large: all lines
/// together write about as many as an open change set may have.
const BYTES_AT_ONCE_MAX: usize = 256 << 10;

/// And when it has taken so long: the runs of crons may be under limits whose keys take their time.
const TIME_AT_ONCE_MAX: Duration = Duration::from_millis(10);

/// Fewest, if so many are due: some of them wake no task, and none waits for ever.
const AT_ONCE_MIN: usize = 4;

impl Shard {
    /// Works off timers that are due, of each line in the order of their times. Returns when the next
    /// one is due.
    pub(super) fn ring_timers(&mut self) -> Result<Option<Timestamp>, StoreError> {
        // Timers stay in their table while no slot is free: queueing their tasks would write each twice
        // and put new calls behind them.
        self.grant_slots()?;
        for line in TimerLine::ALL {
            let first = self.rows.first_due(line)?;
            if first.is_none_or(|first| first > self.now) {
                continue;
            }
            let most = match line {
                TimerLine::Waits | TimerLine::Events | TimerLine::Crons => {
                    self.node.free_slots().clamp(AT_ONCE_MIN, AT_ONCE_MAX)
                }
                TimerLine::Tasks | TimerLine::Scheduled => AT_ONCE_MAX,
            };
            let due = self.rows.due_timers(line, self.now, most)?;
            // Crons that catch up share what may fire at once.
            let firings = most / due.len().max(1);
            let (bytes, begun) = (self.written().bytes, Instant::now());
            for Due { at, timer } in due {
                self.rows.delete_timer(at, timer);
                self.shared.metrics.timer_rang(self.now.since(at));
                self.ring(at, timer, firings)?;
                self.settle()?;
                if self.written().bytes > bytes + BYTES_AT_ONCE_MAX || begun.elapsed() > TIME_AT_ONCE_MAX {
                    break;
                }
            }
        }
        self.next_timer()
    }

    /// When the next timer of any line is due.
    pub(super) fn next_timer(&mut self) -> Result<Option<Timestamp>, StoreError> {
        TimerLine::ALL.into_iter().try_fold(None, |next: Option<Timestamp>, line| {
            Ok(next.into_iter().chain(self.rows.first_due(line)?).min())
        })
    }

    fn ring(&mut self, at: Timestamp, timer: Timer, firings: usize) -> Result<(), StoreError> {
        match timer {
            Timer::Wait { run, task, wait } | Timer::Event { run, task, wait } => {
                let Some(condition) = self.open_condition((run, task, wait))? else { return Ok(()) };
                match self.due_outcome(&condition, (run, task, wait))? {
                    Some(outcome) => {
                        let settled = RunEvent::WaitSettled { task, wait, outcome };
                        let settling = Some(condition);
                        self.apply(run, settled, StepPayload { settling, ..StepPayload::default() })
                    }
                    None => Ok(()),
                }
            }
            Timer::Task { run, task, timer } => {
                let event = match timer {
                    TaskTimer::Retry => RunEvent::RetryDue { task },
                    TaskTimer::ScheduleTimeout => RunEvent::ScheduleTimeout { task },
                };
                self.apply(run, event, StepPayload::default())
            }
            Timer::Cron(id) => self.ring_cron(id, at, firings),
            Timer::Scheduled(id) => self.ring_scheduled(id),
        }
    }

    /// What settles an open wait whose timer rings.
    fn due_outcome(
        &self,
        condition: &WaitCondition,
        key: WaitKey,
    ) -> Result<Option<WaitOutcome>, StoreError> {
        match condition {
            WaitCondition::Until(_) => Ok(Some(WaitOutcome::Elapsed)),
            WaitCondition::Event { key_pattern, index, .. } => {
                let row = self.rows.event_wait(key_pattern, index.as_ref(), key)?;
                Ok(row.and_then(|row| row.settled_by).map(|(event, _)| WaitOutcome::Event(event)))
            }
            WaitCondition::Run(_) => Ok(None),
        }
    }

    /// What a wait waits for, if it is open, without the filter of one for events.
    pub(super) fn open_condition(&self, key: WaitKey) -> Result<Option<WaitCondition>, StoreError> {
        Ok(match self.rows.wait(key)? {
            Some(WaitRow::Open(condition)) => Some(condition),
            Some(WaitRow::InBacklog(_)) | None => None,
        })
    }
}
