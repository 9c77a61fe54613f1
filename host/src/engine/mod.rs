//! The driver: takes commands in, applies them to the core, commits a batch of them in one
//! transaction, and only then answers and acts.

mod batch;
mod bulk;
mod catalog;
mod command;
mod concurrency;
mod deploy;
mod effects;
mod error;
mod host;
mod metrics;
mod queue;
mod recovery;
mod requests;
mod retention;
mod runs;
mod shared;
mod steps;
mod watch;
mod writer;

pub(crate) use batch::{Batch, NewRun};
pub(crate) use bulk::{Each, each_checked};
pub(crate) use catalog::{Entry as WorkflowEntry, find as find_workflow};
pub(crate) use error::{Error, ErrorKind};
pub(crate) use host::{Host, StartError};
pub(crate) use requests::{
    CronChange, CronFilter, Deployed, EventFilter, Page, Paged, PushEvent, RunFilter, ScheduleRun,
    ScheduledChange, ScheduledCursor, ScheduledFilter, StartRun, Started, TriggerFilter, TriggerKind,
    WorkflowChange, WorkflowView,
};
pub(crate) use shared::Shared;
pub(crate) use writer::Handled;
