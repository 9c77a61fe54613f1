//! Records of a run's journal.

use dormouse_core::id::{RunId, TaskIndex};
use dormouse_core::log::LogLevel;
use dormouse_core::run::Transition;
use dormouse_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::store::error::DecodeError;
use crate::store::rows::{JournalEdge, JournalEdges, JournalEntry, JournalRow, JournalSize, LogLine};

#[derive(Serialize, Deserialize)]
enum StoredEntry<'a> {
    Transition {
        at: u64,
        task: u8,
        attempt: u32,
        status: u8,
        reason: Option<u8>,
        run: u8,
    },
    Log {
        at: u64,
        task: u8,
        attempt: u32,
        level: u8,
        repeated: bool,
        message: &'a str,
    },
    Chunk {
        at: u64,
        task: u8,
        text: &'a str,
    },
    /// So many entries were here and are not kept.
    Gone {
        count: u32,
    },
}

/// Numbers of transitions and bytes of output before the row; the edges of both, each a sequence
/// number and what lies before it, once the journal was trimmed; the entries.
type StoredRow<'a> = (u64, u64, Option<[(u64, u64); 2]>, Vec<StoredEntry<'a>>);

/// In the order of their codes.
const LEVELS: [LogLevel; 5] =
    [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

/// Version 1 is a single entry and version 2 the entries alone, both of journals that were never
/// trimmed.
const VERSION: u8 = 3;

/// For how many bytes of output an entry of such a journal counts: what lies before a row is not known
/// there, and taken to be as many transitions, and as many short lines, as it has entries.
const UNKNOWN_BYTES: u64 = 64;

impl Record<(RunId, u64)> for JournalRow {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let JournalEdges { transitions, output } = self.edges;
        let is_trimmed = self.edges != JournalEdges::default();
        let edges = is_trimmed.then(|| [transitions, output].map(|edge| (edge.sequence, edge.passed)));
        let mut entries = Vec::with_capacity(self.entries.len());
        let mut next = 0;
        for (distance, entry) in &self.entries {
            let count = distance.saturating_sub(next);
            entries.extend((count > 0).then_some(StoredEntry::Gone { count }));
            entries.push(entry.into());
            next = distance.saturating_add(1);
        }
        let row: StoredRow<'_> = (self.before.transitions, self.before.output, edges, entries);
        super::write_version(VERSION, &row)
    }

    fn decode((_, first): &(RunId, u64), bytes: &[u8]) -> Result<Self, DecodeError> {
        let unknown = (*first, first.saturating_mul(UNKNOWN_BYTES));
        let (version, fields) = super::version_of(bytes)?;
        let (transitions, output, edges, stored): StoredRow<'_> = match version {
            1 => (unknown.0, unknown.1, None, vec![super::read_fields(fields)?]),
            2 => (unknown.0, unknown.1, None, super::read_fields(fields)?),
            VERSION => super::read_fields(fields)?,
            found => return Err(DecodeError::UnknownVersion { found, known: VERSION }),
        };
        let mut entries = Vec::with_capacity(stored.len());
        let mut next = 0_u32;
        for stored in stored {
            let passed = match stored {
                StoredEntry::Gone { count } => count,
                stored => {
                    entries.push((next, entry(stored)?));
                    1
                }
            };
            next = next.checked_add(passed).ok_or(DecodeError::Invalid { what: "number of entries" })?;
        }
        let [transition_edge, output_edge] =
            edges.unwrap_or_default().map(|(sequence, passed)| JournalEdge { sequence, passed });
        Ok(Self {
            before: JournalSize { transitions, output },
            edges: JournalEdges { transitions: transition_edge, output: output_edge },
            entries,
        })
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
        StoredEntry::Gone { .. } => return Err(DecodeError::Invalid { what: "entry of a journal" }),
    })
}
