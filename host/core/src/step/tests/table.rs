//! What each event does to a task in each status.

use std::time::Duration;

use super::{output, task, workflow};
use crate::id::{EventId, TaskIndex, WaitId};
use crate::run::{Effect, Lease, Reason, Run, RunEvent, Status, StepResult, TaskError};
use crate::step::step;
use crate::time::Timestamp;
use crate::wait::{OPEN_WAITS_MAX, Wait, WaitCondition, WaitOutcome};
use crate::workflow::Workflow;

/// The task that the table is about.
const SUBJECT: TaskIndex = TaskIndex(0);
/// Stays in the queue, so that the run does not end with the subject.
const BYSTANDER: TaskIndex = TaskIndex(1);
/// What the subject depends on where a row needs it to.
const PARENT: TaskIndex = TaskIndex(2);

const NOW: u64 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    /// The event is taken, and the task is in this status afterwards.
    Now(Status),
    /// The event is taken and changes nothing.
    Ignored,
    /// The event is an error and changes nothing.
    Refused,
}
use Expected::{Ignored, Now, Refused};

/// The columns of the table.
const EVENTS: [&str; 14] = [
    "created",
    "slot",
    "completed",
    "failed",
    "failed for good",
    "suspended",
    "conflicted",
    "held",
    "settled",
    "retry due",
    "schedule timeout",
    "host lost",
    "rejected",
    "cancel",
];

/// The rows: how far the subject has come, and what each event does then.
#[rustfmt::skip]
fn table() -> Vec<(&'static str, [Expected; 14])> {
    use Status::{Cancelled as C, Completed as D, Failed as F, Queued as Q, Running as R, Sleeping as S};
    vec![
        //                       created  slot     completed failed   for good suspended conflict held     settled  retry    timeout  lost     rejected cancel
        ("not created",         [Now(Q),  Refused, Refused,  Refused, Refused, Refused,  Refused, Refused,  Ignored, Ignored, Ignored, Refused, Now(F),  Now(C)]),
        ("waits for parent",    [Refused, Refused, Refused,  Refused, Refused, Refused,  Refused, Refused,  Ignored, Ignored, Ignored, Refused, Now(F),  Now(C)]),
        ("queued",              [Refused, Now(R),  Refused,  Refused, Refused, Refused,  Refused, Refused,  Ignored, Ignored, Now(F),  Refused, Now(F),  Now(C)]),
        ("running",             [Refused, Refused, Now(D),   Now(Q),  Now(F),  Now(S),   Now(Q),  Now(Q),   Ignored, Ignored, Ignored, Now(Q),  Now(F),  Now(C)]),
        ("waits for retry",     [Refused, Refused, Refused,  Refused, Refused, Refused,  Refused, Refused,  Ignored, Now(Q),  Ignored, Refused, Now(F),  Now(C)]),
        ("queued for retry",    [Refused, Now(R),  Refused,  Refused, Refused, Refused,  Refused, Refused,  Ignored, Ignored, Ignored, Refused, Now(F),  Now(C)]),
        ("on its last attempt", [Refused, Refused, Now(D),   Now(F),  Now(F),  Now(S),   Now(Q),  Now(Q),   Ignored, Ignored, Ignored, Now(Q),  Now(F),  Now(C)]),
        ("held",                [Refused, Refused, Refused,  Refused, Refused, Refused,  Refused, Refused,  Ignored, Now(Q),  Ignored, Refused, Now(F),  Now(C)]),
        ("sleeping",            [Refused, Refused, Refused,  Refused, Refused, Refused,  Refused, Refused,  Now(Q),  Ignored, Ignored, Refused, Now(F),  Now(C)]),
        ("woken",               [Refused, Now(R),  Refused,  Refused, Refused, Refused,  Refused, Refused,  Now(Q),  Ignored, Ignored, Refused, Now(F),  Now(C)]),
        ("resumed",             [Refused, Refused, Now(D),   Now(Q),  Now(F),  Now(S),   Now(Q),  Now(Q),   Now(R),  Ignored, Ignored, Now(Q),  Now(F),  Now(C)]),
        ("completed",           [Refused, Refused, Refused,  Refused, Refused, Refused,  Refused, Refused,  Ignored, Ignored, Ignored, Refused, Now(D),  Now(D)]),
        ("failed",              [Refused, Refused, Refused,  Refused, Refused, Refused,  Refused, Refused,  Ignored, Ignored, Ignored, Refused, Now(F),  Now(F)]),
        ("skipped",             [Refused, Refused, Refused,  Refused, Refused, Refused,  Refused, Refused,  Ignored, Ignored, Ignored, Refused, Now(Status::Skipped), Now(Status::Skipped)]),
        ("cancelled",           [Refused; 14]),
    ]
}

