//! What a transaction and a reader have in common: typed access to raw tables.

use std::collections::{BTreeMap, BinaryHeap};
use std::ops::{Bound, ControlFlow};

use dormouse_core::id::{Version, WorkflowName};
use redb::ReadableTable;

use super::error::StoreError;
use super::keys::{self, Key, KeyPart};
use super::records::{Counts, Record};
use super::tables::Table;

/// Something to read from. Only this folder can name it.
pub(crate) trait Source {
    /// A table as the database sees it.
    type Raw: ReadableTable<&'static [u8], &'static [u8]>;

    /// The table at a slot; it stays open for as long as the source lives.
    fn raw(&self, slot: usize) -> Result<&Self::Raw, StoreError>;

    /// What the running transaction adds to the stored counts of a workflow's runs.
    fn uncommitted_counts(&self) -> Option<&CountChanges>;
}

/// By how much the numbers of runs change, by workflow.
pub(crate) type CountChanges = BTreeMap<WorkflowName, CountChange>;

/// By how much the numbers of a workflow's runs change.
#[derive(Debug, Default)]
pub(crate) struct CountChange {
    /// By the code of their status.
    pub(super) by_status: [i64; Counts::LEN],
    /// Of those that have not ended, by their version.
    pub(super) live: BTreeMap<Version, i64>,
}

/// Typed access to any source.
pub(super) trait Access: Source {
    fn get<K: Key, V: Record<K>>(
        &self,
        table: Table<K, V>,
        key: impl KeyPart<Owned = K>,
    ) -> Result<Option<V>, StoreError> {
        let bytes = keys::encode(&key);
        let Some(row) = self.raw(table.slot)?.get(bytes.as_slice())? else { return Ok(None) };
        keys::decode(&bytes)
            .and_then(|key| V::decode(&key, row.value()))
            .map(Some)
            .map_err(|source| StoreError::Unreadable { table: table.name, source })
    }

    /// The rows of a span with their keys, in the order of their keys.
    fn scan<K: Key, V: Record<K>>(
        &self,
        table: Table<K, V>,
        span: Span,
    ) -> Result<impl DoubleEndedIterator<Item = Result<(K, V), StoreError>>, StoreError> {
        let range = self.raw(table.slot)?.range::<&[u8]>(span.bounds())?;
        Ok(range.map(move |entry| {
            let (key, row) = entry?;
            keys::decode(key.value())
                .and_then(|key| V::decode(&key, row.value()).map(|row| (key, row)))
                .map_err(|source| StoreError::Unreadable { table: table.name, source })
        }))
    }

    /// The keys of a span alone, whatever their rows hold.
    fn scan_keys<K: Key, V>(
        &self,
        table: Table<K, V>,
        span: Span,
    ) -> Result<impl DoubleEndedIterator<Item = Result<K, StoreError>>, StoreError> {
        let range = self.raw(table.slot)?.range::<&[u8]>(span.bounds())?;
        Ok(range.map(move |entry| {
            keys::decode(entry?.0.value())
                .map_err(|source| StoreError::Unreadable { table: table.name, source })
        }))
    }
}

impl<S: Source> Access for S {}

/// A span of keys.
pub(super) struct Span {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl Span {
    pub(super) fn all() -> Self {
        Self { start: Bound::Unbounded, end: Bound::Unbounded }
    }

    /// As the database wants it.
    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.start.as_ref().map(Vec::as_slice), self.end.as_ref().map(Vec::as_slice))
    }

    /// All keys that begin with these parts.
    pub(super) fn under(parts: impl KeyPart) -> Self {
        let prefix = keys::encode(&parts);
        let end = end_of_prefix(&prefix).map_or(Bound::Unbounded, Bound::Excluded);
        Self { start: Bound::Included(prefix), end }
    }

    /// Only what lies before this key.
    pub(super) fn before(self, key: Option<impl KeyPart>) -> Self {
        match key {
            Some(key) => Self { end: Bound::Excluded(keys::encode(&key)), ..self },
            None => self,
        }
    }

    /// Only what lies after this key.
    pub(super) fn after(self, key: Option<impl KeyPart>) -> Self {
        match key {
            Some(key) => Self { start: Bound::Excluded(keys::encode(&key)), ..self },
            None => self,
        }
    }

    /// What lies after all keys that begin with these parts; `None` if nothing can.
    pub(super) fn past(parts: impl KeyPart) -> Option<Self> {
        let start = end_of_prefix(&keys::encode(&parts))?;
        Some(Self { start: Bound::Included(start), end: Bound::Unbounded })
    }

    /// Only what does not lie before all keys that begin with these parts.
    pub(super) fn from(self, parts: impl KeyPart) -> Self {
        Self { start: Bound::Included(keys::encode(&parts)), ..self }
    }
}

/// The first bytes after all those that begin with a prefix; `None` if there are none.
fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// Visits what several sorted iterators hold as one sorted sequence, greatest first.
pub(super) fn visit_merged<T: Ord>(
    mut sources: Vec<impl Iterator<Item = Result<T, StoreError>>>,
    mut visit: impl FnMut(T) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut heads = BinaryHeap::with_capacity(sources.len());
    for (index, source) in sources.iter_mut().enumerate() {
        if let Some(head) = source.next() {
            heads.push((head?, index));
        }
    }
    while let Some((item, index)) = heads.pop() {
        if visit(item)?.is_break() {
            return Ok(());
        }
        if let Some(head) = sources[index].next() {
            heads.push((head?, index));
        }
    }
    Ok(())
}
