//! Writing the waits of a task run: each is a row by its id while it is open or in the backlog.

use dormouse_core::id::{RunId, TaskIndex};
use dormouse_core::wait::{Settled, WaitCondition};

use super::Result;
use crate::store::rows::{WaitKey, WaitRow};
use crate::store::source::{Access, Span};
use crate::store::tables::{BACKLOGS, WAITS};
use crate::store::working_set::WorkingSet;

impl WorkingSet {
    /// Adds an open wait under an id that no wait of the task has. Its filter goes elsewhere.
    pub(crate) fn insert_open_wait(&mut self, key: WaitKey, condition: &WaitCondition) -> Result<()> {
        let mut condition = condition.clone();
        if let WaitCondition::Event { filter, .. } = &mut condition {
            *filter = None;
        }
        self.insert(WAITS, key, &WaitRow::Open(condition))
    }

    /// Deletes a wait that is open.
    pub(crate) fn delete_wait(&mut self, key: WaitKey) {
        self.delete(WAITS, key);
    }

    /// Deletes all waits of a task run and its backlog. Returns what was open.
    pub(crate) fn delete_waits(
        &mut self,
        run: RunId,
        task: TaskIndex,
    ) -> Result<Vec<(WaitKey, WaitCondition)>> {
        let rows: Vec<_> = self.scan(WAITS, Span::under((run, task)))?.collect::<Result<_>>()?;
        self.delete_under(BACKLOGS, (run, task))?;
        let mut open = Vec::new();
        for (key, row) in rows {
            self.delete(WAITS, key);
            if let WaitRow::Open(condition) = row {
                open.push((key, condition));
            }
        }
        Ok(open)
    }

    /// Puts a wait that has settled into the backlog, under a number that is higher than those there.
    pub(crate) fn put_in_backlog(
        &mut self,
        (run, task): (RunId, TaskIndex),
        number: u64,
        settled: Settled,
    ) -> Result<()> {
        self.insert(BACKLOGS, (run, task, number), &settled)?;
        self.put(WAITS, (run, task, settled.id), &WaitRow::InBacklog(number))
    }

    /// Takes so many out of the backlog, those that settled first.
    pub(crate) fn take_from_backlog(&mut self, run: RunId, task: TaskIndex, count: usize) -> Result<()> {
        let rows = self.scan(BACKLOGS, Span::under((run, task)))?.take(count);
        for (key, settled) in rows.collect::<Result<Vec<_>>>()? {
            self.delete(BACKLOGS, key);
            self.delete(WAITS, (run, task, settled.id));
        }
        Ok(())
    }

    /// Deletes a wait that is in the backlog.
    pub(crate) fn delete_from_backlog(&mut self, key: WaitKey, number: u64) {
        self.delete(BACKLOGS, (key.0, key.1, number));
        self.delete(WAITS, key);
    }
}
