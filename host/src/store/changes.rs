//! Change sets: what a commit puts and deletes, in the order of the keys. They are how the two
//! stages of the engine talk to each other, what the log keeps, and what a view lays over the
//! database until that has them, too.

use std::cmp::Ordering;
use std::sync::Arc;

use super::source::Span;
use super::tables;

/// What becomes of one row. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// The row is new: below this change set there is none. Its deletion needs no trace.
    Insert(Arc<[u8]>),
    /// The row takes the place of the one that may be there.
    Put(Arc<[u8]>),
    Delete,
}

impl Change {
    /// The row that is there from now on.
    pub(super) fn row(&self) -> Option<&[u8]> {
        match self {
            Self::Insert(row) | Self::Put(row) => Some(row),
            Self::Delete => None,
        }
    }

    /// What two changes of one row come to; `None` when they leave things as they were.
    pub(super) fn after(self, older: &Self) -> Option<Self> {
        match (older, self) {
            (Self::Insert(_), Self::Delete) => None,
            (Self::Insert(_), Self::Put(row) | Self::Insert(row)) => Some(Self::Insert(row)),
            (Self::Put(_) | Self::Delete, Self::Insert(row)) => Some(Self::Put(row)),
            (Self::Put(_) | Self::Delete, newer) => Some(newer),
        }
    }
}

/// A key and what becomes of its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Arc<[u8]>,
    pub(super) change: Change,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.key.len() + self.change.row().map_or(0, <[u8]>::len)
    }
}

/// Changes of rows that take effect together. It never changes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChangeSet {
    /// By the slot of the table; sorted by key, each key once.
    tables: Vec<Vec<Entry>>,
    rows: usize,
    bytes: usize,
}

impl ChangeSet {
    /// From sorted entries by the slot of their table.
    pub(super) fn new(tables: Vec<Vec<Entry>>) -> Self {
        debug_assert!(tables.len() == tables::ALL.len() && tables.iter().all(|table| is_sorted(table)));
        let rows = tables.iter().map(Vec::len).sum();
        let bytes = tables.iter().flatten().map(Entry::bytes).sum();
        Self { tables, rows, bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Number of rows that change.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Size of the keys and the rows.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The tables that change, by their slots, with what changes.
    pub(super) fn tables(&self) -> impl Iterator<Item = (usize, &[Entry])> {
        let changed = self.tables.iter().enumerate().filter(|(_, entries)| !entries.is_empty());
        changed.map(|(slot, entries)| (slot, entries.as_slice()))
    }

    pub(super) fn get(&self, slot: usize, key: &[u8]) -> Option<&Change> {
        let entries = &self.tables[slot];
        let position = entries.binary_search_by(|entry| (*entry.key).cmp(key)).ok()?;
        Some(&entries[position].change)
    }

    /// What changes within a span.
    pub(super) fn range(&self, slot: usize, span: &Span) -> &[Entry] {
        let entries = &self.tables[slot];
        let start = entries.partition_point(|entry| span.lies_after(&entry.key));
        let end = entries.partition_point(|entry| !span.lies_before(&entry.key));
        entries.get(start..end).unwrap_or_default()
    }

    /// Both as one: the rows of `newer` win.
    pub(super) fn merge(older: &Self, newer: &Self) -> Self {
        Self::new(older.tables.iter().zip(&newer.tables).map(|(older, newer)| merge(older, newer)).collect())
    }
}

/// Layers of change sets, the oldest first.
impl ChangeSet {
    /// Joins the newest layers while the older one of two is not much larger, so that there are few of
    /// them and each row is copied a few times at most. Leaves the first `fixed` as they are.
    pub(super) fn join_small(layers: &mut Vec<Arc<Self>>, fixed: usize) {
        while let [.., older, newer] = layers.as_slice()
            && layers.len() >= fixed + 2
            && older.rows <= 2 * newer.rows
        {
            let joined = Arc::new(Self::merge(older, newer));
            layers.truncate(layers.len() - 2);
            layers.push(joined);
        }
    }

    /// All layers as one, the small ones first.
    pub(super) fn join_all(layers: &[Arc<Self>]) -> Option<Arc<Self>> {
        let newest_first = layers.iter().rev().cloned();
        newest_first.reduce(|newer, older| Arc::new(Self::merge(&older, &newer)))
    }
}

fn is_sorted(entries: &[Entry]) -> bool {
    entries.windows(2).all(|pair| pair[0].key < pair[1].key)
}

fn merge(mut older: &[Entry], mut newer: &[Entry]) -> Vec<Entry> {
    let mut merged = Vec::with_capacity(older.len() + newer.len());
    while let (Some((old, rest_of_older)), Some((new, rest_of_newer))) =
        (older.split_first(), newer.split_first())
    {
        match old.key.cmp(&new.key) {
            Ordering::Less => {
                merged.push(old.clone());
                older = rest_of_older;
            }
            Ordering::Greater => {
                merged.push(new.clone());
                newer = rest_of_newer;
            }
            Ordering::Equal => {
                let change = new.change.clone().after(&old.change);
                merged.extend(change.map(|change| Entry { key: Arc::clone(&new.key), change }));
                (older, newer) = (rest_of_older, rest_of_newer);
            }
        }
    }
    merged.extend_from_slice(older);
    merged.extend_from_slice(newer);
    merged
}
