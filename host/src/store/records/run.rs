//! Records of runs: what never changes of them, and what does.

use std::time::Duration;

use dormouse_core::id::{CronId, EventId, ModuleDigest, RunId, ScheduledId, TaskIndex, Version, WaitId};
use dormouse_core::run::{Run, RunSpec, TaskError, TaskRun, Trigger};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{FilterIndex, Settled, Wait, WaitCondition, WaitOutcome};
use dormouse_core::workflow::Json;
use serde::{Deserialize, Serialize};

use super::{Record, StoredId, StoredMetadata};
use crate::store::error::DecodeError;
use crate::store::rows::EventWaitRow;
use crate::store::tables::{EventPatternWaitKey, EventWaitKey};

#[derive(Serialize, Deserialize)]
struct StoredSpec<'a> {
    workflow: &'a str,
    version: u32,
    module: [u8; 32],
    input: &'a str,
    #[serde(borrow)]
    metadata: StoredMetadata<'a>,
    priority: u8,
    trigger: StoredTrigger,
    parent: Option<StoredId>,
    detached: bool,
    created_at: u64,
}

#[derive(Serialize, Deserialize)]
enum StoredTrigger {
    Call,
    Cron { id: StoredId, nominal: u64 },
    Scheduled { id: StoredId, nominal: u64 },
    Event(StoredId),
    Parent(StoredId),
    Replay(StoredId),
}

impl Record<RunId> for RunSpec {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&StoredSpec {
            workflow: self.workflow.as_str(),
            version: self.version.0,
            module: self.module.to_bytes(),
            input: self.input.as_str(),
            metadata: self.metadata.iter().collect(),
            priority: self.priority.number(),
            trigger: self.trigger.into(),
            parent: self.parent.map(RunId::to_bytes),
            detached: self.detached,
            created_at: self.created_at.as_millis(),
        })
    }

    fn decode(id: &RunId, bytes: &[u8]) -> Result<Self, DecodeError> {
        let stored: StoredSpec<'_> = super::read(bytes)?;
        Ok(Self {
            id: *id,
            workflow: super::name(stored.workflow)?,
            version: Version(stored.version),
            module: ModuleDigest::from_bytes(stored.module),
            input: Json::trusted(stored.input),
            metadata: super::metadata(stored.metadata),
            priority: super::priority(stored.priority)?,
            trigger: stored.trigger.into(),
            parent: stored.parent.map(RunId::from_bytes),
            detached: stored.detached,
            created_at: Timestamp::from_millis(stored.created_at),
        })
    }
}

impl From<Trigger> for StoredTrigger {
    fn from(trigger: Trigger) -> Self {
        match trigger {
            Trigger::Call => Self::Call,
            Trigger::Cron { id, nominal } => Self::Cron { id: id.to_bytes(), nominal: nominal.as_millis() },
            Trigger::Scheduled { id, nominal } => {
                Self::Scheduled { id: id.to_bytes(), nominal: nominal.as_millis() }
            }
            Trigger::Event(id) => Self::Event(id.to_bytes()),
            Trigger::Parent(id) => Self::Parent(id.to_bytes()),
            Trigger::Replay(id) => Self::Replay(id.to_bytes()),
        }
    }
}

impl From<StoredTrigger> for Trigger {
    fn from(stored: StoredTrigger) -> Self {
        match stored {
            StoredTrigger::Call => Self::Call,
            StoredTrigger::Cron { id, nominal } => {
                Self::Cron { id: CronId::from_bytes(id), nominal: Timestamp::from_millis(nominal) }
            }
            StoredTrigger::Scheduled { id, nominal } => {
                Self::Scheduled { id: ScheduledId::from_bytes(id), nominal: Timestamp::from_millis(nominal) }
            }
            StoredTrigger::Event(id) => Self::Event(EventId::from_bytes(id)),
            StoredTrigger::Parent(id) => Self::Parent(RunId::from_bytes(id)),
            StoredTrigger::Replay(id) => Self::Replay(RunId::from_bytes(id)),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredRun<'a> {
    status: u8,
    reason: Option<u8>,
    #[serde(borrow)]
    tasks: Vec<StoredTaskRun<'a>>,
    started_at: Option<u64>,
    finished_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct StoredTaskRun<'a> {
    status: u8,
    reason: Option<u8>,
    attempt: u32,
    epoch: u64,
    lost_hosts: u8,
    repeated: bool,
    ran: Duration,
    has_snapshot: bool,
    #[serde(borrow)]
    waits: Vec<StoredWait<'a>>,
    settled: Vec<StoredSettled>,
    delivered: u32,
    queued_at: Option<u64>,
    retry_at: Option<u64>,
    schedule_deadline: Option<u64>,
    started_at: Option<u64>,
    finished_at: Option<u64>,
    output: Option<&'a str>,
    error: Option<StoredError<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredError<'a> {
    message: &'a str,
    details: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct StoredWait<'a> {
    id: u64,
    #[serde(borrow)]
    condition: StoredCondition<'a>,
}

#[derive(Serialize, Deserialize)]
enum StoredCondition<'a> {
    Until(u64),
    Event {
        key_pattern: &'a str,
        filter: Option<&'a str>,
        look_back: Option<Duration>,
    },
    Run(StoredId),
    /// Since format 3 of the store, which older programs do not open.
    IndexedEvent {
        key_pattern: &'a str,
        filter: Option<&'a str>,
        look_back: Option<Duration>,
        path: &'a str,
        value: &'a str,
    },
}

#[derive(Serialize, Deserialize)]
struct StoredSettled {
    id: u64,
    outcome: StoredOutcome,
}

#[derive(Serialize, Deserialize)]
enum StoredOutcome {
    Elapsed,
    Event(StoredId),
    Run(StoredId),
}

impl Record<RunId> for Run {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&StoredRun {
            status: self.status as u8,
            reason: self.reason.map(|reason| reason as u8),
            tasks: self.tasks.iter().map(StoredTaskRun::from).collect(),
            started_at: self.started_at.map(Timestamp::as_millis),
            finished_at: self.finished_at.map(Timestamp::as_millis),
        })
    }

    fn decode(_: &RunId, bytes: &[u8]) -> Result<Self, DecodeError> {
        let stored: StoredRun<'_> = super::read(bytes)?;
        Ok(Self {
            status: super::status(stored.status)?,
            reason: super::reason(stored.reason)?,
            tasks: stored.tasks.into_iter().map(TaskRun::try_from).collect::<Result<_, _>>()?,
            started_at: stored.started_at.map(Timestamp::from_millis),
            finished_at: stored.finished_at.map(Timestamp::from_millis),
        })
    }
}

