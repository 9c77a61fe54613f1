//! Crons, scheduled runs, events and idempotency keys.

use dormouse_core::id::{EventId, RunId, WorkflowName};

use super::{Check, Look, Result};
use crate::store::keys::NAMESPACE;
use crate::store::rows::{CronRow, Due, ScheduledRow, ScheduledStatus, Timer};
use crate::store::tables::{
    CRON_NAMES, CRONS, DISABLED_CRONS, EVENTS, EVENTS_BY_KEY, IDEMPOTENCY, IDEMPOTENCY_BY_EXPIRY, RUN_SPECS,
    RUN_STATES, SCHEDULED, SCHEDULED_BY_TIME, TIMERS, WORKFLOWS,
};

pub(super) fn crons(check: &mut Check<'_>) -> Result {
    check.each(CRONS, |check, id, cron| {
        let CronRow { workflow, name, enabled, next_run_at, held, .. } = &cron;
        match check.look(CRON_NAMES, (NAMESPACE, workflow, name))? {
            Look::There(named) if named == id => {}
            Look::Unreadable => {}
            Look::There(_) | Look::Missing => {
                check.report(
                    CRONS,
                    id,
                    format!("`cron-names` does not lead to it from `{workflow}` `{name}`"),
                );
            }
        }
        match check.look(WORKFLOWS, (NAMESPACE, workflow))? {
            Look::There(workflow) if workflow.current.is_some() => {}
            Look::Unreadable => {}
            Look::There(_) | Look::Missing => {
                check.report(CRONS, id, format!("its workflow `{workflow}` is deleted or not there"));
            }
        }
        if let Some(at) = *next_run_at {
            if !*enabled {
                check.report(CRONS, id, "it is disabled and has a next time");
            }
            if !check.is_there(TIMERS, Due { at, timer: Timer::Cron(id) })? {
                check.report(CRONS, id, format!("its timer of {at} is missing"));
            }
        }
        if cron.last_run.is_some() != cron.last_run_at.is_some() {
            check.report(CRONS, id, "it has a last run without its time, or the other way round");
        }
        if let Some(run) = cron.last_run
            && !run_is_there(check, run)?
        {
            check.report(CRONS, id, format!("its last run {run} is not there"));
        }
        for run in &cron.unfinished {
            if !is_live(check, *run)? {
                check.report(CRONS, id, format!("it counts run {run}, which has ended or is not there"));
            }
        }
        if !held.is_empty() && cron.unfinished.is_empty() {
            check.report(CRONS, id, "it holds times back, and no run would let them go when it ends");
        }
        Ok(())
    })
}

/// Whether a run is there or has gone with retention.
fn run_is_there(check: &Check<'_>, run: RunId) -> Result<bool> {
    Ok(check.is_there(RUN_SPECS, run)? || check.may_be_gone(run.time()))
}

fn is_live(check: &Check<'_>, run: RunId) -> Result<bool> {
    Ok(match check.look(RUN_STATES, run)? {
        Look::There(run) => !run.status.is_final(),
        Look::Unreadable => true,
        Look::Missing => false,
    })
}

pub(super) fn disabled_crons(check: &mut Check<'_>) -> Result {
    check.each(DISABLED_CRONS, |check, (_, workflow, name), ()| {
        let row = format!("{workflow} {name}");
        if !check.is_there(WORKFLOWS, (NAMESPACE, &workflow))? {
            check.report(DISABLED_CRONS, &row, "the workflow is not there");
        }
        if let Look::There(id) = check.look(CRON_NAMES, (NAMESPACE, &workflow, &name))?
            && let Look::There(cron) = check.look(CRONS, id)?
            && cron.declared
        {
            check.report(DISABLED_CRONS, &row, "the cron is there");
        }
        Ok(())
    })
}

pub(super) fn cron_names(check: &mut Check<'_>) -> Result {
    check.each(CRON_NAMES, |check, (_, workflow, name), id| {
        match check.look(CRONS, id)? {
            Look::There(cron) if (&cron.workflow, &cron.name) == (&workflow, &name) => {}
            Look::Unreadable => {}
            Look::There(_) | Look::Missing => {
                check.report(
                    CRON_NAMES,
                    format!("{workflow} {name}"),
                    format!("cron {id} has not that name"),
                );
            }
        }
        Ok(())
    })
}

