//! A driver that does what the effects say and holds the state machine to its word.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{TaskIndex, WaitId};
use crate::run::{
    Dropped, Effect, LOST_HOSTS_MAX, Lease, Part, Run, RunEvent, SUSPECT_AFTER, Status, StepResult, TaskRun,
    TaskTimer,
};
use crate::step::{Refused, step};
use crate::time::Timestamp;
use crate::wait::{SETTLED_MAX, Settled, Wait, WaitCondition, WaitOutcome};
use crate::workflow::Workflow;

/// A run with everything that its effects have asked for so far and not taken back.
pub(super) struct Driver {
    pub(super) workflow: Workflow,
    pub(super) run: Run,
    pub(super) now: Timestamp,
    pub(super) timers: BTreeMap<(TaskIndex, TaskTimer), Timestamp>,
    pub(super) open_waits: BTreeMap<(TaskIndex, WaitId), Wait>,
    /// Steps that were dispatched and neither released nor lost.
    pub(super) running: BTreeMap<TaskIndex, Lease>,
    queue: BTreeSet<TaskIndex>,
    snapshots: BTreeSet<TaskIndex>,
    /// Settled waits that the task has not taken note of by ending a step, those of the backlog too.
    untold: BTreeMap<TaskIndex, Vec<Settled>>,
    /// How many of those the running step was given.
    pub(super) told: BTreeMap<TaskIndex, usize>,
    /// What has settled and was put aside, oldest first.
    pub(super) backlog: BTreeMap<TaskIndex, Vec<Settled>>,
    /// The numbers that were given there in this attempt.
    numbers: BTreeMap<TaskIndex, BTreeSet<u64>>,
    /// Time that the current attempt really ran.
    ran: BTreeMap<TaskIndex, Duration>,
    /// Hosts in a row that did not survive the step.
    lost: BTreeMap<TaskIndex, u8>,
    /// Tasks that are held.
    held: BTreeSet<TaskIndex>,
    /// The latest epoch that a step was dispatched under.
    epochs: BTreeMap<TaskIndex, u64>,
    finished: u32,
}

impl Driver {
    pub(super) fn new(workflow: Workflow) -> Self {
        let mut driver = Self {
            run: Run::new(workflow.tasks.len()),
            workflow,
            now: Timestamp::from_millis(1_000_000),
            timers: BTreeMap::new(),
            open_waits: BTreeMap::new(),
            running: BTreeMap::new(),
            queue: BTreeSet::new(),
            snapshots: BTreeSet::new(),
            untold: BTreeMap::new(),
            told: BTreeMap::new(),
            backlog: BTreeMap::new(),
            numbers: BTreeMap::new(),
            ran: BTreeMap::new(),
            lost: BTreeMap::new(),
            held: BTreeSet::new(),
            epochs: BTreeMap::new(),
            finished: 0,
        };
        driver.apply(RunEvent::Created).unwrap();
        driver
    }

    /// Steps the run and checks all that must hold before, during and after.
    pub(super) fn apply(&mut self, event: RunEvent) -> Result<(), Refused> {
        let before = self.run.clone();
        let effects = match step(&mut self.run, &self.workflow, event.clone(), self.now) {
            Ok(effects) => effects,
            Err(refused) => {
                assert_eq!(self.run, before, "a refused event changes nothing");
                return Err(refused);
            }
        };
        self.take_note(&before, &event);
        self.check_requests(&event, &effects);
        let mut statuses: Vec<_> = before.tasks.iter().map(|task| task.status).collect();
        for effect in effects {
            self.perform(effect, &before, &mut statuses);
        }
        for ((index, before), after) in (0..).zip(&before.tasks).zip(&self.run.tasks) {
            self.check_task(TaskIndex(index), before, after, statuses[usize::from(index)]);
        }
        self.check_run();
        Ok(())
    }

