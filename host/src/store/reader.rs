//! A consistent view of the last commit.

use std::array;
use std::cell::OnceCell;
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction};

use super::db::Opened;
use super::error::StoreError;
use super::source::{CountChanges, Source};
use super::tables;

type OpenTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// What the store held when the reader was made. Use it through [`super::Read`].
pub(crate) struct Reader {
    /// Opened when first used.
    tables: [OnceCell<OpenTable>; tables::ALL.len()],
    txn: ReadTransaction,
    /// Keeps the file open for as long as somebody reads.
    _opened: Arc<Opened>,
}

impl Reader {
    pub(super) fn new(txn: ReadTransaction, opened: Arc<Opened>) -> Self {
        Self { tables: array::from_fn(|_| OnceCell::new()), txn, _opened: opened }
    }
}

impl Source for Reader {
    type Raw = OpenTable;

    fn raw(&self, slot: usize) -> Result<&Self::Raw, StoreError> {
        if let Some(table) = self.tables[slot].get() {
            return Ok(table);
        }
        let table = self.txn.open_table(tables::ALL[slot])?;
        Ok(self.tables[slot].get_or_init(|| table))
    }

    fn uncommitted_counts(&self) -> Option<&CountChanges> {
        None
    }
}
