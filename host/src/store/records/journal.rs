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

impl Record<(RunId, u64)> for JournalEntry {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&match self {
            Self::Transition(transition) => StoredEntry::Transition {
                at: transition.at.as_millis(),
                task: transition.task.0,
                attempt: transition.attempt,
                status: transition.status as u8,
                reason: transition.reason.map(|reason| reason as u8),
                run: transition.run as u8,
            },
            Self::Log(line) => StoredEntry::Log {
                at: line.at.as_millis(),
                task: line.task.0,
                attempt: line.attempt,
                level: line.level as u8,
                repeated: line.repeated,
                message: &line.message,
            },
            Self::Chunk { at, task, text } => StoredEntry::Chunk { at: at.as_millis(), task: task.0, text },
        })
    }

    fn decode(_: &(RunId, u64), bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(match super::read(bytes)? {
            StoredEntry::Transition { at, task, attempt, status, reason, run } => {
                Self::Transition(Transition {
                    at: Timestamp::from_millis(at),
                    task: TaskIndex(task),
                    attempt,
                    status: super::status(status)?,
                    reason: super::reason(reason)?,
                    run: super::status(run)?,
                })
            }
            StoredEntry::Log { at, task, attempt, level, repeated, message } => Self::Log(LogLine {
                at: Timestamp::from_millis(at),
                task: TaskIndex(task),
                attempt,
                level: super::known(&LEVELS, level, "log level")?,
                repeated,
                message: message.to_owned(),
            }),
            StoredEntry::Chunk { at, task, text } => {
                Self::Chunk { at: Timestamp::from_millis(at), task: TaskIndex(task), text: text.to_owned() }
            }
        })
    }
}
