//! Scheduled runs, as they were when the test looked.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::live::Live;
use super::run::Run;
use crate::{RunId, ScheduledId, Timestamp};

/// One run at a set time, as it was when it was read.
#[derive(Clone)]
#[non_exhaustive]
pub struct Scheduled {
    live: Arc<Live>,
    /// Which one it is.
    pub id: ScheduledId,
    /// The workflow that it starts.
    pub workflow: String,
    /// When.
    pub trigger_at: Timestamp,
    /// What has become of it.
    pub status: ScheduledStatus,
    /// The run that it became.
    pub run: Option<Run>,
}

/// What has become of a scheduled run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ScheduledStatus {
    /// Its time is still to come.
    Pending,
    /// It became a run.
    Fired,
    /// It was called off.
    Cancelled,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    id: ScheduledId,
    workflow: String,
    trigger_at: Timestamp,
    status: ScheduledStatus,
    run_id: Option<RunId>,
}

impl Scheduled {
    pub(super) fn of(live: &Arc<Live>, row: Row) -> Self {
        let Row { id, workflow, trigger_at, status, run_id } = row;
        let run = run_id.map(|id| Run::by_id(live, id, workflow.clone()));
        Self { live: Arc::clone(live), id, workflow, trigger_at, status, run }
    }

    /// Calls it off.
    ///
    /// # Panics
    ///
    /// When it is a run already.
    #[track_caller]
    pub fn cancel(&self) {
        let answer = self.live.api().delete(&format!("/scheduled/{}", self.id));
        answer.read::<Value>(&format!("{self:?} cannot be called off"));
    }
}

/// All rows of a list, in its order.
#[track_caller]
pub(super) fn list(live: &Arc<Live>, path: &str) -> Vec<Scheduled> {
    live.settle();
    let rows = live.api().list(path).into_iter();
    rows.filter_map(|row| serde_json::from_value(row).ok()).map(|row| Scheduled::of(live, row)).collect()
}

impl fmt::Debug for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scheduled({} at {}, {:?})", self.workflow, self.trigger_at, self.status)
    }
}
