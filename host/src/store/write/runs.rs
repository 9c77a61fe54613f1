//! Writing runs with their indexes and counts, and what belongs to a run.

use dormouse_core::id::{RunId, TaskIndex, WorkflowName};
use dormouse_core::run::{Part, Run, RunSpec, Status};

use super::Result;
use crate::store::keys::NAMESPACE;
use crate::store::parts;
use crate::store::read::Read;
use crate::store::source::{Access, Span};
use crate::store::tables;
use crate::store::working_set::WorkingSet;

/// Outputs and errors up to so many bytes are part of the state of a run: 64 tasks with one of each make
/// 32 KiB, which each step writes anew.
const PART_BYTES_MAX: usize = 256;

/// What a deletion did, with the number of rows that went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deleted {
    All(usize),
    /// There is more to be deleted.
    Some(usize),
}

impl WorkingSet {
    /// Adds a run under an id that no run has.
    pub(crate) fn insert_run(&mut self, spec: &RunSpec, run: &Run) -> Result<()> {
        self.insert(tables::RUN_SPECS, spec.id, spec)?;
        self.insert(tables::RUN_STATES, spec.id, run)?;
        self.insert(tables::RUNS_BY_STATUS, (NAMESPACE, &spec.workflow, run.status, spec.id), &())?;
        if let Some(parent) = spec.parent {
            self.insert(tables::RUN_CHILDREN, (parent, spec.id), &())?;
        }
        self.count(&spec.workflow, run.status, 1);
        if !run.status.is_final() {
            self.count_live(&spec.workflow, spec.version, 1);
        }
        Ok(())
    }

    /// Replaces the state of a run, whose status was `old`.
    pub(crate) fn update_run(&mut self, spec: &RunSpec, old: Status, run: &Run) -> Result<()> {
        let RunSpec { id, workflow, version, .. } = spec;
        let (id, live) = (*id, i64::from(!run.status.is_final()) - i64::from(!old.is_final()));
        self.put(tables::RUN_STATES, id, run)?;
        if run.status != old {
            self.leave_status(id, workflow, old);
            self.insert(tables::RUNS_BY_STATUS, (NAMESPACE, workflow, run.status, id), &())?;
            self.count(workflow, run.status, 1);
        }
        if live != 0 {
            self.count_live(workflow, *version, live);
        }
        Ok(())
    }

    /// Puts outputs and errors that are large into rows of their own, so that the state of a run that goes
    /// on stays small. The last state of a run keeps what is at hand: it is written once.
    pub(crate) fn put_parts_elsewhere(&mut self, id: RunId, run: &mut Run) -> Result<()> {
        if run.status.is_final() {
            return Ok(());
        }
        for (index, task) in (0..).map(TaskIndex).zip(&mut run.tasks) {
            if let Some(Part::Here(output)) = &task.output
                && output.as_str().len() > PART_BYTES_MAX
            {
                self.put(tables::TASK_OUTPUTS, (id, index), output)?;
                task.output = Some(Part::Elsewhere);
            }
            if let Some(Part::Here(error)) = &task.error
                && error.bytes() > PART_BYTES_MAX
            {
                self.put(tables::TASK_ERRORS, (id, index), error)?;
                task.error = Some(Part::Elsewhere);
            }
        }
        Ok(())
    }

    /// Deletes the error of a task that is not in the state of its run.
    pub(crate) fn delete_task_error(&mut self, run: RunId, task: TaskIndex) {
        self.delete(tables::TASK_ERRORS, (run, task));
    }

    /// Whether the last commit does not show the output of a task.
    pub(crate) fn has_new_output(&self, run: RunId, task: TaskIndex) -> bool {
        self.is_changed(tables::TASK_OUTPUTS, (run, task))
    }

