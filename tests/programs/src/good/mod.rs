//! Programs that do what they should.

pub(crate) mod about;
pub(crate) mod blocking_sleep;
pub(crate) mod chain;
pub(crate) mod clocks;
pub(crate) mod counter;
pub(crate) mod echo;
pub(crate) mod event_waiter;
pub(crate) mod fails;
pub(crate) mod idempotent_spawn;
pub(crate) mod impatient;
pub(crate) mod joiner;
pub(crate) mod logger;
pub(crate) mod map_checksum;
pub(crate) mod parent;
pub(crate) mod publisher;
pub(crate) mod pusher;
pub(crate) mod race;
pub(crate) mod random;
pub(crate) mod roll_call;
pub(crate) mod short_job;
pub(crate) mod sleep_until;
pub(crate) mod triggered;
pub(crate) mod wait_tree;
