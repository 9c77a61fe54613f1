//! How a run changes: [`step`] takes a run and what happened to it, and leaves the next state and
//! the effects that the driver has to see to.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id::{TaskIndex, WaitId};
use crate::run::{
    Dropped, Effect, HELD_MAX, HELD_MIN, LOST_HOSTS_MAX, Lease, Part, Reason, Run, RunEvent, SUSPECT_AFTER,
    Status, StepResult, TaskError, TaskRun, TaskTimer, Transition,
};
use crate::time::Timestamp;
use crate::wait::{OPEN_WAITS_MAX, SETTLED_MAX, Settled, Wait, WaitCondition, WaitOutcome};
use crate::workflow::{Task, Workflow};

/// Why an event does not fit the state of a run. The run is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The result belongs to a step that was given up or that somebody else has finished.
    #[error("the step has no lease any more")]
    StaleLease,
    /// Nothing happens to a run that has ended.
    #[error("the run has ended: it is {}", .0.word())]
    Ended(Status),
    /// The event needs a task in another status.
    #[error("a task that is {} cannot take the event `{event}`", .status.word())]
    WrongStatus {
        /// What the task is.
        status: Status,
        /// What was to happen.
        event: &'static str,
    },
    /// The run has no such task.
    #[error("the run has no task {}", .0.0)]
    UnknownTask(TaskIndex),
}

/// Applies `event` to `run`, an execution of `workflow`, and returns the effects in the order in
/// which they are to be seen to.
///
/// # Errors
///
/// When the event does not fit the state; the run is then unchanged.
pub fn step(
    run: &mut Run,
    workflow: &Workflow,
    event: RunEvent,
    now: Timestamp,
) -> Result<Vec<Effect>, Refused> {
    if run.status.is_final() {
        return Err(Refused::Ended(run.status));
    }
    let mut stepper = Stepper { run, workflow, now, effects: Vec::new() };
    match event {
        RunEvent::Created => stepper.created()?,
        RunEvent::SlotGranted { task, backlog } => stepper.slot_granted(task, backlog)?,
        RunEvent::StepEnded { task, lease, ran, result } => stepper.step_ended(task, lease, ran, result)?,
        RunEvent::WaitSettled { task, wait, outcome } => stepper.wait_settled(task, wait, outcome)?,
        RunEvent::RetryDue { task } => stepper.retry_due(task)?,
        RunEvent::ScheduleTimeout { task } => stepper.schedule_timeout(task)?,
        RunEvent::HostLost { task, crashed, alone } => stepper.host_lost(task, crashed, alone)?,
        RunEvent::Rejected { reason, error } => stepper.rejected(reason, &error),
        RunEvent::Cancel { reason } => stepper.cancel(reason),
    }
    Ok(stepper.effects)
}

/// What the tasks of a run amount to.
#[must_use]
pub fn status_of(tasks: &[TaskRun]) -> Status {
    let any = |status| tasks.iter().any(|task| task.status == status);
    let ready = |task: &TaskRun| task.queued_at.is_some() || task.retry_at.is_some();
    if tasks.iter().all(|task| task.status.is_final()) {
        match () {
            () if any(Status::Failed) => Status::Failed,
            () if any(Status::Cancelled) => Status::Cancelled,
            () => Status::Completed,
        }
    } else if any(Status::Running) {
        Status::Running
    } else if tasks.iter().any(ready) || !any(Status::Sleeping) {
        Status::Queued
    } else {
        Status::Sleeping
    }
}

struct Stepper<'a> {
    run: &'a mut Run,
    workflow: &'a Workflow,
    now: Timestamp,
    effects: Vec<Effect>,
}

