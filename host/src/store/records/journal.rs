//! Records of a run's journal.

use dormouse_core::id::{RunId, TaskIndex};
use dormouse_core::run::Transition;
use dormouse_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::store::error::DecodeError;
use crate::store::rows::{JournalEntry, LogLevel, LogLine};

#[derive(Serialize, Deserialize)]
enum StoredEntry<'a> {
    Transition { at: u64, task: u8, attempt: u32, status: u8, reason: Option<u8>, run: u8 },
    Log { at: u64, task: u8, attempt: u32, level: u8, repeated: bool, message: &'a str },
    Chunk { at: u64, task: u8, text: &'a str },
}

/// In the order of their codes.
const LEVELS: [LogLevel; 5] =
    [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

/// Since format 3 of the store; before, each entry was a row.
const VERSION: u8 = 2;

impl Record<(RunId, u64)> for Vec<JournalEntry> {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write_version(VERSION, &self.iter().map(StoredEntry::from).collect::<Vec<_>>())
    }

    fn decode(_: &(RunId, u64), bytes: &[u8]) -> Result<Self, DecodeError> {
        match super::version_of(bytes)? {
            (1, fields) => Ok(vec![entry(super::read_fields(fields)?)?]),
            (VERSION, fields) => {
                super::read_fields::<Vec<StoredEntry<'_>>>(fields)?.into_iter().map(entry).collect()
            }
            (found, _) => Err(DecodeError::UnknownVersion { found, known: VERSION }),
        }
    }
}

impl<'a> From<&'a JournalEntry> for StoredEntry<'a> {
    fn from(entry: &'a JournalEntry) -> Self {
        match entry {
            JournalEntry::Transition(transition) => Self::Transition {
                at: transition.at.as_millis(),
                task: transition.task.0,
                attempt: transition.attempt,
                status: transition.status as u8,
                reason: transition.reason.map(|reason| reason as u8),
                run: transition.run as u8,
            },
            JournalEntry::Log(line) => Self::Log {
                at: line.at.as_millis(),
                task: line.task.0,
                attempt: line.attempt,
                level: line.level as u8,
                repeated: line.repeated,
                message: &line.message,
            },
            JournalEntry::Chunk { at, task, text } => Self::Chunk { at: at.as_millis(), task: task.0, text },
        }
    }
}

fn entry(stored: StoredEntry<'_>) -> Result<JournalEntry, DecodeError> {
    Ok(match stored {
        StoredEntry::Transition { at, task, attempt, status, reason, run } => {
            JournalEntry::Transition(Transition {
                at: Timestamp::from_millis(at),
                task: TaskIndex(task),
                attempt,
                status: super::status(status)?,
                reason: super::reason(reason)?,
                run: super::status(run)?,
            })
        }
        StoredEntry::Log { at, task, attempt, level, repeated, message } => JournalEntry::Log(LogLine {
            at: Timestamp::from_millis(at),
            task: TaskIndex(task),
            attempt,
            level: super::known(&LEVELS, level, "log level")?,
            repeated,
            message: message.to_owned(),
        }),
        StoredEntry::Chunk { at, task, text } => JournalEntry::Chunk {
            at: Timestamp::from_millis(at),
            task: TaskIndex(task),
            text: text.to_owned(),
        },
    })
}
