//! What each effect of the core means for rows, for the queue and for running steps.

use std::sync::Arc;

use dormouse_core::id::{RunId, TaskIndex};
use dormouse_core::run::{Effect, Lease, Reason, Run, RunEvent, RunSpec, Status, TaskError, Trigger};
use dormouse_core::wait::{Wait, WaitCondition, WaitOutcome};
use dormouse_core::workflow::Workflow;

use super::batch::{Batch, NewRun, StepPayload};
use super::steps::Start;
use crate::runtime::{Requests, Spawn};
use crate::store::rows::{EventWaitRow, IdempotencyRow, IdempotencyScope, JournalEntry, RunWaitRow, Timer};
use crate::store::{Read, StoreError};

/// Sees to the effects of one step of the core.
pub(super) struct Performer<'b, 'a, 'tx> {
    pub(super) batch: &'b mut Batch<'a, 'tx>,
    pub(super) spec: &'b Arc<RunSpec>,
    pub(super) run: &'b Run,
    pub(super) workflow: &'b Workflow,
}

impl Performer<'_, '_, '_> {
    pub(super) fn perform(&mut self, effect: Effect, payload: &mut StepPayload) -> Result<(), StoreError> {
        let id = self.spec.id;
        match effect {
            Effect::Enqueue { task } => {
                let now = self.batch.now;
                self.batch.memory.queue.push((id, task), &self.spec.workflow, self.spec.priority, now);
            }
            Effect::Dequeue { task } => self.batch.memory.queue.remove((id, task)),
            Effect::Dispatch { task, lease, resume, time_left } => {
                let start = Start::prepare(self, task, lease, resume, time_left)?;
                self.batch.memory.occupy((id, task), self.spec);
                self.batch.after.starts.push(start);
            }
            Effect::Kill { task, lease } => self.kill(task, lease),
            Effect::Release { task } => self.batch.memory.release((id, task)),
            Effect::OpenWait { task, wait } => self.open_wait(task, wait)?,
            Effect::CloseWait { task, wait } => self.close_wait(task, wait)?,
            Effect::SetTimer { task, timer, at } => {
                self.batch.tx.put_timer(at, Timer::Task { run: id, task, timer })?;
            }
            Effect::ClearTimer { task, timer, at } => {
                self.batch.tx.delete_timer(at, Timer::Task { run: id, task, timer })?;
            }
            Effect::SaveSnapshot { task } => self.batch.tx.put_snapshot(id, task, &payload.snapshot)?,
            Effect::DropSnapshot { task } => drop(self.batch.tx.delete_snapshot(id, task)?),
            Effect::ApplyRequests { task } => {
                self.apply_requests(task, std::mem::take(&mut payload.requests))?
            }
            Effect::Record(transition) => {
                self.batch.tx.append_journal(id, &JournalEntry::Transition(transition))?;
            }
            Effect::Finished => self.finished()?,
        }
        Ok(())
    }

    fn kill(&mut self, task: TaskIndex, lease: Lease) {
        // A step that was to start in this very batch has no handle yet; it is not started.
        self.batch.after.starts.retain(|start| !start.is(self.spec.id, task, lease));
        self.batch.after.kills.extend(self.batch.memory.abort_handle((self.spec.id, task)));
    }

    fn open_wait(&mut self, task: TaskIndex, wait: Wait) -> Result<(), StoreError> {
        let (run, id) = (self.spec.id, wait.id);
        match wait.condition {
            WaitCondition::Until(at) => self.batch.tx.put_timer(at, Timer::Wait { run, task, wait: id }),
            WaitCondition::Event { key_pattern, filter, look_back } => {
                let row = EventWaitRow { key_pattern, run, task, wait: id, filter, settled_by: None };
                if let Some(look_back) = look_back
                    && let Some(event) = self.batch.latest_event(&row, look_back)?
                {
                    let outcome = WaitOutcome::Event(event);
                    self.batch.follow_up(run, RunEvent::WaitSettled { task, wait: id, outcome });
                }
                self.batch.tx.put_event_wait(&row)
            }
            WaitCondition::Run(awaited) => {
                // A run that is not there settles the wait as well; the guest is told so.
                if self.batch.status(awaited)?.is_none_or(Status::is_final) {
                    let outcome = WaitOutcome::Run(awaited);
                    self.batch.follow_up(run, RunEvent::WaitSettled { task, wait: id, outcome });
                }
                self.batch.tx.put_run_wait(RunWaitRow { awaited, run, task, wait: id })
            }
        }
    }

    fn close_wait(&mut self, task: TaskIndex, wait: Wait) -> Result<(), StoreError> {
        let (run, id) = (self.spec.id, wait.id);
        match wait.condition {
            WaitCondition::Until(at) => {
                self.batch.tx.delete_timer(at, Timer::Wait { run, task, wait: id })?
            }
            WaitCondition::Event { key_pattern, .. } => {
                let Some(row) = self.batch.tx.event_wait(&key_pattern, run, task, id)? else { return Ok(()) };
                if let Some((_, at)) = row.settled_by {
                    self.batch.tx.delete_timer(at, Timer::Wait { run, task, wait: id })?;
                }
                self.batch.tx.delete_event_wait(&row)?
            }
            WaitCondition::Run(awaited) => {
                self.batch.tx.delete_run_wait(RunWaitRow { awaited, run, task, wait: id })?
            }
        };
        Ok(())
    }

    /// Lets everything that a step asked for take effect, together with its result.
    fn apply_requests(&mut self, task: TaskIndex, requests: Requests) -> Result<(), StoreError> {
        let at = self.batch.now;
        for text in requests.chunks {
            self.batch.tx.append_journal(self.spec.id, &JournalEntry::Chunk { at, task, text })?;
        }
        for spawn in requests.spawns {
            self.spawn(spawn)?;
        }
        for push in requests.events {
            self.batch.take_in_event(push)?;
        }
        for schedule in requests.schedules {
            self.batch.schedule_from_task(schedule, self.spec.id)?;
        }
        Ok(())
    }

    /// Creates a child, of the version that is current by now.
    fn spawn(&mut self, mut spawn: Spawn) -> Result<(), StoreError> {
        let now = self.batch.now;
        let rejected = match self.batch.catalog().workflow(&spawn.target.workflow).cloned() {
            Some(entry) if entry.target == spawn.target => None,
            Some(entry) => {
                spawn.target = entry.target.clone();
                self.batch.check_input(&spawn.target, &spawn.input)
            }
            None => {
                let name = &spawn.target.workflow;
                let error = format!("`{name}` was deleted before the run could begin");
                Some((Reason::WorkflowDeleted, TaskError::new(error)))
            }
        };
        if let Some((key, ttl)) = &spawn.idempotency {
            let row = IdempotencyRow { id: spawn.id.to_bytes(), expires_at: now.after(*ttl) };
            self.batch.tx.put_idempotency(IdempotencyScope::Runs(&spawn.target.workflow), key, &row)?;
        }
        let parent = self.spec.id;
        let spec = self.batch.spec_of(&spawn, parent);
        self.batch.create_run(NewRun { spec, rejected })
    }

    /// Tells those who wait for the run, and ends its children with it when it was cancelled.
    fn finished(&mut self) -> Result<(), StoreError> {
        let id = self.spec.id;
        self.batch.shared.metrics.run_ended(self.run.status);
        self.batch.leave_limits(id)?;
        for wait in self.batch.tx.run_waits(id)? {
            let outcome = WaitOutcome::Run(id);
            let settled = RunEvent::WaitSettled { task: wait.task, wait: wait.wait, outcome };
            self.batch.follow_up(wait.run, settled);
        }
        if self.run.status == Status::Cancelled {
            self.cancel_children(id)?;
        }
        if let Trigger::Cron { id: cron, .. } = self.spec.trigger {
            self.batch.cron_run_finished(cron, id)?;
        }
        Ok(())
    }

    fn cancel_children(&mut self, parent: RunId) -> Result<(), StoreError> {
        for child in self.batch.children(parent)? {
            let attached = self.batch.run(child)?.is_some_and(|(spec, _)| !spec.detached);
            if attached {
                self.batch.follow_up(child, RunEvent::Cancel { reason: Reason::ParentCancelled });
            }
        }
        Ok(())
    }
}

impl Batch<'_, '_> {
    /// Whether a step spawned runs under idempotency keys that others have taken since it looked.
    pub(super) fn conflicts(&self, requests: &Requests) -> Result<bool, StoreError> {
        for spawn in &requests.spawns {
            if let Some((key, _)) = &spawn.idempotency
                && let Some(row) = self.tx.idempotency(IdempotencyScope::Runs(&spawn.target.workflow), key)?
                && row.expires_at > self.now
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn spec_of(&self, spawn: &Spawn, parent: RunId) -> RunSpec {
        let entry = self.memory.catalog.definition(&spawn.target.workflow, spawn.target.version);
        RunSpec {
            id: spawn.id,
            workflow: spawn.target.workflow.clone(),
            version: spawn.target.version,
            module: spawn.target.module,
            input: spawn.input.clone(),
            metadata: spawn.metadata.clone(),
            priority: spawn.priority.or(entry.map(|workflow| workflow.default_priority)).unwrap_or_default(),
            trigger: Trigger::Parent(parent),
            parent: Some(parent),
            detached: spawn.detached,
            created_at: self.now,
        }
    }
}
