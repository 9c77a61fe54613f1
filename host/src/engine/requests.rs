//! What steps asked for: it takes effect together with the end of the step.
//!
//! Many requests are too much for one change set. Then they are rows, committed with the end of the step: from
//! there on they take effect, in portions, whatever becomes of the host. Requests that have not taken effect are
//! *open*. While a task has open requests,
//!
//! - it keeps its slot, which bounds how many requests are in memory, and begins no other step;
//! - the end of a step that completed it is held back, so that who hears of that finds all of its children;
//! - a child that is still to be made counts as there for those who wait for it, and is made at once for who
//!   cancels it, replays it or calls with its idempotency key.
//!
//! When the run is cancelled meanwhile, the rest takes effect all the same, and its children are cancelled.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use dormouse_core::id::{RunId, WorkflowName};
use dormouse_core::new_run::NewRun;
use dormouse_core::request::{Push, Requests, Schedule, Spawn};
use dormouse_core::run::{Reason, RunEvent, Status, StepResult, TaskError, Trigger};
use dormouse_core::time::Timestamp;

use super::events::Matched;
use super::queue::TaskKey;
use super::shard::{Shard, StepPayload};
use crate::store::rows::{
    HeldEnd, IdempotencyRow, IdempotencyScope, JournalEntry, OpenRequests, ScheduledStatus,
};
use crate::store::{Read, StoreError};

/// Most requests that take effect in the same change set as the end of their step.
const AT_ONCE_MAX: usize = if cfg!(test) { 2 } else { 256 };

/// For how many others a child under concurrency limits counts.
const LIMITED_WEIGHT: usize = 16;

/// Requests in a row of the store.
const ROW_REQUESTS: usize = if cfg!(test) { 2 } else { 64 };

/// Bytes at which a row is full: what is left of one is written again after each portion.
const ROW_BYTES: usize = 64 << 10;

/// Most requests that take effect in one portion.
const PORTION_REQUESTS: usize = if cfg!(test) { 1 } else { 256 };

/// Something that a step asked for.
enum Request {
    Spawn(Spawn),
    /// With what the event starts, if that is known.
    Push(Push, Option<Matched>),
    Schedule(Schedule),
}

impl Request {
    /// About how many bytes it carries.
    fn bytes(&self) -> usize {
        match self {
            Self::Spawn(spawn) => spawn.input.as_str().len(),
            Self::Push(push, _) => push.payload.as_str().len(),
            Self::Schedule(schedule) => schedule.input.as_str().len(),
        }
    }
}

/// Everything that a step asked for, in the order in which it takes effect.
fn in_order(requests: Requests, matched: Vec<Matched>) -> impl Iterator<Item = Request> {
    let Requests { spawns, adopted: _, events, schedules, chunks: _ } = requests;
    let mut matched = matched.into_iter();
    let events = events.into_iter().map(move |push| Request::Push(push, matched.next()));
    spawns.into_iter().map(Request::Spawn).chain(events).chain(schedules.into_iter().map(Request::Schedule))
}

/// The tasks that have open requests.
#[derive(Default)]
pub(super) struct OpenTasks {
    tasks: HashMap<TaskKey, Open>,
    /// In the order in which their steps have ended: one is through before the next, so that slots come free.
    order: VecDeque<TaskKey>,
    /// The children that are still to be made.
    children: HashMap<RunId, Place>,
    /// Those of them that are to take an idempotency key.
    claims: HashMap<(WorkflowName, String), Place>,
}

/// Where a request is: of which task, in which row and where in that.
type Place = (TaskKey, u64, usize);

struct Open {
    /// When the step ended.
    at: Timestamp,
    rows: VecDeque<OpenRow>,
    end: Option<HeldEnd>,
}

/// A row of the store; what has taken effect is `None`.
struct OpenRow {
    number: u64,
    requests: Vec<Option<Request>>,
}

impl OpenTasks {
    /// Whether a task has open requests.
    pub(super) fn has(&self, key: TaskKey) -> bool {
        self.tasks.contains_key(&key)
    }

    /// Whether a run is still to be made.
    pub(super) fn has_child(&self, child: RunId) -> bool {
        self.children.contains_key(&child)
    }

    #[cfg(test)]
    pub(super) fn tasks(&self) -> impl Iterator<Item = TaskKey> {
        assert!(!self.tasks.is_empty() || self.children.is_empty() && self.claims.is_empty());
        self.tasks.keys().copied()
    }

