//! Who runs next: the task runs that are ready, in memory, and the runs that concurrency limits
//! count. It is rebuilt from the store at start.
//!
//! The priority decides first whose turn it is. Within one, workflows take turns, and so do the lines of
//! each: one for every kind of trigger, and its lanes together are one more. So a flood holds up no other
//! workflow, and none of its own lines.
//!
//! Task runs that need a place under a concurrency limit stand in lanes, one for every combination of keys.
//! The lanes that have room take turns, so a flood under one combination holds up no other; in a lane calls
//! and children stand in one order.
//!
//! A run that ends makes room for one other, so it calls up one lane, however many wait for a place under
//! the same limit. A lane that then cannot use the room, as it lacks another place as well, passes it on to
//! the next, and so on as far as [`LANES_TRIED_MAX`].

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

/// The position of the lanes among the lines of a workflow: behind those of the kinds of triggers.
const LANES: usize = TriggerKind::ALL.len();

/// How many lanes are tried for one slot: they may all be without room, in other places than the one that has
/// come free, and the deciding thread has more to do.
const LANES_TRIED_MAX: usize = 1_000;

/// Task runs that wait for a slot.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    levels: BTreeMap<Priority, Level>,
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
    /// The lines of a workflow go with the last task run that stands in them.
    workflows: HashMap<WorkflowName, WorkflowLines>,
    /// Workflows of which a task run may begin, in the order of their turns; paused ones are not among them.
    turns: BTreeMap<u64, WorkflowName>,
}

/// Task runs of one workflow.
#[derive(Debug)]
struct WorkflowLines {
    /// When the workflow has its turn, compared with others. It stays the same until a task run begins.
    turn: u64,
    /// Those that need no place under a limit, a line for each kind of trigger, in the order of arrival.
    by_kind: [BTreeMap<u64, TaskKey>; LANES],
    /// Those that need a place, by their limits. A lane goes with the last one that waits in it.
    lanes: HashMap<Limits, Lane>,
    /// Lanes that may have room, in the order of their turns: one line more.
    lane_turns: BTreeMap<u64, Limits>,
    /// The line that had the last turn of the workflow.
    last: usize,
}