/// The events, in the order of `RunEvent`.
impl Stepper<'_> {
    fn created(&mut self) -> Result<(), Refused> {
        if let Some(task) = self.run.tasks.iter().find(|task| task.attempt > 0) {
            return Err(Refused::WrongStatus { status: task.status, event: "created" });
        }
        if let Some(on_failure) = self.workflow.on_failure {
            self.end(on_failure, Status::Skipped, None);
        }
        self.start_ready_tasks();
        Ok(())
    }

    fn slot_granted(&mut self, index: TaskIndex, backlog: Vec<Settled>) -> Result<(), Refused> {
        let (now, timeout) = (self.now, self.policy(index)?.execution_timeout);
        let task = self.task(index)?;
        if task.queued_at.take().is_none() {
            return Err(Refused::WrongStatus { status: task.status, event: "slot granted" });
        }
        task.epoch += 1;
        task.started_at.get_or_insert(now);
        let from_backlog = backlog.len().min(task.backlog);
        task.backlog -= from_backlog;
        task.settled.extend(backlog.into_iter().take(from_backlog));
        let dispatch = Effect::Dispatch {
            task: index,
            lease: Lease { attempt: task.attempt, epoch: task.epoch },
            resume: task.has_snapshot.then(|| task.settled.clone()),
            time_left: timeout.saturating_sub(task.ran),
        };
        if from_backlog > 0 {
            self.effects.push(Effect::TakeFromBacklog { task: index, count: from_backlog });
        }
        self.clear_schedule_timeout(index);
        self.become_(index, Status::Running, None);
        self.effects.push(dispatch);
        Ok(())
    }

    fn step_ended(
        &mut self,
        index: TaskIndex,
        lease: Lease,
        ran: Duration,
        result: StepResult,
    ) -> Result<(), Refused> {
        let task = self.task(index)?;
        if task.status != Status::Running || lease != task.lease() {
            return Err(Refused::StaleLease);
        }
        self.effects.push(Effect::Release { task: index });
        let result = match result {
            StepResult::Held { reason, error, chance } => {
                self.held(index, reason, error, chance);
                return Ok(());
            }
            result => result,
        };
        self.let_go(index);
        let task = self.task(index)?;
        task.lost_hosts = 0;
        task.repeated = false;
        task.ran += ran;
        match result {
            StepResult::Held { .. } => {}
            StepResult::Completed { output } => self.completed(index, output),
            StepResult::Failed { reason, error, retryable, chance } => {
                self.failed(index, reason, error, retryable, chance);
            }
            StepResult::Suspended { waits, dropped, taken } => self.suspended(index, waits, dropped, taken),
            StepResult::Conflicted => self.conflicted(index),
        }
        Ok(())
    }

    fn wait_settled(&mut self, index: TaskIndex, wait: WaitId, outcome: WaitOutcome) -> Result<(), Refused> {
        let task = self.task(index)?;
        let Some(open_waits) = task.open_waits.checked_sub(1) else { return Ok(()) };
        task.open_waits = open_waits;
        let sleeping = task.status == Status::Sleeping;
        self.effects.push(Effect::CloseWait { task: index, wait });
        self.has_settled(index, Settled { id: wait, outcome });
        if sleeping {
            self.enqueue(index, None);
        }
        Ok(())
    }

    fn retry_due(&mut self, index: TaskIndex) -> Result<(), Refused> {
        if self.task(index)?.retry_at.is_some() {
            self.clear_retry(index);
            self.enqueue(index, None);
        }
        Ok(())
    }

    fn schedule_timeout(&mut self, index: TaskIndex) -> Result<(), Refused> {
        if self.task(index)?.schedule_deadline.is_some() {
            let error = TaskError::new("no slot became free within the schedule timeout of the task");
            self.give_up(index, Reason::ScheduleTimeout, error);
        }
        Ok(())
    }

    fn host_lost(&mut self, index: TaskIndex, crashed: bool, alone: bool) -> Result<(), Refused> {
        let task = self.task(index)?;
        if task.status != Status::Running {
            return Err(Refused::WrongStatus { status: task.status, event: "host lost" });
        }
        task.lost_hosts += u8::from(crashed && (alone || !task.is_suspect()));
        task.repeated = true;
        if task.lost_hosts < LOST_HOSTS_MAX {
            self.enqueue(index, Some(Reason::HostLost));
        } else {
            let alone = LOST_HOSTS_MAX - SUSPECT_AFTER;
            let error = format!(
                "{LOST_HOSTS_MAX} hosts in a row did not survive this step of the task, the last {alone} of which ran nothing else"
            );
            self.give_up(index, Reason::HostLost, TaskError::new(error));
        }
        Ok(())
    }

    fn rejected(&mut self, reason: Reason, error: &TaskError) {
        for index in self.unfinished() {
            self.stop_step(index);
            // An earlier one may have taken it along.
            if !self.run.tasks[usize::from(index.0)].status.is_final() {
                self.give_up(index, reason, error.clone());
            }
        }
    }

    fn cancel(&mut self, reason: Reason) {
        for index in self.unfinished() {
            self.stop_step(index);
            self.end_attempt(index);
            self.end(index, Status::Cancelled, Some(reason));
        }
    }
}

