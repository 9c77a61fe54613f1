//! The single writer: a thread that gathers commands, works them off in one transaction, and
//! answers and acts once that is durable. While one commit syncs, the next batch gathers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use dormouse_core::id::{RunId, TaskIndex, WaitId};
use dormouse_core::run::{Lease, RunEvent, RunSpec, StepResult};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{WaitCondition, WaitOutcome};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::Shared;
use super::batch::{After, Batch, Halt, StepPayload};
use super::catalog::Catalog;
use super::command::Command;
use super::metrics::QueueState;
use super::queue::{ReadyQueue, TaskKey};
use super::retention::Retention;
use crate::runtime::{GuestLine, StepEnd, StepOutcome};
use crate::store::rows::{JournalEntry, LogLine, Timer};
use crate::store::{Read, StoreError};

/// Most commands in one transaction: beyond this, batches gain nothing and answers wait.
const COMMANDS_PER_BATCH_MAX: usize = 1024;

/// Most timers that one transaction works off, so that a flood of them does not hold up calls.
const TIMERS_PER_BATCH_MAX: usize = 512;

/// Fewest, if so many are due: some of them wake nobody, and none waits for ever.
const TIMERS_PER_BATCH_MIN: usize = 4;

/// How long to wait for a command when timers are due and every slot is taken: a flood of them that
/// went into the queue would stand there before whatever comes later.
const PACE: Duration = Duration::from_millis(2);

/// What the writer keeps in memory. All of it can be rebuilt from the store.
pub(super) struct Memory {
    pub(super) queue: ReadyQueue,
    pub(super) catalog: Catalog,
    /// Of the runs that have running steps, with the number of these.
    specs: HashMap<RunId, (Arc<RunSpec>, usize)>,
    /// Steps under way; the handle is there once the step has started.
    running: HashMap<TaskKey, Option<AbortHandle>>,
    slots: usize,
    /// Those who want to know when nothing is left to do.
    pub(super) idlers: Vec<oneshot::Sender<Option<Timestamp>>>,
}

impl Memory {
    pub(super) fn new(catalog: Catalog, slots: usize) -> Self {
        Self {
            queue: ReadyQueue::default(),
            catalog,
            specs: HashMap::new(),
            running: HashMap::new(),
            slots,
            idlers: Vec::new(),
        }
    }

    /// Steps that could start now.
    pub(super) fn free_slots(&self) -> usize {
        self.slots.saturating_sub(self.running.len())
    }

    /// Gives up all slots for good and returns who had one.
    fn close(&mut self) -> Vec<(TaskKey, Option<AbortHandle>)> {
        self.slots = 0;
        self.specs.clear();
        self.running.drain().collect()
    }

    fn queue_state(&self) -> QueueState {
        let (depth, oldest) = self.queue.waiting();
        QueueState { depth, oldest, running: self.running.len() }
    }

    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.queue.is_empty()
    }

    pub(super) fn occupy(&mut self, key: TaskKey, spec: &Arc<RunSpec>) {
        if self.running.insert(key, None).is_none() {
            self.specs.entry(key.0).or_insert_with(|| (Arc::clone(spec), 0)).1 += 1;
        }
    }

    pub(super) fn release(&mut self, key: TaskKey) {
        if self.running.remove(&key).is_some()
            && let Entry::Occupied(mut spec) = self.specs.entry(key.0)
        {
            spec.get_mut().1 -= 1;
            if spec.get().1 == 0 {
                spec.remove();
            }
        }
    }

    pub(super) fn spec(&self, run: RunId) -> Option<&Arc<RunSpec>> {
        self.specs.get(&run).map(|(spec, _)| spec)
    }

    pub(super) fn abort_handle(&self, key: TaskKey) -> Option<AbortHandle> {
        self.running.get(&key)?.clone()
    }
}

