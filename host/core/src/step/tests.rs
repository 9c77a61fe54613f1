//! A table over every status and event, and random sequences of events that a model of the driver
//! follows.

mod model;
mod sequences;
mod table;

use std::time::Duration;

use crate::id::TaskIndex;
use crate::workflow::{Backoff, Json, Priority, Task, Workflow};

/// A task without limits that is not retried.
fn task(name: &str, parents: &[u8]) -> Task {
    Task {
        name: name.parse().unwrap(),
        description: String::new(),
        parents: parents.iter().copied().map(TaskIndex).collect(),
        retries: 0,
        backoff: Backoff::default(),
        execution_timeout: Duration::from_secs(60),
        schedule_timeout: None,
        memory_bytes_max: None,
        concurrency: Vec::new(),
        rate_limits: Vec::new(),
        skip_if: Vec::new(),
        cancel_if: Vec::new(),
    }
}

fn workflow(tasks: Vec<Task>) -> Workflow {
    Workflow {
        name: "tested".parse().unwrap(),
        description: String::new(),
        crons: Vec::new(),
        events: Vec::new(),
        tasks,
        on_failure: None,
        input_schema: None,
        output_schema: None,
        concurrency: Vec::new(),
        default_priority: Priority::DEFAULT,
    }
}

fn output() -> Json {
    Json::trusted("{}")
}
