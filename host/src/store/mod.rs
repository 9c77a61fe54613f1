//! The only folder that knows a database: rows in, rows out, and no rules.
//!
//! [`Store::transact`] writes and sees its own writes, [`Store::reader`] looks at the last commit;
//! both read through [`Read`]. What is on disk is described in `FORMAT.md`.

mod check;
mod db;
mod error;
mod keys;
mod migrate;
mod parts;
mod read;
mod reader;
mod records;
pub(crate) mod rows;
mod source;
mod tables;
#[cfg(test)]
mod tests;
mod tx;
mod write;

pub use check::Problem;
pub(crate) use check::{check, size};
pub(crate) use db::Store;
pub(crate) use error::{OpenError, StoreError};
pub(crate) use read::Read;
pub(crate) use reader::Reader;
pub(crate) use tx::Tx;
