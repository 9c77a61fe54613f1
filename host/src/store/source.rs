//! What a view and a working set have in common: typed access to layers of changes over the
//! database.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, btree_map};
use std::ops::{Bound, ControlFlow, Deref};
use std::slice;
use std::sync::Arc;

use dormouse_core::id::{Version, WorkflowName};
use redb::AccessGuard;

use super::changes::{Change, Entry};
use super::error::StoreError;
use super::keys::{self, Key, KeyPart};
use super::records::{Counts, Record};
use super::tables::Table;

type Result<T> = std::result::Result<T, StoreError>;

/// Something to read from. Only this folder can name it.
pub(crate) trait Source {
    /// A row of the table at a slot.
    fn row(&self, slot: usize, key: &[u8]) -> Result<Option<Bytes<'_>>>;

    /// The rows of a span of keys in the table at a slot.
    fn rows(&self, slot: usize, span: &Span, order: Order) -> Result<Rows<'_>>;

    /// What is still to be added to the stored counts of a workflow's runs.
    fn uncommitted_counts(&self) -> Option<&CountChanges> {
        None
    }
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

/// A key or a row, wherever it lies.
pub(crate) enum Bytes<'a> {
    /// In a page of the database.
    Stored(AccessGuard<'static, &'static [u8]>),
    /// In a change set.
    Changed(&'a [u8]),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Stored(guard) => guard.value(),
            Self::Changed(bytes) => bytes,
        }
    }
}

/// In which order rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

/// Typed access to any source.
pub(super) trait Access: Source {
    fn get<K: Key, V: Record<K>>(
        &self,
        table: Table<K, V>,
        key: impl KeyPart<Owned = K>,
    ) -> Result<Option<V>> {
        let bytes = keys::encode(&key);
        let Some(row) = self.row(table.slot, &bytes)? else { return Ok(None) };
        keys::decode(&bytes)
            .and_then(|key| V::decode(&key, &row))
            .map(Some)
            .map_err(|source| StoreError::Unreadable { table: table.name, source })
    }

    /// The rows of a span with their keys.
    fn scan_in<K: Key, V: Record<K>>(
        &self,
        table: Table<K, V>,
        span: Span,
        order: Order,
    ) -> Result<impl Iterator<Item = Result<(K, V)>>> {
        let rows = self.rows(table.slot, &span, order)?;
        Ok(rows.map(move |entry| {
            let (key, row) = entry?;
            keys::decode(&key)
                .and_then(|key| V::decode(&key, &row).map(|row| (key, row)))
                .map_err(|source| StoreError::Unreadable { table: table.name, source })
        }))
    }

    /// The same from the lowest key on.
    fn scan<K: Key, V: Record<K>>(
        &self,
        table: Table<K, V>,
        span: Span,
    ) -> Result<impl Iterator<Item = Result<(K, V)>>> {
        self.scan_in(table, span, Order::Ascending)
    }

    /// The keys of a span alone, whatever their rows hold.
    fn scan_keys_in<K: Key, V>(
        &self,
        table: Table<K, V>,
        span: Span,
        order: Order,
    ) -> Result<impl Iterator<Item = Result<K>>> {
        let rows = self.rows(table.slot, &span, order)?;
        Ok(rows.map(move |entry| {
            keys::decode(&entry?.0).map_err(|source| StoreError::Unreadable { table: table.name, source })
        }))
    }

    /// The same from the lowest key on.
    fn scan_keys<K: Key, V>(
        &self,
        table: Table<K, V>,
        span: Span,
    ) -> Result<impl Iterator<Item = Result<K>>> {
        self.scan_keys_in(table, span, Order::Ascending)
    }
}

impl<S: Source> Access for S {}

/// A range of the database's rows.
pub(super) type StoredRange = redb::Range<'static, &'static [u8], &'static [u8]>;

/// Rows of one table: what the newest layer says of a key holds.
pub(crate) struct Rows<'a> {
    /// Newest first.
    layers: Vec<Peeked<'a>>,
    order: Order,
}

/// The part of a span that lies in one layer.
#[expect(clippy::large_enum_variant, reason = "each scan has one of the large ones, and few of the others")]
pub(super) enum Layer<'a> {
    Open(btree_map::Range<'a, Arc<[u8]>, Change>),
    Closed(slice::Iter<'a, Entry>),
    Stored(StoredRange),
}

/// A layer whose next row has been looked at. `None` instead of a row says that it was deleted.
struct Peeked<'a> {
    next: Option<(Bytes<'a>, Option<Bytes<'a>>)>,
    rest: Layer<'a>,
}

