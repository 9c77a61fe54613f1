//! What a completed run returns, out of what its tasks returned.

use crate::id::TaskIndex;
use crate::run::{Run, TaskRun};
use crate::workflow::{Json, Task, Workflow};

impl Run {
    /// The output of its task; of several tasks, an object with the outputs of those that no other
    /// task depends on, by name. They have to be at hand.
    #[must_use]
    pub fn output(&self, workflow: &Workflow) -> Json {
        let is_leaf = |index: TaskIndex| {
            Some(index) != workflow.on_failure
                && !workflow.tasks.iter().any(|task| task.parents.contains(&index))
        };
        let tasks = (0..).map(TaskIndex).zip(workflow.tasks.iter().zip(&self.tasks));
        let leaves: Vec<_> = tasks.filter(|(index, _)| is_leaf(*index)).map(|(_, task)| task).collect();
        if let [(_, task)] = leaves[..] {
            return output_of(task).cloned().unwrap_or_else(Json::null);
        }
        // Names of tasks hold nothing that JSON would escape.
        let member = |(policy, task): (&Task, &TaskRun)| {
            Some(format!("\"{}\":{}", policy.name, output_of(task)?.as_str()))
        };
        let members: Vec<_> = leaves.into_iter().filter_map(member).collect();
        Json::trusted(&format!("{{{}}}", members.join(",")))
    }
}

fn output_of(task: &TaskRun) -> Option<&Json> {
    task.output.as_ref()?.here()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::run::{Part, Status};
    use crate::workflow::{Backoff, Priority};

    fn workflow(tasks: &[(&str, &[u8])], on_failure: Option<u8>) -> Workflow {
        let task = |(name, parents): &(&str, &[u8])| Task {
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
        };
        Workflow {
            name: "w".parse().unwrap(),
            description: String::new(),
            crons: Vec::new(),
            events: Vec::new(),
            tasks: tasks.iter().map(task).collect(),
            on_failure: on_failure.map(TaskIndex),
            input_schema: None,
            output_schema: None,
            concurrency: Vec::new(),
            default_priority: Priority::DEFAULT,
        }
    }

    fn output(workflow: &Workflow, outputs: &[Option<&str>]) -> String {
        let mut run = Run::new(outputs.len());
        for (task, output) in run.tasks.iter_mut().zip(outputs) {
            task.status = if output.is_some() { Status::Completed } else { Status::Skipped };
            task.output = output.map(Json::trusted).map(Part::Here);
        }
        run.output(workflow).as_str().to_owned()
    }

    #[test]
    fn the_output_of_a_run_is_that_of_the_tasks_that_nothing_depends_on() {
        let single = workflow(&[("only", &[]), ("mend", &[])], Some(1));
        assert_eq!(output(&single, &[Some("7"), None]), "7");

        let chain = workflow(&[("first", &[]), ("last", &[0])], None);
        assert_eq!(output(&chain, &[Some("1"), Some("2")]), "2");

        let fork = workflow(&[("root", &[]), ("left", &[0]), ("right", &[0]), ("skipped", &[0])], None);
        let outputs = [Some("0"), Some("{}"), Some("[1]"), None];
        assert_eq!(output(&fork, &outputs), r#"{"left":{},"right":[1]}"#);
    }
}
