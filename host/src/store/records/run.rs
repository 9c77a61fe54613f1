//! Records of runs: what never changes of them, and what does.

use std::time::Duration;

use dormouse_core::id::{CronId, EventId, ModuleDigest, RunId, ScheduledId, TaskIndex, Version, WaitId};
use dormouse_core::run::{Part, Run, RunSpec, TaskError, TaskRun, Trigger};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{FilterIndex, SETTLED_MAX, Settled, Wait, WaitCondition, WaitOutcome};
use dormouse_core::workflow::Json;
use serde::{Deserialize, Serialize};

use super::{Record, StoredId, StoredMetadata};
use crate::store::error::DecodeError;
use crate::store::rows::{EventWaitRow, WaitKey, WaitRow};
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
struct StoredRun<T> {
    status: u8,
    reason: Option<u8>,
    tasks: Vec<T>,
    started_at: Option<u64>,
    finished_at: Option<u64>,
}

/// Since format 6 of the store.
const STATE_VERSION: u8 = 3;

#[derive(Serialize, Deserialize)]
struct StoredTaskRun<'a> {
    #[serde(borrow)]
    task: StoredTaskRun2<'a>,
    held: u32,
}

/// In formats 4 and 5 of the store this was all.
#[derive(Serialize, Deserialize)]
struct StoredTaskRun2<'a> {
    progress: StoredProgress,
    open_waits: u32,
    settled: Vec<StoredSettled>,
    backlog: u32,
    backlog_next: u64,
    times: StoredTimes,
    #[serde(borrow)]
    output: Option<StoredPart<&'a str>>,
    error: Option<StoredPart<StoredError<'a>>>,
}

#[derive(Serialize, Deserialize)]
struct StoredProgress {
    status: u8,
    reason: Option<u8>,
    attempt: u32,
    epoch: u64,
    lost_hosts: u8,
    repeated: bool,
    ran: Duration,
    has_snapshot: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredTimes {
    queued_at: Option<u64>,
    retry_at: Option<u64>,
    schedule_deadline: Option<u64>,
    started_at: Option<u64>,
    finished_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
enum StoredPart<T> {
    Here(T),
    Elsewhere,
}

/// Until format 3 of the store.
#[derive(Deserialize)]
struct StoredTaskRun1<'a> {
    progress: StoredProgress,
    #[serde(borrow)]
    waits: Vec<StoredWait<'a>>,
    settled: Vec<StoredSettled>,
    #[expect(dead_code, reason = "that it was given to a step is not the business of the state any more")]
    delivered: u32,
    times: StoredTimes,
    output: Option<&'a str>,
    error: Option<StoredError<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredError<'a> {
    message: &'a str,
    details: Option<&'a str>,
}

/// Until format 3 of the store.
#[derive(Deserialize)]
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
        super::write_version(
            STATE_VERSION,
            &StoredRun {
                status: self.status as u8,
                reason: self.reason.map(|reason| reason as u8),
                tasks: self.tasks.iter().map(StoredTaskRun::from).collect(),
                started_at: self.started_at.map(Timestamp::as_millis),
                finished_at: self.finished_at.map(Timestamp::as_millis),
            },
        )
    }

    fn decode(_: &RunId, bytes: &[u8]) -> Result<Self, DecodeError> {
        match super::version_of(bytes)? {
            (STATE_VERSION, fields) => {
                super::read_fields::<StoredRun<StoredTaskRun<'_>>>(fields)?.with_tasks(TaskRun::try_from)
            }
            (2, fields) => {
                super::read_fields::<StoredRun<StoredTaskRun2<'_>>>(fields)?.with_tasks(TaskRun::try_from)
            }
            // Of a run without waits: a migration has rewritten those that had any.
            (1, _) => Ok(OldRun::decode(bytes)?.run),
            (found, _) => Err(DecodeError::UnknownVersion { found, known: STATE_VERSION }),
        }
    }
}

impl<T> StoredRun<T> {
    fn with_tasks(self, task: impl FnMut(T) -> Result<TaskRun, DecodeError>) -> Result<Run, DecodeError> {
        Ok(Run {
            status: super::status(self.status)?,
            reason: super::reason(self.reason)?,
            tasks: self.tasks.into_iter().map(task).collect::<Result<_, _>>()?,
            started_at: self.started_at.map(Timestamp::from_millis),
            finished_at: self.finished_at.map(Timestamp::from_millis),
        })
    }
}

