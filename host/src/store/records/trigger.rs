//! Records of crons, scheduled runs, events and idempotency keys.

use dormouse_core::id::{CronId, EventId, RunId, ScheduledId};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::Json;
use serde::{Deserialize, Serialize};

use super::definition::StoredCronSpec;
use super::{Record, StoredId, StoredMetadata};
use crate::store::error::DecodeError;
use crate::store::keys::Namespace;
use crate::store::keys::SCHEDULED_STATUSES;
use crate::store::rows::{CronRow, EventRow, IdempotencyRow, ScheduledRow};

/// What all versions begin with.
#[derive(Serialize, Deserialize)]
struct StoredCron<'a> {
    workflow: &'a str,
    name: &'a str,
    declared: bool,
    #[serde(borrow)]
    spec: StoredCronSpec<'a>,
    enabled: bool,
    next_run_at: Option<u64>,
    last_run_at: Option<u64>,
    last_run: Option<StoredId>,
}

/// What the first two versions end with.
#[derive(Serialize, Deserialize)]
struct StoredCronEnd {
    held: Vec<u64>,
    created_at: u64,
    updated_at: u64,
}

type StoredCron1<'a> = (StoredCron<'a>, StoredCronEnd);

/// Between the two stand the runs that have not ended.
type StoredCron2<'a> = (StoredCron<'a>, Vec<StoredId>, StoredCronEnd);

/// In the end comes up to when its times are done with.
type StoredCron3<'a> = (StoredCron<'a>, Vec<StoredId>, StoredCronEnd, u64);

/// Since format 6 of the store.
const CRON_VERSION: u8 = 3;