impl<'a> From<&'a TaskRun> for StoredTaskRun<'a> {
    fn from(task: &'a TaskRun) -> Self {
        Self {
            status: task.status as u8,
            reason: task.reason.map(|reason| reason as u8),
            attempt: task.attempt,
            epoch: task.epoch,
            lost_hosts: task.lost_hosts,
            repeated: task.repeated,
            ran: task.ran,
            has_snapshot: task.has_snapshot,
            waits: task.waits.iter().map(StoredWait::from).collect(),
            settled: task.settled.iter().copied().map(StoredSettled::from).collect(),
            delivered: u32::try_from(task.delivered).unwrap_or(u32::MAX),
            queued_at: task.queued_at.map(Timestamp::as_millis),
            retry_at: task.retry_at.map(Timestamp::as_millis),
            schedule_deadline: task.schedule_deadline.map(Timestamp::as_millis),
            started_at: task.started_at.map(Timestamp::as_millis),
            finished_at: task.finished_at.map(Timestamp::as_millis),
            output: task.output.as_ref().map(Json::as_str),
            error: task.error.as_ref().map(StoredError::from),
        }
    }
}

impl TryFrom<StoredTaskRun<'_>> for TaskRun {
    type Error = DecodeError;

    fn try_from(stored: StoredTaskRun<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            status: super::status(stored.status)?,
            reason: super::reason(stored.reason)?,
            attempt: stored.attempt,
            epoch: stored.epoch,
            lost_hosts: stored.lost_hosts,
            repeated: stored.repeated,
            ran: stored.ran,
            has_snapshot: stored.has_snapshot,
            waits: stored.waits.into_iter().map(Wait::from).collect(),
            settled: stored.settled.into_iter().map(Settled::from).collect(),
            delivered: stored.delivered as usize,
            queued_at: stored.queued_at.map(Timestamp::from_millis),
            retry_at: stored.retry_at.map(Timestamp::from_millis),
            schedule_deadline: stored.schedule_deadline.map(Timestamp::from_millis),
            started_at: stored.started_at.map(Timestamp::from_millis),
            finished_at: stored.finished_at.map(Timestamp::from_millis),
            output: stored.output.map(Json::trusted),
            error: stored.error.map(TaskError::from),
        })
    }
}

impl<'a> From<&'a TaskError> for StoredError<'a> {
    fn from(error: &'a TaskError) -> Self {
        Self { message: &error.message, details: error.details.as_ref().map(Json::as_str) }
    }
}

impl From<StoredError<'_>> for TaskError {
    fn from(stored: StoredError<'_>) -> Self {
        Self { message: stored.message.to_owned(), details: stored.details.map(Json::trusted) }
    }
}

impl<'a> From<&'a Wait> for StoredWait<'a> {
    fn from(wait: &'a Wait) -> Self {
        let condition = match &wait.condition {
            WaitCondition::Until(at) => StoredCondition::Until(at.as_millis()),
            WaitCondition::Event { key_pattern, filter, look_back, index: None } => {
                StoredCondition::Event { key_pattern, filter: filter.as_deref(), look_back: *look_back }
            }
            WaitCondition::Event { key_pattern, filter, look_back, index: Some(index) } => {
                let FilterIndex { path, value } = index;
                let (filter, look_back) = (filter.as_deref(), *look_back);
                StoredCondition::IndexedEvent { key_pattern, filter, look_back, path, value }
            }
            WaitCondition::Run(run) => StoredCondition::Run(run.to_bytes()),
        };
        Self { id: wait.id.0, condition }
    }
}

