//! What becomes of a cron: by a change, by its times, and by the ends of its runs. All of it is said of its
//! row; what is to be done besides comes out as effects. When a cron fires is decided in the core.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::time::Duration;

use dormouse_core::cron::{CronError, Firing, OverlapAction, due, overlap};
use dormouse_core::id::{CronId, CronName, RunId, WorkflowName};
use dormouse_core::new_run::{NewRun, Target};
use dormouse_core::run::{RunSpec, Status, Trigger};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::{CatchUp, CronSpec, Json, Metadata, Overlap, Priority};

use super::Schedules;
use crate::error::Error;
use crate::store::rows::CronRow;
use crate::store::{Read, StoreError};

/// Most nominal times that a cron with overlap `queue` holds back; later ones are left out.
const HELD_MAX: usize = 100;

/// Most runs of a cron that began before its policy was set and that the policy then knows of, the newest
/// ones: all of them stand in the row of the cron.
const EARLIER_MAX: usize = 1_000;

/// Most live runs of a workflow of each status that are looked at to find those, the newest ones.
const LOOKED_AT_MAX: usize = 100_000;

/// Most bytes of inputs that one cron writes at once, besides those of the first run.
const FIRED_BYTES_MAX: usize = 1 << 20;

/// Fields of a cron to set; those that are `None` keep their value, or take the default when the
/// cron is made.
#[derive(Debug, Clone, Default)]
pub(crate) struct CronChange {
    pub(crate) expression: Option<String>,
    pub(crate) timezone: Option<String>,
    pub(crate) input: Option<Json>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) priority: Option<Priority>,
    pub(crate) enabled: Option<bool>,
    pub(crate) catch_up: Option<CatchUp>,
    pub(crate) overlap: Option<Overlap>,
}

impl CronChange {
    /// Whether anything changes besides `enabled`.
    pub(crate) fn is_of_spec(&self) -> bool {
        let Self { expression, timezone, input, metadata, priority, enabled: _, catch_up, overlap } = self;
        expression.is_some()
            || timezone.is_some()
            || input.is_some()
            || metadata.is_some()
            || priority.is_some()
            || catch_up.is_some()
            || overlap.is_some()
    }
}

/// What is to be done for a cron, besides writing its row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CronEffect {
    /// Make this run, unless it is there. The row counts it as unfinished: say so ([`run_ended`]) when it
    /// has ended, even if that is at once or if it could not be made.
    Start { run: RunId, nominal: Timestamp },
    /// Cancel a run that a later one takes the place of.
    Cancel(RunId),
}

/// The times that are to fire now, and the first one that is not. A cron with a large input fires a few at
/// a time.
pub(crate) fn due_times(
    row: &CronRow,
    schedules: &mut Schedules,
    now: Timestamp,
    share: usize,
) -> Result<Firing, CronError> {
    let most = share.min(FIRED_BYTES_MAX / row.spec.input.as_str().len().max(1));
    let schedule = schedules.of(&row.spec)?;
    let next = schedule.next_after(seen_until(row, now));
    Ok(next.map_or_else(Firing::default, |next| due(&schedule, row.spec.catch_up, next, now, most)))
}

/// Its times are done with up to the first one that has not fired, or up to now.
pub(crate) fn mark_seen(row: &mut CronRow, next: Option<Timestamp>, now: Timestamp) {
    let unfired = next.filter(|next| *next <= now);
    row.seen_until = unfired.map_or(now, |next| next.before(Duration::from_millis(1)));
}

/// The first time that is not done with; `None` when the cron is disabled. It is found anew, not remembered: the
/// rules of its zone may be others than they were, or the clock was.
pub(crate) fn next_time(
    row: &CronRow,
    schedules: &mut Schedules,
    now: Timestamp,
) -> Result<Option<Timestamp>, CronError> {
    if !row.enabled {
        return Ok(None);
    }
    Ok(schedules.of(&row.spec)?.next_after(seen_until(row, now)))
}

/// What a clock saw that was ahead does not count.
fn seen_until(row: &CronRow, now: Timestamp) -> Timestamp {
    row.seen_until.min(now)
}

/// One of its times has come.
pub(crate) fn fire(row: &mut CronRow, nominal: Timestamp) -> Vec<CronEffect> {
    let earlier_unfinished = !row.unfinished.is_empty() || !row.held.is_empty();
    match overlap(row.spec.overlap, earlier_unfinished) {
        OverlapAction::Start => vec![start_nominal(row, nominal)],
        OverlapAction::Skip => Vec::new(),
        OverlapAction::Hold => {
            if row.held.len() < HELD_MAX {
                row.held.push(nominal);
            } else {
                tracing::warn!(cron.id = %row.id, %nominal, "too many times of a cron are held back; this one is left out");
            }
            Vec::new()
        }
        OverlapAction::CancelEarlierThenStart => {
            row.held.clear();
            let mut effects: Vec<_> = row.unfinished.drain(..).map(CronEffect::Cancel).collect();
            effects.push(start_nominal(row, nominal));
            effects
        }
    }
}