    /// Keeps account of settled waits and running time from what was sent in.
    fn take_note(&mut self, before: &Run, event: &RunEvent) {
        match event {
            RunEvent::WaitSettled { task, wait, outcome }
                if self.open_waits.contains_key(&(*task, *wait)) =>
            {
                self.untold.entry(*task).or_default().push(Settled { id: *wait, outcome: *outcome });
            }
            RunEvent::HostLost { task, crashed, alone } => {
                assert!(self.running.remove(task).is_some());
                self.told.remove(task);
                let lost = self.lost.entry(*task).or_default();
                *lost += u8::from(*crashed && (*alone || *lost < SUSPECT_AFTER));
                let after = self.run.task(*task).unwrap();
                assert_eq!(after.status == Status::Failed, *lost == LOST_HOSTS_MAX);
                assert!(after.repeated);
            }
            RunEvent::StepEnded { task, result: StepResult::Held { .. }, .. } => {
                // Nothing has happened to it.
                self.told.remove(task);
                let (before, after) = (before.task(*task).unwrap(), self.run.task(*task).unwrap());
                assert_eq!(after.attempt, before.attempt);
                assert_eq!(after.held, before.held + 1);
            }
            RunEvent::StepEnded { task, ran, result, .. } => {
                self.lost.remove(task);
                let untold = self.untold.entry(*task).or_default();
                let told = self.told.remove(task).unwrap_or(0);
                match result {
                    StepResult::Conflicted => assert!(self.run.task(*task).unwrap().repeated),
                    StepResult::Suspended { taken, .. } => drop(untold.drain(..told.min(*taken))),
                    _ => drop(untold.drain(..told)),
                }
                *self.ran.entry(*task).or_default() += *ran;
                if let StepResult::Suspended { waits, dropped, .. } = result {
                    let is_dropped = |settled: &Settled| {
                        let is = |dropped: &Dropped| match dropped {
                            Dropped::Open(_) => false,
                            Dropped::InBacklog(id) | Dropped::Other(id) => *id == settled.id,
                        };
                        dropped.iter().any(is)
                    };
                    untold.retain(|settled| !is_dropped(settled));
                    let now = self.now;
                    untold.extend(
                        waits
                            .iter()
                            .filter(|wait| matches!(wait.condition, WaitCondition::Until(at) if at <= now))
                            .map(|wait| Settled { id: wait.id, outcome: WaitOutcome::Elapsed }),
                    );
                }
            }
            _ => {}
        }
        for ((index, before), after) in (0..).map(TaskIndex).zip(&before.tasks).zip(&self.run.tasks) {
            if before.attempt != after.attempt || after.status.is_final() {
                self.untold.remove(&index);
                self.told.remove(&index);
                self.ran.remove(&index);
                self.numbers.remove(&index);
            }
        }
    }

    /// The requests of a step take effect when it ended well, and never otherwise.
    fn check_requests(&self, event: &RunEvent, effects: &[Effect]) {
        let applied = effects.iter().filter(|effect| matches!(effect, Effect::ApplyRequests { .. })).count();
        let expected = match event {
            RunEvent::StepEnded { task, result, .. } => match result {
                StepResult::Completed { .. } => 1,
                StepResult::Failed { .. } | StepResult::Conflicted | StepResult::Held { .. } => 0,
                StepResult::Suspended { .. } => {
                    usize::from(self.run.task(*task).unwrap().status != Status::Failed)
                }
            },
            _ => 0,
        };
        assert_eq!(applied, expected, "{event:?}");
    }

