//! Answers the host with what no SDK would. Its input is a text that says with what.

use dormouse_sdk::__private::bindings::exports::dormouse::workflow::guest::{
    StepResult, Suspension, TaskError, Wait, WaitCondition,
};
use dormouse_sdk::__private::definitions;

/// Name of the workflow and of its one task.
pub(crate) const NAME: &str = "nonsense";

pub(crate) fn definition() -> definitions::Workflow {
    let task = definitions::Task {
        name: NAME.to_owned(),
        description: String::new(),
        parents: vec![],
        retries: None,
        backoff: None,
        execution_timeout: None,
        schedule_timeout: None,
        memory_bytes_max: None,
        concurrency: vec![],
        rate_limits: vec![],
        skip_if: vec![],
        cancel_if: vec![],
    };
    definitions::Workflow {
        name: NAME.to_owned(),
        description: "Breaks the contract in the way that its input names.".to_owned(),
        crons: vec![],
        events: vec![],
        tasks: vec![task],
        on_failure: None,
        input_schema: None,
        output_schema: None,
        concurrency: vec![],
        default_priority: None,
    }
}

pub(crate) fn start(input: &str) -> StepResult {
    let wait = |id, condition| Wait { id, condition };
    match input.trim_matches('"') {
        "invalid-json" => StepResult::Completed("{not json".to_owned()),
        "invalid-details" => StepResult::Failed(TaskError {
            message: String::new(),
            retryable: false,
            details: Some("{not json".to_owned()),
        }),
        "no-waits" => suspended(vec![]),
        "duplicate-waits" => {
            suspended(vec![wait(1, WaitCondition::Until(u64::MAX)), wait(1, WaitCondition::Until(0))])
        }
        "endless-wait" => suspended(vec![wait(u64::MAX, WaitCondition::Until(u64::MAX))]),
        "unknown-run" => suspended(vec![wait(1, WaitCondition::Run("no id at all".to_owned()))]),
        _ => StepResult::Completed(
            r#"["invalid-json","invalid-details","no-waits","duplicate-waits","endless-wait","unknown-run"]"#
                .to_owned(),
        ),
    }
}

fn suspended(waits: Vec<Wait>) -> StepResult {
    StepResult::Suspended(Suspension { waits, dropped: vec![u64::MAX, 0] })
}
