//! What wakes runs: timers, and waits for events and for other runs.

use std::collections::BTreeSet;

use dormouse_core::id::{RunId, TaskIndex, WaitId};
use dormouse_core::run::{TaskRun, TaskTimer};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::WaitCondition;

use super::runs::timer_word;
use super::{Check, Look, Result};
use crate::store::rows::{Due, EventWaitRow, ScheduledStatus, Timer, Work};
use crate::store::tables::{
    CRONS, EVENT_PATTERN_WAITS, EVENT_WAITS, EVENTS, RUN_STATES, RUN_WAITS, SCHEDULED, TIMERS, Table, WORK,
};
use crate::store::waits::{EventWaitPlace, place};

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
            WaitCondition::Event { key_pattern, index, .. } => {
                let row = match place(key_pattern, index.as_ref(), (run, task, wait)) {
                    EventWaitPlace::Exact(key) => check.look(EVENT_WAITS, key)?,
                    EventWaitPlace::Pattern(key) => check.look(EVENT_PATTERN_WAITS, key)?,
                };
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
    check.each(EVENT_WAITS, |check, (_, key, path, value, ..), row| {
        if key.contains('*') {
            let problem = "it belongs into the other of the two tables of event waits";
            check.report(EVENT_WAITS, words(&row), problem);
        }
        if path.is_empty() && !value.is_empty() {
            check.report(EVENT_WAITS, words(&row), "it has a value without a path");
        }
        event_wait(check, EVENT_WAITS, &row)
    })
}

pub(super) fn event_pattern_waits(check: &mut Check<'_>) -> Result {
    check.each(EVENT_PATTERN_WAITS, |check, (_, prefix, pattern, ..), row| {
        if pattern.split_once('*').is_none_or(|(begin, _)| begin != prefix) {
            let problem =
                "it belongs into the other of the two tables of event waits, or elsewhere in this one";
            check.report(EVENT_PATTERN_WAITS, words(&row), problem);
        }
        event_wait(check, EVENT_PATTERN_WAITS, &row)
    })
}

fn words(row: &EventWaitRow) -> String {
    let EventWaitRow { key_pattern, run, task, wait, .. } = row;
    format!("{key_pattern} {run} {} wait {}", task.0, wait.0)
}

fn event_wait<K>(check: &mut Check<'_>, table: Table<K, EventWaitRow>, row: &EventWaitRow) -> Result {
    let EventWaitRow { key_pattern: key, index: at, run, task, wait, settled_by, .. } = row;
    let (run, task, wait) = (*run, *task, *wait);
    let is_open = |condition: &WaitCondition| {
        matches!(condition, WaitCondition::Event { key_pattern, index, .. }
            if key_pattern == key && (index == at || key.contains('*')))
    };
    if !of_task(check, run, task, |task| waits(task, wait, is_open))? {
        check.report(table, words(row), "no task has this wait");
    }
    if let Some((event, at)) = *settled_by {
        if !check.is_there(EVENTS, event)? {
            check.report(table, words(row), format!("event {event}, which settled it, is not there"));
        }
        // Stores of format 2 had one line for both.
        let timers = [Timer::Event { run, task, wait }, Timer::Wait { run, task, wait }];
        let [told, slept] = timers.map(|timer| check.is_there(TIMERS, Due { at, timer }));
        if !(told? || slept?) {
            check.report(table, words(row), format!("its timer of {at} is missing"));
        }
    }
    Ok(())
}

pub(super) fn run_waits(check: &mut Check<'_>) -> Result {
    let mut being_told = BTreeSet::new();
    check.each(WORK, |_, _, work| {
        if let Work::TellWaiters { awaited } = work {
            being_told.insert(awaited);
        }
        Ok(())
    })?;
    check.each(RUN_WAITS, |check, (awaited, run, task, wait), ()| {
        let row = format!("{awaited} {run} {} wait {}", task.0, wait.0);
        if !of_task(check, run, task, |task| waits(task, wait, |for_| *for_ == WaitCondition::Run(awaited)))?
        {
            check.report(RUN_WAITS, &row, "no task has this wait");
        }
        match check.look(RUN_STATES, awaited)? {
            Look::There(run) if run.status.is_final() && !being_told.contains(&awaited) => {
                check.report(RUN_WAITS, &row, "the run that is waited for has ended, and the wait is open");
            }
            Look::There(_) | Look::Unreadable => {}
            Look::Missing => check.report(RUN_WAITS, &row, "the run that is waited for is not there"),
        }
        Ok(())
    })
}

/// Work that is left leads to rows that are there.
pub(super) fn work(check: &mut Check<'_>) -> Result {
    check.each(WORK, |check, number, work| {
        let is_there = match work {
            Work::TellWaiters { awaited: run } | Work::CancelChildren { parent: run, .. } => {
                check.is_there(RUN_STATES, run)? || check.may_be_gone(run.time())
            }
            Work::MatchEvent { event, .. } => {
                check.is_there(EVENTS, event)? || check.may_be_gone(event.time())
            }
            // The wait may have settled meanwhile.
            Work::LookBack(_) | Work::CancelScheduled { .. } => true,
        };
        if !is_there {
            check.report(WORK, number, "what it is about is not there");
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
