//! The driver: one thread takes commands in and decides, another commits what was decided, and only then
//! are callers answered.

mod bulk;
mod catalog;
mod checked;
mod command;
mod concurrency;
mod crons;
mod decide;
mod deploy;
mod effects;
mod events;
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
mod scheduled;
mod shard;
mod shared;
mod steps;
#[cfg(test)]
mod tests;
mod timers;
mod watch;
mod work;

pub(crate) use bulk::{Each, each_checked};
use catalog::find as find_workflow;
pub(crate) use host::{Host, StartError};
pub(crate) use requests::{
    CronFilter, Deployed, EventFilter, Page, Paged, PushEvent, RunFilter, ScheduleRun, ScheduledCursor,
    ScheduledFilter, StartRun, Started, TriggerFilter, TriggerKind, WorkflowChange, WorkflowView,
};
use shared::Shared;
