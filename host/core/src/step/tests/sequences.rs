//! Random lives of random workflows.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::model::Driver;
use super::{output, task, workflow};
use crate::id::{EventId, RunId, TaskIndex, WaitId};
use crate::run::{
    Dropped, LOST_HOSTS_MAX, Lease, Reason, RunEvent, Status, StepResult, TaskError, TaskTimer,
};
use crate::step::Refused;
use crate::time::Timestamp;
use crate::wait::{OPEN_WAITS_MAX, SETTLED_MAX, Wait, WaitCondition, WaitOutcome};
use crate::workflow::{Backoff, Workflow};

/// Something that the world does to a run. Tasks and waits are picked by a number, so that most of
/// what is drawn fits the state.
#[derive(Debug, Clone)]
enum Move {
    Slot(u8),
    Complete(u8),
    Fail {
        task: u8,
        retryable: bool,
    },
    Suspend {
        task: u8,
        waits: Vec<(u64, Kind)>,
        dropped: Vec<u64>,
        careless: bool,
    },
    Conflict(u8),
    Hold(u8),
    Settle(usize),
    /// The timer that rings may have been cleared meanwhile.
    Ring {
        task: u8,
        timer: TaskTimer,
    },
    LoseHost {
        task: u8,
        crashed: bool,
        alone: bool,
    },
    StaleResult {
        task: u8,
        behind: u64,
    },
    Create,
    Reject,
    Cancel,
    Pass {
        millis: u64,
    },
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Until { in_millis: u64 },
    Event,
    Run,
}

fn moves() -> impl Strategy<Value = Move> {
    let kind = prop_oneof![
        (0..3000_u64).prop_map(|in_millis| Kind::Until { in_millis }),
        Just(Kind::Event),
        Just(Kind::Run),
    ];
    let suspend = (
        any::<u8>(),
        prop::collection::vec((0..8_u64, kind), 0..4),
        prop::collection::vec(0..8_u64, 0..3),
        prop::bool::weighted(0.03),
    );
    let timer = prop_oneof![Just(TaskTimer::Retry), Just(TaskTimer::ScheduleTimeout)];
    prop_oneof![
        120 => any::<u8>().prop_map(Move::Slot),
        20 => any::<u8>().prop_map(Move::Complete),
        20 => (any::<u8>(), prop::bool::weighted(0.9)).prop_map(|(task, retryable)| Move::Fail { task, retryable }),
        80 => suspend.prop_map(|(task, waits, dropped, careless)| Move::Suspend { task, waits, dropped, careless }),
        10 => any::<u8>().prop_map(Move::Conflict),
        10 => any::<u8>().prop_map(Move::Hold),
        80 => any::<usize>().prop_map(Move::Settle),
        40 => (any::<u8>(), timer).prop_map(|(task, timer)| Move::Ring { task, timer }),
        30 => any::<(u8, bool, bool)>()
            .prop_map(|(task, crashed, alone)| Move::LoseHost { task, crashed, alone }),
        10 => (any::<u8>(), 1..3_u64).prop_map(|(task, behind)| Move::StaleResult { task, behind }),
        2 => Just(Move::Create),
        1 => Just(Move::Reject),
        1 => Just(Move::Cancel),
        20 => (0..2000_u64).prop_map(|millis| Move::Pass { millis }),
    ]
}

/// Up to five tasks whose parents come before them in a random order, and perhaps one for failures.
fn workflows() -> impl Strategy<Value = Workflow> {
    let policy = (0..3_u32, prop::bool::weighted(0.3), any::<bool>(), any::<u8>());
    (prop::collection::vec(policy, 1..6), any::<bool>())
        .prop_flat_map(|(policies, on_failure)| {
            let order: Vec<usize> = (0..policies.len()).collect();
            (Just(policies), Just(order).prop_shuffle(), Just(on_failure))
        })
        .prop_map(|(policies, order, on_failure)| {
            let mut tasks = Vec::new();
            for (i, (retries, impatient, at_once, parents)) in policies.into_iter().enumerate() {
                let parents: Vec<u8> = (0..order.len())
                    .filter(|&j| order[j] < order[i] && parents & (1 << j) != 0)
                    .map(|j| j as u8)
                    .collect();
                let mut task = task(&format!("t{i}"), &parents);
                task.retries = retries;
                task.schedule_timeout = impatient.then_some(Duration::from_secs(5));
                task.backoff.initial = if at_once { Duration::ZERO } else { Backoff::default().initial };
                tasks.push(task);
            }
            if on_failure {
                tasks.push(task("cleanup", &[]));
            }
            let last = TaskIndex(tasks.len() as u8 - 1);
            Workflow { on_failure: on_failure.then_some(last), ..workflow(tasks) }
        })
}

