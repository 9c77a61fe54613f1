//! Who runs next: the task runs that are ready, in memory, and the runs that concurrency limits
//! count. It is rebuilt from the store at start.
//!
//! Three things decide whose turn it is. The priority comes first. Within one, runs that need a
//! place under a concurrency limit alternate with all others. These stand in lines, one for each workflow and
//! each kind of trigger, which take turns: a flood of children holds up no call of the same workflow. And of those
//! that need a place, every combination of keys has a lane of its own; the lanes that have room take
//! turns, so a flood under one key holds up no other key.
//!
//! A run that ends makes room for one other, so it calls up one lane, however many wait for a place
//! under the same limit. A lane that then cannot use the room, as it lacks another place as well,
//! passes it on to the next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use dormouse_core::id::{RunId, TaskIndex, WorkflowName};
use dormouse_core::run::{RunSpec, Trigger};
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

/// Where task runs stand that need no place under a limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Line {
    workflow: WorkflowName,
    started_by: StartedBy,
}

/// The kind of trigger that started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum StartedBy {
    Call,
    Cron,
    Scheduled,
    Event,
    Parent,
    Replay,
}

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
    /// Those that need no place under a limit, in the order in which they have their turns.
    lines: HashMap<Line, BTreeMap<Place, TaskKey>>,
    /// The first of each line, but for those of paused workflows, which keep their places.
    heads: BTreeMap<Place, Line>,
    /// The number of the turn that the lines have come to.
    turn: u64,
    /// The turn of the last one that stands in each line.
    last_turns: HashMap<Line, u64>,
    /// How many of these there may be before those whose turn has passed are forgotten.
    last_turns_max: usize,
    /// Those that do, by their limits. A lane goes with the last one that waits in it.
    lanes: HashMap<Limits, Lane>,
    /// Lanes that may have room, in the order of their turns.
    turns: BTreeMap<u64, Limits>,
    /// Whether a line had the last turn.
    line_was_last: bool,
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
    line: Line,
    priority: Priority,
    arrival: u64,
    /// Where it stands in the line, unless it stands in a lane.
    place: Option<Place>,
}

/// Where a task run stands in a line: its turn, and its arrival among those of one turn. In each turn
/// every line has one: a flood in one line holds up no other.
type Place = (u64, u64);

