//! Who runs next: the task runs that are ready, in memory, and the runs that concurrency limits
//! count. It is rebuilt from the store at start.
//!
//! The priority decides first whose turn it is. Within one, task runs that need a place under a
//! concurrency limit alternate with all others. Of those others each workflow has a line for every kind of
//! trigger: workflows take turns, and so do the lines of one, so that a flood holds up no other workflow
//! and no call of its own. And of those that need a place, every combination of keys has a lane of its
//! own; the lanes that have room take turns, so a flood under one key holds up no other key.
//!
//! A run that ends makes room for one other, so it calls up one lane, however many wait for a place
//! under the same limit. A lane that then cannot use the room, as it lacks another place as well,
//! passes it on to the next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use dormouse_core::id::{RunId, TaskIndex, WorkflowName};
use dormouse_core::run::TriggerKind;
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::Priority;

/// A task of a run.
pub(super) type TaskKey = (RunId, TaskIndex);

/// One concurrency limit of a workflow, by its position in the definition, under one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Limit {
    pub(super) workflow: WorkflowName,
    pub(super) index: u8,
    pub(super) key: String,
}

/// The limits that a run is under, each with the number of runs that may have begun at once.
pub(super) type Limits = Arc<[(Limit, u32)]>;

/// Task runs that wait for a slot.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    levels: BTreeMap<Reverse<Priority>, Level>,
    spots: BTreeMap<TaskKey, Spot>,
    /// Since when each of them stands there, by their arrival.
    since: BTreeMap<u64, Timestamp>,
    /// The latest number of an arrival or a turn.
    numbers: u64,
    paused: HashSet<WorkflowName>,
    /// Of runs under a limit that have not ended.
    limited: HashMap<RunId, Limits>,
    usage: HashMap<Limit, Usage>,
}

/// Task runs of one priority.
#[derive(Debug, Default)]
struct Level {
    /// Those that need no place under a limit. The lines of a workflow go with the last one that stands in them.
    workflows: HashMap<WorkflowName, WorkflowLines>,
    /// Workflows that have lines, in the order of their turns, but for paused ones, which keep their turn.
    workflow_turns: BTreeMap<u64, WorkflowName>,
    /// Those that need a place, by their limits. A lane goes with the last one that waits in it.
    lanes: HashMap<Limits, Lane>,
    /// Lanes that may have room, in the order of their turns.
    lane_turns: BTreeMap<u64, Limits>,
    /// Whether a workflow had the last turn, and not a lane.
    workflow_was_last: bool,
}

/// Task runs of one workflow that need no place under a limit, in a line for each kind of trigger.
#[derive(Debug)]
struct WorkflowLines {
    /// When the workflow has its turn, compared with others.
    turn: u64,
    /// Each in the order of arrival.
    lines: [BTreeMap<u64, TaskKey>; TriggerKind::ALL.len()],
    /// The line that had the last turn of the workflow.
    last: usize,
}

/// Task runs of runs that have not begun and are under the same limits.
#[derive(Debug)]
struct Lane {
    waiting: BTreeMap<u64, TaskKey>,
    /// When it has its turn, compared with others. It stays the same until one of them begins.
    turn: u64,
    lacks: Lacks,
}

/// What a lane waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacks {
    /// Its turn.
    Turn,
    /// The end of a run under the limit of this position.
    Room(usize),
    /// Its workflow, which is paused.
    Workflow,
}

/// Where a task run stands.
#[derive(Debug, Clone)]
struct Spot {
    workflow: WorkflowName,
    kind: TriggerKind,
    priority: Priority,
    arrival: u64,
    /// Whether it stands in a lane, and not in a line.
    in_lane: bool,
}

/// The runs that one limit counts.
#[derive(Debug, Default)]
struct Usage {
    /// All that have not ended, oldest first.
    live: BTreeSet<RunId>,
    /// Those of them that have begun.
    begun: HashSet<RunId>,
    /// Lanes that wait for one of them to end, in the order of their turns; by how many may have
    /// begun at once, in which only versions of a workflow differ.
    blocked: BTreeMap<u32, BTreeMap<(Reverse<Priority>, u64), Limits>>,
}