impl Driver {
    fn make(&mut self, next: Move) {
        let count = self.run.tasks.len() as u8;
        let pick = |task: u8| TaskIndex(task % count);
        match next {
            Move::Slot(task) => {
                let task = pick(task);
                let room = SETTLED_MAX - self.run.tasks[usize::from(task.0)].settled.len();
                let backlog = self.backlog.get(&task).into_iter().flatten().take(room).copied().collect();
                let _ = self.apply(RunEvent::SlotGranted { task, backlog });
            }
            Move::Complete(task) => self.end_step(pick(task), StepResult::Completed { output: output() }),
            Move::Fail { task, retryable } => {
                let error = TaskError::new("it failed");
                let result = StepResult::Failed { reason: Reason::Error, error, retryable, chance: 0.5 };
                self.end_step(pick(task), result);
            }
            Move::Suspend { task, waits, dropped, careless } => {
                let task = pick(task);
                let waits = waits.into_iter().map(|(id, kind)| self.wait(id, kind)).collect();
                let dropped = self.dropped(task, dropped);
                let result = if careless {
                    let waits = self.free(task, waits, &dropped);
                    let taken = self.told.get(&task).copied().unwrap_or(0);
                    StepResult::Suspended { waits, dropped, taken }
                } else {
                    self.careful_suspension(task, waits, dropped)
                };
                self.end_step(task, result);
            }
            Move::Conflict(task) => self.end_step(pick(task), StepResult::Conflicted),
            Move::Hold(task) => {
                let (reason, error) = (Reason::Unloadable, TaskError::new("it cannot be loaded"));
                self.end_step(pick(task), StepResult::Held { reason, error, chance: 1.0 });
            }
            Move::Settle(nth) => {
                let nth = nth.checked_rem(self.open_waits.len()).unwrap_or(0);
                if let Some(((task, wait), open)) = self.open_waits.iter().nth(nth) {
                    let outcome = match open.condition {
                        WaitCondition::Until(_) => WaitOutcome::Elapsed,
                        WaitCondition::Event { .. } => WaitOutcome::Event(EventId::from_bytes([1; 16])),
                        WaitCondition::Run(run) => WaitOutcome::Run(run),
                    };
                    let event = RunEvent::WaitSettled { task: *task, wait: *wait, outcome };
                    self.apply(event).unwrap();
                }
            }
            Move::Ring { task, timer } => {
                let task = pick(task);
                if let Some(at) = self.timers.get(&(task, timer)) {
                    self.now = self.now.max(*at);
                }
                let _ = self.apply(match timer {
                    TaskTimer::Retry => RunEvent::RetryDue { task },
                    TaskTimer::ScheduleTimeout => RunEvent::ScheduleTimeout { task },
                });
            }
            Move::LoseHost { task, crashed, alone } => {
                let _ = self.apply(RunEvent::HostLost { task: pick(task), crashed, alone });
            }
            Move::StaleResult { task, behind } => {
                let task = pick(task);
                let now = &self.run.tasks[usize::from(task.0)];
                let lease = Lease { attempt: now.attempt, epoch: now.epoch.wrapping_sub(behind) };
                let result = StepResult::Completed { output: output() };
                let refused = self.apply(RunEvent::StepEnded { task, lease, ran: Duration::ZERO, result });
                assert!(matches!(refused, Err(Refused::StaleLease | Refused::Ended(_))), "{refused:?}");
            }
            Move::Create => assert!(self.apply(RunEvent::Created).is_err(), "a run is created once"),
            Move::Reject => {
                let error = TaskError::new("it is gone");
                let _ = self.apply(RunEvent::Rejected { reason: Reason::WorkflowDeleted, error });
                assert!(self.run.status.is_final());
            }
            Move::Cancel => {
                let _ = self.apply(RunEvent::Cancel { reason: Reason::Requested });
                assert!(self.run.status.is_final());
            }
            Move::Pass { millis } => self.now = self.now.after(Duration::from_millis(millis)),
        }
    }