/// The state of a run as it was until format 3 of the store, when the waits were part of it.
pub(in crate::store) struct OldRun {
    /// The state as it is now.
    pub(in crate::store) run: Run,
    /// The open waits of each task.
    pub(in crate::store) waits: Vec<Vec<Wait>>,
    /// The backlog of each task.
    pub(in crate::store) backlogs: Vec<Vec<Settled>>,
}

impl OldRun {
    /// Of a state that is of the present version there is none.
    pub(in crate::store) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let stored: StoredRun<StoredTaskRun1<'_>> = super::read(bytes)?;
        let (mut waits, mut backlogs) = (Vec::new(), Vec::new());
        let run = stored.with_tasks(|stored| {
            let (task, open, backlog) = stored.split()?;
            waits.push(open);
            backlogs.push(backlog);
            Ok(task)
        })?;
        Ok(Self { run, waits, backlogs })
    }
}

impl StoredTaskRun1<'_> {
    /// The task run as it is now, its open waits and its backlog.
    fn split(self) -> Result<(TaskRun, Vec<Wait>, Vec<Settled>), DecodeError> {
        let Self { progress, waits, mut settled, delivered: _, times, output, error } = self;
        let backlog = settled.split_off(settled.len().min(SETTLED_MAX));
        let now = StoredTaskRun2 {
            progress,
            open_waits: count(waits.len()),
            settled,
            backlog: count(backlog.len()),
            backlog_next: backlog.len() as u64,
            times,
            output: output.map(StoredPart::Here),
            error: error.map(StoredPart::Here),
        };
        let waits = waits.into_iter().map(Wait::from).collect();
        Ok((now.try_into()?, waits, backlog.into_iter().map(Settled::from).collect()))
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl<'a> From<&'a TaskRun> for StoredTaskRun<'a> {
    fn from(task: &'a TaskRun) -> Self {
        Self { task: task.into(), held: task.held }
    }
}

impl<'a> From<&'a TaskRun> for StoredTaskRun2<'a> {
    fn from(task: &'a TaskRun) -> Self {
        Self {
            progress: StoredProgress {
                status: task.status as u8,
                reason: task.reason.map(|reason| reason as u8),
                attempt: task.attempt,
                epoch: task.epoch,
                lost_hosts: task.lost_hosts,
                repeated: task.repeated,
                ran: task.ran,
                has_snapshot: task.has_snapshot,
            },
            open_waits: count(task.open_waits),
            settled: task.settled.iter().copied().map(StoredSettled::from).collect(),
            backlog: count(task.backlog),
            backlog_next: task.backlog_next,
            times: StoredTimes {
                queued_at: task.queued_at.map(Timestamp::as_millis),
                retry_at: task.retry_at.map(Timestamp::as_millis),
                schedule_deadline: task.schedule_deadline.map(Timestamp::as_millis),
                started_at: task.started_at.map(Timestamp::as_millis),
                finished_at: task.finished_at.map(Timestamp::as_millis),
            },
            output: task.output.as_ref().map(|output| StoredPart::of(output, Json::as_str)),
            error: task.error.as_ref().map(|error| StoredPart::of(error, |error| error.into())),
        }
    }
}

impl TryFrom<StoredTaskRun<'_>> for TaskRun {
    type Error = DecodeError;

    fn try_from(stored: StoredTaskRun<'_>) -> Result<Self, DecodeError> {
        Ok(Self { held: stored.held, ..stored.task.try_into()? })
    }
}

