//! What a starting host finds in the store: tasks that stood in the queue, and steps that the
//! host before it did not live to finish.

use std::ops::ControlFlow;

use dormouse_core::id::{RunId, TaskIndex};
use dormouse_core::run::{RunEvent, Status};
use dormouse_core::time::Timestamp;

use super::shard::{Shard, StepPayload};
use crate::store::rows::Work;
use crate::store::{Read, StoreError};

impl Shard {
    /// Rebuilds the queue: first the steps that are to be repeated, then what stood in line, in
    /// the order in which it came.
    pub(super) fn recover(&mut self) -> Result<(), StoreError> {
        let paused: Vec<_> = {
            let paused = self.catalog().workflows().into_iter().filter(|entry| entry.paused);
            paused.map(|entry| entry.target.workflow.clone()).collect()
        };
        paused.iter().for_each(|name| self.queue.pause(name));
        self.recover_limits()?;
        self.recover_open_requests()?;
        // The last host may not have come to let them go.
        self.maybe_unneeded = self.rows.modules()?.into_iter().map(|module| module.digest).collect();
        self.held = self.rows.count_held_tasks()?;
        let mut waiting: Vec<(Timestamp, RunId, TaskIndex)> = Vec::new();
        let mut lost: Vec<(RunId, TaskIndex)> = Vec::new();
        for id in self.active_runs()? {
            let Some(run) = self.rows.run_state(id)? else { continue };
            for (index, task) in (0..).map(TaskIndex).zip(&run.tasks) {
                match task.queued_at {
                    // Its step has ended, and it goes on when what that asked for has taken effect.
                    _ if self.open.has((id, index)) => {}
                    Some(_) if task.is_suspect() => self.suspects.push((id, index)),
                    Some(since) => waiting.push((since, id, index)),
                    None if task.status == Status::Running => lost.push((id, index)),
                    None => {}
                }
            }
        }
        let alone = lost.len() == 1;
        for (id, task) in lost {
            tracing::warn!(run.id = %id, "the last host did not live to finish a step; it is repeated");
            self.apply(id, RunEvent::HostLost { task, crashed: true, alone }, StepPayload::default())?;
        }
        self.shuffle_suspects();
        waiting.sort_unstable();
        for (since, id, task) in waiting {
            if let Some(spec) = self.rows.run_spec(id)? {
                let line = (&spec.workflow, spec.trigger.kind());
                self.queue.push((id, task), line, spec.priority, since);
            }
        }
        self.begin_cron_review();
        self.shared.metrics.held_tasks(self.held);
        if self.held > 0 {
            // What the last host could not load this one may.
            tracing::warn!(tasks = self.held, "tasks are held, and are tried again");
            self.leave(&Work::TryHeld { after: None })?;
        }
        self.is_recovering = false;
        self.settle()
    }

    /// Runs that have a task which runs or stands in the queue: none is of another status.
    fn active_runs(&self) -> Result<Vec<RunId>, StoreError> {
        let mut runs = Vec::new();
        for status in [Status::Running, Status::Queued] {
            self.rows.visit_run_ids(None, Some(status), None, |id| {
                runs.push(id);
                ControlFlow::Continue(())
            })?;
        }
        Ok(runs)
    }
}
