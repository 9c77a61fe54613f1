//! The working set: what the deciding thread reads and writes. Rows that it has changed lie over
//! those of a change set that is on its way to the disk, and these over the last commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dormouse_core::id::{RunId, Version, WorkflowName};
use dormouse_core::run::Status;
use dormouse_core::time::Timestamp;

use super::changes::{Change, ChangeSet, Entry};
use super::error::StoreError;
use super::keys::{self, Key, KeyPart};
use super::records::{Counts, Record};
use super::rows::{JournalEdges, JournalEntry, JournalSize, TimerLine, WorkLine};
use super::source::{Access, Bytes, CountChange, CountChanges, Layer, Order, Rows, Source, Span};
use super::tables::{self, Table};
use super::view::View;

type Result<T> = std::result::Result<T, StoreError>;

/// Changes that are not closed yet, over what was committed. It reads what it has written.
pub(crate) struct WorkingSet {
    view: Arc<View>,
    /// The change set that is on its way to the disk. The view does not show it yet.
    closed: Option<Arc<ChangeSet>>,
    /// By the slot of the table.
    open: Vec<BTreeMap<Arc<[u8]>, Change>>,
    /// Rows and bytes that were written since the last close, each time that they were.
    pub(super) written: Written,
    /// Added to the stored counts when the change set is closed, so that many runs change a count
    /// once.
    counts: CountChanges,
    /// When the first timer of each line is due; `None` while that has to be looked up.
    pub(super) first_due: [Option<FirstDue>; TimerLine::ALL.len()],
    /// The number of the next work that is left in each line, once that was looked up.
    pub(super) next_work_numbers: [Option<u64>; WorkLine::ALL.len()],
    /// Entries of journals that become rows when the change set is closed.
    pub(super) journals: HashMap<RunId, NewEntries>,
    /// The ends of the journals that the last change set has appended to.
    pub(super) journals_before: HashMap<RunId, JournalEnd>,
}

/// When the first timer of a line is due; `None` when there is no timer.
pub(super) type FirstDue = Option<Timestamp>;

/// How much was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// Where a journal ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct JournalEnd {
    /// The sequence number that the next entry will have.
    pub(crate) next: u64,
    pub(super) size: JournalSize,
    pub(super) edges: JournalEdges,
}

/// What is appended to a journal, and where that ended before.
#[derive(Default)]
pub(super) struct NewEntries {
    pub(super) end: JournalEnd,
    pub(super) entries: Vec<JournalEntry>,
}

impl WorkingSet {
    /// Without any changes.
    pub(crate) fn new(view: Arc<View>) -> Self {
        Self {
            view,
            closed: None,
            open: tables::ALL.iter().map(|_| BTreeMap::new()).collect(),
            written: Written::default(),
            counts: BTreeMap::new(),
            first_due: [None; TimerLine::ALL.len()],
            next_work_numbers: [None; WorkLine::ALL.len()],
            journals: HashMap::new(),
            journals_before: HashMap::new(),
        }
    }

    /// The last commit that it knows of.
    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// How much was written since the last close.
    pub(crate) fn written(&self) -> Written {
        self.written
    }

    /// Closes what has changed as a change set, to be committed. To be called when the change set
    /// before is committed. `None` if nothing has changed.
    pub(crate) fn close(&mut self) -> Result<Option<Arc<ChangeSet>>> {
        debug_assert!(self.closed.is_none(), "one change set at a time is on its way");
        self.write_counts()?;
        self.write_journals()?;
        self.written = Written::default();
        let sorted = |table: &mut BTreeMap<Arc<[u8]>, Change>| {
            std::mem::take(table).into_iter().map(|(key, change)| Entry { key, change }).collect()
        };
        let changes = ChangeSet::new(self.open.iter_mut().map(sorted).collect());
        if !changes.is_empty() {
            self.closed = Some(Arc::new(changes));
        }
        Ok(self.closed.clone())
    }

    /// Has it read from the commit of the change set that was closed last.
    pub(crate) fn committed(&mut self, view: Arc<View>) {
        self.view = view;
        self.closed = None;
    }

    fn write_counts(&mut self) -> Result<()> {
        for (workflow, change) in std::mem::take(&mut self.counts) {
            let key = (keys::NAMESPACE, &workflow);
            let mut counts = self.get(tables::RUN_COUNTS, key)?.unwrap_or_default();
            counts.apply(&workflow, &change)?;
            self.put(tables::RUN_COUNTS, key, &counts)?;
        }
        Ok(())
    }

    /// Notes that the workflow has that many runs more of a status.
    pub(super) fn count(&mut self, workflow: &WorkflowName, status: Status, more: i64) {
        self.count_change(workflow).by_status[status as usize] += more;
    }

    /// Notes that a version has that many runs more that have not ended.
    pub(super) fn count_live(&mut self, workflow: &WorkflowName, version: Version, more: i64) {
        *self.count_change(workflow).live.entry(version).or_default() += more;
    }

    fn count_change(&mut self, workflow: &WorkflowName) -> &mut CountChange {
        self.counts.entry(workflow.clone()).or_default()
    }