/// The writer and what it works with.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) memory: Memory,
    pub(super) commands: Receiver<Command>,
    /// Of the first timer, as of the last commit.
    pub(super) next_timer: Option<Timestamp>,
    /// `None` when everything is kept for ever.
    pub(super) retention: Option<Retention>,
}

impl Writer {
    /// Does what waited for the recovery.
    pub(super) fn begin(&mut self, recovered: After) {
        self.act(recovered);
    }

    /// Works until it is told to stop or the store fails.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        loop {
            let commands = self.gather();
            let stop = commands.iter().any(|command| matches!(command, Command::Stop));
            let after = self.commit(commands)?;
            self.act(after);
            if stop {
                return Ok(());
            }
            self.sweep()?;
            self.tell_idlers();
        }
    }

    /// Waits for a command or the first timer, whichever comes first, and takes what there is.
    fn gather(&mut self) -> Vec<Command> {
        let next = self.next_timer.into_iter().chain(self.next_sweep()).min();
        let is_due = next.is_some_and(|at| at <= self.shared.clock.now());
        let wait = next.map(|at| self.shared.clock.wait_until(at));
        let first = match wait.flatten() {
            _ if is_due && self.memory.free_slots() == 0 => self.commands.recv_timeout(PACE),
            _ if is_due => return self.take(Vec::new()),
            Some(timeout) => self.commands.recv_timeout(timeout),
            None => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match first {
            Ok(command) => self.take(vec![command]),
            Err(RecvTimeoutError::Timeout) => self.take(Vec::new()),
            // Every sender is gone: nobody is left to work for.
            Err(RecvTimeoutError::Disconnected) => vec![Command::Stop],
        }
    }

    fn take(&self, mut commands: Vec<Command>) -> Vec<Command> {
        let room = COMMANDS_PER_BATCH_MAX - commands.len();
        commands.extend(self.commands.try_iter().take(room));
        commands
    }

    fn commit(&mut self, commands: Vec<Command>) -> Result<After, StoreError> {
        let Self { shared, memory, .. } = self;
        let (now, begun, count) = (shared.clock.now(), Instant::now(), commands.len());
        let after = shared.store.transact(|tx| {
            let mut batch = Batch::new(tx, now, shared, memory);
            for command in commands {
                batch.handle(command)?;
                batch.settle()?;
            }
            batch.ring_timers()?;
            batch.finish()
        });
        shared.metrics.committed(begun.elapsed(), count);
        after
    }

    /// Does what waited for the commit.
    fn act(&mut self, after: After) {
        if after.catalog_changed {
            let catalog = Arc::new(self.memory.catalog.clone());
            *self.shared.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        }
        *self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner) = self.memory.queue_state();
        after.answers.into_iter().for_each(|answer| answer());
        after.forgotten.into_iter().for_each(|digest| self.shared.runtime.forget(digest));
        after.kills.iter().for_each(AbortHandle::abort);
        for start in after.starts {
            let key = start.key();
            let abort = start.spawn(&self.shared);
            if let Some(running) = self.memory.running.get_mut(&key) {
                *running = Some(abort);
            }
        }
        self.shared.watchers.tell(&after.touched);
        self.next_timer = after.next_timer;
    }

    /// Deletes some of what is due to go, in a transaction of its own.
    fn sweep(&mut self) -> Result<(), StoreError> {
        let now = self.shared.clock.now();
        match &mut self.retention {
            Some(retention) if retention.next() <= now => {
                let (_, waiting_since) = self.memory.queue.waiting();
                self.shared.store.transact(|tx| retention.sweep(tx, now, waiting_since))
            }
            _ => Ok(()),
        }
    }

    fn next_sweep(&self) -> Option<Timestamp> {
        self.retention.as_ref().map(Retention::next)
    }

    fn tell_idlers(&mut self) {
        let now = self.shared.clock.now();
        let quiet = |at: Option<Timestamp>| at.is_none_or(|at| at > now);
        if self.memory.is_idle() && quiet(self.next_timer) && quiet(self.next_sweep()) {
            // One that has given up needs no answer.
            self.memory.idlers.drain(..).for_each(|reply| {
                let _ = reply.send(self.next_timer);
            });
        }
    }
}

