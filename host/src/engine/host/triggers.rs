//! Crons, scheduled runs and events.

use std::ops::ControlFlow;
use std::sync::Arc;

use dormouse_core::cron::Schedule;
use dormouse_core::event::KeyPattern;
use dormouse_core::id::{CronId, CronName, EventId, RunId, ScheduledId, WorkflowName};
use dormouse_core::validate::validate_cron;
use dormouse_core::workflow::{Json, Overlap};

use super::{Host, ID_LEAD_MAX, Result, Stretch, earlier};
use crate::engine::bulk::only;
use crate::engine::events::Matched;
use crate::engine::requests::{
    CronFilter, EventCursor, EventFilter, Page, Paged, PushEvent, ScheduleRun, ScheduledCursor,
    ScheduledFilter,
};
use crate::engine::shard::Shard;
use crate::engine::{Each, each_checked, find_workflow};
use crate::error::Error;
use crate::store::Read;
use crate::store::rows::{CronRow, EventRow, ScheduledRow, ScheduledStatus};
use crate::triggers::Matching;
use crate::triggers::crons::{CheckedCron, CronChange, EarlierRuns, changed_spec, new_spec};
use crate::triggers::scheduled::ScheduledChange;

/// Crons.
impl Host {
    /// Makes the cron or changes it in place; says whether it is new.
    pub(crate) async fn put_cron(
        &self,
        workflow: WorkflowName,
        name: CronName,
        change: CronChange,
    ) -> Result<(CronRow, bool)> {
        let row = self.read(|store| store.cron_by_name(&workflow, &name))?;
        let change = self.check_cron(&workflow, row.as_ref(), change)?;
        self.operate(move |shard| shard.put_cron(workflow, name, change)).await
    }

    pub(crate) fn crons(&self, filter: &CronFilter, page: Page<CronId>) -> Result<Paged<CronRow, CronId>> {
        self.scan(|store| {
            let mut stretch = Stretch::new(page.limit);
            store.visit_crons(page.after, |row: CronRow| {
                let wanted = filter.workflow.as_ref().is_none_or(|workflow| row.workflow == *workflow)
                    && filter.name.as_ref().is_none_or(|name| row.name.as_str() == name)
                    && filter.enabled.is_none_or(|enabled| row.enabled == enabled)
                    && row.spec.metadata.contains_all(&filter.metadata);
                stretch.look(row.id, wanted.then_some(row))
            })?;
            Ok(stretch.paged())
        })
    }

    pub(crate) fn cron(&self, id: CronId) -> Result<CronRow> {
        let found = self.read(|store| store.cron(id))?;
        found.ok_or_else(|| Error::not_found("unknown_cron", format!("there is no cron {id}")))
    }

    pub(crate) async fn change_cron(&self, id: CronId, change: CronChange) -> Result<CronRow> {
        let row = self.cron(id)?;
        let change = self.check_cron(&row.workflow, Some(&row), change)?;
        self.operate(move |shard| shard.change_cron(id, change)).await
    }

    /// Whether a cron may be made or changed like that. The deciding thread merges the change again, with
    /// the cron as it is by then: what is valid here fits whatever the other fields have become.
    fn check_cron(
        &self,
        workflow: &WorkflowName,
        row: Option<&CronRow>,
        change: CronChange,
    ) -> Result<CheckedCron> {
        let spec = match row {
            Some(row) => changed_spec(row, &change)?,
            None => {
                find_workflow(&self.shared.catalog(), workflow)?;
                new_spec(&change)?
            }
        };
        // The search for a time at which it fires takes milliseconds.
        let (problems, schedule) = tokio::task::block_in_place(|| {
            let problems = if change.is_of_spec() { validate_cron(&spec) } else { Vec::new() };
            (problems, Schedule::parse(&spec.expression, &spec.timezone).ok())
        });
        Error::from_problems(problems)?;
        // A cron can be disabled whatever its input has become.
        if row.is_none() || change.input.is_some() {
            self.check_input(workflow, &spec.input)?;
        }
        let was_allowed = row.is_some_and(|row| row.spec.overlap == Overlap::Allow);
        let earlier = match was_allowed && spec.overlap != Overlap::Allow {
            true => self.scan(|store| EarlierRuns::find(store, workflow))?,
            false => EarlierRuns::default(),
        };
        Ok(CheckedCron { change, spec, schedule: schedule.map(Arc::new), earlier })
    }

    pub(crate) async fn delete_cron(&self, id: CronId) -> Result<()> {
        self.operate(move |shard| shard.delete_cron(id)).await
    }

    pub(crate) async fn trigger_cron(&self, id: CronId) -> Result<RunId> {
        self.operate(move |shard| shard.trigger_cron(id)).await
    }
}

/// Scheduled runs.
impl Host {
    pub(crate) async fn schedule_run(
        &self,
        workflow: WorkflowName,
        request: ScheduleRun,
    ) -> Result<ScheduledRow> {
        self.check_input(&workflow, &request.input)?;
        self.operate_on(request.input.as_str().len(), move |shard| shard.schedule_run(workflow, request))
            .await
    }

    pub(crate) fn scheduled(&self, id: ScheduledId) -> Result<ScheduledRow> {
        let found = self.read(|store| store.scheduled(id))?;
        found.ok_or_else(|| {
            Error::not_found("unknown_scheduled_run", format!("there is no scheduled run {id}"))
        })
    }

