//! Many at once. Each row of an answer is about one of what was asked for, in the order in which it
//! was: a refused one carries its errors and does not hold up the others. What is started or pushed
//! together is one transaction; what is there already and changes is worked off in several, as it may be
//! large, so that others get their turn.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use dormouse_core::id::{RunId, ScheduledId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, Errors, Problem, Result};
use super::events::{PushEventBody, PushedEvent};
use super::extract::{Json, Path};
use super::run::Run;
use super::runs::{StartRunBody, TriggerText};
use super::scheduled::{PatchScheduled, ScheduledStatusWord};
use super::text::{RunIdText, ScheduledIdText, Text, WorkflowNameText};
use super::values::{JsonValue, Metadata, Priority, StatusWord, Time, present};
use crate::engine::Host;
use crate::error::Error;
use crate::operations::{self, Outcomes, RunFilter, ScheduledFilter, handle_valid};

/// Most runs or events in one request.
const ITEMS_MAX: usize = 1000;

/// Most scheduled runs in one request.
const SCHEDULED_MAX: usize = 500;

/// Most runs or scheduled runs that a filter may find.
const MATCHES_MAX: usize = 100_000;

/// Of what is named or found, how many are looked at together.
const PER_STRETCH: usize = 500;

/// What came of each, in the order in which it was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BulkRows<T> {
    rows: Vec<T>,
}

/// It is done, or why not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Outcome<T> {
    Done(T),
    Refused(Errors),
}

impl<T> BulkRows<Outcome<T>> {
    fn of<U>(outcomes: Outcomes<U, ApiError>, done: impl Fn(U) -> Result<T>) -> Self {
        let row = |outcome: Result<U>| match outcome.and_then(&done) {
            Ok(row) => Outcome::Done(row),
            Err(error) => Outcome::Refused(error.into()),
        };
        Self { rows: outcomes.into_iter().map(row).collect() }
    }
}

/// What came of a run that was named or found.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunOutcome {
    id: RunIdText,
    /// The new run, of a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<RunIdText>,
    /// Why nothing came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Problem>>,
}

/// What came of a scheduled run that was named or found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScheduledOutcome {
    id: ScheduledIdText,
    /// Why nothing came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Problem>>,
}

impl<T> BulkRows<T> {
    /// Has `act` work off the ids in stretches, and shapes a row of each.
    async fn of_ids<I: Copy, U, F: Future<Output = std::result::Result<Outcomes<U>, Error>>>(
        ids: Vec<I>,
        act: impl Fn(Vec<I>) -> F,
        row: impl Fn(I, std::result::Result<U, Errors>) -> T,
    ) -> Result<Self> {
        let mut rows = Vec::with_capacity(ids.len());
        for stretch in ids.chunks(PER_STRETCH) {
            let outcomes = act(stretch.to_vec()).await?;
            let outcomes = stretch.iter().zip(outcomes);
            rows.extend(
                outcomes.map(|(id, outcome)| row(*id, outcome.map_err(|error| ApiError::from(error).into()))),
            );
        }
        Ok(Self { rows })
    }
}

fn at_most(most: usize, count: usize, field: &str) -> Result<()> {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    let description = format!("send from 1 to {most} at a time; these are {count}");
    Err(ApiError::invalid("invalid_count", field, description))
}

/// Exactly one of two ways to say which.
enum Selection<I, F> {
    Ids(Vec<I>),
    Filter(F),
}

fn selection<I, F>(ids: Option<Vec<I>>, filter: Option<F>, most: usize) -> Result<Selection<I, F>> {
    match (ids, filter) {
        (Some(ids), None) => at_most(most, ids.len(), "ids").map(|()| Selection::Ids(ids)),
        (None, Some(filter)) => Ok(Selection::Filter(filter)),
        (_, given) => {
            let field = if given.is_some() { "filter" } else { "ids" };
            let description = "send either `ids` or a `filter`";
            Err(ApiError::invalid("invalid_selection", field, description))
        }
    }
}

fn empty_filter() -> ApiError {
    let description = "an empty filter would match everything; name at least one field";
    ApiError::invalid("empty_filter", "filter", description)
}

/// Runs to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartRunsBody {
    /// From 1 to 1000.
    runs: Vec<StartRunBody>,
}