    fn end_step(&mut self, task: TaskIndex, result: StepResult) {
        if let Some(&lease) = self.running.get(&task) {
            let ran = Duration::from_millis(lease.epoch * 700);
            self.apply(RunEvent::StepEnded { task, lease, ran, result }).unwrap();
        }
    }

    fn wait(&self, id: u64, kind: Kind) -> Wait {
        let condition = match kind {
            Kind::Until { in_millis } => {
                let from = self.now.before(Duration::from_secs(1));
                WaitCondition::Until(from.after(Duration::from_millis(in_millis)))
            }
            Kind::Event => WaitCondition::Event {
                key_pattern: "order:*".to_owned(),
                filter: None,
                look_back: None,
                index: None,
            },
            Kind::Run => WaitCondition::Run(RunId::new(Timestamp::from_millis(id), [0; 10])),
        };
        Wait { id: WaitId(id), condition }
    }

    /// Waits that a step drops, as the driver knows them.
    fn dropped(&self, task: TaskIndex, ids: Vec<u64>) -> Vec<Dropped> {
        let backlog = self.backlog.get(&task).map_or(&[][..], Vec::as_slice);
        let ids: BTreeSet<_> = ids.into_iter().map(WaitId).collect();
        let of = |id: WaitId| match () {
            () if self.open_waits.contains_key(&(task, id)) => Dropped::Open(id),
            () if backlog.iter().any(|settled| settled.id == id) => Dropped::InBacklog(id),
            () => Dropped::Other(id),
        };
        ids.into_iter().map(of).collect()
    }

    /// Those of the new waits whose ids are not those of waits that are open or in the backlog: others a
    /// driver refuses.
    fn free(&self, task: TaskIndex, mut waits: Vec<Wait>, dropped: &[Dropped]) -> Vec<Wait> {
        let open = self.open_waits.keys().filter(|(of, _)| *of == task).map(|(_, id)| *id);
        let backlog = self.backlog.get(&task).into_iter().flatten().map(|settled| settled.id);
        let used: BTreeSet<_> = open.chain(backlog).collect();
        let is_dropped =
            |id| dropped.contains(&Dropped::Open(id)) || dropped.contains(&Dropped::InBacklog(id));
        waits.retain(|wait| !used.contains(&wait.id) || is_dropped(wait.id));
        waits
    }

    /// A suspension that breaks no rule: ids are free, and something can wake the task.
    fn careful_suspension(&self, task: TaskIndex, waits: Vec<Wait>, dropped: Vec<Dropped>) -> StepResult {
        let mut waits = self.free(task, waits, &dropped);
        let state = &self.run.tasks[usize::from(task.0)];
        // Now and then not all of it fits the step.
        let told = self.told.get(&task).copied().unwrap_or(0);
        let taken = told.saturating_sub(waits.len() % 2);
        let untold = state.settled.iter().skip(taken).map(|settled| settled.id);
        let mut used: Vec<WaitId> = untold.filter(|id| !dropped.contains(&Dropped::Other(*id))).collect();
        waits.retain(|wait| {
            let free = !used.contains(&wait.id);
            used.push(wait.id);
            free
        });
        let is_left = |dropped: &Dropped| !matches!(dropped, Dropped::Other(_));
        let left = state.open_waits + state.backlog - dropped.iter().filter(|wait| is_left(wait)).count();
        if used.is_empty() && left == 0 {
            waits.push(self.wait(9, Kind::Event));
        }
        StepResult::Suspended { waits, dropped, taken }
    }
}

