//! What has to be so, whatever happened, and how it is held against a store.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use dormouse_core::id::{EventId, RunId, ScheduledId, TaskIndex, WorkflowName};
use dormouse_core::run::{Lease, Reason, Run, Status};
use dormouse_core::time::Timestamp;

use super::world::LIMITED;
use crate::store::rows::{IdempotencyScope, JournalEntry, RunRow, Work, WorkLine};
use crate::store::{Read, View, check};

/// What the engine has decided, as far as the one who asked for it can tell. It goes back in time with the
/// store.
#[derive(Clone, Default)]
pub(super) struct Facts {
    /// Steps whose results were taken in.
    pub(super) taken: BTreeSet<u32>,
    /// The step that took the snapshot of a task that has one.
    pub(super) snapshots: BTreeMap<(RunId, TaskIndex), u32>,
    /// Which run an idempotency key stands for, and until when.
    pub(super) keys: BTreeMap<(WorkflowName, u8), (RunId, Timestamp)>,
    pub(super) event_keys: BTreeMap<u8, EventId>,
}

/// What a step asked for together with its result.
pub(super) struct Asked {
    pub(super) run: RunId,
    pub(super) task: TaskIndex,
    pub(super) lease: Lease,
    pub(super) children: Vec<RunId>,
    pub(super) events: Vec<EventId>,
    pub(super) schedules: Vec<ScheduledId>,
}

/// What a caller was told. It never goes back.
pub(super) enum Promise {
    Run { id: RunId, status: Status },
    Cancelled(RunId),
    Event(EventId),
    Scheduled(ScheduledId),
}

/// What was seen in stores, over all lives of the engine.
#[derive(Default)]
pub(super) struct Seen {
    /// What every step that has ended asked for, by its number, be its result taken in or not.
    pub(super) asked: BTreeMap<u32, Asked>,
    pub(super) promises: Vec<Promise>,
    ended: BTreeMap<RunId, Run>,
}

/// What a step leaves in the journal of its run, together with all else.
pub(super) fn mark(step: u32) -> String {
    format!("step {step}")
}

impl Seen {
    /// Holds a store against everything that has to be so.
    pub(super) fn verify(&mut self, view: &View, facts: &Facts) {
        let mut problems = Vec::new();
        check(view, |_, _| Ok(()), &mut |problem| problems.push(problem.to_string())).unwrap();
        assert!(problems.is_empty(), "{problems:#?}");

        let rows = rows(view);
        self.verify_promises(view);
        self.verify_steps(view, &rows, facts);
        let unmade = self.to_be_made(view, facts);
        for ((workflow, key), (run, _)) in facts.keys.iter().filter(|(_, (run, _))| !unmade.contains(run)) {
            let row = view.idempotency(IdempotencyScope::Runs(workflow), &key.to_string()).unwrap();
            assert_eq!(row.map(|row| row.id), Some(run.to_bytes()), "key {key} of {workflow}");
            assert!(view.run_state(*run).unwrap().is_some(), "key {key} of {workflow} stands for no run");
        }
        self.verify_ends(view, &rows);
        verify_limits(&rows);
    }

    fn verify_promises(&self, view: &View) {
        for promise in &self.promises {
            match promise {
                Promise::Run { id, status } => {
                    let run = view.run_state(*id).unwrap();
                    let run = run.unwrap_or_else(|| panic!("run {id} was answered and is gone"));
                    assert!(!status.is_final() || run.status == *status, "run {id} was answered as ended");
                    let has_begun = matches!(status, Status::Running | Status::Sleeping);
                    assert!(!has_begun || run.started_at.is_some(), "run {id} was answered as begun");
                }
                Promise::Cancelled(id) => {
                    let run = view.run_state(*id).unwrap();
                    assert!(run.is_some_and(|run| run.status.is_final()), "run {id} was cancelled and lives");
                }
                Promise::Event(id) => assert!(view.event(*id).unwrap().is_some(), "event {id} is gone"),
                Promise::Scheduled(id) => {
                    assert!(view.scheduled(*id).unwrap().is_some(), "scheduled run {id} is gone");
                }
            }
        }
    }