/// Brings a run to a row of the table.
fn run_at(row: &str) -> (Workflow, Run) {
    let mut subject = task("subject", &[]);
    subject.retries = 1;
    subject.schedule_timeout = Some(Duration::from_secs(1));
    if matches!(row, "waits for parent" | "skipped") {
        subject.parents = vec![PARENT];
    }
    let workflow = workflow(vec![subject, task("bystander", &[]), task("parent", &[])]);
    let mut run = Run::new(3);
    let way: &[&str] = match row {
        "not created" => &[],
        "waits for parent" | "queued" => &["created"],
        "running" => &["created", "slot"],
        "waits for retry" => &["created", "slot", "failed"],
        "queued for retry" => &["created", "slot", "failed", "retry due"],
        "held" => &["created", "slot", "held"],
        "on its last attempt" => &["created", "slot", "failed", "retry due", "slot"],
        "sleeping" => &["created", "slot", "suspended"],
        "woken" => &["created", "slot", "suspended", "settled first"],
        "resumed" => &["created", "slot", "suspended", "settled first", "slot"],
        "completed" => &["created", "slot", "completed"],
        "failed" => &["created", "slot", "failed for good"],
        "skipped" => &["created", "parent slot", "parent failed"],
        "cancelled" => &["created", "cancel"],
        _ => panic!("no row {row}"),
    };
    for event in way {
        let event = event_of(event, &run);
        step(&mut run, &workflow, event, Timestamp::from_millis(NOW)).unwrap();
    }
    (workflow, run)
}

fn event_of(name: &str, run: &Run) -> RunEvent {
    let lease_of = |index: TaskIndex| {
        let task = run.task(index).unwrap();
        Lease { attempt: task.attempt, epoch: task.epoch }
    };
    let ended =
        |task, result| RunEvent::StepEnded { task, lease: lease_of(task), ran: Duration::ZERO, result };
    let failed = |retryable| StepResult::Failed {
        reason: Reason::Error,
        error: TaskError::new("no"),
        retryable,
        chance: 0.5,
    };
    // In the rows with a snapshot the waits 1 to 3 have been used.
    let new_wait = if run.task(SUBJECT).is_some_and(|task| task.has_snapshot) { 4 } else { 1 };
    let wait = |id| Wait {
        id: WaitId(id),
        condition: WaitCondition::Event {
            key_pattern: "*".to_owned(),
            filter: None,
            look_back: None,
            index: None,
        },
    };
    let settled = |wait| RunEvent::WaitSettled {
        task: SUBJECT,
        wait: WaitId(wait),
        outcome: WaitOutcome::Event(EventId::from_bytes([7; 16])),
    };
    match name {
        "created" => RunEvent::Created,
        "slot" => RunEvent::SlotGranted { task: SUBJECT, backlog: Vec::new() },
        "parent slot" => RunEvent::SlotGranted { task: PARENT, backlog: Vec::new() },
        "completed" => ended(SUBJECT, StepResult::Completed { output: output() }),
        "failed" => ended(SUBJECT, failed(true)),
        "failed for good" => ended(SUBJECT, failed(false)),
        "parent failed" => ended(PARENT, failed(true)),
        "suspended" => {
            let waits = (new_wait..new_wait + 3).map(wait).collect();
            ended(SUBJECT, StepResult::Suspended { waits, dropped: Vec::new(), taken: usize::MAX })
        }
        "conflicted" => ended(SUBJECT, StepResult::Conflicted),
        "held" => {
            let (reason, error) = (Reason::Unloadable, TaskError::new("it cannot be loaded"));
            ended(SUBJECT, StepResult::Held { reason, error, chance: 0.5 })
        }
        "settled first" => settled(1),
        "settled" => settled(2),
        "retry due" => RunEvent::RetryDue { task: SUBJECT },
        "schedule timeout" => RunEvent::ScheduleTimeout { task: SUBJECT },
        "host lost" => RunEvent::HostLost { task: SUBJECT, crashed: true, alone: true },
        "rejected" => {
            RunEvent::Rejected { reason: Reason::WorkflowDeleted, error: TaskError::new("it is gone") }
        }
        "cancel" => RunEvent::Cancel { reason: Reason::Requested },
        _ => panic!("no event {name}"),
    }
}