impl ReadyQueue {
    /// Puts a task run at the end of its line, or of its lane when its run is under a limit and has not
    /// begun.
    pub(super) fn push(
        &mut self,
        key: TaskKey,
        (workflow, kind): (&WorkflowName, TriggerKind),
        priority: Priority,
        since: Timestamp,
    ) {
        let arrival = self.next_number();
        let limits = self.limited.get(&key.0).filter(|limits| !self.has_begun(key.0, limits)).cloned();
        self.since.insert(arrival, since);
        let spot = Spot { workflow: workflow.clone(), kind, priority, arrival, in_lane: limits.is_some() };
        match limits {
            Some(limits) => {
                self.levels.entry(Reverse(priority)).or_default().join_lane(limits, arrival, key);
            }
            None => self.join_line(&spot, key),
        }
        self.spots.insert(key, spot);
    }

    fn join_line(&mut self, spot: &Spot, key: TaskKey) {
        let turn = self.next_number();
        let is_paused = self.paused.contains(&spot.workflow);
        self.levels.entry(Reverse(spot.priority)).or_default().join_line(spot, key, turn, is_paused);
    }

    /// Takes a task run out of its line or its lane.
    pub(super) fn remove(&mut self, key: TaskKey) {
        let Some(spot) = self.forget(key) else { return };
        if !spot.in_lane {
            if let Some(level) = self.levels.get_mut(&Reverse(spot.priority)) {
                level.leave_line(&spot);
            }
        } else if let Some(limits) = self.limited.get(&key.0).cloned() {
            self.leave_lane(&limits, spot.priority, spot.arrival);
        }
    }

    /// The task run whose turn it is. Its run has begun from now on.
    pub(super) fn pop(&mut self) -> Option<TaskKey> {
        Priority::FIRST_TO_LAST.into_iter().find_map(|priority| self.pop_of(priority))
    }

    fn pop_of(&mut self, priority: Priority) -> Option<TaskKey> {
        let level = self.levels.get_mut(&Reverse(priority))?;
        let lane_first = level.workflow_was_last;
        if lane_first && let Some(key) = self.pop_lane(priority) {
            return Some(key);
        }
        if let Some(key) = self.pop_line(priority) {
            return Some(key);
        }
        if lane_first { None } else { self.pop_lane(priority) }
    }

    /// Gives the next workflow its turn.
    fn pop_line(&mut self, priority: Priority) -> Option<TaskKey> {
        let next_turn = self.next_number();
        let level = self.levels.get_mut(&Reverse(priority))?;
        let key = level.pop_line(next_turn)?;
        level.workflow_was_last = true;
        self.forget(key);
        Some(key)
    }

    /// Gives the next lane that has room its turn; those without wait for it elsewhere.
    fn pop_lane(&mut self, priority: Priority) -> Option<TaskKey> {
        loop {
            let (_, limits) = self.levels.get_mut(&Reverse(priority))?.lane_turns.pop_first()?;
            let key = self.take_turn(priority, &limits);
            self.pass_on(&limits);
            if key.is_some() {
                return key;
            }
        }
    }

    /// Has the first one of a lane begin; if that cannot be, the lane waits for what it lacks.
    fn take_turn(&mut self, priority: Priority, limits: &Limits) -> Option<TaskKey> {
        let lacks = self.lacks(limits);
        let next_turn = self.next_number();
        let level = self.levels.get_mut(&Reverse(priority))?;
        let lane = level.lanes.get_mut(limits)?;
        lane.lacks = lacks;
        match lacks {
            Lacks::Workflow => return None,
            Lacks::Room(index) => {
                let (limit, max) = &limits[index];
                let blocked = &mut self.usage.entry(limit.clone()).or_default().blocked;
                let turn = (Reverse(priority), lane.turn);
                blocked.entry(*max).or_default().insert(turn, Arc::clone(limits));
                return None;
            }
            Lacks::Turn => {}
        }
        let (_, key) = lane.waiting.pop_first()?;
        lane.turn = next_turn;
        if lane.waiting.is_empty() {
            level.lanes.remove(limits);
        } else {
            level.lane_turns.insert(next_turn, Arc::clone(limits));
        }
        level.workflow_was_last = false;
        self.forget(key);
        self.begin(key.0, limits);
        Some(key)
    }

    /// What a lane under these limits lacks beside its turn.
    fn lacks(&self, limits: &Limits) -> Lacks {
        if limits.iter().any(|(limit, _)| self.paused.contains(&limit.workflow)) {
            return Lacks::Workflow;
        }
        let is_full = |(limit, max): &(Limit, u32)| {
            self.usage.get(limit).is_some_and(|usage| usage.begun_count() >= *max)
        };
        limits.iter().position(is_full).map_or(Lacks::Turn, Lacks::Room)
    }

