//! The checks of a module, its workflows and their triggers.

use super::problems::{Checker, Problem, ProblemCode};
use super::tasks::{check_on_failure, check_parents, check_task};
use super::{DESCRIPTION_BYTES_MAX, ITEMS_MAX, LIMITS_MAX};
use crate::bounds::{JSON_BYTES_MAX, METADATA_NAME_BYTES_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_BYTES_MAX};
use crate::cel::{KeyExpression, Predicate};
use crate::cron::{CronError, Schedule};
use crate::event::KeyPattern;
use crate::workflow::{CatchUp, Concurrency, CronSpec, EventSubscription, Metadata, Workflow};

/// Everything that is wrong with the workflows of a module.
#[must_use]
pub fn validate_module(workflows: &[Workflow]) -> Vec<Problem> {
    Checker::collect(|checker| {
        checker.each("workflows", workflows, 1..=ITEMS_MAX, check_workflow);
        checker.unique("workflows", workflows, |workflow| workflow.name.as_str());
    })
}

/// Everything that is wrong with a cron, however it is made; fields begin at the cron.
#[must_use]
pub fn validate_cron(spec: &CronSpec) -> Vec<Problem> {
    Checker::collect(|checker| check_cron(checker, spec))
}

fn check_workflow(checker: &mut Checker, workflow: &Workflow) {
    checker.bytes("description", &workflow.description, 0..=DESCRIPTION_BYTES_MAX);
    checker.each("crons", &workflow.crons, 0..=ITEMS_MAX, |checker, cron| check_cron(checker, &cron.spec));
    checker.unique("crons", &workflow.crons, |cron| cron.name.as_str());
    checker.each("events", &workflow.events, 0..=ITEMS_MAX, check_subscription);
    checker.each("tasks", &workflow.tasks, 1..=ITEMS_MAX, check_task);
    checker.unique("tasks", &workflow.tasks, |task| task.name.as_str());
    check_parents(checker, &workflow.tasks);
    check_on_failure(checker, workflow);
    for (field, schema) in
        [("inputSchema", &workflow.input_schema), ("outputSchema", &workflow.output_schema)]
    {
        if let Some(schema) = schema {
            checker.bytes(field, schema.as_str(), 1..=JSON_BYTES_MAX);
        }
    }
    checker.each("concurrency", &workflow.concurrency, 0..=LIMITS_MAX, check_concurrency);
}

fn check_cron(checker: &mut Checker, cron: &CronSpec) {
    // Apart, so that both are reported when both are wrong.
    for schedule in [Schedule::parse(&cron.expression, "UTC"), Schedule::parse("@daily", &cron.timezone)] {
        match schedule {
            Ok(_) => {}
            Err(CronError::UnknownZone(error)) => {
                checker.report("timezone", ProblemCode::InvalidTimezone, error);
            }
            Err(error) => checker.report("expression", ProblemCode::InvalidCron, error),
        }
    }
    checker.bytes("input", cron.input.as_str(), 1..=JSON_BYTES_MAX);
    check_metadata(checker, &cron.metadata);
    if let CatchUp::All { window } = cron.catch_up {
        checker.duration("catchUp", window, std::time::Duration::ZERO);
    }
}

fn check_metadata(checker: &mut Checker, metadata: &Metadata) {
    let pairs: Vec<_> = metadata.iter().collect();
    checker.each("metadata", &pairs, 0..=METADATA_PAIRS_MAX, |checker, (name, value)| {
        checker.bytes("name", name, 1..=METADATA_NAME_BYTES_MAX);
        checker.bytes("value", value, 0..=METADATA_VALUE_BYTES_MAX);
    });
}

fn check_subscription(checker: &mut Checker, subscription: &EventSubscription) {
    if let Err(error) = KeyPattern::parse(&subscription.key_pattern) {
        checker.report("keyPattern", ProblemCode::InvalidKeyPattern, error);
    }
    if let Some(filter) = &subscription.filter {
        checker.expression("filter", Predicate::compile(filter));
    }
}

pub(super) fn check_concurrency(checker: &mut Checker, concurrency: &Concurrency) {
    if let Some(key) = &concurrency.key {
        checker.expression("key", KeyExpression::compile(key));
    }
    checker.number("maxRuns", concurrency.max_runs, 1..=1_000_000);
}