impl From<StoredWait<'_>> for Wait {
    fn from(stored: StoredWait<'_>) -> Self {
        let condition = match stored.condition {
            StoredCondition::Until(at) => WaitCondition::Until(Timestamp::from_millis(at)),
            StoredCondition::Event { key_pattern, filter, look_back } => WaitCondition::Event {
                key_pattern: key_pattern.to_owned(),
                filter: filter.map(str::to_owned),
                look_back,
                index: None,
            },
            StoredCondition::IndexedEvent { key_pattern, filter, look_back, path, value } => {
                WaitCondition::Event {
                    key_pattern: key_pattern.to_owned(),
                    filter: filter.map(str::to_owned),
                    look_back,
                    index: Some(FilterIndex { path: path.to_owned(), value: value.to_owned() }),
                }
            }
            StoredCondition::Run(run) => WaitCondition::Run(RunId::from_bytes(run)),
        };
        Self { id: WaitId(stored.id), condition }
    }
}

impl From<Settled> for StoredSettled {
    fn from(settled: Settled) -> Self {
        let outcome = match settled.outcome {
            WaitOutcome::Elapsed => StoredOutcome::Elapsed,
            WaitOutcome::Event(id) => StoredOutcome::Event(id.to_bytes()),
            WaitOutcome::Run(id) => StoredOutcome::Run(id.to_bytes()),
        };
        Self { id: settled.id.0, outcome }
    }
}

impl From<StoredSettled> for Settled {
    fn from(stored: StoredSettled) -> Self {
        let outcome = match stored.outcome {
            StoredOutcome::Elapsed => WaitOutcome::Elapsed,
            StoredOutcome::Event(id) => WaitOutcome::Event(EventId::from_bytes(id)),
            StoredOutcome::Run(id) => WaitOutcome::Run(RunId::from_bytes(id)),
        };
        Self { id: WaitId(stored.id), outcome }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredEventWait1<'a> {
    #[serde(borrow)]
    filter: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct StoredEventWait2<'a> {
    #[serde(borrow)]
    filter: Option<&'a str>,
    settled_by: Option<(StoredId, u64)>,
}

#[derive(Serialize, Deserialize)]
struct StoredEventWait3<'a> {
    #[serde(borrow)]
    filter: Option<&'a str>,
    since: u64,
    settled_by: Option<(StoredId, u64)>,
}

impl Record<EventWaitKey> for EventWaitRow {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        encode_event_wait(self)
    }

    fn decode(key: &EventWaitKey, bytes: &[u8]) -> Result<Self, DecodeError> {
        let (_, key_pattern, path, value, run, task, wait) = key.clone();
        let index = (!path.is_empty()).then_some(FilterIndex { path, value });
        decode_event_wait(bytes, key_pattern, index, (run, task, wait))
    }
}

impl Record<EventPatternWaitKey> for EventWaitRow {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        encode_event_wait(self)
    }

    fn decode(key: &EventPatternWaitKey, bytes: &[u8]) -> Result<Self, DecodeError> {
        let (_, _, pattern, run, task, wait) = key.clone();
        decode_event_wait(bytes, pattern, None, (run, task, wait))
    }
}

fn encode_event_wait(row: &EventWaitRow) -> Result<Vec<u8>, postcard::Error> {
    let settled_by = row.settled_by.map(|(event, at)| (event.to_bytes(), at.as_millis()));
    let (filter, since) = (row.filter.as_deref(), row.since.as_millis());
    super::write_version(3, &StoredEventWait3 { filter, since, settled_by })
}

fn decode_event_wait(
    bytes: &[u8],
    key_pattern: String,
    index: Option<FilterIndex>,
    (run, task, wait): (RunId, TaskIndex, WaitId),
) -> Result<EventWaitRow, DecodeError> {
    let StoredEventWait3 { filter, since, settled_by } = match super::version_of(bytes)? {
        (1, fields) => {
            let StoredEventWait1 { filter } = super::read_fields(fields)?;
            StoredEventWait3 { filter, since: 0, settled_by: None }
        }
        (2, fields) => {
            let StoredEventWait2 { filter, settled_by } = super::read_fields(fields)?;
            StoredEventWait3 { filter, since: 0, settled_by }
        }
        (3, fields) => super::read_fields(fields)?,
        (found, _) => return Err(DecodeError::UnknownVersion { found, known: 3 }),
    };
    let (filter, since) = (filter.map(str::to_owned), Timestamp::from_millis(since));
    let settled_by = settled_by.map(|(event, at)| (EventId::from_bytes(event), Timestamp::from_millis(at)));
    Ok(EventWaitRow { key_pattern, index, run, task, wait, filter, since, settled_by })
}