    /// Calls up a lane for what room there is under each of these limits. To be called when there is
    /// more of it, and when a lane that might have taken it is no longer among the turns: so room is
    /// never left while a lane waits for it.
    fn pass_on(&mut self, limits: &Limits) {
        for (limit, _) in limits.iter() {
            let next = self.usage.get_mut(limit).and_then(Usage::unblock);
            if let Some((Reverse(priority), lane)) = next {
                self.levels.entry(Reverse(priority)).or_default().call_up(lane);
            }
        }
    }

    /// Counts a run as begun; tasks of it that still stand in a lane need no place any more.
    fn begin(&mut self, run: RunId, limits: &Limits) {
        for (limit, _) in limits.iter() {
            self.usage.entry(limit.clone()).or_default().begun.insert(run);
        }
        let tasks = self.spots.range_mut((run, TaskIndex(0))..=(run, TaskIndex(u8::MAX)));
        let in_lane = tasks.filter(|(_, spot)| spot.in_lane).map(|(key, spot)| {
            spot.in_lane = false;
            (*key, spot.clone())
        });
        for (key, spot) in in_lane.collect::<Vec<_>>() {
            self.leave_lane(limits, spot.priority, spot.arrival);
            self.join_line(&spot, key);
        }
    }

    fn leave_lane(&mut self, limits: &Limits, priority: Priority, arrival: u64) {
        let Some(level) = self.levels.get_mut(&Reverse(priority)) else { return };
        let Some(lane) = level.lanes.get_mut(limits) else { return };
        lane.waiting.remove(&arrival);
        if !lane.waiting.is_empty() {
            return;
        }
        let (turn, lacks) = (lane.turn, lane.lacks);
        level.lanes.remove(limits);
        match lacks {
            Lacks::Turn => drop(level.lane_turns.remove(&turn)),
            Lacks::Room(index) => {
                let (limit, max) = &limits[index];
                let usage = self.usage.get_mut(limit);
                if let Some(blocked) = usage.and_then(|usage| usage.blocked.get_mut(max)) {
                    blocked.remove(&(Reverse(priority), turn));
                }
            }
            Lacks::Workflow => {}
        }
        self.pass_on(limits);
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn forget(&mut self, key: TaskKey) -> Option<Spot> {
        let spot = self.spots.remove(&key)?;
        self.since.remove(&spot.arrival);
        Some(spot)
    }

    /// How many stand in it, and since when the first of them does.
    pub(super) fn waiting(&self) -> (usize, Option<Timestamp>) {
        (self.spots.len(), self.since.first_key_value().map(|(_, since)| *since))
    }

    /// Whether no task could be popped. Call it after `pop` has returned `None`.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.values().all(|level| level.workflow_turns.is_empty() && level.lane_turns.is_empty())
    }

    /// Sets aside what there is and what will come of a workflow.
    pub(super) fn pause(&mut self, workflow: &WorkflowName) {
        self.paused.insert(workflow.clone());
        for level in self.levels.values_mut() {
            if let Some(lines) = level.workflows.get(workflow) {
                level.workflow_turns.remove(&lines.turn);
            }
        }
    }

    /// Brings back what was set aside.
    pub(super) fn resume(&mut self, workflow: &WorkflowName) {
        self.paused.remove(workflow);
        for level in self.levels.values_mut() {
            if let Some(lines) = level.workflows.get(workflow) {
                level.workflow_turns.insert(lines.turn, workflow.clone());
            }
            for (limits, lane) in &mut level.lanes {
                let of_it = limits.iter().any(|(limit, _)| limit.workflow == *workflow);
                if of_it && lane.lacks == Lacks::Workflow {
                    lane.lacks = Lacks::Turn;
                    level.lane_turns.insert(lane.turn, Arc::clone(limits));
                }
            }
        }
    }
}

/// Concurrency limits.
impl ReadyQueue {
    /// Counts a run that has not ended; `begun` if it has had a slot before.
    pub(super) fn apply_limits(&mut self, run: RunId, limits: Limits, begun: bool) {
        for (limit, _) in limits.iter() {
            let usage = self.usage.entry(limit.clone()).or_default();
            usage.live.insert(run);
            if begun {
                usage.begun.insert(run);
            }
        }
        self.limited.insert(run, limits);
    }

    /// The runs under a limit that have not ended, oldest first.
    pub(super) fn live(&self, limit: &Limit) -> impl ExactSizeIterator<Item = RunId> {
        self.usage.get(limit).map(|usage| usage.live.iter()).unwrap_or_default().copied()
    }

