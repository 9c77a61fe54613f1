//! What a task asks of the host during a step: it takes effect together with the end of the step, or not
//! at all. The ids are made when it is asked, so that the task can name what is to come. Metadata is that
//! of the request over that of the run.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id::{EventId, RunId, ScheduledId, WorkflowName};
use crate::new_run::Target;
use crate::time::Timestamp;
use crate::workflow::{Json, Metadata, Priority};

/// All that a step asked for, each kind in the order in which it was.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Requests {
    /// Child runs.
    pub spawns: Vec<Spawn>,
    /// Runs that are there already and that it got for idempotency keys, as if they were its children.
    pub adopted: BTreeSet<RunId>,
    /// Events.
    pub events: Vec<Push>,
    /// Runs at a later time.
    pub schedules: Vec<Schedule>,
    /// Chunks of the run's stream.
    pub chunks: Vec<String>,
}

impl Requests {
    /// How many there are, besides chunks of the stream.
    #[must_use]
    pub fn count(&self) -> usize {
        self.spawns.len() + self.events.len() + self.schedules.len()
    }
}

/// A child run to start.
#[derive(Debug, Clone, PartialEq)]
pub struct Spawn {
    /// Which run it will be.
    pub id: RunId,
    /// The version that was current when the task asked, and that its input fits.
    pub target: Target,
    /// What it works on.
    pub input: Json,
    /// Its metadata.
    pub metadata: Metadata,
    /// The default of its workflow if none.
    pub priority: Option<Priority>,
    /// Whether it goes on when its parent is cancelled.
    pub detached: bool,
    /// A key, and how long it is remembered.
    pub idempotency: Option<(String, Duration)>,
}

/// An event to push.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    /// Which event it will be.
    pub id: EventId,
    /// What it is about; a key that passed `check_key`.
    pub key: String,
    /// What it says.
    pub payload: Json,
    /// Its metadata, and that of the runs that it starts.
    pub metadata: Metadata,
    /// Of the runs that it starts; the default of their workflow if none.
    pub priority: Option<Priority>,
}

/// A run to schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Which scheduled run it will be.
    pub id: ScheduledId,
    /// What is to run, in the version that is current by then.
    pub workflow: WorkflowName,
    /// When. A time that has passed means at once.
    pub trigger_at: Timestamp,
    /// What the run works on.
    pub input: Json,
    /// Its metadata.
    pub metadata: Metadata,
    /// The default of its workflow if none.
    pub priority: Option<Priority>,
}
