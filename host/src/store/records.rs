//! How rows are written down: a version byte, then postcard of a type that exists only for this.
//! A field is never added to such a type, moved or removed: a changed record is a new type with
//! the next version, and `decode` goes on reading the old one.

mod catalog;
mod definition;
mod journal;
mod run;
mod trigger;

use dormouse_core::id::{CronId, WorkflowName};
use dormouse_core::run::{Reason, Status};
use dormouse_core::workflow::{Metadata, Priority};
use serde::{Deserialize, Serialize};

use super::error::DecodeError;

/// A row of a table whose keys are `K`. What the key says is not written down again.
pub(super) trait Record<K>: Sized {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error>;
    fn decode(key: &K, bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// Of every record so far.
const VERSION: u8 = 1;

fn write<T: Serialize>(stored: &T) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(stored, vec![VERSION])
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let (&version, fields) = bytes.split_first().ok_or(DecodeError::Truncated)?;
    if version != VERSION {
        return Err(DecodeError::UnknownVersion { found: version, known: VERSION });
    }
    let (stored, rest) = postcard::take_from_bytes(fields).map_err(DecodeError::Malformed)?;
    if rest.is_empty() { Ok(stored) } else { Err(DecodeError::Trailing { count: rest.len() }) }
}

/// An entry of an index: the key says it all.
impl<K> Record<K> for () {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        Ok(Vec::new())
    }

    fn decode(_: &K, bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { count: bytes.len() }) }
    }
}

impl<K> Record<K> for u32 {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        write(self)
    }

    fn decode(_: &K, bytes: &[u8]) -> Result<Self, DecodeError> {
        read(bytes)
    }
}

/// Bytes that somebody else understands: modules and snapshots.
impl<K> Record<K> for Vec<u8> {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        Ok(self.clone())
    }

    fn decode(_: &K, bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.to_vec())
    }
}

impl<K> Record<K> for CronId {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        write(&self.to_bytes())
    }

    fn decode(_: &K, bytes: &[u8]) -> Result<Self, DecodeError> {
        read(bytes).map(Self::from_bytes)
    }
}

/// How many runs a workflow has, by the code of their status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts(pub(super) [u64; Self::LEN]);

impl Counts {
    pub(crate) const LEN: usize = Status::ALL.len();
}

impl Record<WorkflowName> for Counts {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        write(&self.0)
    }

    fn decode(_: &WorkflowName, bytes: &[u8]) -> Result<Self, DecodeError> {
        read(bytes).map(Self)
    }
}

type StoredId = [u8; 16];

/// By the position in `Status::ALL`, which is the order of declaration.
fn status(code: u8) -> Result<Status, DecodeError> {
    known(&Status::ALL, code, "status")
}

/// By the position in `Reason::ALL`, which is the order of declaration.
fn reason(code: Option<u8>) -> Result<Option<Reason>, DecodeError> {
    code.map(|code| known(&Reason::ALL, code, "reason")).transpose()
}

fn known<T: Copy>(all: &[T], code: u8, what: &'static str) -> Result<T, DecodeError> {
    all.get(usize::from(code)).copied().ok_or(DecodeError::Invalid { what })
}

fn priority(number: u8) -> Result<Priority, DecodeError> {
    Priority::new(number).ok_or(DecodeError::Invalid { what: "priority" })
}

fn optional_priority(number: Option<u8>) -> Result<Option<Priority>, DecodeError> {
    number.map(priority).transpose()
}

/// A name of any kind.
fn name<T: std::str::FromStr>(text: &str) -> Result<T, DecodeError> {
    text.parse().map_err(|_| DecodeError::Invalid { what: "name" })
}

type StoredMetadata<'a> = Vec<(&'a str, &'a str)>;

fn metadata(stored: StoredMetadata<'_>) -> Metadata {
    Metadata::new(stored.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())))
}