/// A run of it begins, at one of its times or at another.
pub(crate) fn start(row: &mut CronRow, run: RunId, nominal: Timestamp) -> CronEffect {
    row.last_run_at = Some(nominal);
    row.last_run = Some(run);
    // The same nominal time can come again when the expression is changed back and forth, or the clock
    // is set back.
    if row.spec.overlap != Overlap::Allow && !row.unfinished.contains(&run) {
        row.unfinished.push(run);
    }
    CronEffect::Start { run, nominal }
}

/// A run of it has ended. If a time was held back for that, its run begins.
pub(crate) fn run_ended(row: &mut CronRow, run: RunId) -> Option<CronEffect> {
    let index = row.unfinished.iter().position(|unfinished| *unfinished == run)?;
    row.unfinished.remove(index);
    if row.unfinished.is_empty() && !row.held.is_empty() {
        let nominal = row.held.remove(0);
        return Some(start_nominal(row, nominal));
    }
    None
}

fn start_nominal(row: &mut CronRow, nominal: Timestamp) -> CronEffect {
    start(row, RunId::of_cron(row.id, nominal), nominal)
}

/// Its policy has changed from another one: the row gets to know the earlier runs that have not ended, and
/// what need not wait any more starts.
pub(crate) fn adopt_overlap(
    row: &mut CronRow,
    before: Overlap,
    earlier: &EarlierRuns,
    is_live: impl Fn(RunId) -> Result<bool, StoreError>,
) -> Result<Vec<CronEffect>, StoreError> {
    match (before, row.spec.overlap) {
        (Overlap::Allow, Overlap::Allow) => Ok(Vec::new()),
        (Overlap::Allow, _) => {
            // The last one may have begun since the others were looked for.
            let runs: BTreeSet<RunId> = earlier.of(row.id).iter().copied().chain(row.last_run).collect();
            row.unfinished.clear();
            for run in runs {
                if is_live(run)? {
                    row.unfinished.push(run);
                }
            }
            Ok(Vec::new())
        }
        (_, Overlap::Allow) => {
            row.unfinished.clear();
            let held = std::mem::take(&mut row.held);
            Ok(held.into_iter().map(|nominal| start_nominal(row, nominal)).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// The run that a cron starts.
pub(crate) fn new_run(row: &CronRow, target: Target, run: RunId, nominal: Timestamp) -> NewRun {
    let CronSpec { input, metadata, priority, .. } = &row.spec;
    let trigger = Trigger::Cron { id: row.id, nominal };
    NewRun { priority: *priority, ..NewRun::of(target, run, trigger, input.clone(), metadata.clone()) }
}

/// A cron that has no timer yet.
pub(crate) fn new_row(
    id: CronId,
    workflow: WorkflowName,
    name: CronName,
    declared: bool,
    spec: CronSpec,
    now: Timestamp,
) -> CronRow {
    CronRow {
        id,
        workflow,
        name,
        declared,
        spec,
        enabled: true,
        seen_until: now,
        next_run_at: None,
        last_run_at: None,
        last_run: None,
        unfinished: Vec::new(),
        held: Vec::new(),
        created_at: now,
        updated_at: now,
    }
}

/// What a new cron is to be.
pub(crate) fn new_spec(change: &CronChange) -> Result<CronSpec, Error> {
    let Some(expression) = change.expression.clone() else {
        return Err(Error::invalid("missing_field", "expression", "a new cron needs an expression"));
    };
    let spec = CronSpec {
        expression,
        timezone: "UTC".to_owned(),
        input: Json::null(),
        metadata: Metadata::default(),
        priority: None,
        catch_up: Default::default(),
        overlap: Default::default(),
    };
    Ok(merged(&spec, change))
}

/// What a cron is after a change.
pub(crate) fn changed_spec(row: &CronRow, change: &CronChange) -> Result<CronSpec, Error> {
    if row.declared && change.is_of_spec() {
        let text = format!(
            "cron `{}` is declared by the current module of `{}`: only `enabled` can be changed; deploy a changed module, or make a cron of another name",
            row.name, row.workflow
        );
        return Err(Error::conflict("declared_cron", text));
    }
    Ok(merged(&row.spec, change))
}

fn merged(spec: &CronSpec, change: &CronChange) -> CronSpec {
    fn or<T: Clone>(change: &Option<T>, value: &T) -> T {
        change.as_ref().unwrap_or(value).clone()
    }
    CronSpec {
        expression: or(&change.expression, &spec.expression),
        timezone: or(&change.timezone, &spec.timezone),
        input: or(&change.input, &spec.input),
        metadata: or(&change.metadata, &spec.metadata),
        priority: change.priority.or(spec.priority),
        catch_up: or(&change.catch_up, &spec.catch_up),
        overlap: or(&change.overlap, &spec.overlap),
    }
}

/// Live runs of crons that began when their overlap did not matter, so that no row of a cron knows of
/// them.
#[derive(Debug, Default)]
pub(crate) struct EarlierRuns(HashMap<CronId, Vec<RunId>>);

impl EarlierRuns {
    /// Finds them among all live runs of a workflow. Not for the deciding thread: it reads every one.
    pub(crate) fn find(store: &impl Read, workflow: &WorkflowName) -> Result<Self, StoreError> {
        let mut runs = Vec::new();
        for status in [Status::Queued, Status::Running, Status::Sleeping] {
            let end = runs.len() + LOOKED_AT_MAX;
            store.visit_run_ids(Some(workflow), Some(status), None, |id| {
                runs.push(id);
                if runs.len() < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        runs.sort_unstable_by(|a, b| b.cmp(a));
        let mut found: HashMap<CronId, Vec<RunId>> = HashMap::new();
        for run in runs {
            if let Some(RunSpec { trigger: Trigger::Cron { id, .. }, .. }) = store.run_spec(run)? {
                let earlier = found.entry(id).or_default();
                if earlier.len() < EARLIER_MAX {
                    earlier.push(run);
                }
            }
        }
        Ok(Self(found))
    }

    /// Adds those of the crons of another workflow.
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    fn of(&self, cron: CronId) -> &[RunId] {
        self.0.get(&cron).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + n)
    }

    fn cron(overlap: Overlap) -> CronRow {
        let change = CronChange {
            expression: Some("@hourly".to_owned()),
            overlap: Some(overlap),
            ..CronChange::default()
        };
        let id = CronId::new(at(0), [0; 10]);
        let spec = new_spec(&change).unwrap();
        new_row(id, "w".parse().unwrap(), "c".parse().unwrap(), false, spec, at(0))
    }

    fn started(row: &CronRow, n: u64) -> CronEffect {
        CronEffect::Start { run: RunId::of_cron(row.id, at(n)), nominal: at(n) }
    }

    #[test]
    fn what_a_time_does_while_an_earlier_run_goes_on_is_up_to_the_policy() {
        for (policy, second, unfinished, held) in [
            (Overlap::Allow, vec![started(&cron(Overlap::Allow), 2)], 0, 0),
            (Overlap::Skip, vec![], 1, 0),
            (Overlap::Queue, vec![], 1, 1),
        ] {
            let mut row = cron(policy);
            assert_eq!(fire(&mut row, at(1)), [started(&row, 1)], "{policy:?}");
            assert_eq!(fire(&mut row, at(2)), second, "{policy:?}");
            assert_eq!((row.unfinished.len(), row.held.len()), (unfinished, held), "{policy:?}");
        }
        let mut row = cron(Overlap::CancelRunning);
        let first = RunId::of_cron(row.id, at(1));
        assert_eq!(fire(&mut row, at(1)), [started(&row, 1)]);
        assert_eq!(fire(&mut row, at(2)), [CronEffect::Cancel(first), started(&row, 2)]);
        assert_eq!(row.unfinished, [RunId::of_cron(row.id, at(2))]);
    }

    #[test]
    fn times_that_are_held_back_start_one_after_the_other() {
        let mut row = cron(Overlap::Queue);
        (1..=3).for_each(|n| drop(fire(&mut row, at(n))));
        let run = |n| RunId::of_cron(row.id, at(n));
        let (first, second, third) = (run(1), run(2), run(3));
        assert_eq!(run_ended(&mut row, third), None, "it has not begun");
        assert_eq!(run_ended(&mut row, first), Some(started(&row, 2)));
        assert_eq!(run_ended(&mut row, first), None, "it had ended before");
        assert_eq!(run_ended(&mut row, second), Some(started(&row, 3)));
        assert_eq!(run_ended(&mut row, third), None);
        assert!(row.unfinished.is_empty() && row.held.is_empty() && row.last_run == Some(third));
    }

    #[test]
    fn no_more_times_are_held_back_than_may_be() {
        let mut row = cron(Overlap::Queue);
        (0..2 * HELD_MAX as u64).for_each(|n| drop(fire(&mut row, at(n))));
        assert_eq!(row.held.len(), HELD_MAX);
    }

    #[test]
    fn a_stricter_policy_learns_of_the_runs_that_go_on() {
        let mut row = cron(Overlap::Allow);
        (1..=3).for_each(|n| drop(fire(&mut row, at(n))));
        let run = |n| RunId::of_cron(row.id, at(n));
        let (ended, live, last) = (run(1), run(2), run(3));
        let earlier = EarlierRuns(HashMap::from([(row.id, vec![live, ended])]));
        row.spec.overlap = Overlap::Skip;
        let effects = adopt_overlap(&mut row, Overlap::Allow, &earlier, |run| Ok(run != ended)).unwrap();
        assert_eq!((effects, &row.unfinished[..]), (vec![], &[live, last][..]));
    }

    #[test]
    fn when_runs_may_overlap_nothing_is_held_back_any_more() {
        let mut row = cron(Overlap::Queue);
        (1..=3).for_each(|n| drop(fire(&mut row, at(n))));
        row.spec.overlap = Overlap::Allow;
        let effects = adopt_overlap(&mut row, Overlap::Queue, &EarlierRuns::default(), |_| Ok(true)).unwrap();
        assert_eq!(effects, [started(&row, 2), started(&row, 3)]);
        assert!(row.unfinished.is_empty() && row.held.is_empty());
    }
}