    /// How many of them are that run or newer ones.
    pub(super) fn live_from(&self, limit: &Limit, run: RunId) -> usize {
        self.usage.get(limit).map_or(0, |usage| usage.live.range(run..).count())
    }

    /// Forgets a run that has ended and returns the limits that it was under.
    pub(super) fn release_limits(&mut self, run: RunId) -> Option<Limits> {
        let limits = self.limited.remove(&run)?;
        for (limit, _) in limits.iter() {
            let Some(usage) = self.usage.get_mut(limit) else { continue };
            usage.live.remove(&run);
            usage.begun.remove(&run);
            if usage.live.is_empty() {
                self.usage.remove(limit);
            }
        }
        self.pass_on(&limits);
        Some(limits)
    }

    fn has_begun(&self, run: RunId, limits: &Limits) -> bool {
        let first = limits.first().and_then(|(limit, _)| self.usage.get(limit));
        first.is_some_and(|usage| usage.begun.contains(&run))
    }
}

impl Level {
    fn join_line(&mut self, spot: &Spot, key: TaskKey, turn: u64, is_paused: bool) {
        let lines = self.workflows.entry(spot.workflow.clone()).or_insert_with(|| {
            if !is_paused {
                self.workflow_turns.insert(turn, spot.workflow.clone());
            }
            WorkflowLines::new(turn)
        });
        lines.lines[spot.kind as usize].insert(spot.arrival, key);
    }

    fn leave_line(&mut self, spot: &Spot) {
        let Some(lines) = self.workflows.get_mut(&spot.workflow) else { return };
        lines.lines[spot.kind as usize].remove(&spot.arrival);
        if lines.is_empty() {
            self.workflow_turns.remove(&lines.turn);
            self.workflows.remove(&spot.workflow);
        }
    }

    /// The first one of the line whose turn it is. Its workflow has its next turn behind all others.
    fn pop_line(&mut self, next_turn: u64) -> Option<TaskKey> {
        let (_, workflow) = self.workflow_turns.pop_first()?;
        let lines = self.workflows.get_mut(&workflow)?;
        let key = lines.pop();
        if lines.is_empty() {
            self.workflows.remove(&workflow);
        } else {
            lines.turn = next_turn;
            self.workflow_turns.insert(next_turn, workflow);
        }
        key
    }

    fn join_lane(&mut self, limits: Limits, arrival: u64, key: TaskKey) {
        let lane = self.lanes.entry(Arc::clone(&limits)).or_insert_with(|| {
            self.lane_turns.insert(arrival, limits);
            Lane { waiting: BTreeMap::new(), turn: arrival, lacks: Lacks::Turn }
        });
        lane.waiting.insert(arrival, key);
    }

    /// Puts a lane that waited for room back among the turns, where it was.
    fn call_up(&mut self, limits: Limits) {
        if let Some(lane) = self.lanes.get_mut(&limits) {
            lane.lacks = Lacks::Turn;
            self.lane_turns.insert(lane.turn, limits);
        }
    }
}

impl WorkflowLines {
    fn new(turn: u64) -> Self {
        let lines = [const { BTreeMap::new() }; TriggerKind::ALL.len()];
        // The first one begins.
        Self { turn, last: lines.len() - 1, lines }
    }

    fn is_empty(&self) -> bool {
        self.lines.iter().all(BTreeMap::is_empty)
    }

    fn pop(&mut self) -> Option<TaskKey> {
        let count = self.lines.len();
        let next = (1..=count).map(|step| (self.last + step) % count);
        self.last = next.into_iter().find(|line| !self.lines[*line].is_empty())?;
        self.lines[self.last].pop_first().map(|(_, key)| key)
    }
}

impl Usage {
    fn begun_count(&self) -> u32 {
        u32::try_from(self.begun.len()).unwrap_or(u32::MAX)
    }

    /// Takes out the lane whose turn it is of those for which there is room, with its priority.
    fn unblock(&mut self) -> Option<(Reverse<Priority>, Limits)> {
        let begun = self.begun_count();
        let roomy = self.blocked.iter().rev().take_while(|(max, _)| **max > begun);
        let firsts = roomy.filter_map(|(max, lanes)| Some((*lanes.first_key_value()?.0, *max)));
        let ((priority, turn), max) = firsts.min()?;
        let lane = self.blocked.get_mut(&max)?.remove(&(priority, turn))?;
        Some((priority, lane))
    }
}

#[cfg(test)]
mod tests;