impl Batch<'_, '_> {
    fn handle(&mut self, command: Command) -> Result<(), StoreError> {
        match command {
            Command::Deploy { inspection, bytes, reply } => {
                let outcome = self.deploy(*inspection, &bytes);
                self.answer(reply, outcome)
            }
            Command::DeleteModule { digest, reply } => {
                let outcome = self.delete_module(digest);
                self.answer(reply, outcome)
            }
            Command::ChangeWorkflow { workflow, change, reply } => {
                let outcome = self.change_workflow(&workflow, change);
                self.answer(reply, outcome)
            }
            Command::DeleteWorkflow { workflow, reply } => {
                let outcome = self.delete_workflow(&workflow);
                self.answer(reply, outcome)
            }
            Command::StartRun { target, request, reply } => {
                let outcome = self.start_run(target, request);
                self.answer(reply, outcome)
            }
            Command::StartRuns { target, requests, reply } => {
                let outcome = self.each(requests, |batch, request| batch.start_run(target.clone(), request));
                self.answer(reply, outcome)
            }
            Command::CancelRuns { ids, reply } => {
                let outcome = self.each(ids, Self::cancel_run);
                self.answer(reply, outcome)
            }
            Command::ReplayRuns { requests, reply } => {
                let outcome = self.each(requests, |batch, (id, input)| batch.replay_run(id, input));
                self.answer(reply, outcome)
            }
            Command::PutCron { workflow, name, change, reply } => {
                let outcome = self.put_cron(workflow, name, change);
                self.answer(reply, outcome)
            }
            Command::ChangeCron { id, change, reply } => {
                let outcome = self.change_cron(id, change);
                self.answer(reply, outcome)
            }
            Command::DeleteCron { id, reply } => {
                let outcome = self.delete_cron(id);
                self.answer(reply, outcome)
            }
            Command::TriggerCron { id, reply } => {
                let outcome = self.trigger_cron(id);
                self.answer(reply, outcome)
            }
            Command::ScheduleRun { workflow, request, reply } => {
                let outcome = self.schedule_run(workflow, request);
                self.answer(reply, outcome)
            }
            Command::ChangeScheduled { changes, reply } => {
                let outcome = self.each(changes, |batch, (id, change)| batch.change_scheduled(id, change));
                self.answer(reply, outcome)
            }
            Command::CancelScheduled { ids, reply } => {
                let outcome = self.each(ids, Self::cancel_scheduled);
                self.answer(reply, outcome)
            }
            Command::TriggerScheduled { id, reply } => {
                let outcome = self.trigger_scheduled(id);
                self.answer(reply, outcome)
            }
            Command::PushEvents { requests, reply } => {
                let outcome = self.each(requests, Self::push_event);
                self.answer(reply, outcome)
            }
            Command::StepEnded { run, task, lease, end } => self.step_ended((run, task), lease, *end),
            Command::Log { run, task, attempt, repeated, lines } => {
                self.log((run, task), attempt, repeated, lines)
            }
            Command::AwaitIdle { reply } => {
                self.memory.idlers.push(reply);
                Ok(())
            }
            Command::ClockJumped => Ok(()),
            Command::Stop => self.give_steps_back(),
        }
    }