    fn perform(&mut self, effect: Effect, before: &Run, statuses: &mut [Status]) {
        assert_eq!(self.finished, 0, "nothing follows the end of a run: {effect:?}");
        match effect {
            Effect::Enqueue { task } => {
                assert!(!self.running.contains_key(&task), "{task:?} is still running");
                assert!(self.queue.insert(task), "{task:?} stands in the queue twice");
            }
            Effect::Dequeue { task } => assert!(self.queue.remove(&task), "{task:?} is not in the queue"),
            Effect::Dispatch { task, lease, resume, time_left } => {
                self.check_dispatch(task, lease, resume.as_deref(), time_left);
                self.queue.remove(&task);
                self.running.insert(task, lease);
            }
            Effect::Kill { task, lease } => assert_eq!(self.running.get(&task), Some(&lease)),
            Effect::Release { task } => assert!(self.running.remove(&task).is_some()),
            Effect::OpenWait { task, wait } => {
                assert_eq!(self.open_waits.insert((task, wait.id), wait), None, "opened twice");
            }
            Effect::CloseWait { task, wait } => {
                assert!(self.open_waits.remove(&(task, wait)).is_some(), "closed and not open");
            }
            Effect::CloseWaits { task } => {
                let before = self.open_waits.len();
                self.open_waits.retain(|(of, _), _| *of != task);
                let backlog = self.backlog.remove(&task).unwrap_or_default();
                self.numbers.remove(&task);
                assert!(before > self.open_waits.len() || !backlog.is_empty(), "there is nothing to close");
            }
            Effect::PutInBacklog { task, number, settled } => {
                let numbers = self.numbers.entry(task).or_default();
                assert!(numbers.insert(number) && numbers.last() == Some(&number), "they go up");
                self.backlog.entry(task).or_default().push(settled);
            }
            Effect::TakeFromBacklog { task, count } => {
                drop(self.backlog.get_mut(&task).unwrap().drain(..count));
            }
            Effect::DropFromBacklog { task, wait } => {
                let backlog = self.backlog.get_mut(&task).unwrap();
                let position = backlog.iter().position(|settled| settled.id == wait);
                backlog.remove(position.expect("it is in the backlog"));
            }
            Effect::SetTimer { task, timer, at } => {
                assert_eq!(self.timers.insert((task, timer), at), None, "set twice");
            }
            Effect::ClearTimer { task, timer, at } => {
                assert_eq!(self.timers.remove(&(task, timer)), Some(at), "cleared and not set");
            }
            Effect::SaveSnapshot { task } => {
                self.snapshots.insert(task);
            }
            Effect::DropSnapshot { task } => assert!(self.snapshots.remove(&task), "there is no snapshot"),
            Effect::ApplyRequests { task } => {
                assert_eq!(before.task(task).unwrap().status, Status::Running);
            }
            Effect::Hold { task } => assert!(self.held.insert(task), "{task:?} is held already"),
            Effect::LetGo { task } => assert!(self.held.remove(&task), "{task:?} is not held"),
            Effect::DropError { task } => {
                assert_eq!(before.task(task).unwrap().error, Some(Part::Elsewhere), "no error is elsewhere");
            }
            Effect::Record(entry) => {
                let status = &mut statuses[usize::from(entry.task.0)];
                assert!(!status.is_final(), "{entry:?} follows {status:?}");
                assert_eq!(entry.at, self.now);
                *status = entry.status;
            }
            Effect::Finished => self.finished += 1,
        }
    }

    fn check_dispatch(&mut self, task: TaskIndex, lease: Lease, resume: Option<&[Settled]>, left: Duration) {
        assert!(self.queue.contains(&task), "{task:?} was not in the queue");
        assert!(!self.running.contains_key(&task), "{task:?} runs already");
        let last = self.epochs.insert(task, lease.epoch);
        assert!(last < Some(lease.epoch), "epoch {} after {last:?}", lease.epoch);
        let policy = self.workflow.task(task).unwrap();
        assert!((1..=policy.retries + 1).contains(&lease.attempt), "{lease:?}");
        let ran = self.ran.get(&task).copied().unwrap_or_default();
        assert_eq!(left, policy.execution_timeout.saturating_sub(ran));

        let untold = self.untold.get(&task).map_or(&[][..], Vec::as_slice);
        match resume {
            None => assert!(!self.snapshots.contains(&task) && untold.is_empty()),
            Some(settled) => {
                assert!(self.snapshots.contains(&task));
                assert!(!settled.is_empty(), "a task wakes because of a wait");
                let fit = &untold[..untold.len().min(SETTLED_MAX)];
                assert_eq!(settled, fit, "the first that have settled, in their order, each once");
            }
        }
        self.told.insert(task, untold.len().min(SETTLED_MAX));
    }