/// Random moves hardly leave a task alone for long enough to lose it so often in a row.
#[test]
fn a_task_is_given_up_when_five_hosts_in_a_row_did_not_survive_it() {
    let mut driver = Driver::new(workflow(vec![task("deadly", &[])]));
    let lose = |driver: &mut Driver, times| {
        for _ in 0..times {
            driver.make(Move::Slot(0));
            driver.make(Move::LoseHost { task: 0, crashed: true, alone: true });
        }
    };
    lose(&mut driver, LOST_HOSTS_MAX - 1);
    driver.make(Move::Slot(0));
    let waits = vec![(1, Kind::Event)];
    driver.make(Move::Suspend { task: 0, waits, dropped: Vec::new(), careless: false });
    driver.make(Move::Settle(0));

    lose(&mut driver, 1);
    assert!(!driver.run.tasks[0].is_suspect(), "it may have been another one");
    lose(&mut driver, LOST_HOSTS_MAX - 2);
    assert!(driver.run.tasks[0].is_suspect());
    assert_eq!(driver.run.status, Status::Queued, "a step that ended began the count anew");
    assert_eq!(driver.run.tasks[0].reason, Some(Reason::HostLost), "the history says why it is queued again");
    driver.make(Move::Slot(0));
    driver.make(Move::LoseHost { task: 0, crashed: false, alone: true });
    assert_eq!(driver.run.status, Status::Queued, "a host that stopped in order is not counted");
    assert!(driver.run.tasks[0].repeated);
    lose(&mut driver, 1);
    assert_eq!((driver.run.status, driver.run.reason), (Status::Failed, Some(Reason::HostLost)));
}

#[test]
fn a_suspect_is_not_given_up_for_what_may_be_the_fault_of_others() {
    let mut driver = Driver::new(workflow(vec![task("innocent", &[])]));
    for _ in 0..20 {
        driver.make(Move::Slot(0));
        driver.make(Move::LoseHost { task: 0, crashed: true, alone: false });
    }
    assert_eq!((driver.run.status, driver.run.tasks[0].is_suspect()), (Status::Queued, true));
}

#[test]
fn a_held_task_is_tried_again_less_and_less_often_and_loses_nothing() {
    let mut driver = Driver::new(workflow(vec![task("stuck", &[])]));
    driver.make(Move::Slot(0));
    driver.make(Move::LoseHost { task: 0, crashed: true, alone: true });
    let mut delays = Vec::new();
    for _ in 0..14 {
        driver.make(Move::Slot(0));
        driver.make(Move::Hold(0));
        let task = &driver.run.tasks[0];
        assert_eq!((driver.run.status, task.reason), (Status::Queued, Some(Reason::Unloadable)));
        assert_eq!((task.attempt, task.lost_hosts, task.repeated), (1, 1, true));
        let timer = driver.timers[&(TaskIndex(0), TaskTimer::Retry)];
        delays.push((timer.as_millis() - driver.now.as_millis()) / 1000);
        driver.make(Move::Ring { task: 0, timer: TaskTimer::Retry });
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]);
    driver.make(Move::Slot(0));
    driver.make(Move::Complete(0));
    assert_eq!((driver.run.status, driver.run.tasks[0].held), (Status::Completed, 0));
}

#[test]
fn a_task_with_too_many_waits_fails() {
    for (count, status) in [(OPEN_WAITS_MAX, Status::Sleeping), (OPEN_WAITS_MAX + 1, Status::Failed)] {
        let mut driver = Driver::new(workflow(vec![task("patient", &[])]));
        let waits = (0..count as u64).map(|id| (id, Kind::Event)).collect();
        driver.make(Move::Slot(0));
        driver.make(Move::Suspend { task: 0, waits, dropped: Vec::new(), careless: true });
        assert_eq!(driver.run.status, status, "{count} waits");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_keeps_its_word_whatever_happens_to_it(
        workflow in workflows(), moves in prop::collection::vec(moves(), 0..250)
    ) {
        let mut driver = Driver::new(workflow);
        for next in moves {
            driver.make(next);
        }
    }

    /// From wherever it stands, a run comes to its end once its steps complete and its waits settle.
    #[test]
    fn a_run_can_always_come_to_its_end(
        workflow in workflows(), moves in prop::collection::vec(moves(), 0..80)
    ) {
        let mut driver = Driver::new(workflow);
        for next in moves {
            driver.make(next);
        }
        for round in 0..200_u8 {
            for task in 0..driver.run.tasks.len() as u8 {
                driver.make(Move::Ring { task, timer: TaskTimer::Retry });
                driver.make(Move::Slot(task));
                driver.make(Move::Complete(task));
                driver.make(Move::Settle(usize::from(round)));
            }
        }
        prop_assert!(driver.run.status.is_final(), "{:?}", driver.run);
    }
}
