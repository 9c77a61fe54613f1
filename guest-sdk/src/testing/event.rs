//! What comes of an event.

use std::sync::Arc;

use serde::Deserialize;

use super::live::Live;
use super::run::Run;
use crate::{EventId, RunId};

/// An event that was pushed, and what came of it at once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pushed {
    /// Which event it is.
    pub id: EventId,
    /// The runs that it started, one for each subscription that matches.
    pub runs: Vec<Run>,
    /// How many waits of sleeping runs it settled.
    pub settled_waits: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    event: Event,
    runs: Vec<Started>,
    settled_waits: u32,
}

#[derive(Deserialize)]
struct Event {
    id: EventId,
}

#[derive(Deserialize)]
struct Started {
    id: RunId,
    workflow: String,
}

pub(super) fn pushed(live: &Arc<Live>, row: Row) -> Pushed {
    let runs = row.runs.into_iter().map(|run| Run::by_id(live, run.id, run.workflow)).collect();
    Pushed { id: row.event.id, runs, settled_waits: row.settled_waits }
}
