//! The checks of tasks: each alone, and the graph that their parents make of them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::problems::{Checker, ProblemCode};
use super::workflow::check_concurrency;
use super::{
    CONDITIONS_MAX, DESCRIPTION_BYTES_MAX, ITEMS_MAX, LIMITS_MAX, RATE_LIMIT_NAME_BYTES_MAX, RETRIES_MAX,
};
use crate::bounds::EXECUTION_TIMEOUT_MAX;
use crate::cel::{self, KeyExpression};
use crate::id::TaskIndex;
use crate::workflow::{RateLimit, RateLimitKey, Task, Workflow};

const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) fn check_task(checker: &mut Checker, task: &Task) {
    checker.bytes("description", &task.description, 0..=DESCRIPTION_BYTES_MAX);
    checker.number("retries", task.retries, 0..=RETRIES_MAX);
    checker.within("backoff", |checker| {
        checker.duration("initial", task.backoff.initial, Duration::ZERO);
        checker.number("factor", task.backoff.factor, 1.0..=100.0);
        checker.duration("max", task.backoff.max, Duration::ZERO);
        checker.number("jitter", task.backoff.jitter, 0.0..=1.0);
    });
    checker.duration_in("executionTimeout", task.execution_timeout, MILLISECOND..=EXECUTION_TIMEOUT_MAX);
    if let Some(timeout) = task.schedule_timeout {
        checker.duration("scheduleTimeout", timeout, MILLISECOND);
    }
    if let Some(bytes) = task.memory_bytes_max {
        checker.number("memoryBytesMax", bytes, 1..=u64::MAX);
    }
    checker.each("concurrency", &task.concurrency, 0..=LIMITS_MAX, check_concurrency);
    checker.each("rateLimits", &task.rate_limits, 0..=LIMITS_MAX, check_rate_limit);
    for (field, conditions) in [("skipIf", &task.skip_if), ("cancelIf", &task.cancel_if)] {
        checker.each(field, conditions, 0..=CONDITIONS_MAX, |checker, condition| {
            checker.expression("expression", cel::check_condition(condition));
        });
    }
}

fn check_rate_limit(checker: &mut Checker, rate: &RateLimit) {
    match &rate.key {
        RateLimitKey::Static(name) => checker.bytes("key", name, 1..=RATE_LIMIT_NAME_BYTES_MAX),
        RateLimitKey::Dynamic(expression) => checker.expression("key", KeyExpression::compile(expression)),
    }
    checker.number("units", rate.units, 1..=1_000_000);
    checker.number("limit", rate.limit, 1..=1_000_000_000);
    if rate.units > rate.limit {
        let message = format!(
            "one attempt takes {} units, and there are never more than {}: it could not begin",
            rate.units, rate.limit
        );
        checker.report("units", ProblemCode::OutOfRange, message);
    }
    checker.duration("window", rate.window, MILLISECOND);
}

/// Every parent is there and named once, and no task waits for itself.
pub(super) fn check_parents(checker: &mut Checker, tasks: &[Task]) {
    for (i, task) in tasks.iter().enumerate().take(ITEMS_MAX) {
        let field = format!("tasks[{i}].parents");
        if let Some(parent) = task.parents.iter().find(|parent| usize::from(parent.0) >= tasks.len()) {
            let message = format!("there is no task number {} among the {}", parent.0, tasks.len());
            checker.report(&field, ProblemCode::InvalidParents, message);
        }
        if task.parents.iter().collect::<BTreeSet<_>>().len() < task.parents.len() {
            let message = format!("`{}` names a parent twice", task.name);
            checker.report(&field, ProblemCode::InvalidParents, message);
        }
        if ancestors(tasks, task).contains(&i) {
            let message =
                format!("`{}` waits for itself: the parents of a task cannot lead back to it", task.name);
            checker.report(&field, ProblemCode::InvalidParents, message);
        }
    }
}

/// The tasks that one waits for, near and far.
fn ancestors(tasks: &[Task], task: &Task) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![task];
    while let Some(task) = open.pop() {
        for parent in task.parents.iter().map(|parent| usize::from(parent.0)) {
            if let Some(task) = tasks.get(parent)
                && found.insert(parent)
            {
                open.push(task);
            }
        }
    }
    found
}

/// The task for failures stands alone, beside at least one other.
pub(super) fn check_on_failure(checker: &mut Checker, workflow: &Workflow) {
    let Some(index) = workflow.on_failure else { return };
    let message = match workflow.task(index) {
        None => format!("there is no task number {} among the {}", index.0, workflow.tasks.len()),
        Some(task) if !task.parents.is_empty() => {
            format!("`{}` runs when the run has failed, so it cannot have parents", task.name)
        }
        Some(task) if is_parent(workflow, index) => {
            format!("`{}` runs when the run has failed, so no task can wait for it", task.name)
        }
        Some(task) if workflow.tasks.len() == 1 => {
            format!("`{}` is the only task: there is nothing that could fail before it", task.name)
        }
        Some(_) => return,
    };
    checker.report("onFailure", ProblemCode::InvalidOnFailure, message);
}

fn is_parent(workflow: &Workflow, index: TaskIndex) -> bool {
    workflow.tasks.iter().any(|task| task.parents.contains(&index))
}
