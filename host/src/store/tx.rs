//! A running write transaction.

use std::array;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use dormouse_core::id::{RunId, Version, WorkflowName};
use dormouse_core::run::Status;
use redb::WriteTransaction;

use super::error::StoreError;
use super::keys::{self, Key, KeyPart};
use super::records::{Counts, Record};
use super::source::{Access, CountChange, CountChanges, Source};
use super::tables::{self, Table};

type OpenTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// A batch of changes that are not committed yet. It reads what it has written.
pub(crate) struct Tx<'t> {
    txn: &'t WriteTransaction,
    /// Opened when first used: most batches touch few tables.
    tables: [OnceCell<OpenTable<'t>>; tables::ALL.len()],
    changed: bool,
    /// Written once at the end, so that a batch of many runs changes a count once.
    counts: CountChanges,
    /// The next sequence number of the journals that were appended to.
    pub(super) journal_ends: HashMap<RunId, u64>,
}

impl<'t> Tx<'t> {
    pub(super) fn new(txn: &'t WriteTransaction) -> Self {
        Self {
            txn,
            tables: array::from_fn(|_| OnceCell::new()),
            changed: false,
            counts: BTreeMap::new(),
            journal_ends: HashMap::new(),
        }
    }

    /// Writes what was held back. Returns whether there is anything to commit.
    pub(super) fn finish(mut self) -> Result<bool, StoreError> {
        for (workflow, change) in std::mem::take(&mut self.counts) {
            let mut counts = self.get(tables::RUN_COUNTS, &workflow)?.unwrap_or_default();
            counts.apply(&workflow, &change)?;
            self.put(tables::RUN_COUNTS, &workflow, &counts)?;
        }
        Ok(self.changed)
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

    /// Writes a row, over the one that may be there. Returns whether there was one.
    pub(super) fn put<K: Key, V: Record<K>>(
        &mut self,
        table: Table<K, V>,
        key: impl KeyPart<Owned = K>,
        row: &V,
    ) -> Result<bool, StoreError> {
        let row = row.encode().map_err(|source| StoreError::Unwritable { table: table.name, source })?;
        self.put_bytes(table, key, &row)
    }

    /// Writes a row that is already encoded, or that consists of bytes.
    pub(super) fn put_bytes<K: Key, V>(
        &mut self,
        table: Table<K, V>,
        key: impl KeyPart<Owned = K>,
        row: &[u8],
    ) -> Result<bool, StoreError> {
        let key = keys::encode(&key);
        self.change(table, |raw| Ok(raw.insert(key.as_slice(), row)?.is_some()))
    }

    /// Deletes a row. Returns whether there was one.
    pub(super) fn delete<K: Key, V>(
        &mut self,
        table: Table<K, V>,
        key: impl KeyPart<Owned = K>,
    ) -> Result<bool, StoreError> {
        let key = keys::encode(&key);
        self.change(table, |raw| Ok(raw.remove(key.as_slice())?.is_some()))
    }

    /// Deletes all rows whose keys begin with these parts.
    pub(super) fn delete_under<K: Key, V>(
        &mut self,
        table: Table<K, V>,
        parts: impl KeyPart,
    ) -> Result<(), StoreError> {
        let span = super::source::Span::under(parts);
        self.change(table, |raw| Ok(raw.retain_in::<&[u8], _>(span.bounds(), |_, _| false)?))
    }

    fn change<K, V, T>(
        &mut self,
        table: Table<K, V>,
        f: impl FnOnce(&mut OpenTable<'t>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut raw = match self.tables[table.slot].take() {
            Some(raw) => raw,
            None => self.txn.open_table(tables::ALL[table.slot])?,
        };
        self.changed = true;
        let result = f(&mut raw);
        self.tables[table.slot] = OnceCell::from(raw);
        result
    }
}

impl<'t> Source for Tx<'t> {
    type Raw = OpenTable<'t>;

    fn raw(&self, slot: usize) -> Result<&Self::Raw, StoreError> {
        if let Some(table) = self.tables[slot].get() {
            return Ok(table);
        }
        let table = self.txn.open_table(tables::ALL[slot])?;
        Ok(self.tables[slot].get_or_init(|| table))
    }

    fn uncommitted_counts(&self) -> Option<&CountChanges> {
        Some(&self.counts)
    }
}

impl Counts {
    /// Adds a change of a workflow's counts.
    pub(super) fn apply(&mut self, workflow: &WorkflowName, change: &CountChange) -> Result<(), StoreError> {
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

fn add(count: &mut u64, more: i64, workflow: &WorkflowName) -> Result<(), StoreError> {
    let sum = count.checked_add_signed(more);
    *count = sum.ok_or_else(|| StoreError::Miscounted { workflow: workflow.to_string() })?;
    Ok(())
}
