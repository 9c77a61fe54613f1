//! Runs, and what belongs to each: its journal and its snapshots.

use dormouse_core::check::problems;
use dormouse_core::id::{RunId, TaskIndex};
use dormouse_core::run::{Part, Run, RunSpec, Status, TaskRun, TaskTimer};

use super::{Check, Look, Result};
use crate::store::error::StoreError;
use crate::store::keys::NAMESPACE;
use crate::store::rows::{Due, JournalEntry, Timer, WaitRow};
use crate::store::source::{Access, Span};
use crate::store::tables::{
    HELD_TASKS, JOURNAL, MODULE_BYTES, RUN_CHILDREN, RUN_SPECS, RUN_STATES, RUNS_BY_STATUS, SNAPSHOTS,
    TASK_ERRORS, TASK_OUTPUTS, TIMERS, Table, VERSIONS, WAITS,
};

pub(super) fn specs(check: &mut Check<'_>) -> Result {
    check.each(RUN_SPECS, |check, id, spec| {
        let state = check.look(RUN_STATES, id)?;
        if matches!(state, Look::Missing) {
            check.report(RUN_SPECS, id, "it has no state in `run-states`");
        }
        if let Some(parent) = spec.parent {
            if !check.is_there(RUN_SPECS, parent)? {
                if !check.may_be_gone(parent.time()) {
                    check.report(RUN_SPECS, id, format!("its parent {parent} is missing"));
                }
            } else if !check.is_there(RUN_CHILDREN, (parent, id))? && !is_going(check, parent)? {
                check.report(RUN_SPECS, id, format!("`run-children` does not list it under {parent}"));
            }
        }
        let live = matches!(&state, Look::There(run) if !run.status.is_final());
        version(check, id, &spec, live, &state)
    })
}

/// Whether retention may have deleted some of the rows of a run that is still there.
fn is_going(check: &Check<'_>, id: RunId) -> Result<bool> {
    let Look::There(run) = check.look(RUN_STATES, id)? else { return Ok(false) };
    Ok(run.finished_at.is_some_and(|at| at <= check.kept_since))
}

/// A run needs its version to be shown, and its module to go on.
fn version(check: &mut Check<'_>, id: RunId, spec: &RunSpec, live: bool, state: &Look<Run>) -> Result {
    match check.look(VERSIONS, (NAMESPACE, &spec.workflow, spec.version))? {
        Look::There(version) => {
            if version.module != spec.module {
                check.report(RUN_SPECS, id, format!("its version is of module {}", version.module));
            }
            if let Look::There(run) = state
                && run.tasks.len() != version.definition.tasks.len()
            {
                let (has, says) = (run.tasks.len(), version.definition.tasks.len());
                check.report(RUN_STATES, id, format!("it has {has} tasks, and its version {says}"));
            }
        }
        Look::Unreadable => {}
        Look::Missing => {
            check.report(
                RUN_SPECS,
                id,
                format!("version {} of `{}` is missing", spec.version.0, spec.workflow),
            );
        }
    }
    if live && !check.is_there(MODULE_BYTES, spec.module)? {
        check.report(RUN_SPECS, id, format!("it has not ended, and its module {} is missing", spec.module));
    }
    Ok(())
}

pub(super) fn states(check: &mut Check<'_>) -> Result {
    check.each(RUN_STATES, |check, id, run| {
        match check.look(RUN_SPECS, id)? {
            Look::There(spec)
                if !check.is_there(RUNS_BY_STATUS, (NAMESPACE, &spec.workflow, run.status, id))? =>
            {
                let word = run.status.word();
                let problem =
                    format!("`runs-by-status` does not list it as {word} under `{}`", spec.workflow);
                check.report(RUN_STATES, id, problem);
            }
            Look::There(_) | Look::Unreadable => {}
            Look::Missing => check.report(RUN_STATES, id, "it has no row in `run-specs`"),
        }
        if !check.is_there(JOURNAL, (id, 0_u64))? {
            check.report(RUN_STATES, id, "it has no journal, or one without a beginning");
        }
        for (task, problem) in problems(&run) {
            let about = task.map_or(String::new(), |task| format!("task {}: ", task.0));
            check.report(RUN_STATES, id, format!("{about}{problem}"));
        }
        for (index, task) in (0..).map(TaskIndex).zip(&run.tasks) {
            task_indexes(check, id, index, task)?;
        }
        Ok(())
    })
}

