//! Records of what steps asked for, and of the ends that wait for it.

use std::collections::BTreeSet;
use std::time::Duration;

use dormouse_core::id::{EventId, ModuleDigest, RunId, ScheduledId, TaskIndex, Version};
use dormouse_core::new_run::Target;
use dormouse_core::request::{Push, Requests, Schedule, Spawn};
use dormouse_core::run::Lease;
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::Json;
use serde::{Deserialize, Serialize};

use super::{Record, StoredId, StoredMetadata};
use crate::store::error::DecodeError;
use crate::store::rows::{HeldEnd, OpenRequests};

#[derive(Serialize, Deserialize)]
struct StoredRequests<'a> {
    at: u64,
    #[serde(borrow)]
    spawns: Vec<StoredSpawn<'a>>,
    events: Vec<StoredPush<'a>>,
    schedules: Vec<StoredSchedule<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredSpawn<'a> {
    id: StoredId,
    workflow: &'a str,
    version: u32,
    module: [u8; 32],
    input: &'a str,
    #[serde(borrow)]
    metadata: StoredMetadata<'a>,
    priority: Option<u8>,
    detached: bool,
    idempotency: Option<(&'a str, Duration)>,
}

#[derive(Serialize, Deserialize)]
struct StoredPush<'a> {
    id: StoredId,
    key: &'a str,
    payload: &'a str,
    #[serde(borrow)]
    metadata: StoredMetadata<'a>,
    priority: Option<u8>,
}

#[derive(Serialize, Deserialize)]
struct StoredSchedule<'a> {
    id: StoredId,
    workflow: &'a str,
    trigger_at: u64,
    input: &'a str,
    #[serde(borrow)]
    metadata: StoredMetadata<'a>,
    priority: Option<u8>,
}

impl Record<(RunId, TaskIndex, u64)> for OpenRequests {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let Requests { spawns, adopted: _, events, schedules, chunks: _ } = &self.requests;
        super::write(&StoredRequests {
            at: self.at.as_millis(),
            spawns: spawns.iter().map(StoredSpawn::from).collect(),
            events: events.iter().map(StoredPush::from).collect(),
            schedules: schedules.iter().map(StoredSchedule::from).collect(),
        })
    }

    fn decode(_: &(RunId, TaskIndex, u64), bytes: &[u8]) -> Result<Self, DecodeError> {
        let stored: StoredRequests<'_> = super::read(bytes)?;
        Ok(Self {
            at: Timestamp::from_millis(stored.at),
            requests: Requests {
                spawns: stored.spawns.into_iter().map(Spawn::try_from).collect::<Result<_, _>>()?,
                events: stored.events.into_iter().map(Push::try_from).collect::<Result<_, _>>()?,
                schedules: stored.schedules.into_iter().map(Schedule::try_from).collect::<Result<_, _>>()?,
                adopted: BTreeSet::new(),
                chunks: Vec::new(),
            },
        })
    }
}

impl<'a> From<&'a Spawn> for StoredSpawn<'a> {
    fn from(spawn: &'a Spawn) -> Self {
        Self {
            id: spawn.id.to_bytes(),
            workflow: spawn.target.workflow.as_str(),
            version: spawn.target.version.0,
            module: spawn.target.module.to_bytes(),
            input: spawn.input.as_str(),
            metadata: spawn.metadata.iter().collect(),
            priority: spawn.priority.map(|priority| priority.number()),
            detached: spawn.detached,
            idempotency: spawn.idempotency.as_ref().map(|(key, ttl)| (key.as_str(), *ttl)),
        }
    }
}

impl TryFrom<StoredSpawn<'_>> for Spawn {
    type Error = DecodeError;

    fn try_from(stored: StoredSpawn<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: RunId::from_bytes(stored.id),
            target: Target {
                workflow: super::name(stored.workflow)?,
                version: Version(stored.version),
                module: ModuleDigest::from_bytes(stored.module),
            },
            input: Json::trusted(stored.input),
            metadata: super::metadata(stored.metadata),
            priority: super::optional_priority(stored.priority)?,
            detached: stored.detached,
            idempotency: stored.idempotency.map(|(key, ttl)| (key.to_owned(), ttl)),
        })
    }
}

impl<'a> From<&'a Push> for StoredPush<'a> {
    fn from(push: &'a Push) -> Self {
        Self {
            id: push.id.to_bytes(),
            key: &push.key,
            payload: push.payload.as_str(),
            metadata: push.metadata.iter().collect(),
            priority: push.priority.map(|priority| priority.number()),
        }
    }
}

impl TryFrom<StoredPush<'_>> for Push {
    type Error = DecodeError;

    fn try_from(stored: StoredPush<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: EventId::from_bytes(stored.id),
            key: stored.key.to_owned(),
            payload: Json::trusted(stored.payload),
            metadata: super::metadata(stored.metadata),
            priority: super::optional_priority(stored.priority)?,
        })
    }
}

impl<'a> From<&'a Schedule> for StoredSchedule<'a> {
    fn from(schedule: &'a Schedule) -> Self {
        Self {
            id: schedule.id.to_bytes(),
            workflow: schedule.workflow.as_str(),
            trigger_at: schedule.trigger_at.as_millis(),
            input: schedule.input.as_str(),
            metadata: schedule.metadata.iter().collect(),
            priority: schedule.priority.map(|priority| priority.number()),
        }
    }
}

impl TryFrom<StoredSchedule<'_>> for Schedule {
    type Error = DecodeError;

    fn try_from(stored: StoredSchedule<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: ScheduledId::from_bytes(stored.id),
            workflow: super::name(stored.workflow)?,
            trigger_at: Timestamp::from_millis(stored.trigger_at),
            input: Json::trusted(stored.input),
            metadata: super::metadata(stored.metadata),
            priority: super::optional_priority(stored.priority)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredEnd<'a> {
    attempt: u32,
    epoch: u64,
    ran: Duration,
    output: &'a str,
}

impl Record<(RunId, TaskIndex)> for HeldEnd {
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let Self { lease: Lease { attempt, epoch }, ran, output } = self;
        super::write(&StoredEnd { attempt: *attempt, epoch: *epoch, ran: *ran, output: output.as_str() })
    }

    fn decode(_: &(RunId, TaskIndex), bytes: &[u8]) -> Result<Self, DecodeError> {
        let StoredEnd { attempt, epoch, ran, output } = super::read(bytes)?;
        Ok(Self { lease: Lease { attempt, epoch }, ran, output: Json::trusted(output) })
    }
}