/// So many workflows have their last turn remembered at least. Those whose turn has passed are forgotten when
/// there are twice as many as were left the last time.
const LAST_TURNS_MIN: usize = 1024;

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
    pub(super) fn push(&mut self, key: TaskKey, line: Line, priority: Priority, since: Timestamp) {
        let arrival = self.next_number();
        let limits = self.limited.get(&key.0).filter(|limits| !self.has_begun(key.0, limits)).cloned();
        self.since.insert(arrival, since);
        let level = self.levels.entry(Reverse(priority)).or_default();
        let place = limits.is_none().then(|| level.place(&line, arrival));
        if let Some(place) = place {
            level.join_line(&line, place, key, self.paused.contains(&line.workflow));
        }
        self.spots.insert(key, Spot { line, priority, arrival, place });
        let Some(limits) = limits else { return };
        let lane = level.lanes.entry(Arc::clone(&limits)).or_insert_with(|| {
            level.turns.insert(arrival, limits);
            Lane { waiting: BTreeMap::new(), turn: arrival, lacks: Lacks::Turn }
        });
        lane.waiting.insert(arrival, key);
    }

    /// Takes a task run out of its line or its lane.
    pub(super) fn remove(&mut self, key: TaskKey) {
        let Some(spot) = self.forget(key) else { return };
        let Some(place) = spot.place else {
            if let Some(limits) = self.limited.get(&key.0).cloned() {
                self.leave_lane(&limits, spot.priority, spot.arrival);
            }
            return;
        };
        if let Some(level) = self.levels.get_mut(&Reverse(spot.priority)) {
            level.leave_line(&spot.line, place);
        }
    }

    /// The task run whose turn it is. Its run has begun from now on.
    pub(super) fn pop(&mut self) -> Option<TaskKey> {
        Priority::FIRST_TO_LAST.into_iter().find_map(|priority| self.pop_of(priority))
    }

    fn pop_of(&mut self, priority: Priority) -> Option<TaskKey> {
        let level = self.levels.get_mut(&Reverse(priority))?;
        let line_first = !level.line_was_last || level.turns.is_empty();
        if line_first && let Some(key) = level.pop_line() {
            level.line_was_last = true;
            self.forget(key);
            return Some(key);
        }
        if let Some(key) = self.pop_lane(priority) {
            return Some(key);
        }
        let level = self.levels.get_mut(&Reverse(priority))?;
        let key = level.pop_line()?;
        self.forget(key);
        Some(key)
    }

    /// Gives the next lane that has room its turn; those without wait for it elsewhere.
    fn pop_lane(&mut self, priority: Priority) -> Option<TaskKey> {
        loop {
            let (_, limits) = self.levels.get_mut(&Reverse(priority))?.turns.pop_first()?;
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
            level.turns.insert(next_turn, Arc::clone(limits));
        }
        level.line_was_last = false;
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
        let mut in_lane = Vec::new();
        for (key, spot) in tasks.filter(|(_, spot)| spot.place.is_none()) {
            let level = self.levels.entry(Reverse(spot.priority)).or_default();
            let place = level.place(&spot.line, spot.arrival);
            spot.place = Some(place);
            in_lane.push((*key, spot.line.clone(), spot.priority, spot.arrival, place));
        }
        for (key, line, priority, arrival, place) in in_lane {
            self.leave_lane(limits, priority, arrival);
            let is_paused = self.paused.contains(&line.workflow);
            self.levels.entry(Reverse(priority)).or_default().join_line(&line, place, key, is_paused);
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
            Lacks::Turn => drop(level.turns.remove(&turn)),
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
        self.levels.values().all(|level| level.heads.is_empty() && level.turns.is_empty())
    }

    /// Sets aside what there is and what will come of a workflow.
    pub(super) fn pause(&mut self, workflow: &WorkflowName) {
        self.paused.insert(workflow.clone());
        for level in self.levels.values_mut() {
            for line in Line::all_of(workflow) {
                if let Some(place) = level.first_of(&line) {
                    level.heads.remove(&place);
                }
            }
        }
    }

    /// Brings back what was set aside.
    pub(super) fn resume(&mut self, workflow: &WorkflowName) {
        self.paused.remove(workflow);
        for level in self.levels.values_mut() {
            for line in Line::all_of(workflow) {
                if let Some(place) = level.first_of(&line) {
                    level.heads.insert(place, line);
                }
            }
            for (limits, lane) in &mut level.lanes {
                let of_it = limits.iter().any(|(limit, _)| limit.workflow == *workflow);
                if of_it && lane.lacks == Lacks::Workflow {
                    lane.lacks = Lacks::Turn;
                    level.turns.insert(lane.turn, Arc::clone(limits));
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

impl Line {
    /// That of the tasks of a run.
    pub(super) fn of(spec: &RunSpec) -> Self {
        Self { workflow: spec.workflow.clone(), started_by: StartedBy::of(&spec.trigger) }
    }

    /// Those of a workflow.
    fn all_of(workflow: &WorkflowName) -> impl Iterator<Item = Self> {
        StartedBy::ALL.into_iter().map(|started_by| Self { workflow: workflow.clone(), started_by })
    }
}

impl StartedBy {
    const ALL: [Self; 6] = [Self::Call, Self::Cron, Self::Scheduled, Self::Event, Self::Parent, Self::Replay];

    fn of(trigger: &Trigger) -> Self {
        match trigger {
            Trigger::Call => Self::Call,
            Trigger::Cron { .. } => Self::Cron,
            Trigger::Scheduled { .. } => Self::Scheduled,
            Trigger::Event(_) => Self::Event,
            Trigger::Parent(_) => Self::Parent,
            Trigger::Replay(_) => Self::Replay,
        }
    }
}

impl Level {
    /// The next place in a line.
    fn place(&mut self, line: &Line, arrival: u64) -> Place {
        if self.last_turns.len() >= self.last_turns_max.max(LAST_TURNS_MIN) {
            self.last_turns.retain(|_, last| *last > self.turn);
            self.last_turns_max = 2 * self.last_turns.len();
        }
        let last = self.last_turns.entry(line.clone()).or_default();
        *last = self.turn.max(*last) + 1;
        (*last, arrival)
    }

    /// Where the first of a line stands.
    fn first_of(&self, line: &Line) -> Option<Place> {
        self.lines.get(line)?.first_key_value().map(|(place, _)| *place)
    }

    fn join_line(&mut self, line: &Line, place: Place, key: TaskKey, is_paused: bool) {
        let first = self.first_of(line);
        self.lines.entry(line.clone()).or_default().insert(place, key);
        if !is_paused && first.is_none_or(|first| place < first) {
            if let Some(first) = first {
                self.heads.remove(&first);
            }
            self.heads.insert(place, line.clone());
        }
    }

    fn leave_line(&mut self, line: &Line, place: Place) -> Option<TaskKey> {
        let standing = self.lines.get_mut(line)?;
        let key = standing.remove(&place);
        if standing.is_empty() {
            self.lines.remove(line);
        }
        if let Some(line) = self.heads.remove(&place)
            && let Some(first) = self.first_of(&line)
        {
            self.heads.insert(first, line);
        }
        key
    }

    fn pop_line(&mut self) -> Option<TaskKey> {
        let (place, line) = self.heads.first_key_value()?;
        let (place, line) = (*place, line.clone());
        self.turn = self.turn.max(place.0);
        self.leave_line(&line, place)
    }

    /// Puts a lane that waited for room back among the turns, where it was.
    fn call_up(&mut self, limits: Limits) {
        if let Some(lane) = self.lanes.get_mut(&limits) {
            lane.lacks = Lacks::Turn;
            self.turns.insert(lane.turn, limits);
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
