//! Writing runs with their indexes and counts, and what belongs to a run.

use dormouse_core::id::{RunId, TaskIndex, WorkflowName};
use dormouse_core::run::{Run, RunSpec, Status};

use super::Result;
use crate::store::error::StoreError;
use crate::store::parts;
use crate::store::read::Read;
use crate::store::rows::{JournalEntry, RunRow};
use crate::store::tables;
use crate::store::tx::Tx;

impl Tx<'_> {
    /// Adds a run.
    ///
    /// # Errors
    ///
    /// [`StoreError::RunExists`] when its id is taken: look first.
    pub(crate) fn insert_run(&mut self, row: &RunRow) -> Result<()> {
        let RunRow { spec, run } = row;
        if self.put(tables::RUN_SPECS, spec.id, spec)? {
            return Err(StoreError::RunExists { run: spec.id });
        }
        self.put(tables::RUN_STATES, spec.id, run)?;
        self.put(tables::RUNS_BY_STATUS, (&spec.workflow, run.status, spec.id), &())?;
        if let Some(parent) = spec.parent {
            self.put(tables::RUN_CHILDREN, (parent, spec.id), &())?;
        }
        self.count(&spec.workflow, run.status, 1);
        if !run.status.is_final() {
            self.count_live(&spec.workflow, spec.version, 1);
        }
        Ok(())
    }

    /// Replaces the state of a run, whose status was `old`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Contradiction`] when there is no such run in that status.
    pub(crate) fn update_run(&mut self, spec: &RunSpec, old: Status, run: &Run) -> Result<()> {
        let RunSpec { id, workflow, version, .. } = spec;
        let (id, live) = (*id, i64::from(!run.status.is_final()) - i64::from(!old.is_final()));
        if !self.put(tables::RUN_STATES, id, run)? {
            return Err(StoreError::Contradiction { run: id, problem: "it was never inserted" });
        }
        if run.status != old {
            self.leave_status(id, workflow, old)?;
            self.put(tables::RUNS_BY_STATUS, (workflow, run.status, id), &())?;
            self.count(workflow, run.status, 1);
        }
        if live != 0 {
            self.count_live(workflow, *version, live);
        }
        Ok(())
    }

    /// Deletes a run with its snapshots and its journal. It must have ended: its timers and waits
    /// are closed and nobody waits for it. Its children stay and keep naming it as their parent.
    pub(crate) fn delete_run(&mut self, id: RunId) -> Result<bool> {
        let Some(RunRow { spec, run }) = self.run(id)? else { return Ok(false) };
        self.leave_status(id, &spec.workflow, run.status)?;
        if !run.status.is_final() {
            self.count_live(&spec.workflow, spec.version, -1);
        }
        if let Some(parent) = spec.parent {
            self.delete(tables::RUN_CHILDREN, (parent, id))?;
        }
        self.delete_under(tables::RUN_CHILDREN, id)?;
        self.delete_under(tables::ACTIVE_TASKS, id)?;
        self.delete_under(tables::SNAPSHOTS, id)?;
        self.delete_under(tables::JOURNAL, id)?;
        self.journal_ends.remove(&id);
        self.delete(tables::RUN_STATES, id)?;
        self.delete(tables::RUN_SPECS, id)
    }

    fn leave_status(&mut self, id: RunId, workflow: &WorkflowName, status: Status) -> Result<()> {
        if !self.delete(tables::RUNS_BY_STATUS, (workflow, status, id))? {
            return Err(StoreError::Contradiction { run: id, problem: "the index does not list it there" });
        }
        self.count(workflow, status, -1);
        Ok(())
    }

    /// Notes that a task is queued or running.
    pub(crate) fn put_active(&mut self, run: RunId, task: TaskIndex) -> Result<()> {
        self.put(tables::ACTIVE_TASKS, (run, task), &())?;
        Ok(())
    }

    pub(crate) fn delete_active(&mut self, run: RunId, task: TaskIndex) -> Result<bool> {
        self.delete(tables::ACTIVE_TASKS, (run, task))
    }

    pub(crate) fn put_snapshot(&mut self, run: RunId, task: TaskIndex, bytes: &[u8]) -> Result<()> {
        let mut next = 0;
        for (number, part) in parts::split(bytes) {
            self.put_bytes(tables::SNAPSHOTS, (run, task, number), part)?;
            next = number.saturating_add(1);
        }
        self.delete_parts(run, task, next)?;
        Ok(())
    }

    pub(crate) fn delete_snapshot(&mut self, run: RunId, task: TaskIndex) -> Result<bool> {
        self.delete_parts(run, task, 0)
    }

    /// Deletes what a snapshot has from this part on.
    fn delete_parts(&mut self, run: RunId, task: TaskIndex, first: u8) -> Result<bool> {
        let mut any = false;
        for number in first..=u8::MAX {
            if !self.delete(tables::SNAPSHOTS, (run, task, number))? {
                break;
            }
            any = true;
        }
        Ok(any)
    }

    /// Adds an entry at the end of a run's journal and returns its sequence number, from 0.
    pub(crate) fn append_journal(&mut self, run: RunId, entry: &JournalEntry) -> Result<u64> {
        let sequence = match self.journal_ends.get(&run) {
            Some(end) => *end,
            None => self.journal_len(run)?,
        };
        self.put(tables::JOURNAL, (run, sequence), entry)?;
        self.journal_ends.insert(run, sequence.saturating_add(1));
        Ok(sequence)
    }
}
