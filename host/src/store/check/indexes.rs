//! What leads to runs: their status, their parents, and whether they are to be taken up again.

use std::collections::BTreeMap;

use dormouse_core::id::Version;
use dormouse_core::run::Status;

use super::{Check, Look, Result};
use crate::store::keys::NAMESPACE;
use crate::store::records::Counts;
use crate::store::tables::{
    CONCURRENCY, KEYED_RUNS, RUN_ADOPTIONS, RUN_CHILDREN, RUN_COUNTS, RUN_SPECS, RUN_STATES, RUNS_BY_STATUS,
    VERSIONS,
};

pub(super) fn by_status(check: &mut Check<'_>) -> Result {
    check.each(RUNS_BY_STATUS, |check, (_, workflow, status, id), ()| {
        let row = format!("{workflow} {} {id}", status.word());
        match check.look(RUN_STATES, id)? {
            Look::There(run) if run.status != status => {
                check.report(RUNS_BY_STATUS, &row, format!("the run is {}", run.status.word()));
            }
            Look::There(_) | Look::Unreadable => {}
            Look::Missing => check.report(RUNS_BY_STATUS, &row, "the run is not there"),
        }
        if let Look::There(spec) = check.look(RUN_SPECS, id)?
            && spec.workflow != workflow
        {
            check.report(RUNS_BY_STATUS, &row, format!("the run is of workflow `{}`", spec.workflow));
        }
        Ok(())
    })
}

pub(super) fn counts(check: &mut Check<'_>) -> Result {
    let mut counted = BTreeMap::<_, Counts>::new();
    check.each(RUNS_BY_STATUS, |_, (_, workflow, status, _), ()| {
        counted.entry(workflow).or_default().by_status[status as usize] += 1;
        Ok(())
    })?;
    check.each(RUN_STATES, |check, id, run| {
        if let Look::There(spec) = check.look(RUN_SPECS, id)?
            && !run.status.is_final()
        {
            *counted.entry(spec.workflow).or_default().live.entry(spec.version).or_default() += 1;
        }
        Ok(())
    })?;
    check.each(RUN_COUNTS, |check, (_, workflow), stored| {
        let counted = counted.remove(&workflow).unwrap_or_default();
        for ((status, said), is) in Status::ALL.iter().zip(stored.by_status).zip(counted.by_status) {
            if said != is {
                let problem = format!("it says {said} runs that are {}, and there are {is}", status.word());
                check.report(RUN_COUNTS, &workflow, problem);
            }
        }
        if stored.live != counted.live {
            let [said, are] = [stored.live, counted.live].map(|live| by_version(&live));
            let problem =
                format!("runs that have not ended, by version: it says {said}, and there are {are}");
            check.report(RUN_COUNTS, &workflow, problem);
        }
        Ok(())
    })?;
    for workflow in counted.into_keys() {
        check.report(RUN_COUNTS, workflow, "its runs are not counted");
    }
    Ok(())
}

/// `1: 12, 3: 1`, or `none`.
fn by_version(live: &BTreeMap<Version, u64>) -> String {
    let versions: Vec<_> = live.iter().map(|(version, count)| format!("{}: {count}", version.0)).collect();
    if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
}

pub(super) fn children(check: &mut Check<'_>) -> Result {
    check.each(RUN_CHILDREN, |check, (parent, child), ()| {
        let row = format!("{parent} {child}");
        if !check.is_there(RUN_SPECS, parent)? {
            check.report(RUN_CHILDREN, &row, "the parent is not there");
        }
        match check.look(RUN_SPECS, child)? {
            Look::There(spec) if spec.parent != Some(parent) => {
                check.report(RUN_CHILDREN, &row, "the child has another parent, or none");
            }
            Look::There(_) | Look::Unreadable => {}
            Look::Missing => check.report(RUN_CHILDREN, &row, "the child is not there"),
        }
        Ok(())
    })
}

pub(super) fn adoptions(check: &mut Check<'_>) -> Result {
    check.each(RUN_ADOPTIONS, |check, (adopted, by), ()| {
        if !check.is_there(RUN_SPECS, adopted)? {
            check.report(RUN_ADOPTIONS, format!("{adopted} {by}"), "the run is not there");
        }
        Ok(())
    })
}

pub(super) fn keyed_runs(check: &mut Check<'_>) -> Result {
    check.each(KEYED_RUNS, |check, (run, until), ()| {
        if !check.is_there(RUN_SPECS, run)? {
            check.report(KEYED_RUNS, format!("{run} {until}"), "the run is not there");
        }
        Ok(())
    })
}

pub(super) fn concurrency(check: &mut Check<'_>) -> Result {
    check.each(CONCURRENCY, |check, (_, workflow, index, key, run), max_runs| {
        let row = format!("{workflow} {index} {key} {run}");
        match check.look(RUN_STATES, run)? {
            Look::There(state) if state.status.is_final() => {
                check.report(CONCURRENCY, &row, "the run has ended and still takes a place");
            }
            Look::There(_) | Look::Unreadable => {}
            Look::Missing => check.report(CONCURRENCY, &row, "the run is not there"),
        }
        let Look::There(spec) = check.look(RUN_SPECS, run)? else { return Ok(()) };
        let Look::There(version) = check.look(VERSIONS, (NAMESPACE, &spec.workflow, spec.version))? else {
            return Ok(());
        };
        let limit = version.definition.concurrency.get(usize::from(index));
        if spec.workflow != workflow || limit.is_none_or(|limit| limit.max_runs != max_runs) {
            check.report(CONCURRENCY, &row, "the version of the run has no such limit");
        }
        Ok(())
    })
}
