//! What else can be said about a run that is spawned or scheduled and an event that is pushed.
//! All three begin with `new()`, take what they need and are handed to the `_with` function.

use std::time::Duration;

/// For [`Context::spawn_with`](crate::Context::spawn_with).
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct SpawnOptions {
    pub(crate) common: Common,
    pub(crate) detached: bool,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) idempotency_ttl: Option<u64>,
}

/// For [`Context::schedule_with`](crate::Context::schedule_with).
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ScheduleOptions {
    pub(crate) common: Common,
}

/// For [`Context::push_event_with`](crate::Context::push_event_with).
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct EventOptions {
    pub(crate) common: Common,
}

/// What all three have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Common {
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) priority: Option<u8>,
}

macro_rules! common {
    ($options:ident, $of_what:literal) => {
        impl $options {
            /// Nothing but the defaults.
            pub fn new() -> Self {
                Self::default()
            }

            /// Adds a pair to the metadata that it inherits from this run.
            pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
                self.common.metadata.push((name.into(), value.into()));
                self
            }

            #[doc = concat!("Priority of ", $of_what, ": from 1 to 3, which goes first. ")]
            /// Default: that of the workflow.
            pub fn priority(mut self, priority: u8) -> Self {
                self.common.priority = Some(priority);
                self
            }
        }
    };
}

common!(SpawnOptions, "the run");
common!(ScheduleOptions, "the run");
common!(EventOptions, "the runs that it starts");

impl SpawnOptions {
    /// Lets the child go on when this run is cancelled.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// A second spawn of the workflow with the same key gives the first one's run, also from
    /// another run and after a retry. Remembered for a day.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Remembers the idempotency key for this long.
    pub fn idempotency_ttl(mut self, ttl: Duration) -> Self {
        self.idempotency_ttl = Some(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        self
    }
}
