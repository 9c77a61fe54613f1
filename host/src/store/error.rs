//! What can go wrong with the store. The database's own errors stay behind `dyn Error`.

use std::error::Error;
use std::path::PathBuf;

use dormouse_core::id::RunId;

/// Why a transaction or a read failed.
///
/// Only [`StoreError::Full`] can be mended by trying again. After [`StoreError::Database`] from a commit it is
/// open whether the transaction is in the file: close the store and open it again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StoreError {
    /// The disk or the database failed.
    #[error("the database failed")]
    Database(#[source] Box<dyn Error + Send + Sync>),
    /// A stored row makes no sense.
    #[error("a row of table `{table}` cannot be read")]
    Unreadable {
        table: &'static str,
        #[source]
        source: DecodeError,
    },
    /// A row cannot be written down.
    #[error("a row of table `{table}` cannot be written down")]
    Unwritable {
        table: &'static str,
        #[source]
        source: postcard::Error,
    },
    /// Writing into the database panicked, which a damaged file can bring about.
    #[error("the database panicked: {0}")]
    Panicked(String),
    /// There is too little room on the disk. Nothing was written: the same can be tried again.
    #[error("the disk is full: {free} bytes are free where the store lies")]
    Full { free: u64 },
    /// The log of change sets cannot be written.
    #[error("the log failed")]
    Log(#[source] std::io::Error),
    /// Two tables contradict each other, or the caller and a table do.
    #[error("run {run} is not where its status says it is: {problem}")]
    Contradiction { run: RunId, problem: &'static str },
    /// A count of runs would leave its range.
    #[error("the count of runs of workflow `{workflow}` contradicts its runs")]
    Miscounted { workflow: String },
}

/// Why stored bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DecodeError {
    #[error("the bytes end too early")]
    Truncated,
    #[error("{count} bytes follow the end")]
    Trailing { count: usize },
    #[error("it is of version {found}; this program knows {known}")]
    UnknownVersion { found: u8, known: u8 },
    #[error("there is no such {what}")]
    Invalid { what: &'static str },
    #[error("its fields cannot be read")]
    Malformed(#[source] postcard::Error),
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OpenError {
    #[error("{} is in use by another process: two hosts cannot share one store", path.display())]
    Locked { path: PathBuf },
    #[error(
        "the store has format {found}, and this program knows formats up to {known}: use a newer program"
    )]
    Newer { found: u32, known: u32 },
    #[error("{} is not a store, or it is damaged: {problem}", path.display())]
    Corrupt { path: PathBuf, problem: String },
    #[error("{} cannot be opened", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the store could not be prepared")]
    Store(#[from] StoreError),
}

macro_rules! from_database_errors {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::Database(Box::new(error))
            }
        })*
    };
}

from_database_errors!(StorageError, TableError, TransactionError, CommitError, SetDurabilityError);
