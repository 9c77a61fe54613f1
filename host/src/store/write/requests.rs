//! Writing what steps asked for that has not taken effect, and the ends that wait for it.

use dormouse_core::id::{RunId, TaskIndex};

use super::Result;
use crate::store::rows::{HeldEnd, OpenRequests};
use crate::store::tables::{HELD_ENDS, OPEN_REQUESTS};
use crate::store::working_set::WorkingSet;

impl WorkingSet {
    /// Writes requests under a number, over those that may be there.
    pub(crate) fn put_open_requests(
        &mut self,
        (run, task, number): (RunId, TaskIndex, u64),
        requests: &OpenRequests,
    ) -> Result<()> {
        self.put(OPEN_REQUESTS, (run, task, number), requests)
    }

    pub(crate) fn delete_open_requests(&mut self, run: RunId, task: TaskIndex, number: u64) {
        self.delete(OPEN_REQUESTS, (run, task, number));
    }

    pub(crate) fn put_held_end(&mut self, run: RunId, task: TaskIndex, end: &HeldEnd) -> Result<()> {
        self.put(HELD_ENDS, (run, task), end)
    }

    pub(crate) fn delete_held_end(&mut self, run: RunId, task: TaskIndex) {
        self.delete(HELD_ENDS, (run, task));
    }
}