    fn insert_row(&mut self, key: TaskKey, at: Timestamp, number: u64, requests: Vec<Option<Request>>) {
        for (position, request) in requests.iter().enumerate() {
            if let Some(Request::Spawn(Spawn { id, target, idempotency, .. })) = request {
                let place = (key, number, position);
                self.children.insert(*id, place);
                if let Some((name, _)) = idempotency {
                    self.claims.insert((target.workflow.clone(), name.clone()), place);
                }
            }
        }
        let order = &mut self.order;
        let open = self.tasks.entry(key).or_insert_with(|| {
            order.push_back(key);
            Open { at, rows: VecDeque::new(), end: None }
        });
        open.rows.push_back(OpenRow { number, requests });
    }

    /// Takes out a request that has not taken effect, with the time at which its step ended.
    fn take(&mut self, (key, number, position): Place) -> Option<(Timestamp, Request)> {
        let Open { at, rows, .. } = self.tasks.get_mut(&key)?;
        let row = rows.iter_mut().find(|row| row.number == number)?;
        let request = row.requests.get_mut(position)?.take()?;
        if let Request::Spawn(Spawn { id, target, idempotency, .. }) = &request {
            self.children.remove(id);
            let claim = idempotency.as_ref().map(|(name, _)| (target.workflow.clone(), name.clone()));
            // Another may claim the key by now, when it would have expired.
            if let Some(claim) = claim
                && self.claims.get(&claim) == Some(&(key, number, position))
            {
                self.claims.remove(&claim);
            }
        }
        Some((*at, request))
    }

    /// Whether no task has open requests.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The next request of a task.
    fn next(&self, key: TaskKey) -> Option<Place> {
        let row = self.tasks.get(&key)?.rows.front()?;
        let position = row.requests.iter().position(Option::is_some).unwrap_or(row.requests.len());
        Some((key, row.number, position))
    }

    /// The child that is to take an idempotency key, unless the key will have expired.
    fn claimant(&self, workflow: &WorkflowName, key: &str, now: Timestamp) -> Option<Place> {
        if self.claims.is_empty() {
            return None;
        }
        let place = *self.claims.get(&(workflow.clone(), key.to_owned()))?;
        let (task, number, position) = place;
        let Open { at, rows, .. } = self.tasks.get(&task)?;
        let row = rows.iter().find(|row| row.number == number)?;
        match row.requests.get(position)?.as_ref()? {
            Request::Spawn(Spawn { idempotency: Some((_, ttl)), .. }) => {
                (at.after(*ttl) > now).then_some(place)
            }
            _ => None,
        }
    }
}

impl Shard {
    /// Lets everything that a step asked for take effect, together with the end of the step.
    pub(super) fn apply_requests(
        &mut self,
        key: TaskKey,
        mut requests: Requests,
        matched: Vec<Matched>,
    ) -> Result<(), StoreError> {
        self.publish(key, std::mem::take(&mut requests.chunks))?;
        for adopted in std::mem::take(&mut requests.adopted) {
            // Retention may have taken it while the step went on.
            if self.rows.run_state(adopted)?.is_some() {
                self.rows.put_adoption(adopted, key.0)?;
            }
        }
        if self.is_bulk(&requests) {
            return self.open_requests(key, in_order(requests, matched));
        }
        let at = self.now;
        let mut requests = in_order(requests, matched);
        while Instant::now() < self.portion_until
            && let Some(request) = requests.next()
        {
            self.apply_request((key.0, true), request, at)?;
        }
        self.open_requests(key, requests)
    }

    /// Whether these are too many to take effect in the same change set as the end of their step. A child under
    /// concurrency limits counts for several, as their keys have to be computed.
    pub(super) fn is_bulk(&self, requests: &Requests) -> bool {
        let is_limited = |spawn: &Spawn| {
            let entry = self.catalog.workflow(&spawn.target.workflow);
            entry.is_some_and(|entry| !entry.version.definition.concurrency.is_empty())
        };
        let limited = match requests.count() * LIMITED_WEIGHT > AT_ONCE_MAX {
            true => requests.spawns.iter().filter(|spawn| is_limited(spawn)).count(),
            false => 0,
        };
        requests.count() + limited * LIMITED_WEIGHT > AT_ONCE_MAX
    }

    /// Holds back the end of a step that completed its task and asked for much, if the step has its lease still.
    pub(super) fn hold_end(
        &mut self,
        key: TaskKey,
        end: HeldEnd,
        mut requests: Requests,
        matched: Vec<Matched>,
    ) -> Result<(), StoreError> {
        let (run, task) = key;
        let task_run = self.run(run)?.and_then(|(_, run)| run.task(task));
        let has_lease =
            task_run.is_some_and(|task| task.status == Status::Running && task.lease() == end.lease);
        if has_lease {
            self.publish(key, std::mem::take(&mut requests.chunks))?;
            self.post_commit.touched.push(run);
            self.rows.put_held_end(run, task, &end)?;
            self.open_requests(key, in_order(requests, matched))?;
            self.open.tasks.entry(key).and_modify(|open| open.end = Some(end));
        }
        Ok(())
    }