    /// The result of a step and all that it asked for are there together, once, or not at all; and no lease
    /// has two results.
    fn verify_steps(&self, view: &View, rows: &[RunRow], facts: &Facts) {
        let mut marks = BTreeMap::new();
        for RunRow { spec, .. } in rows {
            let visit = |_, entry| {
                if let JournalEntry::Chunk { text, .. } = entry {
                    assert!(marks.insert(text.clone(), spec.id).is_none(), "{text} left its mark twice");
                }
                ControlFlow::Continue(())
            };
            view.visit_journal(spec.id, 0, visit).unwrap();
        }
        let under_way = self.under_way(view, facts);
        let mut leases = BTreeSet::new();
        for (step, asked) in &self.asked {
            let Asked { run, task, lease, children, events, schedules } = asked;
            let is_taken = facts.taken.contains(step);
            assert_eq!(marks.remove(&mark(*step)), is_taken.then_some(*run), "the mark of step {step}");
            let is_under_way = under_way.contains(step);
            for child in children {
                let spec = view.run_spec(*child).unwrap();
                assert!(is_under_way || spec.is_some() == is_taken, "child {child} of step {step}");
                assert!(spec.is_none_or(|spec| spec.parent == Some(*run)), "child {child} of step {step}");
            }
            for event in events {
                let is_there = view.event(*event).unwrap().is_some();
                assert!(is_under_way || is_there == is_taken, "event {event} of step {step}");
            }
            for id in schedules {
                let is_there = view.scheduled(*id).unwrap().is_some();
                assert!(is_under_way || is_there == is_taken, "schedule {id} of step {step}");
            }
            let is_first = !is_taken || leases.insert((*run, *task, lease.attempt, lease.epoch));
            assert!(is_first, "step {step} of run {run} had a lease that was used up");
        }
        assert!(marks.is_empty(), "marks of unknown steps: {marks:?}");
        let children = self.asked.iter().filter(|(step, _)| facts.taken.contains(step));
        let children: BTreeSet<_> = children.flat_map(|(_, asked)| &asked.children).copied().collect();
        let with_parent = rows.iter().filter(|row| row.spec.parent.is_some()).map(|row| row.spec.id);
        let strangers: BTreeSet<_> = with_parent.filter(|id| !children.contains(id)).collect();
        assert!(strangers.is_empty(), "children that nobody asked for: {strangers:?}");
    }

    /// Steps of which some requests are open: each the last of its task whose result was taken in.
    fn under_way(&self, view: &View, facts: &Facts) -> BTreeSet<u32> {
        let mut last = BTreeMap::new();
        for step in &facts.taken {
            let Asked { run, task, .. } = self.asked[step];
            last.insert((run, task), *step);
        }
        let held = view.held_ends().unwrap().into_iter().map(|(key, _)| key);
        let mut open: BTreeSet<_> = held.collect();
        view.visit_open_requests(|key, _, _| open.extend([key])).unwrap();
        last.into_iter().filter(|(key, _)| open.contains(key)).map(|(_, step)| step).collect()
    }

    /// Children that are asked for and not made.
    fn to_be_made(&self, view: &View, facts: &Facts) -> BTreeSet<RunId> {
        let under_way = self.under_way(view, facts);
        let children = under_way.iter().flat_map(|step| &self.asked[step].children).copied();
        children.filter(|child| view.run_spec(*child).unwrap().is_none()).collect()
    }

    /// A run that has ended stays as it was.
    fn verify_ends(&mut self, view: &View, rows: &[RunRow]) {
        let by_id: BTreeMap<_, _> = rows.iter().map(|row| (row.spec.id, row)).collect();
        for (id, ended) in &self.ended {
            assert_eq!(by_id.get(id).map(|row| &row.run), Some(ended), "run {id} had ended");
        }
        for RunRow { spec, run, .. } in rows.iter().filter(|row| row.run.status.is_final()) {
            self.ended.entry(spec.id).or_insert_with(|| run.clone());
        }
        let mut to_lose_children = BTreeSet::new();
        let mut work = view.next_work(WorkLine::Work, 0).unwrap();
        while let Some((number, left)) = work {
            if let Work::CancelChildren { parent, .. } = left {
                to_lose_children.insert(parent);
            }
            work = view.next_work(WorkLine::Work, number + 1).unwrap();
        }
        for RunRow { spec, run, .. } in rows.iter().filter(|row| !row.spec.detached) {
            let parent = spec.parent.and_then(|parent| by_id.get(&parent));
            let is_alone = parent.is_some_and(|parent| parent.run.status == Status::Cancelled);
            let is_next = spec.parent.is_some_and(|parent| to_lose_children.contains(&parent));
            let is_left = is_alone && !is_next && !run.status.is_final();
            assert!(!is_left, "the parent of run {} was cancelled", spec.id);
            let is_blamed = run.reason == Some(Reason::ParentCancelled);
            assert!(!is_blamed || is_alone, "the parent of run {} was not cancelled", spec.id);
        }
    }
}

/// Of a workflow with limits no more runs have begun and not ended than may.
fn verify_limits(rows: &[RunRow]) {
    for (name, max) in LIMITED {
        let begun = rows.iter().filter(|RunRow { spec, run, .. }| {
            spec.workflow.as_str() == name && run.started_at.is_some() && !run.status.is_final()
        });
        assert!(begun.count() <= max, "too many runs of {name}");
    }
}

/// All runs.
pub(super) fn rows(view: &View) -> Vec<RunRow> {
    let mut ids = Vec::new();
    let take = |id| {
        ids.push(id);
        ControlFlow::Continue(())
    };
    view.visit_run_ids(None, None, None, take).unwrap();
    ids.into_iter().map(|id| view.run(id).unwrap().unwrap()).collect()
}
