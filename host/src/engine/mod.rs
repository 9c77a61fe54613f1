//! The driver: one thread takes commands in and decides, another commits what was decided, and only then
//! are callers answered.

mod catalog;
mod checked;
mod command;
mod concurrency;
mod crons;
mod decide;
mod effects;
mod events;
mod host;
mod lines;
mod metrics;
mod modules;
mod node;
mod persist;
mod post_commit;
mod queue;
mod recovery;
mod requests;
mod retention;
mod scheduled;
mod shard;
mod shared;
mod steps;
#[cfg(test)]
mod tests;
mod timers;
mod watch;
mod work;

pub(crate) use catalog::{Catalog, DeployedVersion, Entry, find as find_workflow};
pub(crate) use events::{Matched, Pushed};
pub(crate) use host::{EngineError, Host, StartError};
pub(crate) use post_commit::Started;
pub(crate) use shard::{CommandError, Handled, Shard};
use shared::Shared;