    fn publish(&mut self, (run, task): TaskKey, chunks: Vec<String>) -> Result<(), StoreError> {
        let at = self.now;
        for text in chunks {
            self.rows.append_journal(run, JournalEntry::Chunk { at, task, text })?;
        }
        Ok(())
    }

    /// Leaves requests, if there are any, to take effect in portions.
    fn open_requests(
        &mut self,
        key: TaskKey,
        requests: impl Iterator<Item = Request>,
    ) -> Result<(), StoreError> {
        let ((run, task), at) = (key, self.now);
        let mut requests = requests.map(Some);
        for number in 0.. {
            let (mut row, mut bytes) = (Vec::new(), 0);
            while row.len() < ROW_REQUESTS
                && bytes < ROW_BYTES
                && let Some(request) = requests.next()
            {
                bytes += request.as_ref().map_or(0, Request::bytes);
                row.push(request);
            }
            if row.is_empty() {
                break;
            }
            self.rows.put_open_requests((run, task, number), &as_row(at, &row))?;
            self.open.insert_row(key, at, number, row);
        }
        if self.open.has(key) {
            self.keep_slot(key);
            self.has_work = true;
        }
        Ok(())
    }

    /// Takes a slot for a task that has open requests, or leaves it the one of its step.
    fn keep_slot(&mut self, key: TaskKey) {
        if self.node.handle(key).is_none() {
            self.node.occupy(key);
        }
    }