/// The results of a step.
impl Stepper<'_> {
    fn completed(&mut self, index: TaskIndex, output: crate::workflow::Json) {
        self.end_attempt(index);
        let task = &mut self.run.tasks[usize::from(index.0)];
        task.output = Some(Part::Here(output));
        self.set_error(index, None);
        self.effects.push(Effect::ApplyRequests { task: index });
        self.end(index, Status::Completed, None);
        self.start_ready_tasks();
    }

    fn failed(&mut self, index: TaskIndex, reason: Reason, error: TaskError, retryable: bool, chance: f64) {
        let policy = &self.workflow.tasks[usize::from(index.0)];
        let task = &self.run.tasks[usize::from(index.0)];
        if !retryable || task.attempt > policy.retries {
            return self.give_up(index, reason, error);
        }
        let at = self.now.after(policy.backoff.delay(task.attempt, chance));
        self.end_attempt(index);
        self.set_error(index, Some(error));
        let task = &mut self.run.tasks[usize::from(index.0)];
        task.attempt += 1;
        task.ran = Duration::ZERO;
        if at <= self.now {
            return self.enqueue(index, Some(reason));
        }
        task.retry_at = Some(at);
        self.effects.push(Effect::SetTimer { task: index, timer: TaskTimer::Retry, at });
        self.become_(index, Status::Queued, Some(reason));
    }

    /// Nothing of the task changes: it is tried again.
    fn held(&mut self, index: TaskIndex, reason: Reason, error: TaskError, chance: f64) {
        self.set_error(index, Some(error));
        let task = &mut self.run.tasks[usize::from(index.0)];
        if task.held == 0 {
            self.effects.push(Effect::Hold { task: index });
        }
        let most = HELD_MIN.saturating_mul(1 << task.held.min(16)).min(HELD_MAX);
        let at = self.now.after(most.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0)));
        task.held = task.held.saturating_add(1);
        task.retry_at = Some(at);
        self.effects.push(Effect::SetTimer { task: index, timer: TaskTimer::Retry, at });
        self.become_(index, Status::Queued, Some(reason));
    }

    fn let_go(&mut self, index: TaskIndex) {
        let task = &mut self.run.tasks[usize::from(index.0)];
        if std::mem::take(&mut task.held) > 0 {
            self.effects.push(Effect::LetGo { task: index });
            self.set_error(index, None);
        }
    }

    fn conflicted(&mut self, index: TaskIndex) {
        let task = &mut self.run.tasks[usize::from(index.0)];
        task.repeated = true;
        self.enqueue(index, None);
    }

    fn suspended(&mut self, index: TaskIndex, new: Vec<Wait>, dropped: Vec<Dropped>, taken: usize) {
        let task = &mut self.run.tasks[usize::from(index.0)];
        task.settled.drain(..taken.min(task.settled.len()));
        let mut told_or_next = BTreeSet::new();
        for wait in dropped {
            self.effects.extend(match wait {
                Dropped::Open(wait) => {
                    task.open_waits = task.open_waits.saturating_sub(1);
                    Some(Effect::CloseWait { task: index, wait })
                }
                Dropped::InBacklog(wait) => {
                    task.backlog = task.backlog.saturating_sub(1);
                    Some(Effect::DropFromBacklog { task: index, wait })
                }
                Dropped::Other(wait) => {
                    told_or_next.insert(wait);
                    None
                }
            });
        }
        task.settled.retain(|settled| !told_or_next.contains(&settled.id));
        if let Err(message) = check_waits(task, &new) {
            return self.give_up(index, Reason::InvalidResult, TaskError::new(message));
        }
        task.has_snapshot = true;
        self.effects.extend([Effect::ApplyRequests { task: index }, Effect::SaveSnapshot { task: index }]);
        for wait in new {
            if matches!(wait.condition, WaitCondition::Until(at) if at <= self.now) {
                self.has_settled(index, Settled { id: wait.id, outcome: WaitOutcome::Elapsed });
            } else {
                self.run.tasks[usize::from(index.0)].open_waits += 1;
                self.effects.push(Effect::OpenWait { task: index, wait });
            }
        }
        if self.run.tasks[usize::from(index.0)].has_news() {
            self.enqueue(index, None);
        } else {
            self.become_(index, Status::Sleeping, None);
        }
    }
}

