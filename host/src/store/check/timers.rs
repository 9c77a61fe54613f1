//! What wakes runs: timers, and waits for events and for other runs.

use dormouse_core::id::{RunId, TaskIndex, WaitId};
use dormouse_core::run::{TaskRun, TaskTimer};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::WaitCondition;

use super::runs::timer_word;
use super::{Check, Look, Result};
use crate::store::keys::NAMESPACE;
use crate::store::rows::{Due, EventWaitRow, ScheduledStatus, Timer};
use crate::store::tables::{
    self, CRONS, EVENT_PATTERN_WAITS, EVENT_WAITS, EVENTS, EventWaitKey, RUN_STATES, RUN_WAITS, SCHEDULED,
    TIMERS, Table,
};

pub(super) fn timers(check: &mut Check<'_>) -> Result {
    check.each(TIMERS, |check, Due { at, timer }, ()| {
        let (row, expected) = match timer {
            Timer::Wait { run, task, wait } | Timer::Event { run, task, wait } => {
                (format!("{at} {run} {} wait {}", task.0, wait.0), of_wait(check, at, (run, task, wait))?)
            }
            Timer::Task { run, task, timer } => (
                format!("{at} {run} {} {}", task.0, timer_word(timer)),
                of_task(check, run, task, |task| task_timer(task, timer) == Some(at))?,
            ),
            Timer::Cron(id) => (
                format!("{at} cron {id}"),
                expected(check.look(CRONS, id)?, |cron| cron.next_run_at == Some(at)),
            ),
            Timer::Scheduled(id) => (
                format!("{at} scheduled run {id}"),
                expected(check.look(SCHEDULED, id)?, |row| {
                    row.status == ScheduledStatus::Pending && row.trigger_at == at
                }),
            ),
        };
        if !expected {
            check.report(TIMERS, row, "nothing waits for it");
        }
        Ok(())
    })
}

/// Whether a wait is to settle at that time.
fn of_wait(check: &Check<'_>, at: Timestamp, (run, task, wait): (RunId, TaskIndex, WaitId)) -> Result<bool> {
    let Look::There(state) = check.look(RUN_STATES, run)? else { return of_task(check, run, task, |_| true) };
    let waits = state.task(task).into_iter().flat_map(|task| &task.waits);
    for open in waits.filter(|open| open.id == wait) {
        match &open.condition {
            WaitCondition::Until(time) => return Ok(*time == at),
            WaitCondition::Event { key_pattern, .. } => {
                let key = (NAMESPACE, key_pattern.as_str(), run, task, wait);
                let row = check.look(tables::event_waits(key_pattern), key)?;
                return Ok(expected(row, |row| row.settled_by.is_some_and(|(_, time)| time == at)));
            }
            WaitCondition::Run(_) => {}
        }
    }
    Ok(false)
}

fn task_timer(task: &TaskRun, timer: TaskTimer) -> Option<Timestamp> {
    match timer {
        TaskTimer::Retry => task.retry_at,
        TaskTimer::ScheduleTimeout => task.schedule_deadline,
    }
}

pub(super) fn event_waits(check: &mut Check<'_>) -> Result {
    each_event_wait(check, EVENT_WAITS, false)
}

pub(super) fn event_pattern_waits(check: &mut Check<'_>) -> Result {
    each_event_wait(check, EVENT_PATTERN_WAITS, true)
}

type EventWaits = Table<EventWaitKey, EventWaitRow>;

fn each_event_wait(check: &mut Check<'_>, table: EventWaits, pattern: bool) -> Result {
    check.each(table, |check, (_, key, run, task, wait), EventWaitRow { settled_by, .. }| {
        let row = format!("{key} {run} {} wait {}", task.0, wait.0);
        if key.contains('*') != pattern {
            check.report(table, &row, "it belongs into the other of the two tables of event waits");
        }
        let is_open = |condition: &WaitCondition| {
            matches!(condition, WaitCondition::Event { key_pattern, .. } if *key_pattern == key)
        };
        if !of_task(check, run, task, |task| waits(task, wait, is_open))? {
            check.report(table, &row, "no task has this wait");
        }
        if let Some((event, at)) = settled_by {
            if !check.is_there(EVENTS, event)? {
                check.report(table, &row, format!("event {event}, which settled it, is not there"));
            }
            // Stores of format 2 had one line for both.
            let timers = [Timer::Event { run, task, wait }, Timer::Wait { run, task, wait }];
            let [told, slept] = timers.map(|timer| check.is_there(TIMERS, Due { at, timer }));
            if !(told? || slept?) {
                check.report(table, &row, format!("its timer of {at} is missing"));
            }
        }
        Ok(())
    })
}

pub(super) fn run_waits(check: &mut Check<'_>) -> Result {
    check.each(RUN_WAITS, |check, (awaited, run, task, wait), ()| {
        let row = format!("{awaited} {run} {} wait {}", task.0, wait.0);
        if !of_task(check, run, task, |task| waits(task, wait, |for_| *for_ == WaitCondition::Run(awaited)))?
        {
            check.report(RUN_WAITS, &row, "no task has this wait");
        }
        match check.look(RUN_STATES, awaited)? {
            Look::There(run) if run.status.is_final() => {
                check.report(RUN_WAITS, &row, "the run that is waited for has ended, and the wait is open");
            }
            Look::There(_) | Look::Unreadable => {}
            Look::Missing => check.report(RUN_WAITS, &row, "the run that is waited for is not there"),
        }
        Ok(())
    })
}

fn waits(task: &TaskRun, id: WaitId, is: impl Fn(&WaitCondition) -> bool) -> bool {
    task.waits.iter().any(|wait| wait.id == id && is(&wait.condition))
}

/// Whether it holds of a task run, which must be there. Nothing is said of one that cannot be read.
fn of_task(check: &Check<'_>, run: RunId, task: TaskIndex, holds: impl Fn(&TaskRun) -> bool) -> Result<bool> {
    Ok(expected(check.look(RUN_STATES, run)?, |run| run.task(task).is_some_and(holds)))
}

fn expected<V>(look: Look<V>, holds: impl FnOnce(&V) -> bool) -> bool {
    match look {
        Look::There(row) => holds(&row),
        Look::Unreadable => true,
        Look::Missing => false,
    }
}