    fn check_task(&self, index: TaskIndex, before: &TaskRun, after: &TaskRun, recorded: Status) {
        assert_eq!(after.status, recorded, "every change of status is recorded: {index:?}");
        if before.status.is_final() {
            assert_eq!(before, after, "a task that has ended does not change");
        }
        assert!(after.attempt >= before.attempt && after.epoch >= before.epoch);
        assert!(after.attempt <= self.workflow.task(index).unwrap().retries + 1);
        assert_eq!(after.lost_hosts, self.lost.get(&index).copied().unwrap_or(0), "{index:?}");
        assert_eq!(after.queued_at.is_some(), self.queue.contains(&index), "{index:?}");
        assert_eq!(after.status == Status::Running, self.running.contains_key(&index), "{index:?}");
        assert_eq!(after.has_snapshot, self.snapshots.contains(&index), "{index:?}");
        assert_eq!(after.held > 0, self.held.contains(&index), "{index:?}");
        assert_eq!(after.retry_at, self.timers.get(&(index, TaskTimer::Retry)).copied());
        assert_eq!(after.schedule_deadline, self.timers.get(&(index, TaskTimer::ScheduleTimeout)).copied());
        let open: BTreeSet<_> =
            self.open_waits.keys().filter(|(task, _)| *task == index).map(|(_, wait)| *wait).collect();
        assert_eq!(after.open_waits, open.len());
        assert_eq!(after.finished_at.is_some(), after.status.is_final());
        assert!(after.status != Status::Sleeping || !open.is_empty(), "{index:?} would sleep for ever");
        assert_eq!(after.output.is_some(), after.status == Status::Completed);
        assert!(after.error.is_none() || after.status != Status::Completed);
        assert!(after.error.is_some() || after.status != Status::Failed);
        let backlog = self.backlog.get(&index).cloned().unwrap_or_default();
        assert_eq!(after.backlog, backlog.len());
        let untold = [after.settled.clone(), backlog].concat();
        assert_eq!(untold, self.untold.get(&index).cloned().unwrap_or_default());
        assert_eq!(after.started_at.is_some(), self.epochs.contains_key(&index));
        assert!(before.started_at.is_none() || after.started_at == before.started_at);
    }

    fn check_run(&self) {
        assert_eq!(crate::check::problems(&self.run), []);
        assert_eq!(self.run.status, expected_status(&self.run.tasks));
        let ended = self.run.status.is_final();
        assert_eq!(self.finished, u32::from(ended));
        assert_eq!(self.run.finished_at.is_some(), ended);
        assert_eq!(self.run.started_at.is_some(), !self.epochs.is_empty());
        assert_eq!(
            self.run.reason.is_some(),
            matches!(self.run.status, Status::Failed | Status::Cancelled),
            "a run that did not complete says why"
        );
        let pending = !self.queue.is_empty() || !self.running.is_empty() || !self.open_waits.is_empty();
        let retrying = self.timers.keys().any(|(_, timer)| *timer == TaskTimer::Retry);
        assert_ne!(pending || retrying, ended, "a run goes on exactly as long as something can happen to it");
        if ended {
            assert!(self.timers.is_empty() && self.snapshots.is_empty() && self.held.is_empty());
        }
    }
}

/// What a run is by the words of the design: sleeping when every unfinished task that could do
/// something waits.
fn expected_status(tasks: &[TaskRun]) -> Status {
    let has = |status| tasks.iter().any(|task| task.status == status);
    let could_run = tasks.iter().any(|task| task.queued_at.or(task.retry_at).is_some());
    let ended = tasks.iter().all(|task| task.status.is_final());
    match ended {
        true if has(Status::Failed) => Status::Failed,
        true if has(Status::Cancelled) => Status::Cancelled,
        true => Status::Completed,
        false if has(Status::Running) => Status::Running,
        false if has(Status::Sleeping) && !could_run => Status::Sleeping,
        false => Status::Queued,
    }
}