impl Record<CronId> for CronRow {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let stored = StoredCron {
            workflow: self.workflow.as_str(),
            name: self.name.as_str(),
            declared: self.declared,
            spec: StoredCronSpec::from(&self.spec),
            enabled: self.enabled,
            next_run_at: self.next_run_at.map(Timestamp::as_millis),
            last_run_at: self.last_run_at.map(Timestamp::as_millis),
            last_run: self.last_run.map(RunId::to_bytes),
        };
        let end = StoredCronEnd {
            held: self.held.iter().map(|at| at.as_millis()).collect(),
            created_at: self.created_at.as_millis(),
            updated_at: self.updated_at.as_millis(),
        };
        let unfinished = self.unfinished.iter().map(|run| run.to_bytes()).collect();
        let stored: StoredCron3<'_> = (stored, unfinished, end, self.seen_until.as_millis());
        super::write_version(CRON_VERSION, &stored)
    }

    fn decode(id: &CronId, bytes: &[u8]) -> Result<Self, DecodeError> {
        // All before the next time was done with. What has no next time was disabled, or could not be read.
        let seen_until = |stored: &StoredCron<'_>, end: &StoredCronEnd| {
            let last = end.updated_at.max(stored.last_run_at.unwrap_or(0));
            stored.next_run_at.map_or(last, |next| next.saturating_sub(1))
        };
        let (stored, unfinished, end, seen_until): StoredCron3<'_> = match super::version_of(bytes)? {
            (1, fields) => {
                let (stored, end): StoredCron1<'_> = super::read_fields(fields)?;
                let seen_until = seen_until(&stored, &end);
                (stored, Vec::new(), end, seen_until)
            }
            (2, fields) => {
                let (stored, unfinished, end): StoredCron2<'_> = super::read_fields(fields)?;
                let seen_until = seen_until(&stored, &end);
                (stored, unfinished, end, seen_until)
            }
            (CRON_VERSION, fields) => super::read_fields(fields)?,
            (found, _) => return Err(DecodeError::UnknownVersion { found, known: CRON_VERSION }),
        };
        Ok(Self {
            id: *id,
            workflow: super::name(stored.workflow)?,
            name: super::name(stored.name)?,
            declared: stored.declared,
            spec: stored.spec.try_into()?,
            enabled: stored.enabled,
            seen_until: Timestamp::from_millis(seen_until),
            next_run_at: stored.next_run_at.map(Timestamp::from_millis),
            last_run_at: stored.last_run_at.map(Timestamp::from_millis),
            last_run: stored.last_run.map(RunId::from_bytes),
            unfinished: unfinished.into_iter().map(RunId::from_bytes).collect(),
            held: end.held.into_iter().map(Timestamp::from_millis).collect(),
            created_at: Timestamp::from_millis(end.created_at),
            updated_at: Timestamp::from_millis(end.updated_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredScheduled<'a> {
    workflow: &'a str,
    trigger_at: u64,
    status: u8,
    run: Option<StoredId>,
    made_by: Option<StoredId>,
    input: &'a str,
    #[serde(borrow)]
    metadata: StoredMetadata<'a>,
    priority: Option<u8>,
    created_at: u64,
    updated_at: u64,
}

impl Record<ScheduledId> for ScheduledRow {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&StoredScheduled {
            workflow: self.workflow.as_str(),
            trigger_at: self.trigger_at.as_millis(),
            status: self.status as u8,
            run: self.run.map(RunId::to_bytes),
            made_by: self.made_by.map(RunId::to_bytes),
            input: self.input.as_str(),
            metadata: self.metadata.iter().collect(),
            priority: self.priority.map(|priority| priority.number()),
            created_at: self.created_at.as_millis(),
            updated_at: self.updated_at.as_millis(),
        })
    }

    fn decode(id: &ScheduledId, bytes: &[u8]) -> Result<Self, DecodeError> {
        let stored: StoredScheduled<'_> = super::read(bytes)?;
        Ok(Self {
            id: *id,
            workflow: super::name(stored.workflow)?,
            trigger_at: Timestamp::from_millis(stored.trigger_at),
            status: super::known(&SCHEDULED_STATUSES, stored.status, "status of a scheduled run")?,
            run: stored.run.map(RunId::from_bytes),
            made_by: stored.made_by.map(RunId::from_bytes),
            input: Json::trusted(stored.input),
            metadata: super::metadata(stored.metadata),
            priority: super::optional_priority(stored.priority)?,
            created_at: Timestamp::from_millis(stored.created_at),
            updated_at: Timestamp::from_millis(stored.updated_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredEvent<'a> {
    key: &'a str,
    payload: &'a str,
    #[serde(borrow)]
    metadata: StoredMetadata<'a>,
    priority: Option<u8>,
    pushed_at: u64,
    runs: Vec<(StoredId, &'a str)>,
    settled_waits: u32,
}

impl Record<EventId> for EventRow {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&StoredEvent {
            key: &self.key,
            payload: self.payload.as_str(),
            metadata: self.metadata.iter().collect(),
            priority: self.priority.map(|priority| priority.number()),
            pushed_at: self.pushed_at.as_millis(),
            runs: self.runs.iter().map(|(run, workflow)| (run.to_bytes(), workflow.as_str())).collect(),
            settled_waits: self.settled_waits,
        })
    }

    fn decode(id: &EventId, bytes: &[u8]) -> Result<Self, DecodeError> {
        let stored: StoredEvent<'_> = super::read(bytes)?;
        let run = |(run, workflow)| Ok((RunId::from_bytes(run), super::name(workflow)?));
        Ok(Self {
            id: *id,
            key: stored.key.to_owned(),
            payload: Json::trusted(stored.payload),
            metadata: super::metadata(stored.metadata),
            priority: super::optional_priority(stored.priority)?,
            pushed_at: Timestamp::from_millis(stored.pushed_at),
            runs: stored.runs.into_iter().map(run).collect::<Result<_, DecodeError>>()?,
            settled_waits: stored.settled_waits,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredIdempotency {
    id: StoredId,
    expires_at: u64,
}

impl Record<(Namespace, String, String)> for IdempotencyRow {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        super::write(&StoredIdempotency { id: self.id, expires_at: self.expires_at.as_millis() })
    }

    fn decode(_: &(Namespace, String, String), bytes: &[u8]) -> Result<Self, DecodeError> {
        let stored: StoredIdempotency = super::read(bytes)?;
        Ok(Self { id: stored.id, expires_at: Timestamp::from_millis(stored.expires_at) })
    }
}