/// Start many runs
#[utoipa::path(
    post, path = "/api/v1/workflows/{name}/runs/bulk", tag = "runs",
    params(("name" = WorkflowNameText, Path)),
    responses((status = 202, body = BulkRows<Outcome<Run>>))
)]
pub(super) async fn start_runs(
    State(host): State<Host>,
    Path(name): Path<WorkflowNameText>,
    Json(body): Json<StartRunsBody>,
) -> Result<(StatusCode, Answer<BulkRows<Outcome<Run>>>)> {
    at_most(ITEMS_MAX, body.runs.len(), "runs")?;
    let requests = body.runs.into_iter().map(StartRunBody::into_request).collect();
    let started = handle_valid(requests, |requests| operations::start_runs(&host, name.0, requests)).await?;
    let rows = BulkRows::of(started, |started| Ok(Run::of(&host, operations::show_run(&host, started.id)?)));
    Ok((StatusCode::ACCEPTED, Answer(rows)))
}

/// Events to push.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PushEventsBody {
    /// From 1 to 1000.
    events: Vec<PushEventBody>,
}

/// Push many events
#[utoipa::path(
    post, path = "/api/v1/events/bulk", tag = "events",
    responses((status = 201, body = BulkRows<Outcome<PushedEvent>>))
)]
pub(super) async fn push_events(
    State(host): State<Host>,
    Json(body): Json<PushEventsBody>,
) -> Result<(StatusCode, Answer<BulkRows<Outcome<PushedEvent>>>)> {
    at_most(ITEMS_MAX, body.events.len(), "events")?;
    let requests = body.events.into_iter().map(PushEventBody::into_request).collect();
    let pushed = handle_valid(requests, |requests| operations::push_events(&host, requests)).await?;
    Ok((StatusCode::CREATED, Answer(BulkRows::of(pushed, |pushed| Ok(pushed.event.into())))))
}

/// Which runs: by their ids, or all that match.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunsSelection {
    /// From 1 to 1000.
    ids: Option<Vec<RunIdText>>,
    filter: Option<RunsFilterBody>,
}

/// The filters of the list of runs; all must match, and at least one is needed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunsFilterBody {
    workflow: Option<WorkflowNameText>,
    status: Option<StatusWord>,
    #[serde(default)]
    metadata: Metadata,
    /// Created at or after this time.
    since: Option<Time>,
    /// Created before this time.
    until: Option<Time>,
    /// Spawned by this run.
    parent: Option<RunIdText>,
    /// What started them: a kind, or the id of a cron, scheduled run, event or run.
    trigger: Option<TriggerText>,
    /// Those with a task that is held, or those without.
    held: Option<bool>,
}

impl RunsFilterBody {
    fn into_filter(self) -> Result<RunFilter> {
        let filter = RunFilter {
            workflow: self.workflow.map(|name| name.0),
            status: self.status.map(Into::into),
            metadata: owned_pairs(&self.metadata),
            since: self.since.map(|time| time.0),
            until: self.until.map(|time| time.0),
            parent: self.parent.map(|id| id.0),
            trigger: self.trigger.map(|trigger| trigger.0),
            held: self.held,
        };
        if filter == RunFilter::default() { Err(empty_filter()) } else { Ok(filter) }
    }
}

fn owned_pairs(metadata: &Metadata) -> Vec<(String, String)> {
    metadata.0.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl RunsSelection {
    /// The runs, of those found by a filter only the ones that have ended, or have not.
    fn find(self, host: &Host, ended: bool) -> Result<Vec<RunId>> {
        match selection(self.ids, self.filter, ITEMS_MAX)? {
            Selection::Ids(ids) => Ok(ids.into_iter().map(|id| id.0).collect()),
            Selection::Filter(filter) => {
                Ok(operations::matching_runs(host, &filter.into_filter()?, ended, MATCHES_MAX)?)
            }
        }
    }
}

/// Cancel many runs
///
/// A filter finds the runs that have not ended.
#[utoipa::path(
    post, path = "/api/v1/runs/cancel", tag = "runs",
    responses((status = 200, body = BulkRows<RunOutcome>))
)]
pub(super) async fn cancel_runs(
    State(host): State<Host>,
    Json(body): Json<RunsSelection>,
) -> Result<Answer<BulkRows<RunOutcome>>> {
    let ids = body.find(&host, false)?;
    let row = |id, outcome: std::result::Result<(), Errors>| RunOutcome {
        id: Text(id),
        run_id: None,
        errors: outcome.err().map(|errors| errors.errors),
    };
    Ok(Answer(BulkRows::of_ids(ids, |ids| operations::cancel_runs(&host, ids), row).await?))
}

