//! Concurrency limits: which keys a new run has, what happens when there is no room, and what the
//! store remembers of it. Who has a turn is the business of `queue.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use dormouse_core::id::RunId;
use dormouse_core::run::{Reason, RunEvent, RunSpec, TaskError};
use dormouse_core::workflow::{ConcurrencyStrategy, Workflow};

use super::queue::{Limit, Limits};
use super::shard::Shard;
use crate::store::rows::{ConcurrencyRow, Work};
use crate::store::{Read, StoreError};

impl Shard {
    /// Counts a new run under the limits of its workflow, and says how its life begins: some are
    /// cancelled because there is no room, and some cancel others to make room.
    ///
    /// Its keys may be known.
    pub(super) fn admit(
        &mut self,
        spec: &RunSpec,
        workflow: &Workflow,
        keys: Option<Vec<String>>,
    ) -> Result<RunEvent, StoreError> {
        if workflow.concurrency.is_empty() {
            return Ok(RunEvent::Created);
        }
        let version = self.catalog().version(&spec.workflow, spec.version);
        let keys = match (keys, version) {
            (Some(keys), _) => Ok(keys),
            (None, Some(version)) => version.concurrency_keys(&spec.input, &spec.metadata),
            (None, None) => Ok(Vec::new()),
        };
        let keys = match keys {
            Ok(keys) => keys,
            Err(problem) => {
                let error = TaskError::new(problem);
                return Ok(RunEvent::Rejected { reason: Reason::InvalidInput, error });
            }
        };
        let limit = |(index, key)| Limit { workflow: spec.workflow.clone(), index, key };
        let limits: Vec<Limit> = (0..).zip(keys).map(limit).collect();
        let declared = || limits.iter().zip(&workflow.concurrency);
        let mut crowded = Vec::new();
        for (limit, declared) in declared() {
            let live = self.queue.live(limit);
            let room = usize::try_from(declared.max_runs).unwrap_or(usize::MAX);
            match declared.strategy {
                ConcurrencyStrategy::Queue => {}
                ConcurrencyStrategy::CancelNewest if live.len() >= room => {
                    return Ok(RunEvent::Cancel { reason: Reason::Concurrency });
                }
                ConcurrencyStrategy::CancelNewest => {}
                ConcurrencyStrategy::CancelRunning if live.len() >= room => {
                    crowded.push((limit.clone(), declared.max_runs));
                }
                ConcurrencyStrategy::CancelRunning => {}
            }
        }
        for (limit, room) in crowded {
            // The new run has the last place of them, and is none of those that make room.
            if let Some(rest) = self.make_room(limit, room.saturating_sub(1), spec.id)? {
                self.leave(&rest)?;
            }
        }
        let limits: Limits = declared().map(|(limit, declared)| (limit.clone(), declared.max_runs)).collect();
        for row in rows(spec.id, &limits) {
            self.rows.put_concurrency(&row)?;
        }
        self.queue.apply_limits(spec.id, limits, false);
        Ok(RunEvent::Created)
    }

    /// Cancels the oldest runs under a limit, of those that were made before a run, until only so many of them are
    /// left, as far as a portion goes.
    pub(super) fn make_room(
        &mut self,
        limit: Limit,
        room: u32,
        made_before: RunId,
    ) -> Result<Option<Work>, StoreError> {
        let newer = self.queue.live_from(&limit, made_before);
        let live = self.queue.live(&limit);
        let beyond = (live.len() - newer).saturating_sub(usize::try_from(room).unwrap_or(usize::MAX));
        let displaced: Vec<RunId> = live.take(beyond.min(self.cancellations)).collect();
        self.cancellations -= displaced.len();
        let more = displaced.len() < beyond;
        for run in displaced {
            self.follow_up(run, RunEvent::Cancel { reason: Reason::Concurrency });
        }
        let Limit { workflow, index, key } = limit;
        Ok(more.then_some(Work::MakeRoom { workflow, index, key, room, made_before }))
    }

    /// Makes room: the run has ended.
    pub(super) fn leave_limits(&mut self, run: RunId) -> Result<(), StoreError> {
        if let Some(limits) = self.queue.release_limits(run) {
            for row in rows(run, &limits) {
                self.rows.delete_concurrency(&row);
            }
        }
        Ok(())
    }

    /// Counts the runs that the store says are under limits. A run whose first step is still to come
    /// has not begun.
    pub(super) fn recover_limits(&mut self) -> Result<(), StoreError> {
        let mut limits: HashMap<RunId, Vec<(Limit, u32)>> = HashMap::new();
        // In order of the position of the limit, within one run.
        for ConcurrencyRow { workflow, index, key, run, max_runs } in self.rows.concurrency()? {
            limits.entry(run).or_default().push((Limit { workflow, index, key }, max_runs));
        }
        if limits.is_empty() {
            return Ok(());
        }
        for (run, limits) in limits {
            let begun = self.rows.run_state(run)?.is_some_and(|run| run.started_at.is_some());
            self.queue.apply_limits(run, Arc::from(limits), begun);
        }
        Ok(())
    }
}

fn rows(run: RunId, limits: &Limits) -> impl Iterator<Item = ConcurrencyRow> {
    limits.iter().map(move |(Limit { workflow, index, key }, max_runs)| ConcurrencyRow {
        workflow: workflow.clone(),
        index: *index,
        key: key.clone(),
        run,
        max_runs: *max_runs,
    })
}
