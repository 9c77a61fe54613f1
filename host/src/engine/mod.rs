//! The driver: one thread takes commands in and decides, another commits what was decided, and only then
//! are callers answered.

mod bulk;
mod catalog;
mod checked;
mod command;
mod concurrency;
mod decide;
mod deploy;
mod effects;
mod host;
mod metrics;
mod node;
mod persist;
mod post_commit;
mod queue;
mod recovery;
mod requests;
mod retention;
mod runs;
mod shard;
mod shared;
mod steps;
#[cfg(test)]
mod tests;
mod timers;
mod watch;
mod work;

pub(crate) use bulk::{Each, each_checked};
pub(crate) use catalog::{Catalog, DeployedVersion, Entry as WorkflowEntry, find as find_workflow};
pub(crate) use command::Reply;
pub(crate) use host::{Host, StartError};
pub(crate) use requests::{
    CronChange, CronFilter, Deployed, EventFilter, Page, Paged, PushEvent, RunFilter, ScheduleRun,
    ScheduledChange, ScheduledCursor, ScheduledFilter, StartRun, Started, TriggerFilter, TriggerKind,
    WorkflowChange, WorkflowView,
};
pub(crate) use shard::{Handled, Shard};
pub(crate) use shared::Shared;