pub(super) fn scheduled(check: &mut Check<'_>) -> Result {
    check.each(SCHEDULED, |check, id, row| {
        let ScheduledRow { status, trigger_at, run, .. } = row;
        if !check.is_there(SCHEDULED_BY_TIME, (status, trigger_at, id))? {
            check.report(SCHEDULED, id, "`scheduled-by-time` does not list it under its status and time");
        }
        if status == ScheduledStatus::Pending
            && !check.is_there(TIMERS, Due { at: trigger_at, timer: Timer::Scheduled(id) })?
        {
            check.report(SCHEDULED, id, format!("its timer of {trigger_at} is missing"));
        }
        if (status == ScheduledStatus::Fired) != run.is_some() {
            check.report(SCHEDULED, id, "it has a run and has not fired, or the other way round");
        }
        if let Some(run) = run
            && !run_is_there(check, run)?
        {
            check.report(SCHEDULED, id, format!("its run {run} is not there"));
        }
        Ok(())
    })
}

pub(super) fn scheduled_by_time(check: &mut Check<'_>) -> Result {
    check.each(SCHEDULED_BY_TIME, |check, (status, at, id), ()| {
        match check.look(SCHEDULED, id)? {
            Look::There(row) if (row.status, row.trigger_at) == (status, at) => {}
            Look::Unreadable => {}
            Look::There(_) | Look::Missing => {
                let problem = "no scheduled run has this status and time";
                check.report(SCHEDULED_BY_TIME, format!("{at} {id}"), problem);
            }
        }
        Ok(())
    })
}

pub(super) fn events(check: &mut Check<'_>) -> Result {
    check.each(EVENTS, |check, id, event| {
        if !check.is_there(EVENTS_BY_KEY, (NAMESPACE, event.key.as_str(), event.pushed_at, id))? {
            check.report(EVENTS, id, "`events-by-key` does not list it under its key and time");
        }
        for (run, _) in event.runs {
            if !run_is_there(check, run)? {
                check.report(EVENTS, id, format!("run {run}, which it started, is not there"));
            }
        }
        Ok(())
    })
}

pub(super) fn events_by_key(check: &mut Check<'_>) -> Result {
    check.each(EVENTS_BY_KEY, |check, (_, key, at, id), ()| {
        match check.look(EVENTS, id)? {
            Look::There(event) if event.key == key && event.pushed_at == at => {}
            Look::Unreadable => {}
            Look::There(_) | Look::Missing => {
                let problem = "no event has this key and time";
                check.report(EVENTS_BY_KEY, format!("{key} {at} {id}"), problem);
            }
        }
        Ok(())
    })
}

pub(super) fn idempotency(check: &mut Check<'_>) -> Result {
    check.each(IDEMPOTENCY, |check, (_, scope, key), row| {
        let id = format!("{} {key}", if scope.is_empty() { "(events)" } else { &scope });
        if !check
            .is_there(IDEMPOTENCY_BY_EXPIRY, (row.expires_at, NAMESPACE, scope.as_str(), key.as_str()))?
        {
            check.report(IDEMPOTENCY, &id, "`idempotency-by-expiry` does not list it");
        }
        let (run, event) = (RunId::from_bytes(row.id), EventId::from_bytes(row.id));
        let is_there = match scope.as_str() {
            "" => check.is_there(EVENTS, event)? || check.may_be_gone(event.time()),
            _ => run_is_there(check, run)?,
        };
        if !is_there {
            check.report(IDEMPOTENCY, &id, format!("what it stands for, {run}, is not there"));
        }
        if !scope.is_empty() && scope.parse::<WorkflowName>().is_err() {
            check.report(IDEMPOTENCY, &id, "its scope names no workflow");
        }
        Ok(())
    })
}

pub(super) fn idempotency_by_expiry(check: &mut Check<'_>) -> Result {
    check.each(IDEMPOTENCY_BY_EXPIRY, |check, (expires_at, _, scope, key), ()| {
        match check.look(IDEMPOTENCY, (NAMESPACE, scope.as_str(), key.as_str()))? {
            Look::There(row) if row.expires_at == expires_at => {}
            Look::Unreadable => {}
            Look::There(_) | Look::Missing => {
                let row = format!("{expires_at} {scope} {key}");
                check.report(IDEMPOTENCY_BY_EXPIRY, row, "no key expires then");
            }
        }
        Ok(())
    })
}
