//! Crons, as they were when the test looked.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::live::Live;
use super::run::Run;
use crate::{RunId, Timestamp};

/// A cron, as it was when it was read.
#[derive(Clone)]
#[non_exhaustive]
pub struct Cron {
    live: Arc<Live>,
    id: String,
    /// The workflow that it starts.
    pub workflow: String,
    /// Its name, unique within the workflow.
    pub name: String,
    /// Who made it.
    pub source: CronSource,
    /// When it fires.
    pub expression: String,
    /// In which time zone.
    pub timezone: String,
    /// Whether it fires at all.
    pub enabled: bool,
    /// What its runs work on.
    pub input: Value,
    /// When it fires next; `None` while it is disabled.
    pub next_run_at: Option<Timestamp>,
    /// When it fired last.
    pub last_run_at: Option<Timestamp>,
}

/// Who made a cron.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CronSource {
    /// A module declares it.
    Declared,
    /// It was made over the API.
    Api,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    id: String,
    workflow: String,
    name: String,
    source: CronSource,
    expression: String,
    timezone: String,
    enabled: bool,
    input: Value,
    next_run_at: Option<Timestamp>,
    last_run_at: Option<Timestamp>,
}

impl Cron {
    pub(super) fn of(live: &Arc<Live>, row: Row) -> Self {
        let Row {
            id,
            workflow,
            name,
            source,
            expression,
            timezone,
            enabled,
            input,
            next_run_at,
            last_run_at,
        } = row;
        let live = Arc::clone(live);
        Self {
            live,
            id,
            workflow,
            name,
            source,
            expression,
            timezone,
            enabled,
            input,
            next_run_at,
            last_run_at,
        }
    }

    /// Starts a run of it now, whenever it is due.
    ///
    /// # Panics
    ///
    /// When it is there no more.
    #[track_caller]
    pub fn trigger(&self) -> Run {
        #[derive(Deserialize)]
        struct Started {
            id: RunId,
        }

        let answer = self.live.api().post(&format!("/crons/{}/trigger", self.id), &json!({}));
        let started: Started = answer.read(&format!("{self:?} cannot be triggered"));
        Run::by_id(&self.live, started.id, self.workflow.clone())
    }

    /// Lets it fire, or no more.
    ///
    /// # Panics
    ///
    /// When it is there no more.
    #[track_caller]
    pub fn enable(&self, enabled: bool) {
        let answer = self.live.api().patch(&format!("/crons/{}", self.id), &json!({ "enabled": enabled }));
        answer.read::<Value>(&format!("{self:?} cannot be changed"));
    }

    /// Deletes it.
    ///
    /// # Panics
    ///
    /// When a module declares it: such crons can only be disabled.
    #[track_caller]
    pub fn delete(&self) {
        let answer = self.live.api().delete(&format!("/crons/{}", self.id));
        answer.read::<Value>(&format!("{self:?} cannot be deleted"));
    }
}

/// All crons, in order of their workflows and names.
#[track_caller]
pub(super) fn list(live: &Arc<Live>) -> Vec<Cron> {
    live.settle();
    let rows = live.api().list("/crons?limit=200").into_iter();
    let rows = rows.filter_map(|row| serde_json::from_value(row).ok());
    let mut crons: Vec<_> = rows.map(|row| Cron::of(live, row)).collect();
    crons.sort_by(|a, b| (&a.workflow, &a.name).cmp(&(&b.workflow, &b.name)));
    crons
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workflow, name, expression, timezone, .. } = self;
        write!(f, "Cron({workflow}/{name}: {expression} {timezone})")
    }
}
