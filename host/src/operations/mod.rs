//! What the API can ask of the host, each operation in a file that reads from top to bottom: what it looks
//! up and checks on the thread of its caller, and then what it decides (`decide`), which runs on the
//! deciding thread and changes the shard. What only reads has a file for each noun (`read_*`).

mod bulk;
pub(crate) mod cancel_run;
pub(crate) mod cancel_scheduled;
mod change_scheduled;
pub(crate) mod change_workflow;
pub(crate) mod current_version;
mod delete_cron;
mod delete_module;
mod delete_workflow;
mod deploy_module;
mod idempotency;
mod page;
pub(crate) mod push_events;
mod put_cron;
mod read_crons;
mod read_events;
mod read_journal;
mod read_modules;
mod read_runs;
mod read_scheduled;
mod read_workflows;
mod replay_run;
mod schedule_run;
pub(crate) mod start_run;
mod trigger_cron;
pub(crate) mod trigger_scheduled;

pub(crate) use bulk::{Outcomes, handle_valid};
pub(crate) use cancel_run::{cancel_run, cancel_runs};
pub(crate) use cancel_scheduled::{cancel_scheduled, cancel_scheduled_runs};
pub(crate) use change_scheduled::{change_scheduled, change_scheduled_runs};
pub(crate) use change_workflow::{WorkflowChange, change_workflow};
pub(crate) use delete_cron::delete_cron;
pub(crate) use delete_module::delete_module;
pub(crate) use delete_workflow::delete_workflow;
pub(crate) use deploy_module::deploy_module;
pub(crate) use page::{Page, Paged};
pub(crate) use push_events::{PushEvent, push_event, push_events};
pub(crate) use put_cron::{change_cron, put_cron};
pub(crate) use read_crons::{CronFilter, list_crons, show_cron};
pub(crate) use read_events::{EventFilter, list_events, show_event};
pub(crate) use read_journal::{follow_run, list_journal};
pub(crate) use read_modules::{Deployed, list_modules, show_module};
pub(crate) use read_runs::{RunFilter, TriggerFilter, list_runs, matching_runs, show_run, wait_for_run};
pub(crate) use read_scheduled::{
    ScheduledCursor, ScheduledFilter, list_scheduled, matching_scheduled, show_scheduled,
};
pub(crate) use read_workflows::{WorkflowView, definition, list_workflows, show_workflow};
pub(crate) use replay_run::{replay_run, replay_runs};
pub(crate) use schedule_run::{ScheduleRun, schedule_run};
#[cfg(test)]
pub(crate) use start_run::Fitting;
pub(crate) use start_run::{StartRun, start_run, start_runs};
pub(crate) use trigger_cron::trigger_cron;
pub(crate) use trigger_scheduled::trigger_scheduled;

use crate::error::Error;

type Result<T> = std::result::Result<T, Error>;