    /// Deletes a run with its snapshots and its journal. Of one that has many rows it deletes up to
    /// `limit` of each kind and leaves the rest, the beginning and the end of its journal among them,
    /// to further calls. It must have ended: its timers and waits are closed and nobody waits for it.
    /// Its children stay and keep naming it as their parent.
    pub(crate) fn delete_run(&mut self, id: RunId, limit: usize) -> Result<Deleted> {
        let Some((spec, run)) = self.run_rows(id)? else { return Ok(Deleted::All(0)) };
        let journal = self.scan_keys(tables::JOURNAL, Span::under(id))?;
        let journal = journal.take(limit + 1).collect::<Result<Vec<_>>>()?;
        let children = self.scan_keys(tables::RUN_CHILDREN, Span::under(id))?;
        let children = children.take(limit + 1).collect::<Result<Vec<_>>>()?;
        if journal.len().max(children.len()) > limit {
            let middle: Vec<_> = journal.into_iter().take(limit).skip(1).collect();
            let rows = middle.len() + children.len().min(limit);
            middle.into_iter().for_each(|key| self.delete(tables::JOURNAL, key));
            children.into_iter().take(limit).for_each(|key| self.delete(tables::RUN_CHILDREN, key));
            return Ok(Deleted::Some(rows));
        }
        self.leave_status(id, &spec.workflow, run.status);
        if !run.status.is_final() {
            self.count_live(&spec.workflow, spec.version, -1);
        }
        if let Some(parent) = spec.parent {
            self.delete(tables::RUN_CHILDREN, (parent, id));
        }
        let rows = 3 + journal.len() + children.len() + self.delete_under(tables::SNAPSHOTS, id)?;
        for (index, task) in (0..).map(TaskIndex).zip(&run.tasks) {
            if task.output == Some(Part::Elsewhere) {
                self.delete(tables::TASK_OUTPUTS, (id, index));
            }
            if task.error == Some(Part::Elsewhere) {
                self.delete_task_error(id, index);
            }
        }
        journal.into_iter().for_each(|key| self.delete(tables::JOURNAL, key));
        children.into_iter().for_each(|key| self.delete(tables::RUN_CHILDREN, key));
        self.journals.remove(&id);
        self.journals_before.remove(&id);
        self.delete_under(tables::RUN_ADOPTIONS, id)?;
        self.delete_under(tables::KEYED_RUNS, id)?;
        self.delete(tables::RUN_STATES, id);
        self.delete(tables::RUN_SPECS, id);
        Ok(Deleted::All(rows))
    }

    fn leave_status(&mut self, id: RunId, workflow: &WorkflowName, status: Status) {
        self.delete(tables::RUNS_BY_STATUS, (NAMESPACE, workflow, status, id));
        self.count(workflow, status, -1);
    }

    pub(crate) fn put_held_task(&mut self, run: RunId, task: TaskIndex) -> Result<()> {
        self.put(tables::HELD_TASKS, (run, task), &())
    }

    pub(crate) fn delete_held_task(&mut self, run: RunId, task: TaskIndex) {
        self.delete(tables::HELD_TASKS, (run, task));
    }

    /// Writes a snapshot over the one that may be there.
    pub(crate) fn put_snapshot(&mut self, run: RunId, task: TaskIndex, bytes: &[u8]) -> Result<()> {
        let mut next = 0;
        for (number, part) in parts::split(bytes) {
            self.put_bytes(tables::SNAPSHOTS, (run, task, number), part);
            next = number.saturating_add(1);
        }
        // What the snapshot before had more of.
        let left = self.scan_keys(tables::SNAPSHOTS, Span::under((run, task)).from((run, task, next)))?;
        let left: Vec<_> = left.collect::<Result<_>>()?;
        left.into_iter().for_each(|part| self.delete(tables::SNAPSHOTS, part));
        Ok(())
    }

    pub(crate) fn delete_snapshot(&mut self, run: RunId, task: TaskIndex) -> Result<bool> {
        Ok(self.delete_under(tables::SNAPSHOTS, (run, task))? > 0)
    }

    /// Whether the snapshot of a task has changed since the view of this working set.
    pub(crate) fn has_new_snapshot(&self, run: RunId, task: TaskIndex) -> bool {
        self.is_changed_under(tables::SNAPSHOTS, (run, task))
    }
}