#[test]
fn every_event_in_every_status_does_what_the_table_says() {
    for (row, expectations) in table() {
        for (name, expected) in EVENTS.into_iter().zip(expectations) {
            let (workflow, before) = run_at(row);
            let mut run = before.clone();
            let event = event_of(name, &run);
            let result = step(&mut run, &workflow, event, Timestamp::from_millis(NOW + 1));
            let status = run.task(SUBJECT).unwrap().status;
            let found = match &result {
                Err(_) => Refused,
                Ok(effects) if effects.is_empty() => Ignored,
                Ok(_) => Now(status),
            };
            assert_eq!(found, expected, "{name} for a task that is {row}: {result:?}");
            if !matches!(expected, Now(_)) {
                assert_eq!(run, before, "{name} for a task that is {row}");
            }
        }
    }
}

#[test]
fn an_event_for_a_task_that_is_not_there_is_refused() {
    let (workflow, before) = run_at("running");
    let task = TaskIndex(3);
    let lease = Lease { attempt: 1, epoch: 1 };
    let result = StepResult::Completed { output: output() };
    for event in [
        RunEvent::SlotGranted { task, backlog: Vec::new() },
        RunEvent::StepEnded { task, lease, ran: Duration::ZERO, result },
        RunEvent::WaitSettled { task, wait: WaitId(1), outcome: WaitOutcome::Elapsed },
        RunEvent::RetryDue { task },
        RunEvent::ScheduleTimeout { task },
        RunEvent::HostLost { task, crashed: true, alone: true },
    ] {
        let mut run = before.clone();
        assert!(step(&mut run, &workflow, event.clone(), Timestamp::from_millis(NOW)).is_err(), "{event:?}");
        assert_eq!(run, before);
    }
}

#[test]
fn a_result_under_an_earlier_lease_is_refused() {
    let (workflow, before) = run_at("resumed");
    for lease in
        [Lease { attempt: 1, epoch: 1 }, Lease { attempt: 0, epoch: 2 }, Lease { attempt: 1, epoch: 3 }]
    {
        let mut run = before.clone();
        let result = StepResult::Completed { output: output() };
        let event = RunEvent::StepEnded { task: SUBJECT, lease, ran: Duration::ZERO, result };
        assert!(step(&mut run, &workflow, event, Timestamp::from_millis(NOW)).is_err(), "{lease:?}");
        assert_eq!(run, before);
    }
}

/// An older host may have allowed it more waits: it fails when it opens others, and not for what it has.
#[test]
fn a_task_with_too_many_waits_goes_on_as_long_as_it_opens_none() {
    let (workflow, before) = run_at("running");
    for (waits, expected) in [(Vec::new(), Status::Sleeping), (vec![4], Status::Failed)] {
        let mut run = before.clone();
        run.tasks[0].open_waits = OPEN_WAITS_MAX + 1;
        let until = WaitCondition::Until(Timestamp::from_millis(NOW + 1));
        let waits = waits.into_iter().map(|id| Wait { id: WaitId(id), condition: until.clone() }).collect();
        let lease = Lease { attempt: 1, epoch: 1 };
        let result = StepResult::Suspended { waits, dropped: Vec::new(), taken: 0 };
        let event = RunEvent::StepEnded { task: SUBJECT, lease, ran: Duration::ZERO, result };
        step(&mut run, &workflow, event, Timestamp::from_millis(NOW)).unwrap();
        assert_eq!(run.task(SUBJECT).unwrap().status, expected);
    }
}

/// A task that depends on two failed tasks, one of which was itself skipped, is skipped once: its
/// history would otherwise show it twice.
#[test]
fn a_task_below_a_diamond_is_skipped_once() {
    let workflow = workflow(vec![task("top", &[]), task("middle", &[0]), task("bottom", &[0, 1])]);
    let mut run = Run::new(3);
    let now = Timestamp::from_millis(NOW);
    step(&mut run, &workflow, RunEvent::Created, now).unwrap();
    step(&mut run, &workflow, RunEvent::SlotGranted { task: TaskIndex(0), backlog: Vec::new() }, now)
        .unwrap();
    let event = RunEvent::StepEnded {
        task: TaskIndex(0),
        lease: Lease { attempt: 1, epoch: 1 },
        ran: Duration::ZERO,
        result: StepResult::Failed {
            reason: Reason::Trap,
            error: TaskError::new("no"),
            retryable: true,
            chance: 0.0,
        },
    };
    let effects = step(&mut run, &workflow, event, now).unwrap();
    let skipped =
        |effect: &&Effect| matches!(effect, Effect::Record(entry) if entry.status == Status::Skipped);
    assert_eq!(effects.iter().filter(skipped).count(), 2);
    assert_eq!((run.status, run.reason), (Status::Failed, Some(Reason::Trap)));
    assert_eq!(run.task(BYSTANDER).unwrap().status, Status::Skipped);
}