/// What has to be found elsewhere of a task run.
fn task_indexes(check: &mut Check<'_>, run: RunId, index: TaskIndex, task: &TaskRun) -> Result {
    let mut missing = Vec::new();
    if task.has_snapshot && !check.is_there(SNAPSHOTS, (run, index, 0_u8))? {
        missing.push("its snapshot is missing".to_owned());
    }
    for (at, timer) in
        [(task.retry_at, TaskTimer::Retry), (task.schedule_deadline, TaskTimer::ScheduleTimeout)]
    {
        if let Some(at) = at
            && !check.is_there(TIMERS, Due { at, timer: Timer::Task { run, task: index, timer } })?
        {
            missing.push(format!("its timer of {at} ({}) is missing", timer_word(timer)));
        }
    }
    if matches!(task.output, Some(Part::Elsewhere)) && !check.is_there(TASK_OUTPUTS, (run, index))? {
        missing.push("its output is missing".to_owned());
    }
    if matches!(task.error, Some(Part::Elsewhere)) && !check.is_there(TASK_ERRORS, (run, index))? {
        missing.push("its error is missing".to_owned());
    }
    if task.held > 0 && !check.is_there(HELD_TASKS, (run, index))? {
        missing.push("it is held, and `held-tasks` does not list it".to_owned());
    }
    if !task.status.is_final() {
        let (open, backlog) = count_waits(check, run, index)?;
        if (open, backlog) != (task.open_waits, task.backlog) {
            let (says_open, says_backlog) = (task.open_waits, task.backlog);
            missing.push(format!(
                "it has {open} open waits and {backlog} in its backlog, and its state says {says_open} and {says_backlog}"
            ));
        }
    }
    for settled in &task.settled {
        if check.is_there(WAITS, (run, index, settled.id))? {
            missing.push(format!("wait {} has settled, and `waits` still has it", settled.id.0));
        }
    }
    for problem in missing {
        check.report(RUN_STATES, run, format!("task {}: {problem}", index.0));
    }
    Ok(())
}

pub(super) fn timer_word(timer: TaskTimer) -> &'static str {
    match timer {
        TaskTimer::Retry => "next attempt",
        TaskTimer::ScheduleTimeout => "schedule timeout",
    }
}

