//! The only folder that knows a database: rows in, rows out, and no rules.
//!
//! A [`WorkingSet`] gathers changes and sees them, a [`View`] shows what was committed; both are read
//! through [`Read`]. [`Store::commit`] makes a [`ChangeSet`] durable. What is on disk is described in
//! `FORMAT.md`.

mod changes;
mod check;
mod db;
mod error;
mod keys;
mod log;
mod migrate;
mod overlay;
mod parts;
mod read;
mod records;
pub(crate) mod rows;
mod source;
mod space;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod view;
mod waits;
mod working_set;
mod write;

pub(crate) use changes::ChangeSet;
pub use check::Problem;
pub(crate) use check::{check, size};
pub(crate) use db::{Fence, Store};
pub(crate) use error::{OpenError, StoreError};
pub(crate) use read::{Newer, Read};
pub(crate) use view::View;
pub(crate) use waits::NextWait;
pub(crate) use working_set::{WorkingSet, Written};
pub(crate) use write::Deleted;
