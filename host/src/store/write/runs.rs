//! Writing runs with their indexes and counts, and what belongs to a run.

use dormouse_core::id::{RunId, TaskIndex, WorkflowName};
use dormouse_core::run::{Run, RunSpec, Status};

use super::Result;
use crate::store::keys::NAMESPACE;
use crate::store::parts;
use crate::store::read::Read;
use crate::store::rows::{JournalEntry, RunRow};
use crate::store::source::{Access, Span};
use crate::store::tables;
use crate::store::working_set::{JournalEnd, WorkingSet};

/// A row of a journal holds about so many bytes at most: who reads a stretch of a journal reads whole
/// rows.
const JOURNAL_ROW_BYTES: usize = 16 << 10;

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

    /// Deletes a run with its snapshots and its journal; returns how many rows went. It must have
    /// ended: its timers and waits are closed and nobody waits for it. Its children stay and keep
    /// naming it as their parent.
    pub(crate) fn delete_run(&mut self, id: RunId) -> Result<usize> {
        let Some(RunRow { spec, run }) = self.run(id)? else { return Ok(0) };
        self.leave_status(id, &spec.workflow, run.status);
        if !run.status.is_final() {
            self.count_live(&spec.workflow, spec.version, -1);
        }
        if let Some(parent) = spec.parent {
            self.delete(tables::RUN_CHILDREN, (parent, id));
        }
        let mut rows = 3;
        rows += self.delete_under(tables::RUN_CHILDREN, id)?;
        rows += self.delete_under(tables::SNAPSHOTS, id)?;
        rows += self.delete_under(tables::JOURNAL, id)?;
        self.journals.remove(&id);
        self.journals_before.remove(&id);
        self.delete(tables::RUN_STATES, id);
        self.delete(tables::RUN_SPECS, id);
        Ok(rows)
    }

    fn leave_status(&mut self, id: RunId, workflow: &WorkflowName, status: Status) {
        self.delete(tables::RUNS_BY_STATUS, (NAMESPACE, workflow, status, id));
        self.count(workflow, status, -1);
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

    /// Adds an entry at the end of a run's journal and returns its sequence number, from 0.
    pub(crate) fn append_journal(&mut self, run: RunId, entry: JournalEntry) -> Result<u64> {
        if !self.journals.contains_key(&run) {
            let first = match self.journals_before.get(&run) {
                Some(end) => *end,
                None => self.journal_len(run)?,
            };
            self.journals.insert(run, JournalEnd { first, entries: Vec::new() });
        }
        let end = self.journals.entry(run).or_default();
        self.written.bytes += size(&entry);
        end.entries.push(entry);
        Ok(end.first + end.entries.len() as u64 - 1)
    }

    /// The same of a run that was not there before, whose journal begins with it.
    pub(crate) fn begin_journal(&mut self, run: RunId) {
        self.journals.insert(run, JournalEnd::default());
    }

    /// Writes what was appended to journals.
    pub(in crate::store) fn write_journals(&mut self) -> Result<()> {
        let mut journals: Vec<_> = std::mem::take(&mut self.journals).into_iter().collect();
        journals.sort_unstable_by_key(|(run, _)| *run);
        self.journals_before.clear();
        for (run, JournalEnd { mut first, entries }) in journals {
            let (mut row, mut bytes) = (Vec::new(), 0);
            for entry in entries {
                let size = size(&entry);
                if bytes + size > JOURNAL_ROW_BYTES && !row.is_empty() {
                    self.insert(tables::JOURNAL, (run, first), &row)?;
                    first += row.len() as u64;
                    (row, bytes) = (Vec::new(), 0);
                }
                bytes += size;
                row.push(entry);
            }
            if !row.is_empty() {
                self.insert(tables::JOURNAL, (run, first), &row)?;
                first += row.len() as u64;
            }
            self.journals_before.insert(run, first);
        }
        Ok(())
    }
}

/// About how many bytes an entry takes.
fn size(entry: &JournalEntry) -> usize {
    const FIXED: usize = 24;
    FIXED
        + match entry {
            JournalEntry::Transition(_) => 0,
            JournalEntry::Log(line) => line.message.len(),
            JournalEntry::Chunk { text, .. } => text.len(),
        }
}