    pub(crate) fn scheduled_runs(
        &self,
        filter: &ScheduledFilter,
        page: Page<ScheduledCursor>,
    ) -> Result<Paged<ScheduledRow, ScheduledCursor>> {
        self.scan(|store| {
            let mut stretch = Stretch::new(page.limit);
            store.visit_scheduled(filter.status, page.after, |row: ScheduledRow| {
                let wanted = filter.workflow.as_ref().is_none_or(|workflow| row.workflow == *workflow)
                    && row.metadata.contains_all(&filter.metadata);
                stretch.look((row.trigger_at, row.id), wanted.then_some(row))
            })?;
            Ok(stretch.paged())
        })
    }

    /// The ids of all scheduled runs that match, pending ones unless the filter says otherwise,
    /// earliest first. Refuses to gather more than `most`.
    pub(crate) fn matching_scheduled_runs(
        &self,
        filter: ScheduledFilter,
        most: usize,
    ) -> Result<Vec<ScheduledId>> {
        let filter = ScheduledFilter { status: filter.status.or(Some(ScheduledStatus::Pending)), ..filter };
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = self.scheduled_runs(&filter, Page { limit: most + 1, after })?;
            ids.extend(page.rows.into_iter().map(|row| row.id));
            if ids.len() > most {
                let text = format!("the filter matches more than {most} scheduled runs; narrow it");
                return Err(Error::invalid("too_many_scheduled_runs", "filter", text));
            }
            after = page.next;
            if after.is_none() {
                return Ok(ids);
            }
        }
    }

    pub(crate) async fn change_scheduled(
        &self,
        id: ScheduledId,
        change: ScheduledChange,
    ) -> Result<ScheduledRow> {
        only(self.change_scheduled_runs(vec![(id, change)]).await?)
    }

    /// Changes many in one transaction.
    pub(crate) async fn change_scheduled_runs(
        &self,
        changes: Vec<(ScheduledId, ScheduledChange)>,
    ) -> Result<Each<ScheduledRow>> {
        let checked = |(id, change): (ScheduledId, ScheduledChange)| {
            if let Some(input) = &change.input
                && let Some(row) = self.read(|store| store.scheduled(id))?
                && row.status == ScheduledStatus::Pending
            {
                self.check_input(&row.workflow, input)?;
            }
            Ok((id, change))
        };
        let changes = tokio::task::block_in_place(|| changes.into_iter().map(checked).collect());
        each_checked(changes, |changes| {
            let inputs = changes.iter().filter_map(|(_, change)| change.input.as_ref());
            self.operate_on(inputs.map(|input| input.as_str().len()).sum(), move |shard| {
                shard.each(changes, |shard, (id, change)| shard.change_scheduled(id, change))
            })
        })
        .await
    }

    /// Whether a workflow takes an input now. Whether it still does when the run begins is seen then.
    fn check_input(&self, workflow: &WorkflowName, input: &Json) -> Result<()> {
        let catalog = self.shared.catalog();
        let problem = |problem| Error::invalid("invalid_input", "input", problem);
        find_workflow(&catalog, workflow)?.check_input(input).map_err(problem)
    }

    pub(crate) async fn cancel_scheduled(&self, id: ScheduledId) -> Result<()> {
        only(self.cancel_scheduled_runs(vec![id]).await?)
    }

    /// Cancels many in one transaction.
    pub(crate) async fn cancel_scheduled_runs(&self, ids: Vec<ScheduledId>) -> Result<Each<()>> {
        self.operate(move |shard| shard.each(ids, Shard::cancel_scheduled)).await
    }

    pub(crate) async fn trigger_scheduled(&self, id: ScheduledId) -> Result<RunId> {
        self.operate(move |shard| shard.trigger_scheduled(id)).await
    }
}

/// Events.
impl Host {
    pub(crate) async fn push_event(&self, request: PushEvent) -> Result<EventRow> {
        only(self.push_events(vec![request]).await?)
    }

    /// Takes in many events in one transaction.
    pub(crate) async fn push_events(&self, requests: Vec<PushEvent>) -> Result<Each<EventRow>> {
        let catalog = self.shared.catalog();
        let matched = |request: PushEvent| {
            let PushEvent { key, payload, metadata, .. } = &request;
            let matched = Matched::find(&catalog, &mut Matching::new(key, payload, metadata));
            (request, matched)
        };
        // Filters may take a while.
        let requests: Vec<_> = tokio::task::block_in_place(|| requests.into_iter().map(matched).collect());
        let bytes = requests.iter().map(|(request, _)| request.bytes()).sum();
        self.operate_with(bytes, move |shard, reply| shard.push_events(requests, reply)).await
    }

    pub(crate) fn event(&self, id: EventId) -> Result<EventRow> {
        let found = self.read(|store| store.event(id))?;
        found.ok_or_else(|| Error::not_found("unknown_event", format!("there is no event {id}")))
    }

    pub(crate) fn events(
        &self,
        filter: &EventFilter,
        page: Page<EventCursor>,
    ) -> Result<Paged<EventRow, EventCursor>> {
        let pattern = filter.key.as_deref().map(KeyPattern::parse).transpose();
        let pattern =
            pattern.map_err(|error| Error::invalid("invalid_key_pattern", "key", error.to_string()))?;
        self.scan(|store| {
            let mut stretch = Stretch::new(page.limit);
            let before =
                earlier(page.after, filter.until.map(|until| EventId::first_at(until.after(ID_LEAD_MAX))));
            store.visit_events(before, |row: EventRow| {
                if filter.since.is_some_and(|since| row.pushed_at < since) {
                    return ControlFlow::Break(());
                }
                let wanted = pattern.as_ref().is_none_or(|pattern| pattern.matches(&row.key))
                    && filter.until.is_none_or(|until| row.pushed_at < until)
                    && row.metadata.contains_all(&filter.metadata);
                stretch.look(row.id, wanted.then_some(row))
            })?;
            Ok(stretch.paged())
        })
    }
}
