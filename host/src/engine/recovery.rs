//! What a starting host finds in the store: tasks that stood in the queue, and steps that the
//! host before it did not live to finish.

use dormouse_core::id::{RunId, TaskIndex};
use dormouse_core::run::{RunEvent, Status};
use dormouse_core::time::Timestamp;

use super::batch::{Batch, StepPayload};
use crate::store::{Read, StoreError};

impl Batch<'_, '_> {
    /// Rebuilds the queue: first the steps that are to be repeated, then what stood in line, in
    /// the order in which it came.
    pub(super) fn recover(&mut self) -> Result<(), StoreError> {
        let paused: Vec<_> = {
            let paused = self.catalog().workflows().filter(|entry| entry.paused);
            paused.map(|entry| entry.target.workflow.clone()).collect()
        };
        paused.iter().for_each(|name| self.memory.queue.pause(name));
        self.recover_limits()?;
        // The last host may not have come to let them go.
        self.outdated = self.tx.modules()?.into_iter().map(|module| module.digest).collect();
        let mut waiting: Vec<(Timestamp, RunId, TaskIndex)> = Vec::new();
        for (id, task) in self.tx.active_tasks()? {
            let Some((_, run)) = self.run(id)? else { continue };
            match run.task(task).map(|task| (task.status, task.queued_at)) {
                Some((Status::Running, _)) => {
                    tracing::warn!(run.id = %id, "the last host did not live to finish a step; it is repeated");
                    self.apply(id, RunEvent::HostLost { task, crashed: true }, StepPayload::default())?;
                }
                Some((_, Some(since))) => waiting.push((since, id, task)),
                _ => tracing::error!(run.id = %id, "a task is listed as active and is not"),
            }
        }
        waiting.sort_unstable();
        for (since, id, task) in waiting {
            if let Some((spec, _)) = self.run(id)? {
                self.memory.queue.push((id, task), &spec.workflow, spec.priority, since);
            }
        }
        self.settle()
    }
}
