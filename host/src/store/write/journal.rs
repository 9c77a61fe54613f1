//! Writing journals: what a commit appends, and what goes in the middle of a journal that has grown
//! long.
//!
//! Entries go one kind at a time: transitions that are neither among the first nor among the last,
//! and output that lies too far back. Each kind has an edge, up to which the rows were looked
//! through. The last row notes both edges, so nothing is searched for and nothing is looked at twice:
//! the work is in proportion to what is appended.

use dormouse_core::id::RunId;

use super::Result;
use crate::store::read::Read;
use crate::store::rows::{JournalEdge, JournalEntry, JournalKind, JournalRow, JournalSize};
use crate::store::source::{Access, Span};
use crate::store::tables;
use crate::store::working_set::{JournalEnd, NewEntries, WorkingSet};

/// A row of a journal holds about so many bytes at most: who reads a stretch of a journal reads whole
/// rows.
const ROW_BYTES_MAX: usize = 16 << 10;

/// Entries of one kind that are kept, by position for transitions and by bytes for output.
struct Bound {
    /// Of the beginning, which tells how a run that has lived long came to be what it is.
    first: u64,
    /// Of the end.
    last: u64,
    /// How much more may lie there before it is worth a search.
    slack: u64,
}

/// A run that sleeps and wakes has three transitions each time: the last three hundred wakes.
const TRANSITIONS: Bound = Bound { first: 100, last: 1000, slack: 100 };

/// Log lines and chunks. The last step's log, which may be 8 MiB, is there in full; with the least
/// that a row counts for ([`JournalSize::ROW_BYTES_MIN`]) they are some 17,000 rows at most.
const OUTPUT: Bound = Bound { first: 64 << 10, last: 8 << 20, slack: 256 << 10 };

/// Rows that a commit looks through of one journal, and of all.
const TRIMMED_ROWS_MAX: usize = 256;
const TRIMMED_ROWS_OF_ALL_MAX: usize = 512;

/// Rows that it looks through besides for each row that it appends: journals come back into their
/// bounds however many grow at once, also when large rows come after many small ones.
const TRIMMED_PER_ROW: usize = 8;

impl WorkingSet {
    /// Adds an entry at the end of a run's journal and returns its sequence number, from 0.
    pub(crate) fn append_journal(&mut self, run: RunId, entry: JournalEntry) -> Result<u64> {
        if !self.journals.contains_key(&run) {
            let end = match self.journals_before.get(&run) {
                Some(end) => *end,
                None => self.journal_end(run)?,
            };
            self.journals.insert(run, NewEntries { end, entries: Vec::new() });
        }
        let new = self.journals.entry(run).or_default();
        self.written.bytes += entry.size();
        new.entries.push(entry);
        Ok(new.end.next.saturating_add(new.entries.len() as u64 - 1))
    }

    /// The same of a run that was not there before, whose journal begins with it.
    pub(crate) fn begin_journal(&mut self, run: RunId) {
        self.journals.insert(run, NewEntries::default());
    }

    /// Writes what was appended to journals.
    pub(in crate::store) fn write_journals(&mut self) -> Result<()> {
        let mut journals: Vec<_> = std::mem::take(&mut self.journals).into_iter().collect();
        journals.sort_unstable_by_key(|(run, _)| *run);
        self.journals_before.clear();
        let mut room_of_all = TRIMMED_ROWS_OF_ALL_MAX;
        for (run, NewEntries { mut end, entries }) in journals {
            let mut rows = in_rows(end, entries);
            let Some((_, last)) = rows.last() else { continue };
            let size = last.after();
            let shared = TRIMMED_ROWS_MAX.min(room_of_all);
            let trimmed = self.trim(run, &mut end, size, shared + TRIMMED_PER_ROW * rows.len())?;
            room_of_all -= shared.min(trimmed);
            for (first, row) in &mut rows {
                row.edges = end.edges;
                end.next = row.next(*first);
                self.insert(tables::JOURNAL, (run, *first), row)?;
            }
            self.journals_before.insert(run, JournalEnd { size, ..end });
        }
        Ok(())
    }

    /// Takes out of the middle of a journal, which will have this size, what is not kept. Returns how
    /// many rows it has looked at.
    fn trim(&mut self, run: RunId, end: &mut JournalEnd, size: JournalSize, room: usize) -> Result<usize> {
        let mut looked_at = 0;
        for (kind, bound) in [(JournalKind::Transition, TRANSITIONS), (JournalKind::Output, OUTPUT)] {
            let kept_from = size.of(kind).saturating_sub(bound.last);
            let edge = end.edges.of(kind);
            if kept_from >= edge.passed.saturating_add(bound.slack) {
                looked_at += self.trim_kind(run, kind, edge, bound.first..kept_from, room - looked_at)?;
            }
        }
        Ok(looked_at)
    }

    /// Takes out the entries of one kind that lie in this part of it, from the edge on.
    fn trim_kind(
        &mut self,
        run: RunId,
        kind: JournalKind,
        edge: &mut JournalEdge,
        gone: std::ops::Range<u64>,
        room: usize,
    ) -> Result<usize> {
        let (mut changed, mut looked_at) = (Vec::new(), 0);
        for row in self.scan(tables::JOURNAL, Span::under(run).from((run, edge.sequence)))?.take(room) {
            let ((_, first), mut row) = row?;
            looked_at += 1;
            let end = row.after().of(kind);
            if end > gone.end {
                break;
            }
            *edge = JournalEdge { sequence: row.next(first), passed: end };
            let before = row.entries.len();
            let mut position = row.before;
            row.entries.retain(|(_, entry)| {
                let at = position.of(kind);
                position.add(entry);
                entry.kind() != kind || !gone.contains(&at)
            });
            if row.entries.len() < before {
                changed.push((first, row));
            }
        }
        for (first, row) in changed {
            match row.entries.is_empty() {
                true => self.delete(tables::JOURNAL, (run, first)),
                false => self.put(tables::JOURNAL, (run, first), &row)?,
            }
        }
        Ok(looked_at)
    }
}

/// Entries as rows, each with the sequence number of its first entry.
fn in_rows(end: JournalEnd, entries: Vec<JournalEntry>) -> Vec<(u64, JournalRow)> {
    let mut rows: Vec<(u64, JournalRow)> = Vec::new();
    let (mut next, mut bytes) = (end.next, 0);
    for entry in entries {
        let size = entry.size();
        match rows.last_mut() {
            Some((_, row)) if bytes + size <= ROW_BYTES_MAX => {
                let distance = row.entries.last().map_or(0, |(distance, _)| distance + 1);
                row.entries.push((distance, entry));
            }
            full => {
                let before = full.map_or(end.size, |(_, row)| row.after());
                rows.push((next, JournalRow { before, edges: end.edges, entries: vec![(0, entry)] }));
                bytes = 0;
            }
        }
        bytes += size;
        next = next.saturating_add(1);
    }
    rows
}
