//! What each effect of the core means for rows, for the queue and for running steps.

use std::sync::Arc;

use dormouse_core::id::{RunId, TaskIndex};
use dormouse_core::run::{Effect, Lease, Run, RunEvent, RunSpec, Status, TaskRun, Trigger};
use dormouse_core::wait::{Wait, WaitCondition, WaitOutcome};
use dormouse_core::workflow::Workflow;

use super::shard::{Shard, StepPayload};
use super::steps::Start;
use crate::store::rows::{EventWaitRow, JournalEntry, RunWaitRow, Timer, WaitKey, WaitRow};
use crate::store::{Read, StoreError};

impl Shard {
    /// Sees to an effect of one step of the core.
    pub(super) fn perform(
        &mut self,
        spec: &Arc<RunSpec>,
        run: &Run,
        workflow: &Workflow,
        effect: Effect,
        payload: &mut StepPayload,
    ) -> Result<(), StoreError> {
        let id = spec.id;
        match effect {
            // It comes into the queue when they have taken effect.
            Effect::Enqueue { task } if self.open.has((id, task)) => {}
            // Only as the host starts: one that was held since then takes its turn beside others.
            Effect::Enqueue { task }
                if self.is_recovering && run.task(task).is_some_and(TaskRun::is_suspect) =>
            {
                self.suspects.push((id, task));
            }
            Effect::Enqueue { task } => {
                let line = (&spec.workflow, spec.trigger.kind());
                self.queue.push((id, task), line, spec.priority, self.now);
            }
            Effect::Dequeue { task } => {
                self.queue.remove((id, task));
                self.suspects.retain(|suspect| *suspect != (id, task));
            }
            Effect::Dispatch { task, lease, resume, time_left } => {
                let start = Start::prepare(self, (spec, run, workflow), task, lease, resume, time_left)?;
                self.begin_step((id, task), start);
            }
            Effect::Kill { task, lease } => self.kill(id, task, lease),
            // Its open requests keep the slot.
            Effect::Release { task } if self.open.has((id, task)) => {}
            Effect::Release { task } => self.node.release((id, task)),
            Effect::OpenWait { task, wait } => self.open_wait(id, task, wait)?,
            Effect::CloseWait { task, wait } => self.close_wait((id, task, wait), payload.settling.take())?,
            Effect::CloseWaits { task } => {
                for (wait, condition) in self.rows.delete_waits(id, task)? {
                    self.cannot_settle(wait, condition)?;
                }
            }
            Effect::PutInBacklog { task, number, settled } => {
                self.rows.put_in_backlog((id, task), number, settled)?;
            }
            Effect::TakeFromBacklog { task, count } => self.rows.take_from_backlog(id, task, count)?,
            Effect::DropFromBacklog { task, wait } => {
                if let Some(WaitRow::InBacklog(number)) = self.rows.wait((id, task, wait))? {
                    self.rows.delete_from_backlog((id, task, wait), number);
                }
            }
            Effect::SetTimer { task, timer, at } => {
                self.rows.put_timer(at, Timer::Task { run: id, task, timer })?;
            }
            Effect::ClearTimer { task, timer, at } => {
                self.rows.delete_timer(at, Timer::Task { run: id, task, timer });
            }
            Effect::SaveSnapshot { task } => self.rows.put_snapshot(id, task, &payload.snapshot)?,
            Effect::DropSnapshot { task } => drop(self.rows.delete_snapshot(id, task)?),
            Effect::DropError { task } => self.rows.delete_task_error(id, task),
            Effect::Hold { task } => self.hold(spec, run, task)?,
            Effect::LetGo { task } => {
                self.rows.delete_held_task(id, task);
                self.held = self.held.saturating_sub(1);
                self.shared.metrics.held_tasks(self.held);
            }
            Effect::ApplyRequests { task } => {
                let requests = std::mem::take(&mut payload.requests);
                self.apply_requests((id, task), requests, std::mem::take(&mut payload.matched))?;
            }
            Effect::Record(transition) => {
                self.rows.append_journal(id, JournalEntry::Transition(transition))?;
            }
            Effect::Finished => self.finished(spec, run)?,
        }
        Ok(())
    }

    fn kill(&mut self, run: RunId, task: TaskIndex, lease: Lease) {
        // A step that was to start with this very commit is not started.
        self.post_commit.starts.retain(|(start, _)| !start.is(run, task, lease));
        self.post_commit.kills.extend(self.node.handle((run, task)));
    }