/// Whether a task may go to sleep with these waits besides those that it has.
fn check_waits(task: &TaskRun, new: &[Wait]) -> Result<(), String> {
    let count = task.open_waits + task.settled.len() + task.backlog + new.len();
    // A task that opens nothing has no more than it had, which an older host may have allowed.
    if count > OPEN_WAITS_MAX && !new.is_empty() {
        return Err(format!(
            "the task has {count} waits that are open or that it has not been told of; at most {OPEN_WAITS_MAX} are allowed"
        ));
    }
    if count == 0 {
        return Err("the task suspended without an open wait: nothing would ever wake it".to_owned());
    }
    let settled = task.settled.iter().map(|settled| settled.id);
    let mut ids: Vec<WaitId> = settled.chain(new.iter().map(|wait| wait.id)).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(same_id(pair[0])),
        None => Ok(()),
    }
}

/// What is wrong with a task that opens a wait under the id of one that it has.
#[must_use]
pub fn same_id(wait: WaitId) -> String {
    format!("the task has two waits with the id {}", wait.0)
}

/// What the events have in common.
impl Stepper<'_> {
    fn task(&mut self, index: TaskIndex) -> Result<&mut TaskRun, Refused> {
        self.run.tasks.get_mut(usize::from(index.0)).ok_or(Refused::UnknownTask(index))
    }

    fn policy(&self, index: TaskIndex) -> Result<&Task, Refused> {
        self.workflow.task(index).ok_or(Refused::UnknownTask(index))
    }

    fn unfinished(&self) -> Vec<TaskIndex> {
        let unfinished = |(_, task): &(u8, &TaskRun)| !task.status.is_final();
        (0..).zip(&self.run.tasks).filter(unfinished).map(|(index, _)| TaskIndex(index)).collect()
    }

    /// Starts the first attempt of every task whose parents have completed.
    fn start_ready_tasks(&mut self) {
        for index in self.unfinished() {
            let policy = &self.workflow.tasks[usize::from(index.0)];
            let completed =
                |parent: &TaskIndex| self.run.tasks[usize::from(parent.0)].status == Status::Completed;
            let untouched = self.run.tasks[usize::from(index.0)].attempt == 0;
            if untouched && policy.parents.iter().all(completed) {
                self.run.tasks[usize::from(index.0)].attempt = 1;
                if let Some(timeout) = policy.schedule_timeout {
                    let at = self.now.after(timeout);
                    self.run.tasks[usize::from(index.0)].schedule_deadline = Some(at);
                    self.effects.push(Effect::SetTimer {
                        task: index,
                        timer: TaskTimer::ScheduleTimeout,
                        at,
                    });
                }
                self.enqueue(index, None);
            }
        }
    }

    fn enqueue(&mut self, index: TaskIndex, reason: Option<Reason>) {
        self.run.tasks[usize::from(index.0)].queued_at = Some(self.now);
        self.become_(index, Status::Queued, reason);
        self.effects.push(Effect::Enqueue { task: index });
    }

    /// Takes note of a wait that has settled: the task is told of it with the next step, or when those
    /// before it have been.
    fn has_settled(&mut self, index: TaskIndex, settled: Settled) {
        let task = &mut self.run.tasks[usize::from(index.0)];
        if task.settled.len() < SETTLED_MAX && task.backlog == 0 {
            task.settled.push(settled);
        } else {
            let number = task.backlog_next;
            task.backlog += 1;
            task.backlog_next += 1;
            self.effects.push(Effect::PutInBacklog { task: index, number, settled });
        }
    }

    /// Ends the task run as failed, whatever attempts it has left.
    fn give_up(&mut self, index: TaskIndex, reason: Reason, error: TaskError) {
        self.end_attempt(index);
        self.set_error(index, Some(error));
        self.end(index, Status::Failed, Some(reason));
    }

    fn set_error(&mut self, index: TaskIndex, error: Option<TaskError>) {
        let task = &mut self.run.tasks[usize::from(index.0)];
        let before = std::mem::replace(&mut task.error, error.map(Part::Here));
        if before == Some(Part::Elsewhere) {
            self.effects.push(Effect::DropError { task: index });
        }
    }

    fn stop_step(&mut self, index: TaskIndex) {
        let task = &self.run.tasks[usize::from(index.0)];
        if task.status == Status::Running {
            let lease = task.lease();
            self.effects.extend([Effect::Kill { task: index, lease }, Effect::Release { task: index }]);
        }
    }

    /// Takes back all that the current attempt has pending.
    fn end_attempt(&mut self, index: TaskIndex) {
        self.clear_schedule_timeout(index);
        self.clear_retry(index);
        self.let_go(index);
        let task = &mut self.run.tasks[usize::from(index.0)];
        if task.queued_at.take().is_some() {
            self.effects.push(Effect::Dequeue { task: index });
        }
        task.settled.clear();
        task.backlog_next = 0;
        if std::mem::take(&mut task.has_snapshot) {
            self.effects.push(Effect::DropSnapshot { task: index });
        }
        if task.open_waits + task.backlog > 0 {
            (task.open_waits, task.backlog) = (0, 0);
            self.effects.push(Effect::CloseWaits { task: index });
        }
    }

    fn clear_schedule_timeout(&mut self, index: TaskIndex) {
        if let Some(at) = self.run.tasks[usize::from(index.0)].schedule_deadline.take() {
            self.effects.push(Effect::ClearTimer { task: index, timer: TaskTimer::ScheduleTimeout, at });
        }
    }

    fn clear_retry(&mut self, index: TaskIndex) {
        if let Some(at) = self.run.tasks[usize::from(index.0)].retry_at.take() {
            self.effects.push(Effect::ClearTimer { task: index, timer: TaskTimer::Retry, at });
        }
    }

    /// Gives the task run its last status, skips those that depend on it, and ends the run when
    /// nothing is left to do.
    fn end(&mut self, index: TaskIndex, status: Status, reason: Option<Reason>) {
        self.run.tasks[usize::from(index.0)].finished_at = Some(self.now);
        self.become_(index, status, reason);
        if matches!(status, Status::Failed | Status::Skipped) && self.workflow.on_failure != Some(index) {
            let depends =
                |task: &TaskIndex| self.workflow.tasks[usize::from(task.0)].parents.contains(&index);
            // Looked up anew each time: one may take others along.
            while let Some(dependent) = self.unfinished().into_iter().find(depends) {
                self.end(dependent, Status::Skipped, Some(Reason::ParentTask));
            }
        }
    }

    /// Changes the status of a task and of the run with it, and records both.
    fn become_(&mut self, index: TaskIndex, status: Status, reason: Option<Reason>) {
        let task = &mut self.run.tasks[usize::from(index.0)];
        let ended = self.run.status.is_final();
        task.status = status;
        task.reason = reason;
        let attempt = task.attempt;
        self.run.status = status_of(&self.run.tasks);
        if status == Status::Running {
            self.run.started_at.get_or_insert(self.now);
        }
        let (at, task, run) = (self.now, index, self.run.status);
        self.effects.push(Effect::Record(Transition { at, task, attempt, status, reason, run }));
        if run.is_final() && !ended {
            self.run.finished_at = Some(self.now);
            self.run.reason =
                self.run.tasks.iter().find(|task| task.status == run).and_then(|task| task.reason);
            self.effects.push(Effect::Finished);
        }
    }
}

impl TaskRun {
    /// Whether waits have settled that the guest has not been told of.
    fn has_news(&self) -> bool {
        !self.settled.is_empty() || self.backlog > 0
    }
}

#[cfg(test)]
mod tests;