    /// Writes a row, over the one that may be there.
    pub(super) fn put<K: Key, V: Record<K>>(
        &mut self,
        table: Table<K, V>,
        key: impl KeyPart<Owned = K>,
        row: &V,
    ) -> Result<()> {
        let row = encode(table, row)?;
        self.put_bytes(table, key, &row);
        Ok(())
    }

    /// Writes a row where there is none.
    pub(super) fn insert<K: Key, V: Record<K>>(
        &mut self,
        table: Table<K, V>,
        key: impl KeyPart<Owned = K>,
        row: &V,
    ) -> Result<()> {
        let row = encode(table, row)?;
        self.change(table, key, Change::Insert(row.into()));
        Ok(())
    }

    /// Writes a row that consists of bytes.
    pub(super) fn put_bytes<K: Key, V>(
        &mut self,
        table: Table<K, V>,
        key: impl KeyPart<Owned = K>,
        row: &[u8],
    ) {
        self.change(table, key, Change::Put(row.into()));
    }

    /// Deletes the row that may be there.
    pub(super) fn delete<K: Key, V>(&mut self, table: Table<K, V>, key: impl KeyPart<Owned = K>) {
        self.change(table, key, Change::Delete);
    }

    /// Deletes all rows whose keys begin with these parts. Returns how many there were.
    pub(super) fn delete_under<K: Key, V>(
        &mut self,
        table: Table<K, V>,
        parts: impl KeyPart,
    ) -> Result<usize> {
        let span = Span::under(parts);
        let rows = self.rows(table.slot, &span, Order::Ascending)?;
        let keys: Vec<Arc<[u8]>> =
            rows.map(|entry| entry.map(|(key, _)| Arc::from(&*key))).collect::<Result<_>>()?;
        let count = keys.len();
        keys.into_iter().for_each(|key| self.change_at(table.slot, key, Change::Delete));
        Ok(count)
    }

    fn change<K: Key, V>(&mut self, table: Table<K, V>, key: impl KeyPart<Owned = K>, change: Change) {
        self.change_at(table.slot, keys::encode(&key).into(), change);
    }

    fn change_at(&mut self, slot: usize, key: Arc<[u8]>, change: Change) {
        self.written.rows += 1;
        self.written.bytes += key.len() + change.row().map_or(0, <[u8]>::len);
        match self.open[slot].entry(key) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(change);
            }
            std::collections::btree_map::Entry::Occupied(mut occupied) => {
                match change.after(occupied.get()) {
                    Some(change) => drop(occupied.insert(change)),
                    None => drop(occupied.remove()),
                }
            }
        }
    }

    /// Whether a row has changed and is not committed.
    pub(super) fn is_changed<K: Key, V>(&self, table: Table<K, V>, key: impl KeyPart<Owned = K>) -> bool {
        let key = keys::encode(&key);
        self.open[table.slot].contains_key(key.as_slice())
            || self.closed.as_ref().is_some_and(|closed| closed.get(table.slot, &key).is_some())
    }

    /// Whether rows under these parts of a key have changed and are not committed.
    pub(super) fn is_changed_under<K: Key, V>(&self, table: Table<K, V>, parts: impl KeyPart) -> bool {
        let span = Span::under(parts);
        self.open[table.slot].range::<[u8], _>(span.bounds()).next().is_some()
            || self.closed.as_ref().is_some_and(|closed| !closed.range(table.slot, &span).is_empty())
    }
}

pub(super) fn encode<K: Key, V: Record<K>>(table: Table<K, V>, row: &V) -> Result<Vec<u8>> {
    row.encode().map_err(|source| StoreError::Unwritable { table: table.name, source })
}

impl Source for WorkingSet {
    fn row(&self, slot: usize, key: &[u8]) -> Result<Option<Bytes<'_>>> {
        let closed = || self.closed.as_ref().and_then(|closed| closed.get(slot, key));
        match self.open[slot].get(key).or_else(closed) {
            Some(change) => Ok(change.row().map(Bytes::Changed)),
            None => self.view.row(slot, key),
        }
    }

    fn rows(&self, slot: usize, span: &Span, order: Order) -> Result<Rows<'_>> {
        if span.is_empty() {
            return Rows::new([], order);
        }
        let open = Layer::Open(self.open[slot].range::<[u8], _>(span.bounds()));
        let closed = self.closed.as_ref().map(|closed| Layer::Closed(closed.range(slot, span).iter()));
        Rows::new([open].into_iter().chain(closed).chain(self.view.layers_of(slot, span)?), order)
    }

    fn uncommitted_counts(&self) -> Option<&CountChanges> {
        Some(&self.counts)
    }
}

impl Counts {
    /// Adds a change of a workflow's counts.
    pub(super) fn apply(&mut self, workflow: &WorkflowName, change: &CountChange) -> Result<()> {
        let by_status = self.by_status.iter_mut().zip(&change.by_status);
        for (count, more) in by_status {
            add(count, *more, workflow)?;
        }
        for (version, more) in &change.live {
            add(self.live.entry(*version).or_default(), *more, workflow)?;
        }
        self.live.retain(|_, count| *count > 0);
        Ok(())
    }
}

fn add(count: &mut u64, more: i64, workflow: &WorkflowName) -> Result<()> {
    let sum = count.checked_add_signed(more);
    *count = sum.ok_or_else(|| StoreError::Miscounted { workflow: workflow.to_string() })?;
    Ok(())
}
