//! Who runs next: the task runs that are ready, in memory. It is rebuilt from the store at start.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use dormouse_core::id::{RunId, TaskIndex, WorkflowName};
use dormouse_core::workflow::Priority;

/// A task of a run.
pub(super) type TaskKey = (RunId, TaskIndex);

/// First by priority, then by arrival.
type Place = (Reverse<Priority>, u64);

/// Task runs that wait for a slot.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    line: BTreeMap<Place, (TaskKey, WorkflowName)>,
    places: HashMap<TaskKey, Place>,
    /// Those of paused workflows; they keep their place.
    parked: HashMap<WorkflowName, BTreeMap<Place, TaskKey>>,
    arrivals: u64,
}

impl ReadyQueue {
    /// Puts a task run at the end of the line of its priority.
    pub(super) fn push(&mut self, key: TaskKey, workflow: &WorkflowName, priority: Priority) {
        self.arrivals += 1;
        let place = (Reverse(priority), self.arrivals);
        self.places.insert(key, place);
        match self.parked.get_mut(workflow) {
            Some(parked) => drop(parked.insert(place, key)),
            None => drop(self.line.insert(place, (key, workflow.clone()))),
        }
    }

    /// Takes a task run out of the line.
    pub(super) fn remove(&mut self, key: TaskKey, workflow: &WorkflowName) {
        if let Some(place) = self.places.remove(&key) {
            self.line.remove(&place);
            if let Some(parked) = self.parked.get_mut(workflow) {
                parked.remove(&place);
            }
        }
    }

    /// The task run whose turn it is.
    pub(super) fn pop(&mut self) -> Option<TaskKey> {
        let (_, (key, _)) = self.line.pop_first()?;
        self.places.remove(&key);
        Some(key)
    }

    /// Whether nobody's turn could come.
    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Sets aside what there is and what will come of a workflow.
    pub(super) fn pause(&mut self, workflow: &WorkflowName) {
        let parked = self.parked.entry(workflow.clone()).or_default();
        let taken = self.line.extract_if(.., |_, (_, name)| name == workflow);
        parked.extend(taken.map(|(place, (key, _))| (place, key)));
    }

    /// Brings back what was set aside.
    pub(super) fn resume(&mut self, workflow: &WorkflowName) {
        let parked = self.parked.remove(workflow).unwrap_or_default();
        self.line.extend(parked.into_iter().map(|(place, key)| (place, (key, workflow.clone()))));
    }
}

#[cfg(test)]
mod tests {
    use dormouse_core::time::Timestamp;

    use super::*;

    fn key(n: u8) -> TaskKey {
        (RunId::new(Timestamp::from_millis(1), [n; 10]), TaskIndex(0))
    }

    fn name(text: &str) -> WorkflowName {
        text.parse().unwrap()
    }

    #[test]
    fn higher_priorities_go_first_and_equal_ones_in_order_of_arrival() {
        let mut queue = ReadyQueue::default();
        for (n, priority) in [(1, 1), (2, 3), (3, 1), (4, 3)] {
            queue.push(key(n), &name("a"), Priority::new(priority).unwrap());
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [key(2), key(4), key(1), key(3)]);
    }

    #[test]
    fn paused_workflows_keep_their_place() {
        let mut queue = ReadyQueue::default();
        queue.push(key(1), &name("a"), Priority::DEFAULT);
        queue.push(key(2), &name("b"), Priority::DEFAULT);
        queue.pause(&name("a"));
        queue.push(key(3), &name("a"), Priority::DEFAULT);
        queue.push(key(4), &name("a"), Priority::DEFAULT);
        queue.remove(key(4), &name("a"));
        assert_eq!(queue.pop(), Some(key(2)));
        assert_eq!(queue.pop(), None);
        queue.push(key(5), &name("b"), Priority::DEFAULT);
        queue.resume(&name("a"));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [key(1), key(3), key(5)]);
    }

    #[test]
    fn a_removed_task_run_does_not_get_a_turn() {
        let mut queue = ReadyQueue::default();
        queue.push(key(1), &name("a"), Priority::DEFAULT);
        queue.remove(key(1), &name("a"));
        queue.remove(key(1), &name("a"));
        assert_eq!(queue.pop(), None);
    }
}