/// How many waits of a task run are open and how many are in the backlog, by their rows.
fn count_waits(check: &Check<'_>, run: RunId, task: TaskIndex) -> Result<(usize, usize)> {
    let (mut open, mut backlog) = (0, 0);
    for entry in check.view.scan(WAITS, Span::under((run, task)))? {
        match entry {
            Ok((_, WaitRow::Open(_))) => open += 1,
            Ok((_, WaitRow::InBacklog(_))) => backlog += 1,
            // The rule of the table tells of it.
            Err(StoreError::Unreadable { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((open, backlog))
}

/// Outputs and errors that are not in the states of their runs.
pub(super) fn task_outputs(check: &mut Check<'_>) -> Result {
    check.each(TASK_OUTPUTS, |check, (run, task), _| {
        part(check, TASK_OUTPUTS, (run, task), |task| matches!(task.output, Some(Part::Elsewhere)))
    })
}

pub(super) fn task_errors(check: &mut Check<'_>) -> Result {
    check.each(TASK_ERRORS, |check, (run, task), _| {
        part(check, TASK_ERRORS, (run, task), |task| matches!(task.error, Some(Part::Elsewhere)))
    })
}

pub(super) fn held_tasks(check: &mut Check<'_>) -> Result {
    check
        .each(HELD_TASKS, |check, (run, task), ()| part(check, HELD_TASKS, (run, task), |task| task.held > 0))
}

fn part<K, V>(
    check: &mut Check<'_>,
    table: Table<K, V>,
    (run, task): (RunId, TaskIndex),
    is_of: impl Fn(&TaskRun) -> bool,
) -> Result {
    let is_expected = match check.look(RUN_STATES, run)? {
        Look::There(run) => run.task(task).is_some_and(is_of),
        Look::Unreadable => true,
        Look::Missing => false,
    };
    if !is_expected {
        check.report(table, format!("{run} {}", task.0), "no task run leads to it");
    }
    Ok(())
}

pub(super) fn journals(check: &mut Check<'_>) -> Result {
    let mut at: Option<Journal> = None;
    check.each(JOURNAL, |check, (run, first), row| {
        if at.as_ref().is_none_or(|journal| journal.run != run) {
            if let Some(journal) = at.take() {
                journal.end(check)?;
            }
            if !check.is_there(RUN_SPECS, run)? {
                check.report(JOURNAL, run, "it is of a run that is not there");
            }
            at = Some(Journal { run, next: 0, gap: None, trimmed: 0, last: None });
        }
        let Some(journal) = &mut at else { return Ok(()) };
        journal.trimmed = row.edges.transitions.sequence.max(row.edges.output.sequence);
        if first < journal.next {
            let problem = format!("the row of entry {first} overlaps with the one before");
            check.report(JOURNAL, run, problem);
        }
        for (sequence, entry) in row.numbered(first) {
            if sequence > journal.next {
                journal.gap = Some((journal.next, sequence));
            }
            journal.next = sequence.saturating_add(1);
            if let JournalEntry::Transition(transition) = entry {
                journal.last = Some(transition.run);
            }
        }
        Ok(())
    })?;
    if let Some(journal) = at {
        journal.end(check)?;
    }
    Ok(())
}

/// The journal of a run, as far as it was read.
struct Journal {
    run: RunId,
    next: u64,
    /// The last entries that are not there, from one sequence number up to another.
    gap: Option<(u64, u64)>,
    /// Up to where entries may be gone.
    trimmed: u64,
    /// The status of the run after the last transition.
    last: Option<Status>,
}

impl Journal {
    fn end(self, check: &mut Check<'_>) -> Result {
        if let Some((missing, next)) = self.gap
            && next > self.trimmed
            && !is_going(check, self.run)?
        {
            let problem = format!("entry {missing} is missing; the next one is {next}");
            check.report(JOURNAL, self.run, problem);
        }
        let Look::There(run) = check.look(RUN_STATES, self.run)? else { return Ok(()) };
        if self.last != Some(run.status) {
            let last = self.last.map_or("nothing", Status::word);
            let problem = format!("it ends with {last}, and the run is {}", run.status.word());
            check.report(JOURNAL, self.run, problem);
        }
        Ok(())
    }
}

pub(super) fn snapshots(check: &mut Check<'_>) -> Result {
    let mut at: Option<(RunId, TaskIndex, Vec<u8>, usize)> = None;
    check.each(SNAPSHOTS, |check, (run, task, number), part| {
        if at.as_ref().is_none_or(|(r, t, ..)| (*r, *t) != (run, task)) {
            if let Some((run, task, bytes, _)) = at.take() {
                snapshot(check, run, task, &bytes)?;
            }
            at = Some((run, task, Vec::new(), 0));
        }
        let Some((_, _, bytes, next)) = &mut at else { return Ok(()) };
        if usize::from(number) != *next {
            let problem = format!("part {next} is missing; the next one is {number}");
            check.report(SNAPSHOTS, format!("{run} {}", task.0), problem);
        }
        *next = usize::from(number) + 1;
        bytes.extend_from_slice(&part);
        Ok(())
    })?;
    match at {
        Some((run, task, bytes, _)) => snapshot(check, run, task, &bytes),
        None => Ok(()),
    }
}

fn snapshot(check: &mut Check<'_>, run: RunId, task: TaskIndex, bytes: &[u8]) -> Result {
    let row = format!("{run} {}", task.0);
    match check.look(RUN_STATES, run)? {
        Look::There(state) if state.task(task).is_some_and(|task| task.has_snapshot) => {}
        Look::Unreadable => {}
        Look::There(_) => check.report(SNAPSHOTS, &row, "its task has no snapshot to go on from"),
        Look::Missing => check.report(SNAPSHOTS, &row, "it is of a run that is not there"),
    }
    if let Look::There(spec) = check.look(RUN_SPECS, run)?
        && let Err(problem) = (check.read_snapshot)(bytes, spec.module)
    {
        check.report(SNAPSHOTS, &row, problem);
    }
    Ok(())
}
