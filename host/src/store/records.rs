//! How rows are written down: a version byte, then postcard of a type that exists only for this.
//! A field is never added to such a type, moved or removed: a changed record is a new type with
//! the next version, and `decode` goes on reading the old one.

mod catalog;
mod definition;
mod journal;
mod requests;
mod run;
mod trigger;
mod work;

pub(super) use run::OldRun;

use std::collections::BTreeMap;

use dormouse_core::id::{CronId, Version};
use dormouse_core::run::{Reason, Status};
use dormouse_core::workflow::{Metadata, Priority};
use serde::{Deserialize, Serialize};

use super::error::DecodeError;

/// A row of a table whose keys are `K`. What the key says is not written down again.
pub(super) trait Record<K>: Sized {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error>;
    fn decode(key: &K, bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// Of every record that has not changed so far.
const VERSION: u8 = 1;

fn write<T: Serialize>(stored: &T) -> Result<Vec<u8>, postcard::Error> {
    write_version(VERSION, stored)
}

fn write_version<T: Serialize>(version: u8, stored: &T) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(stored, vec![version])
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    match version_of(bytes)? {
        (VERSION, fields) => read_fields(fields),
        (found, _) => Err(DecodeError::UnknownVersion { found, known: VERSION }),
    }
}

fn version_of(bytes: &[u8]) -> Result<(u8, &[u8]), DecodeError> {
    let (&version, fields) = bytes.split_first().ok_or(DecodeError::Truncated)?;
    Ok((version, fields))
}

fn read_fields<'a, T: Deserialize<'a>>(fields: &'a [u8]) -> Result<T, DecodeError> {
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

/// How many runs a workflow has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// By the code of their status.
    pub(super) by_status: [u64; Self::LEN],
    /// Those that have not ended, by their version. One without such runs is not listed.
    pub(super) live: BTreeMap<Version, u64>,
}

impl Counts {
    pub(crate) const LEN: usize = Status::ALL.len();

    /// Since format 2 of the store.
    const VERSION: u8 = 2;
}

type StoredCounts = ([u64; Counts::LEN], Vec<(u32, u64)>);

impl<K> Record<K> for Counts {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let live = self.live.iter().map(|(version, count)| (version.0, *count)).collect();
        let stored: StoredCounts = (self.by_status, live);
        write_version(Self::VERSION, &stored)
    }

    fn decode(_: &K, bytes: &[u8]) -> Result<Self, DecodeError> {
        match version_of(bytes)? {
            (1, fields) => Ok(Self { by_status: read_fields(fields)?, live: BTreeMap::new() }),
            (Self::VERSION, fields) => {
                let (by_status, live): StoredCounts = read_fields(fields)?;
                let live = live.into_iter().map(|(version, count)| (Version(version), count)).collect();
                Ok(Self { by_status, live })
            }
            (found, _) => Err(DecodeError::UnknownVersion { found, known: Self::VERSION }),
        }
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
