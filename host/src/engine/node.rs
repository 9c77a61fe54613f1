//! The node: where steps run. It has slots, knows which steps are under way, and can stop them. A
//! shard asks it for slots; what waits for one is the shard's business.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dormouse_core::id::RunId;
use tokio::task::AbortHandle;

use super::queue::TaskKey;

/// Stops a step; empty until the step has started.
pub(super) type StepHandle = Arc<OnceLock<AbortHandle>>;

/// Longest that a step has the node for itself: whatever it does, others go on then.
const ALONE_MAX: Duration = Duration::from_secs(10);

/// The slots of this process and the steps that have them.
pub(super) struct Node {
    slots: usize,
    /// The step that has the node for itself, and until when.
    alone: Option<(TaskKey, Instant)>,
    steps: HashMap<TaskKey, Step>,
    /// How many steps of a run are under way.
    of_run: HashMap<RunId, usize>,
    /// Steps that began since the last change set was closed and have not ended.
    fresh: usize,
    /// How many change sets were closed.
    generation: u64,
}

struct Step {
    handle: StepHandle,
    generation: u64,
}

impl Node {
    pub(super) fn new(slots: usize) -> Self {
        Self { slots, alone: None, steps: HashMap::new(), of_run: HashMap::new(), fresh: 0, generation: 0 }
    }

    /// Steps that could start now.
    pub(super) fn free_slots(&self) -> usize {
        match self.alone_for() {
            Some(_) => 0,
            None => self.slots.saturating_sub(self.steps.len()),
        }
    }

    /// Has no other step start beside one that is under way.
    pub(super) fn run_alone(&mut self, key: TaskKey) {
        self.alone = self.steps.contains_key(&key).then(|| (key, Instant::now() + ALONE_MAX));
    }

    /// For how long at most no step starts, as one has the node for itself.
    pub(super) fn alone_for(&self) -> Option<Duration> {
        let (_, until) = self.alone?;
        until.checked_duration_since(Instant::now()).filter(|time| !time.is_zero())
    }

    /// Steps that are under way.
    pub(super) fn running(&self) -> usize {
        self.steps.len()
    }

    /// Whether steps of a run are under way.
    pub(super) fn runs_steps_of(&self, run: RunId) -> bool {
        self.of_run.contains_key(&run)
    }

    /// Whether steps that began since the last change set was closed are under way: they may end
    /// before the next one is, so that begin and end are one commit.
    pub(super) fn has_fresh_steps(&self) -> bool {
        self.fresh > 0
    }

    /// Notes that a change set was closed.
    pub(super) fn closed(&mut self) {
        self.fresh = 0;
        self.generation += 1;
    }

    /// Gives a slot to a step.
    pub(super) fn occupy(&mut self, key: TaskKey) -> StepHandle {
        let step = Step { handle: StepHandle::default(), generation: self.generation };
        let handle = Arc::clone(&step.handle);
        if self.steps.insert(key, step).is_none() {
            *self.of_run.entry(key.0).or_default() += 1;
            self.fresh += 1;
        }
        handle
    }

    /// Takes the slot of a step back.
    pub(super) fn release(&mut self, key: TaskKey) {
        let Some(step) = self.steps.remove(&key) else { return };
        self.alone.take_if(|(alone, _)| *alone == key);
        self.fresh -= usize::from(step.generation == self.generation);
        if let Some(count) = self.of_run.get_mut(&key.0) {
            *count -= 1;
            if *count == 0 {
                self.of_run.remove(&key.0);
            }
        }
    }

    /// What stops a step.
    pub(super) fn handle(&self, key: TaskKey) -> Option<StepHandle> {
        self.steps.get(&key).map(|step| Arc::clone(&step.handle))
    }

    /// Gives up all slots for good and returns the steps that had them.
    pub(super) fn close(&mut self) -> Vec<(TaskKey, StepHandle)> {
        (self.slots, self.alone) = (0, None);
        self.fresh = 0;
        self.of_run.clear();
        self.steps.drain().map(|(key, step)| (key, step.handle)).collect()
    }
}