/// Task runs of runs that have not begun and are under the same limits.
#[derive(Debug)]
struct Lane {
    waiting: BTreeMap<u64, TaskKey>,
    /// When it has its turn, compared with others. It stays the same until one of them begins.
    turn: u64,
    /// The limit, by its position, that has no room for them.
    blocked_by: Option<usize>,
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
        self.join(&spot, key, limits);
        self.spots.insert(key, spot);
    }

    /// Puts a task run into the lane of these limits, or into its line when it needs no place.
    fn join(&mut self, spot: &Spot, key: TaskKey, limits: Option<Limits>) {
        let turn = self.next_number();
        let level = self.levels.entry(spot.priority).or_default();
        let lines = level.workflows.entry(spot.workflow.clone()).or_insert_with(|| WorkflowLines::new(turn));
        match limits {
            Some(limits) => lines.join_lane(limits, spot.arrival, key),
            None => drop(lines.by_kind[spot.kind as usize].insert(spot.arrival, key)),
        }
        self.update_turn(spot.priority, &spot.workflow);
    }

    /// Takes a task run out of its line or its lane.
    pub(super) fn remove(&mut self, key: TaskKey) {
        let Some(spot) = self.forget(key) else { return };
        if spot.in_lane {
            if let Some(limits) = self.limited.get(&key.0).cloned() {
                self.leave_lane(&limits, &spot);
            }
        } else if let Some(lines) = self.lines_of(spot.priority, &spot.workflow) {
            lines.by_kind[spot.kind as usize].remove(&spot.arrival);
            self.update_turn(spot.priority, &spot.workflow);
        }
    }

    /// The task run whose turn it is. Its run has begun from now on.
    pub(super) fn pop(&mut self) -> Option<TaskKey> {
        Priority::FIRST_TO_LAST.into_iter().find_map(|priority| self.pop_of(priority))
    }

    fn pop_of(&mut self, priority: Priority) -> Option<TaskKey> {
        let mut tries = LANES_TRIED_MAX;
        loop {
            let level = self.levels.get_mut(&priority)?;
            let (_, workflow) = level.turns.pop_first()?;
            let Some(line) = level.workflows.get(&workflow).and_then(WorkflowLines::next_line) else {
                continue;
            };
            let popped = match line {
                LANES => self.pop_lane(priority, &workflow, &mut tries),
                kind => self.pop_kind(priority, &workflow, kind),
            };
            let next_turn = self.next_number();
            let level = self.levels.get_mut(&priority)?;
            if popped.is_some() || tries == 0 {
                level.end_turn(&workflow, line, next_turn);
                return popped;
            }
            // None of its lanes has room.
            level.update_turn(&workflow, false);
        }
    }

    fn pop_kind(&mut self, priority: Priority, workflow: &WorkflowName, kind: usize) -> Option<TaskKey> {
        let (_, key) = self.lines_of(priority, workflow)?.by_kind[kind].pop_first()?;
        self.forget(key);
        Some(key)
    }

    /// Gives the next lane of a workflow that has room its turn; those without wait for it elsewhere.
    fn pop_lane(
        &mut self,
        priority: Priority,
        workflow: &WorkflowName,
        tries: &mut usize,
    ) -> Option<TaskKey> {
        while *tries > 0 {
            *tries -= 1;
            let (_, limits) = self.lines_of(priority, workflow)?.lane_turns.pop_first()?;
            let key = self.take_turn(priority, workflow, &limits);
            self.pass_on(&limits);
            if key.is_some() {
                return key;
            }
        }
        None
    }

    /// Has the first one of a lane begin; if there is no room, the lane waits for it.
    fn take_turn(&mut self, priority: Priority, workflow: &WorkflowName, limits: &Limits) -> Option<TaskKey> {
        let blocked_by = self.without_room(limits);
        let next_turn = self.next_number();
        let lines = self.lines_of(priority, workflow)?;
        let lane = lines.lanes.get_mut(limits)?;
        lane.blocked_by = blocked_by;
        if let Some(index) = blocked_by {
            let turn = (Reverse(priority), lane.turn);
            let (limit, max) = &limits[index];
            let blocked = &mut self.usage.get_mut(limit)?.blocked;
            blocked.entry(*max).or_default().insert(turn, Arc::clone(limits));
            return None;
        }
        let (_, key) = lane.waiting.pop_first()?;
        lane.turn = next_turn;
        if lane.waiting.is_empty() {
            lines.lanes.remove(limits);
        } else {
            lines.lane_turns.insert(next_turn, Arc::clone(limits));
        }
        self.forget(key);
        self.begin(key.0, limits);
        Some(key)
    }

    /// The first of these limits under which as many runs have begun as may.
    fn without_room(&self, limits: &Limits) -> Option<usize> {
        limits
            .iter()
            .position(|(limit, max)| self.usage.get(limit).is_some_and(|usage| usage.begun_count() >= *max))
    }

    /// Calls up a lane for what room there is under each of these limits. To be called when there is
    /// more of it, and when a lane that might have taken it is no longer among the turns: so room is
    /// never left while a lane waits for it.
    fn pass_on(&mut self, limits: &Limits) {
        for (limit, _) in limits.iter() {
            let next = self.usage.get_mut(limit).and_then(Usage::unblock);
            if let Some((Reverse(priority), lane)) = next
                && let Some(lines) = self.lines_of(priority, &limit.workflow)
            {
                lines.call_up(lane);
                self.update_turn(priority, &limit.workflow);
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
            self.leave_lane(limits, &spot);
            self.join(&spot, key, None);
        }
    }

    fn leave_lane(&mut self, limits: &Limits, spot: &Spot) {
        let Some(lines) = self.lines_of(spot.priority, &spot.workflow) else { return };
        let Some(lane) = lines.lanes.get_mut(limits) else { return };
        lane.waiting.remove(&spot.arrival);
        if !lane.waiting.is_empty() {
            return;
        }
        let (turn, blocked_by) = (lane.turn, lane.blocked_by);
        lines.lanes.remove(limits);
        lines.lane_turns.remove(&turn);
        if let Some(index) = blocked_by {
            let (limit, max) = &limits[index];
            let usage = self.usage.get_mut(limit);
            if let Some(blocked) = usage.and_then(|usage| usage.blocked.get_mut(max)) {
                blocked.remove(&(Reverse(spot.priority), turn));
            }
        }
        self.update_turn(spot.priority, &spot.workflow);
        self.pass_on(limits);
    }

    fn lines_of(&mut self, priority: Priority, workflow: &WorkflowName) -> Option<&mut WorkflowLines> {
        self.levels.get_mut(&priority)?.workflows.get_mut(workflow)
    }

    /// Has a workflow among the turns exactly while one of its task runs may begin. To be called when its
    /// lines have changed.
    fn update_turn(&mut self, priority: Priority, workflow: &WorkflowName) {
        let is_paused = self.paused.contains(workflow);
        if let Some(level) = self.levels.get_mut(&priority) {
            level.update_turn(workflow, is_paused);
        }
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

    /// Whether no task could be popped. If not so although `pop` has just returned `None`, it is to be called
    /// again: it had tried enough.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.values().all(|level| level.turns.is_empty())
    }

    /// Sets aside what there is and what will come of a workflow.
    pub(super) fn pause(&mut self, workflow: &WorkflowName) {
        self.paused.insert(workflow.clone());
        self.levels.values_mut().for_each(|level| level.update_turn(workflow, true));
    }

    /// Brings back what was set aside.
    pub(super) fn resume(&mut self, workflow: &WorkflowName) {
        self.paused.remove(workflow);
        self.levels.values_mut().for_each(|level| level.update_turn(workflow, false));
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

    /// Forgets a run that has ended, and of which no task is in the queue any more, and returns the limits
    /// that it was under.
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
    fn update_turn(&mut self, workflow: &WorkflowName, is_paused: bool) {
        let Some(lines) = self.workflows.get(workflow) else { return };
        if !is_paused && lines.next_line().is_some() {
            self.turns.entry(lines.turn).or_insert_with(|| workflow.clone());
            return;
        }
        self.turns.remove(&lines.turn);
        if lines.is_empty() {
            self.workflows.remove(workflow);
        }
    }

    /// Puts a workflow that has had a turn, and so is not paused, behind all others.
    fn end_turn(&mut self, workflow: &WorkflowName, line: usize, next_turn: u64) {
        let Some(lines) = self.workflows.get_mut(workflow) else { return };
        self.turns.remove(&lines.turn);
        lines.turn = next_turn;
        lines.last = line;
        self.update_turn(workflow, false);
    }
}

impl WorkflowLines {
    fn new(turn: u64) -> Self {
        // The line of the lanes is the last one: so the first one begins.
        Self {
            turn,
            by_kind: [const { BTreeMap::new() }; LANES],
            lanes: HashMap::new(),
            lane_turns: BTreeMap::new(),
            last: LANES,
        }
    }

    fn is_empty(&self) -> bool {
        self.by_kind.iter().all(BTreeMap::is_empty) && self.lanes.is_empty()
    }

    /// The line whose turn it is, of those in which a task run may begin.
    fn next_line(&self) -> Option<usize> {
        let may_begin = |line: &usize| match *line {
            LANES => !self.lane_turns.is_empty(),
            kind => !self.by_kind[kind].is_empty(),
        };
        (1..=LANES + 1).map(|step| (self.last + step) % (LANES + 1)).find(may_begin)
    }

    fn join_lane(&mut self, limits: Limits, arrival: u64, key: TaskKey) {
        let lane = self.lanes.entry(Arc::clone(&limits)).or_insert_with(|| {
            self.lane_turns.insert(arrival, limits);
            Lane { waiting: BTreeMap::new(), turn: arrival, blocked_by: None }
        });
        lane.waiting.insert(arrival, key);
    }

    /// Puts a lane that waited for room back among the turns, where it was.
    fn call_up(&mut self, limits: Limits) {
        if let Some(lane) = self.lanes.get_mut(&limits) {
            lane.blocked_by = None;
            self.lane_turns.insert(lane.turn, limits);
        }
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