    fn step_ended(&mut self, (run, task): TaskKey, lease: Lease, end: StepEnd) -> Result<(), StoreError> {
        let StepEnd { ran, outcome, requests } = end;
        self.shared.metrics.step_ended(ran);
        if self.conflicts(&requests)? {
            let event = RunEvent::StepEnded { task, lease, ran, result: StepResult::Conflicted };
            return self.apply(run, event, StepPayload::default());
        }
        let mut payload = StepPayload { requests, snapshot: Vec::new() };
        let result = match outcome {
            StepOutcome::Completed { output } => StepResult::Completed { output },
            StepOutcome::Failed { reason, error, retryable } => {
                StepResult::Failed { reason, error, retryable, chance: self.shared.clock.chance() }
            }
            StepOutcome::Suspended { waits, dropped, snapshot } => {
                self.shared.metrics.snapshot_taken(snapshot.len());
                payload.snapshot = snapshot;
                StepResult::Suspended { waits, dropped }
            }
        };
        self.apply(run, RunEvent::StepEnded { task, lease, ran, result }, payload)
    }

    fn log(
        &mut self,
        (run, task): TaskKey,
        attempt: u32,
        repeated: bool,
        lines: Vec<GuestLine>,
    ) -> Result<(), StoreError> {
        for GuestLine { at, level, message } in lines {
            let line = LogLine { at, task, attempt, level, repeated, message };
            self.tx.append_journal(run, &JournalEntry::Log(line))?;
        }
        self.after.touched.push(run);
        Ok(())
    }

    /// Stops every running step; the next host repeats it. No slot is granted any more.
    fn give_steps_back(&mut self) -> Result<(), StoreError> {
        for (key, abort) in self.memory.close() {
            self.after.kills.extend(abort);
            let (run, task) = key;
            self.apply(run, RunEvent::HostLost { task, crashed: false }, StepPayload::default())?;
        }
        Ok(())
    }

    /// Works off the timers that are due, in order of their times.
    fn ring_timers(&mut self) -> Result<(), StoreError> {
        // Those who could not run yet stay where they are, in order: to queue them first would write
        // each of them twice, and hold up those who come later.
        self.grant_slots()?;
        let most = self.memory.free_slots().clamp(TIMERS_PER_BATCH_MIN, TIMERS_PER_BATCH_MAX);
        let due = self.tx.due_timers(self.now, most)?;
        for (at, timer) in due {
            self.tx.delete_timer(at, timer)?;
            self.shared.metrics.timer_rang(self.now.since(at));
            match timer {
                Timer::Wait { run, task, wait } => {
                    if let Some(outcome) = self.due_outcome(run, task, wait)? {
                        let settled = RunEvent::WaitSettled { task, wait, outcome };
                        self.apply(run, settled, StepPayload::default())?;
                    }
                }
                Timer::Task { run, task, timer } => {
                    let event = match timer {
                        dormouse_core::run::TaskTimer::Retry => RunEvent::RetryDue { task },
                        dormouse_core::run::TaskTimer::ScheduleTimeout => RunEvent::ScheduleTimeout { task },
                    };
                    self.apply(run, event, StepPayload::default())?;
                }
                Timer::Cron(id) => self.ring_cron(id, at)?,
                Timer::Scheduled(id) => self.ring_scheduled(id)?,
            }
            self.settle()?;
        }
        Ok(())
    }

    /// What settles an open wait whose timer rings.
    fn due_outcome(
        &mut self,
        run: RunId,
        task: TaskIndex,
        wait: WaitId,
    ) -> Result<Option<WaitOutcome>, StoreError> {
        let Some((_, state)) = self.run(run)? else { return Ok(None) };
        let open = state.task(task).and_then(|task| task.waits.iter().find(|open| open.id == wait));
        let key_pattern = match open.map(|open| &open.condition) {
            Some(WaitCondition::Until(_)) => return Ok(Some(WaitOutcome::Elapsed)),
            Some(WaitCondition::Event { key_pattern, .. }) => key_pattern.clone(),
            Some(WaitCondition::Run(_)) | None => return Ok(None),
        };
        let row = self.tx.event_wait(&key_pattern, run, task, wait)?;
        Ok(row.and_then(|row| row.settled_by).map(|(event, _)| WaitOutcome::Event(event)))
    }
}

/// Shorthand for handlers of commands.
pub(crate) type Handled<T> = Result<T, Halt>;
