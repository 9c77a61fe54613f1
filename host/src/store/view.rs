//! What the store holds as of a commit: the database as the last checkpoint left it, and the
//! change sets that were committed since.

use std::array;
use std::sync::{Arc, OnceLock};

use redb::{ReadOnlyTable, ReadTransaction};

use super::changes::ChangeSet;
use super::db::Opened;
use super::error::StoreError;
use super::source::{Bytes, Layer, Order, Rows, Source, Span};
use super::tables;

type OpenTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The state of one commit; it stays as it is while others are made. Use it through [`super::Read`].
/// Drop it soon: the file cannot reuse what a view still shows.
pub(crate) struct View {
    base: Arc<Base>,
    /// Oldest first.
    layers: Vec<Arc<ChangeSet>>,
}

/// The database as of one checkpoint.
pub(super) struct Base {
    /// Opened when first used.
    tables: [OnceLock<OpenTable>; tables::ALL.len()],
    txn: ReadTransaction,
    /// Keeps the file open for as long as somebody reads.
    _opened: Option<Arc<Opened>>,
}

impl Base {
    pub(super) fn new(txn: ReadTransaction, opened: Option<Arc<Opened>>) -> Self {
        Self { tables: array::from_fn(|_| OnceLock::new()), txn, _opened: opened }
    }

    fn table(&self, slot: usize) -> Result<&OpenTable, StoreError> {
        if let Some(table) = self.tables[slot].get() {
            return Ok(table);
        }
        let table = self.txn.open_table(tables::ALL[slot])?;
        Ok(self.tables[slot].get_or_init(|| table))
    }
}

impl View {
    pub(super) fn new(base: Arc<Base>, layers: Vec<Arc<ChangeSet>>) -> Self {
        Self { base, layers }
    }

    /// Of a database that is not open as a store yet.
    pub(super) fn of_database(txn: ReadTransaction) -> Arc<Self> {
        Arc::new(Self::new(Arc::new(Base::new(txn, None)), Vec::new()))
    }

    pub(super) fn base(&self) -> &Arc<Base> {
        &self.base
    }

    pub(super) fn layers(&self) -> &[Arc<ChangeSet>] {
        &self.layers
    }

    /// The layers of a span, newest first.
    pub(super) fn layers_of(
        &self,
        slot: usize,
        span: &Span,
    ) -> Result<impl Iterator<Item = Layer<'_>>, StoreError> {
        let stored = Layer::Stored(self.base.table(slot)?.range::<&[u8]>(span.bounds())?);
        let changed = self.layers.iter().rev().map(move |layer| layer.range(slot, span));
        let changed: Vec<_> = changed.filter(|entries| !entries.is_empty()).collect();
        Ok(changed.into_iter().map(|entries| Layer::Closed(entries.iter())).chain([stored]))
    }
}

impl Source for View {
    fn row(&self, slot: usize, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        if let Some(change) = self.layers.iter().rev().find_map(|layer| layer.get(slot, key)) {
            return Ok(change.row().map(Bytes::Changed));
        }
        Ok(self.base.table(slot)?.get(key)?.map(Bytes::Stored))
    }

    fn rows(&self, slot: usize, span: &Span, order: Order) -> Result<Rows<'_>, StoreError> {
        if span.is_empty() {
            return Rows::new([], order);
        }
        Rows::new(self.layers_of(slot, span)?, order)
    }
}
