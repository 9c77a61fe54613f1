//! Records of work that is left over.

use dormouse_core::id::{EventId, RunId, ScheduledId, TaskIndex, WaitId};
use dormouse_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Record, StoredId};
use crate::store::error::DecodeError;
use crate::store::rows::{Behind, LookBack, SubscriptionPlace, WaitCursor, Work};

#[derive(Serialize, Deserialize)]
enum StoredWork {
    TellWaiters {
        awaited: StoredId,
    },
    CancelChildren {
        parent: StoredId,
        after: Option<StoredId>,
    },
    CancelScheduled {
        workflow: String,
        made_before: u64,
        after: Option<(u64, StoredId)>,
    },
    MatchEvent {
        event: StoredId,
        cursor: StoredCursor,
    },
    LookBack {
        run: StoredId,
        task: u8,
        wait: u64,
        since: u64,
        before: Option<StoredId>,
        looked_at: u32,
    },
    /// Since format 5 of the store, as what follows.
    MakeRoom {
        workflow: String,
        index: u8,
        key: String,
        room: u32,
        made_before: StoredId,
    },
    StartSubscribers {
        event: StoredId,
        after: Option<(bool, String, u32)>,
    },
    /// Since format 6 of the store.
    TryHeld {
        after: Option<(StoredId, u8)>,
    },
}

#[derive(Serialize, Deserialize)]
enum StoredCursor {
    Exact(StoredBehind),
    Pattern { prefix: u16, behind: StoredBehind },
}

#[derive(Serialize, Deserialize)]
enum StoredBehind {
    Nothing,
    Row(Vec<u8>),
    Group(String),
}

impl Record<u64> for Work {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&StoredWork::from(self.clone()))
    }

    fn decode(_: &u64, bytes: &[u8]) -> Result<Self, DecodeError> {
        super::read::<StoredWork>(bytes)?.try_into()
    }
}

impl From<Work> for StoredWork {
    fn from(work: Work) -> Self {
        match work {
            Work::TellWaiters { awaited } => Self::TellWaiters { awaited: awaited.to_bytes() },
            Work::CancelChildren { parent, after } => {
                Self::CancelChildren { parent: parent.to_bytes(), after: after.map(RunId::to_bytes) }
            }
            Work::CancelScheduled { workflow, made_before, after } => Self::CancelScheduled {
                workflow: workflow.as_str().to_owned(),
                made_before: made_before.as_millis(),
                after: after.map(|(at, id)| (at.as_millis(), id.to_bytes())),
            },
            Work::MatchEvent { event, cursor } => {
                Self::MatchEvent { event: event.to_bytes(), cursor: cursor.into() }
            }
            Work::LookBack(LookBack { run, task, wait, since, before, looked_at }) => Self::LookBack {
                run: run.to_bytes(),
                task: task.0,
                wait: wait.0,
                since: since.as_millis(),
                before: before.map(EventId::to_bytes),
                looked_at,
            },
            Work::MakeRoom { workflow, index, key, room, made_before } => {
                let (workflow, made_before) = (workflow.as_str().to_owned(), made_before.to_bytes());
                Self::MakeRoom { workflow, index, key, room, made_before }
            }
            Work::StartSubscribers { event, after } => {
                let place = |SubscriptionPlace { is_pattern, workflow, position }: SubscriptionPlace| {
                    (is_pattern, workflow.as_str().to_owned(), position)
                };
                Self::StartSubscribers { event: event.to_bytes(), after: after.map(place) }
            }
            Work::TryHeld { after } => {
                Self::TryHeld { after: after.map(|(run, task)| (run.to_bytes(), task.0)) }
            }
        }
    }
}

impl TryFrom<StoredWork> for Work {
    type Error = DecodeError;

    fn try_from(stored: StoredWork) -> Result<Self, DecodeError> {
        Ok(match stored {
            StoredWork::TellWaiters { awaited } => Self::TellWaiters { awaited: RunId::from_bytes(awaited) },
            StoredWork::CancelChildren { parent, after } => Self::CancelChildren {
                parent: RunId::from_bytes(parent),
                after: after.map(RunId::from_bytes),
            },
            StoredWork::CancelScheduled { workflow, made_before, after } => Self::CancelScheduled {
                workflow: super::name(&workflow)?,
                made_before: Timestamp::from_millis(made_before),
                after: after.map(|(at, id)| (Timestamp::from_millis(at), ScheduledId::from_bytes(id))),
            },
            StoredWork::MatchEvent { event, cursor } => {
                Self::MatchEvent { event: EventId::from_bytes(event), cursor: cursor.into() }
            }
            StoredWork::LookBack { run, task, wait, since, before, looked_at } => Self::LookBack(LookBack {
                run: RunId::from_bytes(run),
                task: TaskIndex(task),
                wait: WaitId(wait),
                since: Timestamp::from_millis(since),
                before: before.map(EventId::from_bytes),
                looked_at,
            }),
            StoredWork::MakeRoom { workflow, index, key, room, made_before } => {
                let (workflow, made_before) = (super::name(&workflow)?, RunId::from_bytes(made_before));
                Self::MakeRoom { workflow, index, key, room, made_before }
            }
            StoredWork::StartSubscribers { event, after } => {
                let place = |(is_pattern, workflow, position): (bool, String, u32)| {
                    let workflow = super::name(&workflow)?;
                    Ok::<_, DecodeError>(SubscriptionPlace { is_pattern, workflow, position })
                };
                let after = after.map(place).transpose()?;
                Self::StartSubscribers { event: EventId::from_bytes(event), after }
            }
            StoredWork::TryHeld { after } => {
                let task = |(run, task)| (RunId::from_bytes(run), TaskIndex(task));
                Self::TryHeld { after: after.map(task) }
            }
        })
    }
}

impl From<WaitCursor> for StoredCursor {
    fn from(cursor: WaitCursor) -> Self {
        match cursor {
            WaitCursor::Exact(behind) => Self::Exact(behind.into()),
            WaitCursor::Pattern { prefix, behind } => Self::Pattern { prefix, behind: behind.into() },
        }
    }
}

impl From<StoredCursor> for WaitCursor {
    fn from(stored: StoredCursor) -> Self {
        match stored {
            StoredCursor::Exact(behind) => Self::Exact(behind.into()),
            StoredCursor::Pattern { prefix, behind } => Self::Pattern { prefix, behind: behind.into() },
        }
    }
}

impl From<Behind> for StoredBehind {
    fn from(behind: Behind) -> Self {
        match behind {
            Behind::Nothing => Self::Nothing,
            Behind::Row(key) => Self::Row(key),
            Behind::Group(name) => Self::Group(name),
        }
    }
}

impl From<StoredBehind> for Behind {
    fn from(stored: StoredBehind) -> Self {
        match stored {
            StoredBehind::Nothing => Self::Nothing,
            StoredBehind::Row(key) => Self::Row(key),
            StoredBehind::Group(name) => Self::Group(name),
        }
    }
}
