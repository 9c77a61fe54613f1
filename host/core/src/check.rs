//! What holds of every run, whatever has happened to it: for those who look for damage.

use crate::id::TaskIndex;
use crate::run::{Run, Status, TaskRun};
use crate::step::status_of;
use crate::wait::SETTLED_MAX;

/// What is wrong with a run as it stands: nothing, unless something has damaged it. Each problem
/// names the task that it is about, or none when it is about the run.
#[must_use]
pub fn problems(run: &Run) -> Vec<(Option<TaskIndex>, &'static str)> {
    let of_run = RUN_RULES.iter().filter(|(_, holds)| !holds(run)).map(|(problem, _)| (None, *problem));
    let tasks = (0..).map(TaskIndex).zip(&run.tasks);
    let of_tasks = tasks.flat_map(|(index, task)| {
        let broken = TASK_RULES.iter().filter(|(_, holds)| !holds(task));
        broken.map(move |(problem, _)| (Some(index), *problem))
    });
    of_run.chain(of_tasks).collect()
}

/// What to say when it does not hold, and whether it does.
type Rule<T> = (&'static str, fn(&T) -> bool);

const RUN_RULES: &[Rule<Run>] = &[
    ("it has no task", |run| !run.tasks.is_empty()),
    ("its status is not what its tasks amount to", |run| run.status == status_of(&run.tasks)),
    ("it has an end and has not ended, or the other way round", |run| {
        run.status.is_final() == run.finished_at.is_some()
    }),
];

const TASK_RULES: &[Rule<TaskRun>] = &[
    ("it has an end and has not ended, or the other way round", |task| {
        task.status.is_final() == task.finished_at.is_some()
    }),
    ("it has completed without an output", |task| task.status != Status::Completed || task.output.is_some()),
    ("it has ended and still waits for something", |task| {
        !task.status.is_final() || (task.open_waits + task.backlog == 0 && task.settled.is_empty())
    }),
    ("it has ended and still has a snapshot", |task| !task.status.is_final() || !task.has_snapshot),
    ("it stands in the queue without being queued", |task| {
        task.status == Status::Queued || task.queued_at.is_none()
    }),
    ("it waits for its next attempt without being queued", |task| {
        task.status == Status::Queued || task.retry_at.is_none()
    }),
    ("it has a schedule timeout without being queued", |task| {
        task.status == Status::Queued || task.schedule_deadline.is_none()
    }),
    ("it has begun and is queued, but nothing would ever start its next step", |task| {
        task.status != Status::Queued
            || task.attempt == 0
            || task.queued_at.is_some() != task.retry_at.is_some()
    }),
    ("it is held although it sleeps or has ended", |task| {
        task.held == 0 || matches!(task.status, Status::Queued | Status::Running)
    }),
    ("it is held and does not say why", |task| task.held == 0 || task.error.is_some()),
    ("it sleeps without a snapshot to go on from", |task| {
        task.status != Status::Sleeping || task.has_snapshot
    }),
    ("it sleeps without an open wait: nothing would ever wake it", |task| {
        task.status != Status::Sleeping || task.open_waits > 0
    }),
    ("it sleeps although a wait of it has settled", |task| {
        task.status != Status::Sleeping || (task.settled.is_empty() && task.backlog == 0)
    }),
    ("it has more settled waits at hand than a step is told of", |task| task.settled.len() <= SETTLED_MAX),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WaitId;
    use crate::time::Timestamp;
    use crate::wait::{Settled, WaitOutcome};

    fn now() -> Timestamp {
        Timestamp::from_millis(1)
    }

    /// A run whose only task sleeps.
    fn sleeping() -> Run {
        let mut run = Run::new(1);
        run.status = Status::Sleeping;
        run.tasks[0].status = Status::Sleeping;
        run.tasks[0].attempt = 1;
        run.tasks[0].has_snapshot = true;
        run.tasks[0].open_waits = 1;
        run
    }

    fn told(damage: impl FnOnce(&mut Run)) -> Vec<&'static str> {
        let mut run = sleeping();
        damage(&mut run);
        problems(&run).into_iter().map(|(_, problem)| problem).collect()
    }

    #[test]
    fn a_sound_run_has_no_problems() {
        assert_eq!(told(|_| {}), [] as [&str; 0]);
    }

    #[test]
    fn every_rule_finds_what_breaks_it() {
        let end = |run: &mut Run| {
            run.status = Status::Failed;
            run.finished_at = Some(now());
            run.tasks[0] = TaskRun { status: Status::Failed, finished_at: Some(now()), ..TaskRun::default() };
        };
        let settled = Settled { id: WaitId(2), outcome: WaitOutcome::Elapsed };
        let mut found = Vec::new();
        found.extend(told(|run| run.tasks.clear()));
        found.extend(told(|run| run.finished_at = Some(now())));
        found.extend(told(|run| run.tasks[0].finished_at = Some(now())));
        found.extend(told(|run| {
            end(run);
            run.status = Status::Completed;
            run.tasks[0].status = Status::Completed;
        }));
        found.extend(told(|run| {
            end(run);
            run.tasks[0].settled.push(settled);
            run.tasks[0].has_snapshot = true;
        }));
        found.extend(told(|run| run.tasks[0].queued_at = Some(now())));
        found.extend(told(|run| run.tasks[0].retry_at = Some(now())));
        found.extend(told(|run| run.tasks[0].schedule_deadline = Some(now())));
        found.extend(told(|run| run.tasks[0].status = Status::Queued));
        found.extend(told(|run| run.tasks[0].held = 1));
        found.extend(told(|run| run.tasks[0].has_snapshot = false));
        found.extend(told(|run| run.tasks[0].open_waits = 0));
        found.extend(told(|run| run.tasks[0].settled.push(settled)));
        found.extend(told(|run| run.tasks[0].settled = vec![settled; SETTLED_MAX + 1]));
        let rules = RUN_RULES.iter().map(|(problem, _)| problem);
        for problem in rules.chain(TASK_RULES.iter().map(|(problem, _)| problem)) {
            assert!(found.contains(problem), "nothing made the check say: {problem}");
        }
    }
}
