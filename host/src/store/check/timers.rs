//! What wakes runs: timers, and waits for events and for other runs.

use std::collections::BTreeSet;

use dormouse_core::id::{RunId, TaskIndex};
use dormouse_core::run::{Status, TaskRun, TaskTimer};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{FilterIndex, WaitCondition};

use super::runs::timer_word;
use super::{Check, Look, Result};
use crate::store::read::Read;
use crate::store::rows::{
    Due, EventWaitRow, OpenRequests, ScheduledStatus, Timer, WaitKey, WaitRow, Work, WorkLine,
};
use crate::store::tables::{
    BACKLOGS, CRONS, EVENT_PATTERN_WAITS, EVENT_WAITS, EVENTS, HELD_ENDS, LOOK_BACKS, OPEN_REQUESTS,
    RUN_STATES, RUN_WAITS, SCHEDULED, TIMERS, Table, WAITS, WORK,
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
fn of_wait(check: &Check<'_>, at: Timestamp, key: WaitKey) -> Result<bool> {
    match check.look(WAITS, key)? {
        Look::There(WaitRow::Open(WaitCondition::Until(time))) => Ok(time == at),
        Look::There(WaitRow::Open(WaitCondition::Event { key_pattern, index, .. })) => {
            let row = look_for_events(check, &key_pattern, index.as_ref(), key)?;
            Ok(expected(row, |row| row.settled_by.is_some_and(|(_, time)| time == at)))
        }
        Look::There(WaitRow::Open(WaitCondition::Run(_)) | WaitRow::InBacklog(_)) | Look::Missing => {
            Ok(false)
        }
        Look::Unreadable => Ok(true),
    }
}

fn look_for_events(
    check: &Check<'_>,
    key_pattern: &str,
    index: Option<&FilterIndex>,
    key: WaitKey,
) -> Result<Look<EventWaitRow>> {
    match place(key_pattern, index, key) {
        EventWaitPlace::Exact(key) => check.look(EVENT_WAITS, key),
        EventWaitPlace::Pattern(key) => check.look(EVENT_PATTERN_WAITS, key),
    }
}

/// Each wait is of a task run that goes on, and can settle or has.
pub(super) fn waits(check: &mut Check<'_>) -> Result {
    check.each(WAITS, |check, key, row| {
        let (run, task, wait) = key;
        let is_live = |task: &TaskRun| !task.status.is_final();
        let mut problems = Vec::new();
        if !of_task(check, run, task, is_live)? {
            problems.push("no task that goes on has this wait");
        }
        let is_there = match &row {
            WaitRow::Open(WaitCondition::Until(at)) => {
                check.is_there(TIMERS, Due { at: *at, timer: Timer::Wait { run, task, wait } })?
            }
            WaitRow::Open(WaitCondition::Event { key_pattern, index, .. }) => {
                !matches!(look_for_events(check, key_pattern, index.as_ref(), key)?, Look::Missing)
            }
            WaitRow::Open(WaitCondition::Run(awaited)) => {
                check.is_there(RUN_WAITS, (*awaited, run, task, wait))?
            }
            WaitRow::InBacklog(number) => {
                expected(check.look(BACKLOGS, (run, task, *number))?, |settled| settled.id == wait)
            }
        };
        if !is_there {
            problems.push("nothing would ever settle it, or its task hear of it");
        }
        for problem in problems {
            check.report(WAITS, wait_words(key), problem);
        }
        Ok(())
    })
}

pub(super) fn backlogs(check: &mut Check<'_>) -> Result {
    check.each(BACKLOGS, |check, (run, task, number), settled| {
        let row = check.look(WAITS, (run, task, settled.id))?;
        if !expected(row, |row| *row == WaitRow::InBacklog(number)) {
            check.report(BACKLOGS, format!("{run} {} {number}", task.0), "`waits` does not lead to it");
        }
        Ok(())
    })
}

/// Whether a wait is as a row that leads to it expects it. Nothing is said of a wait that cannot be read, or
/// whose run cannot.
fn leads_to(check: &Check<'_>, key: WaitKey, is_expected: impl Fn(&WaitRow) -> bool) -> Result<bool> {
    match check.look(WAITS, key)? {
        Look::Missing => of_task(check, key.0, key.1, |_| false),
        found => Ok(expected(found, is_expected)),
    }
}

fn wait_words((run, task, wait): WaitKey) -> String {
    format!("{run} {} wait {}", task.0, wait.0)
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
    let is_of = |row: &WaitRow| {
        matches!(row, WaitRow::Open(WaitCondition::Event { key_pattern, index, .. })
            if key_pattern == key && index == at)
    };
    if !leads_to(check, (run, task, wait), is_of)? {
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
    let mut to_be_made = BTreeSet::new();
    check.each(OPEN_REQUESTS, |_, _, OpenRequests { requests, .. }| {
        to_be_made.extend(requests.spawns.into_iter().map(|spawn| spawn.id));
        Ok(())
    })?;
    let mut being_told = BTreeSet::new();
    check.each(WORK, |_, _, work| {
        if let Work::TellWaiters { awaited } = work {
            being_told.insert(awaited);
        }
        Ok(())
    })?;
    check.each(RUN_WAITS, |check, (awaited, run, task, wait), ()| {
        let row = format!("{awaited} {run} {} wait {}", task.0, wait.0);
        let is_of = |row: &WaitRow| *row == WaitRow::Open(WaitCondition::Run(awaited));
        if !leads_to(check, (run, task, wait), is_of)? {
            check.report(RUN_WAITS, &row, "no task has this wait");
        }
        match check.look(RUN_STATES, awaited)? {
            Look::There(run) if run.status.is_final() && !being_told.contains(&awaited) => {
                check.report(RUN_WAITS, &row, "the run that is waited for has ended, and the wait is open");
            }
            Look::There(_) | Look::Unreadable => {}
            Look::Missing if to_be_made.contains(&awaited) => {}
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
            Work::MatchEvent { event, .. } | Work::StartSubscribers { event, .. } => {
                check.is_there(EVENTS, event)? || check.may_be_gone(event.time())
            }
            // The wait may have settled meanwhile.
            Work::LookBack(_) | Work::CancelScheduled { .. } | Work::MakeRoom { .. } => true,
            Work::TryHeld { .. } => true,
        };
        if !is_there {
            check.report(WORK, number, "what it is about is not there");
        }
        Ok(())
    })
}

pub(super) fn look_backs(check: &mut Check<'_>) -> Result {
    check.each(LOOK_BACKS, |check, number, work| {
        if work.line() != WorkLine::LookBacks {
            check.report(LOOK_BACKS, number, "it is no wait that looks back");
        }
        Ok(())
    })
}

/// What a step asked for is of a run that is there, or was not long ago.
pub(super) fn open_requests(check: &mut Check<'_>) -> Result {
    check.each(OPEN_REQUESTS, |check, (run, task, number), _| {
        if !check.is_there(RUN_STATES, run)? && !check.may_be_gone(run.time()) {
            check.report(OPEN_REQUESTS, format!("{run} {} {number}", task.0), "its run is not there");
        }
        Ok(())
    })
}

/// The end of a step is held while the task runs, unless that was cancelled, and what it asked for takes
/// effect.
pub(super) fn held_ends(check: &mut Check<'_>) -> Result {
    check.each(HELD_ENDS, |check, (run, task), end| {
        let row = format!("{run} {}", task.0);
        if check.view.open_requests(run, task)?.is_none() {
            check.report(HELD_ENDS, &row, "no request of the step is open");
        }
        let runs = |task: &TaskRun| task.status == Status::Running && task.lease() == end.lease;
        if let Look::There(state) = check.look(RUN_STATES, run)?
            && !state.status.is_final()
            && !state.task(task).is_some_and(runs)
        {
            check.report(HELD_ENDS, &row, "the task does not run that step");
        }
        Ok(())
    })
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