impl TryFrom<StoredTaskRun2<'_>> for TaskRun {
    type Error = DecodeError;

    fn try_from(stored: StoredTaskRun2<'_>) -> Result<Self, DecodeError> {
        let StoredTaskRun2 { progress, times, .. } = stored;
        Ok(Self {
            status: super::status(progress.status)?,
            reason: super::reason(progress.reason)?,
            attempt: progress.attempt,
            epoch: progress.epoch,
            lost_hosts: progress.lost_hosts,
            repeated: progress.repeated,
            held: 0,
            ran: progress.ran,
            has_snapshot: progress.has_snapshot,
            open_waits: stored.open_waits as usize,
            settled: stored.settled.into_iter().map(Settled::from).collect(),
            backlog: stored.backlog as usize,
            backlog_next: stored.backlog_next,
            queued_at: times.queued_at.map(Timestamp::from_millis),
            retry_at: times.retry_at.map(Timestamp::from_millis),
            schedule_deadline: times.schedule_deadline.map(Timestamp::from_millis),
            started_at: times.started_at.map(Timestamp::from_millis),
            finished_at: times.finished_at.map(Timestamp::from_millis),
            output: stored.output.map(|output| output.into_part(Json::trusted)),
            error: stored.error.map(|error| error.into_part(TaskError::from)),
        })
    }
}

impl<T> StoredPart<T> {
    fn of<'a, P>(part: &'a Part<P>, stored: impl FnOnce(&'a P) -> T) -> Self {
        match part {
            Part::Here(part) => Self::Here(stored(part)),
            Part::Elsewhere => Self::Elsewhere,
        }
    }

    fn into_part<P>(self, part: impl FnOnce(T) -> P) -> Part<P> {
        match self {
            Self::Here(stored) => Part::Here(part(stored)),
            Self::Elsewhere => Part::Elsewhere,
        }
    }
}

/// The output of a task.
impl Record<(RunId, TaskIndex)> for Json {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&self.as_str())
    }

    fn decode(_: &(RunId, TaskIndex), bytes: &[u8]) -> Result<Self, DecodeError> {
        super::read(bytes).map(Self::trusted)
    }
}

impl Record<(RunId, TaskIndex)> for TaskError {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&StoredError::from(self))
    }

    fn decode(_: &(RunId, TaskIndex), bytes: &[u8]) -> Result<Self, DecodeError> {
        super::read(bytes).map(|stored: StoredError<'_>| stored.into())
    }
}

#[derive(Serialize, Deserialize)]
enum StoredWaitRow<'a> {
    #[serde(borrow)]
    Open(StoredCondition<'a>),
    InBacklog(u64),
}

impl Record<WaitKey> for WaitRow {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&match self {
            Self::Open(condition) => StoredWaitRow::Open(condition.into()),
            Self::InBacklog(number) => StoredWaitRow::InBacklog(*number),
        })
    }

    fn decode(_: &WaitKey, bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(match super::read(bytes)? {
            StoredWaitRow::Open(condition) => Self::Open(condition.into()),
            StoredWaitRow::InBacklog(number) => Self::InBacklog(number),
        })
    }
}

/// A wait in the backlog.
impl Record<(RunId, TaskIndex, u64)> for Settled {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&StoredSettled::from(*self))
    }

    fn decode(_: &(RunId, TaskIndex, u64), bytes: &[u8]) -> Result<Self, DecodeError> {
        super::read(bytes).map(|stored: StoredSettled| stored.into())
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

impl<'a> From<&'a WaitCondition> for StoredCondition<'a> {
    fn from(condition: &'a WaitCondition) -> Self {
        match condition {
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
        }
    }
}

impl From<StoredWait<'_>> for Wait {
    fn from(stored: StoredWait<'_>) -> Self {
        Self { id: WaitId(stored.id), condition: stored.condition.into() }
    }
}

impl From<StoredCondition<'_>> for WaitCondition {
    fn from(stored: StoredCondition<'_>) -> Self {
        match stored {
            StoredCondition::Until(at) => Self::Until(Timestamp::from_millis(at)),
            StoredCondition::Event { key_pattern, filter, look_back } => Self::Event {
                key_pattern: key_pattern.to_owned(),
                filter: filter.map(str::to_owned),
                look_back,
                index: None,
            },
            StoredCondition::IndexedEvent { key_pattern, filter, look_back, path, value } => Self::Event {
                key_pattern: key_pattern.to_owned(),
                filter: filter.map(str::to_owned),
                look_back,
                index: Some(FilterIndex { path: path.to_owned(), value: value.to_owned() }),
            },
            StoredCondition::Run(run) => Self::Run(RunId::from_bytes(run)),
        }
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