/// Run many runs again
///
/// A filter finds the runs that have ended.
#[utoipa::path(
    post, path = "/api/v1/runs/replay", tag = "runs",
    responses((status = 200, body = BulkRows<RunOutcome>))
)]
pub(super) async fn replay_runs(
    State(host): State<Host>,
    Json(body): Json<RunsSelection>,
) -> Result<Answer<BulkRows<RunOutcome>>> {
    let ids = body.find(&host, true)?;
    let row = |id, outcome: std::result::Result<RunId, Errors>| {
        let (run_id, errors) = match outcome {
            Ok(replay) => (Some(Text(replay)), None),
            Err(errors) => (None, Some(errors.errors)),
        };
        RunOutcome { id: Text(id), run_id, errors }
    };
    Ok(Answer(BulkRows::of_ids(ids, |ids| operations::replay_runs(&host, ids), row).await?))
}

/// Which scheduled runs: by their ids, or all that match.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduledSelection {
    /// From 1 to 500.
    ids: Option<Vec<ScheduledIdText>>,
    filter: Option<ScheduledFilterBody>,
}

/// The filters of the list of scheduled runs; all must match, and at least one is needed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduledFilterBody {
    workflow: Option<WorkflowNameText>,
    status: Option<ScheduledStatusWord>,
    #[serde(default)]
    metadata: Metadata,
}

/// Cancel many scheduled runs
///
/// Their rows stay. A filter finds those that are pending, unless it names another status.
#[utoipa::path(
    post, path = "/api/v1/scheduled/bulk-delete", tag = "scheduled",
    responses((status = 200, body = BulkRows<ScheduledOutcome>))
)]
pub(super) async fn cancel_scheduled(
    State(host): State<Host>,
    Json(body): Json<ScheduledSelection>,
) -> Result<Answer<BulkRows<ScheduledOutcome>>> {
    let ids = match selection(body.ids, body.filter, SCHEDULED_MAX)? {
        Selection::Ids(ids) => ids.into_iter().map(|id| id.0).collect(),
        Selection::Filter(filter) => {
            let filter = ScheduledFilter {
                workflow: filter.workflow.map(|name| name.0),
                status: filter.status.map(Into::into),
                metadata: owned_pairs(&filter.metadata),
            };
            if filter == ScheduledFilter::default() {
                return Err(empty_filter());
            }
            operations::matching_scheduled(&host, filter, MATCHES_MAX)?
        }
    };
    let row = |id, outcome: std::result::Result<(), Errors>| ScheduledOutcome {
        id: Text(id),
        errors: outcome.err().map(|errors| errors.errors),
    };
    Ok(Answer(BulkRows::of_ids(ids, |ids| operations::cancel_scheduled_runs(&host, ids), row).await?))
}

/// Changes of scheduled runs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduledUpdates {
    /// From 1 to 500.
    updates: Vec<ScheduledUpdate>,
}

/// A change of a scheduled run; what it does not name stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ScheduledUpdate {
    id: ScheduledIdText,
    trigger_at: Option<Time>,
    #[serde(default, deserialize_with = "present")]
    input: Option<JsonValue>,
    metadata: Option<Metadata>,
    priority: Option<Priority>,
}

/// Change many scheduled runs
#[utoipa::path(
    post, path = "/api/v1/scheduled/bulk-update", tag = "scheduled",
    responses((status = 200, body = BulkRows<ScheduledOutcome>))
)]
pub(super) async fn change_scheduled(
    State(host): State<Host>,
    Json(body): Json<ScheduledUpdates>,
) -> Result<Answer<BulkRows<ScheduledOutcome>>> {
    at_most(SCHEDULED_MAX, body.updates.len(), "updates")?;
    let mut ids: Vec<ScheduledId> = Vec::with_capacity(body.updates.len());
    let change = |update: ScheduledUpdate| {
        let ScheduledUpdate { id, trigger_at, input, metadata, priority } = update;
        ids.push(id.0);
        PatchScheduled { trigger_at, input, metadata, priority }.into_change().map(|change| (id.0, change))
    };
    let changes = body.updates.into_iter().map(change).collect();
    let changed = handle_valid(changes, |changes| operations::change_scheduled_runs(&host, changes)).await?;
    let row = |(id, outcome): (ScheduledId, Result<_>)| ScheduledOutcome {
        id: Text(id),
        errors: outcome.err().map(|error| Errors::from(error).errors),
    };
    Ok(Answer(BulkRows { rows: ids.into_iter().zip(changed).map(row).collect() }))
}