    /// Takes up the requests that the host before has left open.
    pub(super) fn recover_open_requests(&mut self) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        self.rows.visit_open_requests(|key, number, requests| rows.push((key, number, requests)))?;
        for (key, number, OpenRequests { at, requests }) in rows {
            let mut row = Vec::new();
            for request in in_order(requests, Vec::new()) {
                // A child may have been made before its turn.
                let is_there = match &request {
                    Request::Spawn(spawn) => self.rows.run_state(spawn.id)?.is_some(),
                    Request::Push(..) | Request::Schedule(_) => false,
                };
                row.push((!is_there).then_some(request));
            }
            self.open.insert_row(key, at, number, row);
            self.keep_slot(key);
        }
        for (key, end) in self.rows.held_ends()? {
            if let Some(open) = self.open.tasks.get_mut(&key) {
                open.end = Some(end);
            }
        }
        let tasks = &self.open.tasks;
        self.open.order.make_contiguous().sort_by_key(|key| tasks.get(key).map(|open| open.at));
        Ok(())
    }

    /// Has more requests of the first task that has open ones take effect, and then lets the task go on.
    pub(super) fn apply_open_requests(&mut self, until: Instant) -> Result<(), StoreError> {
        let Some(key) = self.open.order.front().copied() else { return Ok(()) };
        let (run, task) = key;
        let mut count = 0;
        while let Some(place) = self.open.next(key) {
            let (_, number, position) = place;
            let is_stopped = count == PORTION_REQUESTS || count > 0 && Instant::now() >= until;
            let Some(open) = self.open.tasks.get_mut(&key) else { break };
            match open.rows.front() {
                Some(row) if position == row.requests.len() => {
                    open.rows.pop_front();
                    self.rows.delete_open_requests(run, task, number);
                }
                Some(row) if is_stopped => {
                    if row.requests.first().is_some_and(Option::is_none) {
                        let rest = as_row(open.at, &row.requests);
                        self.rows.put_open_requests((run, task, number), &rest)?;
                    }
                    return Ok(());
                }
                _ => {
                    self.take_effect(place)?;
                    count += 1;
                }
            }
        }
        let end = self.open.tasks.remove(&key).and_then(|open| open.end);
        self.open.order.pop_front();
        self.node.release(key);
        if let Some(HeldEnd { lease, ran, output }) = end {
            self.rows.delete_held_end(run, task);
            let event = RunEvent::StepEnded { task, lease, ran, result: StepResult::Completed { output } };
            self.apply(run, event, StepPayload::default())?;
        }
        self.enqueue_held(key)
    }

    /// Puts a task in the queue that would have stood there but for its open requests.
    fn enqueue_held(&mut self, key: TaskKey) -> Result<(), StoreError> {
        let Some((spec, run)) = self.run(key.0)? else { return Ok(()) };
        if let Some(since) = run.task(key.1).and_then(|task| task.queued_at) {
            self.queue.push(key, (&spec.workflow, spec.trigger.kind()), spec.priority, since);
        }
        Ok(())
    }

    /// Has one open request take effect.
    fn take_effect(&mut self, place: Place) -> Result<(), StoreError> {
        let Some((at, request)) = self.open.take(place) else { return Ok(()) };
        let ((parent, _), ..) = place;
        let goes_on = self.status(parent)?.is_some_and(|status| status != Status::Cancelled);
        self.apply_request((parent, goes_on), request, at)
    }

    /// Lets something take effect that a step asked for which ended at that time. The run of the step goes on,
    /// or was cancelled since.
    fn apply_request(
        &mut self,
        (parent, goes_on): (RunId, bool),
        request: Request,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        match request {
            Request::Spawn(spawn) => self.spawn((parent, goes_on), spawn, at),
            Request::Push(push, matched) => self.take_in_event(push, matched).map(drop),
            Request::Schedule(schedule) => {
                let row = self.schedule(schedule, Some(parent))?;
                match self.catalog.workflow(&row.workflow) {
                    Some(_) => Ok(()),
                    // Its workflow was deleted meanwhile, and what was scheduled of it is cancelled.
                    None => self.end_scheduled(row, ScheduledStatus::Cancelled, None),
                }
            }
        }
    }

    /// Creates a child, of the version that is current by now.
    fn spawn(
        &mut self,
        (parent, goes_on): (RunId, bool),
        mut spawn: Spawn,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        // It was checked against the version that was current when the task asked for it.
        let (mut checked, mut ended_by) = (true, None);
        match self.catalog.workflow(&spawn.target.workflow) {
            Some(entry) if entry.target == spawn.target => {}
            Some(entry) => (spawn.target, checked) = (entry.target.clone(), false),
            None => {
                let name = &spawn.target.workflow;
                let error = TaskError::new(format!("`{name}` was deleted before the run could begin"));
                ended_by = Some(RunEvent::Rejected { reason: Reason::WorkflowDeleted, error });
            }
        }
        if !goes_on && !spawn.detached {
            ended_by = Some(RunEvent::Cancel { reason: Reason::ParentCancelled });
        }
        if let Some((key, ttl)) = &spawn.idempotency
            && at.after(*ttl) > self.now
        {
            let row = IdempotencyRow { id: spawn.id.to_bytes(), expires_at: at.after(*ttl) };
            self.rows.put_idempotency(IdempotencyScope::Runs(&spawn.target.workflow), key, &row)?;
        }
        let Spawn { id, target, input, metadata, priority, detached, .. } = spawn;
        let new = NewRun::of(target, id, Trigger::Parent(parent), input, metadata);
        self.create_run(NewRun { priority, detached, checked, ended_by, ..new })
    }

    /// Where a run stands. A child that is still to be made is made.
    pub(crate) fn find_run(&mut self, id: RunId) -> Result<Option<Status>, StoreError> {
        if let Some(place) = self.open.children.get(&id).copied() {
            self.take_effect(place)?;
        }
        self.status(id)
    }

    /// Which run an idempotency key stands for, and how long. A child that is still to be made is made.
    pub(crate) fn idempotent_run(
        &mut self,
        workflow: &WorkflowName,
        key: &str,
    ) -> Result<Option<IdempotencyRow>, StoreError> {
        if let Some(place) = self.open.claimant(workflow, key, self.now) {
            self.take_effect(place)?;
        }
        self.rows.idempotency(IdempotencyScope::Runs(workflow), key)
    }

    /// Whether a step spawned runs under idempotency keys that others have taken since it looked.
    pub(super) fn conflicts(&mut self, requests: &Requests) -> Result<bool, StoreError> {
        for spawn in &requests.spawns {
            if let Some((key, _)) = &spawn.idempotency
                && let Some(row) = self.idempotent_run(&spawn.target.workflow, key)?
                && row.expires_at > self.now
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Open requests as they are written.
fn as_row(at: Timestamp, requests: &[Option<Request>]) -> OpenRequests {
    let mut row = OpenRequests { at, requests: Requests::default() };
    for request in requests.iter().flatten() {
        match request {
            Request::Spawn(spawn) => row.requests.spawns.push(spawn.clone()),
            Request::Push(push, _) => row.requests.events.push(push.clone()),
            Request::Schedule(schedule) => row.requests.schedules.push(schedule.clone()),
        }
    }
    row
}