impl<'a> Rows<'a> {
    /// Of these layers, newest first.
    pub(super) fn new(layers: impl IntoIterator<Item = Layer<'a>>, order: Order) -> Result<Self> {
        let mut peeked = Vec::new();
        for mut rest in layers {
            if let next @ Some(_) = rest.take(order)? {
                peeked.push(Peeked { next, rest });
            }
        }
        Ok(Self { layers: peeked, order })
    }

    /// The next row of all layers, if it was not deleted.
    fn step(&mut self) -> Result<Option<(Bytes<'a>, Option<Bytes<'a>>)>> {
        let mut first: Option<usize> = None;
        let mut same_key = false;
        for (index, layer) in self.layers.iter().enumerate() {
            let Some((key, _)) = &layer.next else { continue };
            let Some((leading, _)) = first.and_then(|first| self.layers[first].next.as_ref()) else {
                first = Some(index);
                continue;
            };
            let ordering = match self.order {
                Order::Ascending => (**key).cmp(leading),
                Order::Descending => (**leading).cmp(key),
            };
            match ordering {
                Ordering::Less => (first, same_key) = (Some(index), false),
                Ordering::Equal => same_key = true,
                Ordering::Greater => {}
            }
        }
        let Some(first) = first else { return Ok(None) };
        let taken = self.layers[first].advance(self.order)?;
        if same_key && let Some((key, _)) = &taken {
            for layer in &mut self.layers[first + 1..] {
                if layer.next.as_ref().is_some_and(|(older, _)| **older == **key) {
                    layer.advance(self.order)?;
                }
            }
        }
        Ok(taken)
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<(Bytes<'a>, Bytes<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(Some((key, Some(row)))) => return Some(Ok((key, row))),
                Ok(Some((_, None))) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<'a> Peeked<'a> {
    fn advance(&mut self, order: Order) -> Result<Option<(Bytes<'a>, Option<Bytes<'a>>)>> {
        let next = self.rest.take(order)?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

impl<'a> Layer<'a> {
    fn take(&mut self, order: Order) -> Result<Option<(Bytes<'a>, Option<Bytes<'a>>)>> {
        let changed =
            |key: &'a Arc<[u8]>, change: &'a Change| (Bytes::Changed(key), change.row().map(Bytes::Changed));
        Ok(match self {
            Self::Open(range) => in_order(range, order).map(|(key, change)| changed(key, change)),
            Self::Closed(entries) => in_order(entries, order).map(|entry| changed(&entry.key, &entry.change)),
            Self::Stored(range) => {
                let entry = in_order(range, order).transpose()?;
                entry.map(|(key, row)| (Bytes::Stored(key), Some(Bytes::Stored(row))))
            }
        })
    }
}

fn in_order<I: DoubleEndedIterator>(iterator: &mut I, order: Order) -> Option<I::Item> {
    match order {
        Order::Ascending => iterator.next(),
        Order::Descending => iterator.next_back(),
    }
}

/// A span of keys.
pub(crate) struct Span {
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

    /// Whether no key can lie in it. An ordered map refuses such a range.
    pub(super) fn is_empty(&self) -> bool {
        match self.bounds() {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
            | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        }
    }

    /// Whether it begins after this key.
    pub(super) fn lies_after(&self, key: &[u8]) -> bool {
        match &self.start {
            Bound::Included(start) => key < start.as_slice(),
            Bound::Excluded(start) => key <= start.as_slice(),
            Bound::Unbounded => false,
        }
    }

    /// Whether it ends before this key.
    pub(super) fn lies_before(&self, key: &[u8]) -> bool {
        match &self.end {
            Bound::Included(end) => key > end.as_slice(),
            Bound::Excluded(end) => key >= end.as_slice(),
            Bound::Unbounded => false,
        }
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

    /// Only what lies at this key or before.
    pub(super) fn up_to(self, key: impl KeyPart) -> Self {
        Self { end: Bound::Included(keys::encode(&key)), ..self }
    }

    /// Only what lies after this key.
    pub(super) fn after(self, key: Option<impl KeyPart>) -> Self {
        match key {
            Some(key) => Self { start: Bound::Excluded(keys::encode(&key)), ..self },
            None => self,
        }
    }

    /// Only what lies after all keys that begin with these parts; `None` if nothing can.
    pub(super) fn past(self, parts: impl KeyPart) -> Option<Self> {
        let start = end_of_prefix(&keys::encode(&parts))?;
        Some(Self { start: Bound::Included(start), ..self })
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
    mut sources: Vec<impl Iterator<Item = Result<T>>>,
    mut visit: impl FnMut(T) -> Result<ControlFlow<()>>,
) -> Result<()> {
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