    fn hold(&mut self, spec: &RunSpec, run: &Run, task: TaskIndex) -> Result<(), StoreError> {
        self.rows.put_held_task(spec.id, task)?;
        if self.held == 0 {
            self.warned_of.clear();
        }
        self.held += 1;
        self.shared.metrics.held_tasks(self.held);
        let error = run.task(task).and_then(|task| task.error.as_ref()?.here());
        let error = error.map_or("", |error| error.message.as_str());
        // Whoever has many tasks of one module reads it once.
        match self.warned_of.insert(spec.module) {
            true => tracing::error!(run.id = %spec.id, workflow = %spec.workflow, "a task is held: {error}"),
            false => tracing::debug!(run.id = %spec.id, workflow = %spec.workflow, "a task is held: {error}"),
        }
        Ok(())
    }

    fn open_wait(&mut self, run: RunId, task: TaskIndex, wait: Wait) -> Result<(), StoreError> {
        let Wait { id, mut condition } = wait;
        if let WaitCondition::Event { key_pattern, index, .. } = &mut condition
            && key_pattern.contains('*')
        {
            // A pattern matches many keys, and an index is of one.
            *index = None;
        }
        self.rows.insert_open_wait((run, task, id), &condition)?;
        match condition {
            WaitCondition::Until(at) => self.rows.put_timer(at, Timer::Wait { run, task, wait: id }),
            WaitCondition::Event { key_pattern, filter, look_back, index } => {
                let since = self.now;
                self.rows.put_event_wait(&EventWaitRow {
                    key_pattern,
                    index,
                    run,
                    task,
                    wait: id,
                    filter,
                    since,
                    settled_by: None,
                })?;
                match look_back {
                    Some(look_back) => self.begin_look_back((run, task, id), since.before(look_back)),
                    None => Ok(()),
                }
            }
            WaitCondition::Run(awaited) => {
                // A run that is not there settles the wait as well; the guest is told so. This one is there,
                // whatever the rows say by now, and so is a child that is still to be made.
                let is_there = awaited == run || self.open.has_child(awaited);
                if !is_there && self.status(awaited)?.is_none_or(Status::is_final) {
                    let outcome = WaitOutcome::Run(awaited);
                    self.follow_up(run, RunEvent::WaitSettled { task, wait: id, outcome });
                }
                self.rows.put_run_wait(RunWaitRow { awaited, run, task, wait: id })
            }
        }
    }

    /// Closes a wait. What it waits for is looked up unless it is known.
    fn close_wait(&mut self, key: WaitKey, known: Option<WaitCondition>) -> Result<(), StoreError> {
        let condition = match known {
            Some(condition) => Some(condition),
            None => self.open_condition(key)?,
        };
        self.rows.delete_wait(key);
        condition.map_or(Ok(()), |condition| self.cannot_settle(key, condition))
    }

    /// Deletes what would settle a wait.
    fn cannot_settle(
        &mut self,
        (run, task, id): WaitKey,
        condition: WaitCondition,
    ) -> Result<(), StoreError> {
        match condition {
            WaitCondition::Until(at) => self.rows.delete_timer(at, Timer::Wait { run, task, wait: id }),
            WaitCondition::Event { key_pattern, index, .. } => {
                let row = self.rows.event_wait(&key_pattern, index.as_ref(), (run, task, id))?;
                let Some(row) = row else { return Ok(()) };
                if let Some((_, at)) = row.settled_by {
                    self.rows.delete_timer(at, Timer::Event { run, task, wait: id });
                    // Stores of format 2 had one line for sleepers and for these.
                    self.rows.delete_timer(at, Timer::Wait { run, task, wait: id });
                }
                self.rows.delete_event_wait(&row);
            }
            WaitCondition::Run(awaited) => {
                self.rows.delete_run_wait(RunWaitRow { awaited, run, task, wait: id });
            }
        }
        Ok(())
    }

    /// Tells those who wait for the run, and ends its children with it when it was cancelled.
    fn finished(&mut self, spec: &RunSpec, run: &Run) -> Result<(), StoreError> {
        let id = spec.id;
        self.shared.metrics.run_ended(run.status);
        self.leave_limits(id)?;
        if let Some(rest) = self.tell_waiters(id)? {
            self.leave(&rest)?;
        }
        if run.status == Status::Cancelled {
            self.cancel_children(id)?;
        }
        if let Trigger::Cron { id: cron, .. } = spec.trigger {
            self.cron_run_finished(cron, id)?;
        }
        Ok(())
    }

    fn cancel_children(&mut self, parent: RunId) -> Result<(), StoreError> {
        match self.cancel_some_children(parent, None)? {
            Some(rest) => self.leave(&rest),
            None => Ok(()),
        }
    }
}
