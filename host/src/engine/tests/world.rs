//! Everything that can happen to an engine, one thing at a time, as the dice say.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dormouse_core::cel::{Equality, Predicate};
use dormouse_core::id::{ModuleDigest, RunId, TaskIndex, Version, WaitId, WorkflowName};
use dormouse_core::log::LogLevel;
use dormouse_core::request::{Push, Requests, Schedule, Spawn};
use dormouse_core::run::{Lease, Part, Reason, Run, RunSpec, Status, TaskError, TaskRun};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{FilterIndex, Settled, Wait, WaitCondition, WaitOutcome};
use dormouse_core::workflow::*;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::facts::{Asked, Facts, Promise, Seen, mark, rows};
use super::machine::{Machine, below, started};
use crate::engine::catalog::Catalog;
use crate::engine::events::Matched;
use crate::engine::node::StepHandle;
use crate::engine::post_commit::{PostCommit, Started};
use crate::engine::shard::{Handled, Shard};
use crate::engine::steps::{Entry, Start, load};
use crate::error::Error;
use crate::operations::{
    Fitting, PushEvent, StartRun, WorkflowChange, cancel_run, cancel_scheduled, change_workflow,
    current_version, push_events, start_run, trigger_scheduled,
};
use crate::runtime::{GuestLine, SettledOutcome, StepEnd, StepEntry, StepOutcome};
use crate::store::rows::{EventRow, ModuleRow, ScheduledStatus, VersionRow, WorkflowRow};
use crate::store::tests::disk::{Dice, Rows, contents};
use crate::store::{ChangeSet, Fence, Read, View, WorkingSet};
use crate::triggers::Matching;
use crate::triggers::crons::EarlierRuns;

/// The workflows whose runs are limited, and how many of them may have begun.
pub(super) const LIMITED: [(&str, usize); 3] = [("queue", 2), ("newest", 1), ("displace", 2)];

/// Runs that have not ended, beyond which no step and no caller starts any.
const LIVE_MAX: u64 = 40;

/// How long a key of a call or a spawn is remembered.
const KEY_TTL: Duration = Duration::from_secs(60);

const EVENT_KEYS: [&str; 3] = ["a.1", "a.2", "b"];

/// Payloads that are not looked at.
const NOTHING: &str = "null";

pub(super) struct World {
    dice: Dice,
    machine: Machine,
    /// How many engines have ended.
    lives: usize,
    /// `None` while the machine is off.
    shard: Option<Shard>,
    facts: Facts,
    seen: Seen,
    /// What is on disk, and what was decided by then.
    durable: (Rows, Facts),
    /// A change set that is closed and not committed.
    closed: Option<Closed>,
    /// What the last commit left to do, in order.
    to_do: VecDeque<Action>,
    /// What the last commit shows, while the shard does not know of it.
    news: Option<Arc<View>>,
    checkpoint: bool,
    /// From now on the power stays.
    is_calm: bool,
    /// Steps that run, and some that only think so.
    steps: Vec<Step>,
    answers: Vec<oneshot::Receiver<Result<Promise, Error>>>,
    started: Vec<oneshot::Receiver<Result<Started, Error>>>,
    /// Runs that somebody knows of.
    known: Vec<RunId>,
    /// Steps that have ended, modules that were deployed and waits that were opened so far.
    numbers: (u32, u8, u64),
    /// How often a change set was closed, and an engine killed, while some task had open requests.
    pub(super) with_open_requests: (usize, usize),
}

struct Closed {
    changes: Option<Arc<ChangeSet>>,
    post_commit: PostCommit,
    /// What the commit leaves.
    after: (Rows, Facts),
}

/// Something that a commit leaves to do.
enum Action {
    Catalog(Arc<Catalog>),
    Answer(Box<dyn FnOnce() + Send>),
    Start(Box<Start>, StepHandle),
}

struct Step {
    run: RunId,
    task: TaskIndex,
    lease: Lease,
    /// `None` once its end has been told.
    start: Option<Start>,
    /// What its task was to be told of when it began.
    settled: Vec<Settled>,
}

/// Brings the crons in line with the version that is current.
fn declare_crons(shard: &mut Shard) {
    let name = "cron".parse().unwrap();
    let version = Arc::clone(&shard.catalog().workflow(&name).unwrap().version);
    let earlier = EarlierRuns::find(&shard.rows, &name).unwrap();
    current_version::declare_crons(shard, None, &version, &earlier).unwrap();
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut machine = Machine::new(Timestamp::from_millis(1_700_000_000_000));
        let mut dice = Dice(seed);
        let store = machine.restart(&mut dice);
        let now = machine.clock.now();
        store.transact(|rows| deploy(rows, 0, now)).unwrap();
        machine.write();
        let durable = (contents(&*store.view()), Facts::default());
        let shard = Some(machine.shard(store));
        let mut world = Self {
            dice,
            machine,
            lives: 0,
            shard,
            facts: Facts::default(),
            seen: Seen::default(),
            durable,
            closed: None,
            to_do: VecDeque::new(),
            news: None,
            checkpoint: false,
            is_calm: false,
            steps: Vec::new(),
            answers: Vec::new(),
            started: Vec::new(),
            known: Vec::new(),
            numbers: (0, 0, 0),
            with_open_requests: (0, 0),
        };
        world.decide(declare_crons);
        world
    }

    fn shard(&mut self) -> &mut Shard {
        self.shard.as_mut().unwrap()
    }

    fn roll(&mut self, sides: usize) -> usize {
        below(&mut self.dice, sides)
    }

    /// Whether something happens that does one time in so many.
    fn once_in(&mut self, times: usize) -> bool {
        self.roll(times) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.roll(from.len())]) }
    }

    /// One thing.
    pub(super) fn happen(&mut self) {
        match self.roll(48) {
            0..6 => self.start_run(),
            6..16 => self.end_step(),
            16 => self.cancel_run(),
            17..19 => self.push_event(),
            19 => self.change_scheduled(),
            20 => self.pause_or_resume(),
            21 if self.once_in(2) => self.deploy(),
            21 => self.log(),
            22..25 => self.pass_time(),
            25..27 => self.decide(|_| {}),
            27..31 => self.close(),
            31..35 => self.commit(),
            35..38 => (0..=self.roll(6)).for_each(|_| self.do_next()),
            38..42 => self.hear_of_commit(),
            42..46 => self.begin_or_end_checkpoint(),
            _ if self.once_in(6) => self.stop(),
            _ if self.once_in(2) => self.kill(true, false),
            _ => {}
        }
    }

    /// Has the deciding thread do something, and then what it does whatever happened.
    fn decide<T>(&mut self, operation: impl FnOnce(&mut Shard) -> T) -> T {
        let now = self.machine.clock.now();
        let shard = self.shard();
        shard.now = now;
        let done = operation(shard);
        shard.settle().unwrap();
        shard.do_work().unwrap();
        shard.ring_timers().unwrap();
        shard.grant_slots().unwrap();
        shard.settle().unwrap();
        self.take_down();
        done
    }

    /// Takes down the steps that have started.
    fn take_down(&mut self) {
        for start in started() {
            let (run, task, lease) = (start.request.run.id, start.request.task, start.lease);
            let (_, state) = self.shard().run(run).unwrap().unwrap();
            let state = state.task(task).unwrap();
            let is_current = is_current(state.status, (state.attempt, state.epoch), lease);
            let settled = match &start.entry {
                Entry::Resume { settled, .. } => settled.clone(),
                Entry::Start { .. } => Vec::new(),
            };
            assert!(!is_current || state.settled.starts_with(&settled));
            self.known.push(run);
            self.steps.push(Step { run, task, lease, start: Some(start), settled });
        }
    }

    fn live_runs(&mut self) -> u64 {
        let rows = &self.shard().rows;
        rows.total_counts().unwrap()[..3].iter().sum()
    }

    /// A workflow and the target that it is now.
    fn target(&mut self) -> dormouse_core::new_run::Target {
        let at = self.roll(NAMES.len());
        let name = NAMES[at].parse().unwrap();
        self.shard().catalog().workflow(&name).unwrap().target.clone()
    }

    fn start_run(&mut self) {
        if self.live_runs() >= LIVE_MAX {
            return;
        }
        let target = self.target();
        let key = self.once_in(3).then(|| self.dice.byte(3));
        let workflow = target.workflow.clone();
        let request = StartRun {
            input: Json::trusted(NOTHING),
            metadata: Metadata::default(),
            priority: Priority::new(self.dice.byte(3) + 1),
            idempotency: key.map(|key| (key.to_string(), KEY_TTL)),
        };
        let (reply, answer) = oneshot::channel();
        self.started.push(answer);
        let now = self.machine.clock.now();
        let started = self.decide(|shard| {
            let entry = Arc::clone(shard.catalog().workflow(&target.workflow).unwrap());
            let limit_keys = entry.check_call(&request.input, &request.metadata).unwrap();
            let outcome = start_run::decide(shard, Fitting { target, limit_keys }, request);
            let started = outcome.as_ref().map(Started::clone).map_err(|_| ()).unwrap();
            shard.answer_started(reply, outcome).unwrap();
            started
        });
        self.known.push(started.id);
        if let Some(key) = key {
            let held = self.facts.keys.get(&(workflow.clone(), key)).filter(|(_, until)| *until > now);
            assert_eq!(started.existing, held.is_some(), "key {key} of {workflow}");
            match held {
                Some((id, _)) => assert_eq!(started.id, *id, "key {key} of {workflow}"),
                None => {
                    self.facts.keys.insert((workflow, key), (started.id, now.after(KEY_TTL)));
                }
            }
        }
    }

    /// Has a caller answered with what it may rely on.
    fn operate(&mut self, operation: impl FnOnce(&mut Shard) -> Handled<Promise>) {
        let (reply, answer) = oneshot::channel();
        self.answers.push(answer);
        self.decide(|shard| {
            let outcome = operation(shard);
            shard.answer(reply, outcome).unwrap();
        });
    }

    fn cancel_run(&mut self) {
        let known = self.known.clone();
        if let Some(id) = self.pick(&known) {
            self.operate(|shard| cancel_run::decide(shard, id).map(|()| Promise::Cancelled(id)));
        }
    }

    fn push_event(&mut self) {
        let idempotency_key = self.once_in(3).then(|| self.dice.byte(2));
        // Another event under a known key is refused.
        let key = EVENT_KEYS[idempotency_key.map_or_else(|| self.roll(3), usize::from)];
        let request = PushEvent {
            key: key.to_owned(),
            payload: Json::trusted("{\"x\":1}"),
            metadata: Metadata::default(),
            priority: None,
            idempotency_key: idempotency_key.map(|key| key.to_string()),
        };
        let mut pushed = None;
        self.operate(|shard| {
            let event = &request;
            let mut matching = Matching::new(&event.key, &event.payload, &event.metadata);
            let matched = Matched::find(&shard.catalog, &mut matching);
            let event = push_events::decide(shard, request, matched)?.event;
            pushed = Some((event.id, event.runs));
            Ok(Promise::Event(event.id))
        });
        let (id, runs) = pushed.unwrap();
        self.known.extend(runs.into_iter().map(|(run, _)| run));
        if let Some(key) = idempotency_key {
            let known = *self.facts.event_keys.entry(key).or_insert(id);
            assert_eq!(known, id, "event key {key}");
        }
    }

    /// Fires or cancels a scheduled run before its time.
    fn change_scheduled(&mut self) {
        let mut pending = Vec::new();
        let take = |row: crate::store::rows::ScheduledRow| {
            pending.push(row.id);
            ControlFlow::Continue(())
        };
        self.shard().rows.visit_scheduled(Some(ScheduledStatus::Pending), None, take).unwrap();
        let Some(id) = self.pick(&pending) else { return };
        let fire = self.once_in(2);
        self.operate(|shard| {
            match fire {
                true => trigger_scheduled::decide(shard, id).map(drop)?,
                false => cancel_scheduled::decide(shard, id)?,
            }
            Ok(Promise::Scheduled(id))
        });
    }

    fn pause_or_resume(&mut self) {
        let at = self.roll(NAMES.len());
        let name = NAMES[at].parse().unwrap();
        let paused = Some(self.once_in(4));
        let change = WorkflowChange { paused, current: None };
        self.decide(|shard| {
            let earlier = EarlierRuns::find(&shard.rows, &name).unwrap();
            change_workflow::decide(shard, &name, change, &earlier).map_err(|_| ()).unwrap();
        });
    }

    /// Makes a new version of every workflow.
    fn deploy(&mut self) {
        self.numbers.1 += 1;
        let (number, now) = (self.numbers.1, self.machine.clock.now());
        self.decide(|shard| {
            deploy(&mut shard.rows, number, now).unwrap();
            shard.catalog = Arc::new(Catalog::load(&shard.rows).unwrap());
            shard.post_commit.catalog = Some(Arc::clone(&shard.catalog));
            declare_crons(shard);
        });
    }

    fn log(&mut self) {
        let Some(step) = self.steps.last().filter(|step| step.start.is_some()) else { return };
        let (run, task, attempt) = (step.run, step.task, step.lease.attempt);
        let at = self.machine.clock.now();
        let lines = vec![GuestLine { at, level: LogLevel::Info, message: "so far so good".to_owned() }];
        self.decide(|shard| shard.log((run, task), attempt, false, lines).unwrap());
    }

    fn pass_time(&mut self) {
        let by = Duration::from_millis(self.dice.roll(8000));
        let now = self.machine.clock.now();
        self.machine.clock.jump_to(now.after(by));
    }
}

/// Steps.
impl World {
    /// One of the steps ends, be it still wanted or not.
    fn end_step(&mut self) {
        if self.steps.is_empty() {
            return;
        }
        let position = self.roll(self.steps.len());
        let is_last_time = !self.once_in(5);
        let outcome = self.roll(11);
        self.end_step_at(position, is_last_time, outcome);
    }

    /// With 0 to 3 it completes, with 4 it fails and may try again, with 5 it fails for good, with 6 it could not
    /// begin, otherwise it waits.
    fn end_step_at(&mut self, position: usize, is_last_time: bool, outcome: usize) {
        let (run, task, lease) = {
            let step = &self.steps[position];
            (step.run, step.task, step.lease)
        };
        let is_current = self.shard().run(run).unwrap().is_some_and(|(_, state)| {
            let state = state.task(task).unwrap();
            is_current(state.status, (state.attempt, state.epoch), lease)
        });
        let is_current = is_current && !self.shard().open.has((run, task));
        let told = self.begin(position, is_current);
        if is_last_time {
            self.steps.swap_remove(position);
        }
        self.numbers.0 += 1;
        let number = self.numbers.0;
        let requests = if matches!(outcome, 4..=6) { Requests::default() } else { self.requests(number) };
        let taken = self.roll(told + 1);
        let end = StepEnd {
            ran: Duration::from_millis(3),
            outcome: match outcome {
                0..4 => StepOutcome::Completed { output: Json::trusted(&said(number)) },
                4 | 5 => StepOutcome::Failed {
                    reason: Reason::Error,
                    error: TaskError::new(said(number)),
                    retryable: outcome == 4,
                },
                6 => StepOutcome::Held { error: TaskError::new(said(number)) },
                _ => self.suspended((run, task), number, &requests),
            },
            requests,
            taken,
        };
        self.note(number, (run, task, lease), &end, is_current);
        self.decide(|shard| shard.step_ended((run, task), lease, end, Vec::new()).unwrap());
    }

    /// Has a step read what it begins with, if it has not; tells how many settled waits it was told of.
    fn begin(&mut self, position: usize, is_current: bool) -> usize {
        let Some(start) = self.steps[position].start.take() else { return 0 };
        let settled = std::mem::take(&mut self.steps[position].settled);
        let (run, task) = (start.request.run.id, start.request.task);
        let shared = Arc::clone(&self.shard().shared);
        let entry = load(&shared, start.entry, &start.view, run, task).unwrap();
        if !is_current {
            return 0;
        }
        let snapshot = self.facts.snapshots.get(&(run, task));
        match entry {
            StepEntry::Start { parents, .. } => {
                assert_eq!(snapshot, None, "run {run} began anew");
                let (spec, state) = self.shard().run(run).unwrap().unwrap();
                let (spec, state) = (RunSpec::clone(&spec), state.clone());
                let row = self.shard().rows.whole_run(spec, state).unwrap();
                for (name, output) in parents {
                    let is_it = |task: &&TaskRun| task.output == Some(Part::Here(output.clone()));
                    assert!(row.run.tasks.iter().any(|task| is_it(&task)), "run {run} was told of {name}");
                }
                0
            }
            StepEntry::Resume { snapshot: bytes, settled: told } => {
                assert_eq!(Some(bytes), snapshot.map(|step| image(*step)), "the snapshot of run {run}");
                let ids = |settled: &[Settled]| settled.iter().map(|wait| wait.id).collect::<Vec<_>>();
                assert_eq!(told.iter().map(|wait| wait.id).collect::<Vec<_>>(), ids(&settled));
                for (wait, told) in settled.iter().zip(&told) {
                    // A run that waited for itself before its rows were written was told that there is no such
                    // run; later it slept, as it does now.
                    assert!(
                        wait.outcome != WaitOutcome::Run(run),
                        "run {run} was told that it had ended itself"
                    );
                    self.assert_outcome(wait.outcome, &told.outcome);
                }
                told.len()
            }
        }
    }

    /// A guest hears what happened.
    fn assert_outcome(&mut self, outcome: WaitOutcome, told: &SettledOutcome) {
        let is_so = match (outcome, told) {
            (WaitOutcome::Elapsed, SettledOutcome::Elapsed) => true,
            (WaitOutcome::Event(event), SettledOutcome::Event { id, .. }) => event == *id,
            (WaitOutcome::Run(run), told) => matches!(
                (self.shard().status(run).unwrap(), told),
                (Some(Status::Completed), SettledOutcome::RunCompleted { .. })
                    | (Some(Status::Failed) | None, SettledOutcome::RunFailed { .. })
                    | (Some(Status::Cancelled), SettledOutcome::RunCancelled { .. })
            ),
            _ => false,
        };
        assert!(is_so, "{outcome:?} was told as {told:?}");
    }

    fn requests(&mut self, number: u32) -> Requests {
        let mut requests = Requests { chunks: vec![mark(number)], ..Requests::default() };
        if self.once_in(3) && self.live_runs() < LIVE_MAX {
            for n in 0..=self.roll(5) {
                let key = (n == 0 && self.once_in(3)).then(|| (self.dice.byte(3).to_string(), KEY_TTL));
                requests.spawns.push(Spawn {
                    id: self.machine.clock.run_id(),
                    target: self.target(),
                    input: Json::trusted(NOTHING),
                    metadata: Metadata::default(),
                    priority: None,
                    detached: self.once_in(3),
                    idempotency: key,
                });
            }
        }
        if self.once_in(6) && self.live_runs() < LIVE_MAX {
            requests.events.push(Push {
                id: self.machine.clock.event_id(),
                key: EVENT_KEYS[self.roll(3)].to_owned(),
                payload: Json::trusted(NOTHING),
                metadata: Metadata::default(),
                priority: None,
            });
        }
        if self.once_in(6) && self.live_runs() < LIVE_MAX {
            let in_a_while = Duration::from_millis(self.dice.roll(20_000));
            requests.schedules.push(Schedule {
                id: self.machine.clock.scheduled_id(),
                workflow: self.target().workflow,
                trigger_at: self.machine.clock.now().after(in_a_while),
                input: Json::trusted(NOTHING),
                metadata: Metadata::default(),
                priority: None,
            });
        }
        requests
    }

    fn suspended(
        &mut self,
        (run, task): (RunId, TaskIndex),
        number: u32,
        requests: &Requests,
    ) -> StepOutcome {
        let mut waits = Vec::new();
        for _ in 0..=self.roll(3) {
            self.numbers.2 += 1;
            let condition = match self.roll(6) {
                0..3 => {
                    let in_a_while = Duration::from_millis(self.dice.roll(20_000));
                    WaitCondition::Until(self.machine.clock.now().after(in_a_while))
                }
                3 | 4 => {
                    let key_pattern = ["a.*", "a.1", "b", "*"][self.roll(4)].to_owned();
                    let filter = self.once_in(2).then(|| "input.x == 1".to_owned());
                    let look_back = self.once_in(2).then(|| Duration::from_secs(5));
                    let index = filter.as_deref().and_then(|filter| {
                        let Equality { path, value } = Predicate::compile(filter).unwrap().equality()?;
                        Some(FilterIndex { path: path.as_str().to_owned(), value: value.as_str().to_owned() })
                    });
                    WaitCondition::Event { key_pattern, filter, look_back, index }
                }
                _ => match requests.spawns.first() {
                    Some(spawn) => WaitCondition::Run(spawn.id),
                    None => {
                        let known = self.known.clone();
                        WaitCondition::Run(self.pick(&known).unwrap())
                    }
                },
            };
            waits.push(Wait { id: WaitId(self.numbers.2), condition });
        }
        if self.once_in(40) {
            // More than a step is told of.
            let soon = self.machine.clock.now().after(Duration::from_secs(2));
            for _ in 0..300 {
                self.numbers.2 += 1;
                waits.push(Wait { id: WaitId(self.numbers.2), condition: WaitCondition::Until(soon) });
            }
        }
        let open = self.shard().rows.open_waits(run, task, usize::MAX).unwrap();
        let mut dropped: Vec<_> = open.into_iter().map(|wait| wait.id).collect();
        dropped.retain(|_| self.once_in(3));
        StepOutcome::Suspended { waits, dropped, snapshot: image(number) }
    }

    /// Notes what a step asks for, and what becomes of it when its result counts.
    fn note(
        &mut self,
        number: u32,
        (run, task, lease): (RunId, TaskIndex, Lease),
        end: &StepEnd,
        is_current: bool,
    ) {
        let StepEnd { outcome, requests, .. } = end;
        let now = self.machine.clock.now();
        self.seen.asked.insert(
            number,
            Asked {
                run,
                task,
                lease,
                children: requests.spawns.iter().map(|spawn| spawn.id).collect(),
                events: requests.events.iter().map(|push| push.id).collect(),
                schedules: requests.schedules.iter().map(|schedule| schedule.id).collect(),
            },
        );
        let key_of = |spawn: &Spawn| {
            let (key, _) = spawn.idempotency.as_ref()?;
            Some((spawn.target.workflow.clone(), key.parse::<u8>().unwrap()))
        };
        let is_held =
            |key: &(WorkflowName, u8)| self.facts.keys.get(key).is_some_and(|(_, until)| *until > now);
        let conflicts = requests.spawns.iter().filter_map(key_of).any(|key| is_held(&key));
        if !is_current || conflicts {
            return;
        }
        match outcome {
            StepOutcome::Failed { .. } => {
                self.facts.snapshots.remove(&(run, task));
                return;
            }
            StepOutcome::Held { .. } => return,
            StepOutcome::Completed { .. } => drop(self.facts.snapshots.remove(&(run, task))),
            StepOutcome::Suspended { .. } => drop(self.facts.snapshots.insert((run, task), number)),
        }
        self.facts.taken.insert(number);
        for spawn in &requests.spawns {
            self.known.push(spawn.id);
            if let Some(key) = key_of(spawn) {
                self.facts.keys.insert(key, (spawn.id, now.after(KEY_TTL)));
            }
        }
    }
}

/// Commits, checkpoints, and the end of lives.
impl World {
    fn close(&mut self) {
        // One change set at a time is on its way, and the answers of one go before those of the next.
        if self.closed.is_some() || self.news.is_some() || !self.shard().has_decided() {
            return;
        }
        let (changes, post_commit) = self.shard().close().unwrap();
        let after = (contents(&self.shard().rows), self.facts.clone());
        self.closed = Some(Closed { changes, post_commit, after });
        self.verify_indexes();
    }

    /// What the shard keeps in memory beside the rows says what they say.
    fn verify_indexes(&mut self) {
        let shard = self.shard.as_ref().unwrap();
        let (mut queued, mut running) = (0, 0);
        let open: Vec<_> = shard.open.tasks().collect();
        self.with_open_requests.0 += usize::from(!open.is_empty());
        for status in [Status::Queued, Status::Running] {
            let count = |id| {
                let run: Run = shard.rows.run_state(id).unwrap().unwrap();
                let queued_at = |index: usize| run.tasks[index].queued_at;
                let is_held = |index: &usize| open.contains(&(id, TaskIndex(u8::try_from(*index).unwrap())));
                let in_queue = (0..run.tasks.len()).filter(|index| queued_at(*index).is_some());
                queued += in_queue.filter(|index| !is_held(index)).count();
                running += run.tasks.iter().filter(|task| task.status == Status::Running).count();
                ControlFlow::Continue(())
            };
            shard.rows.visit_run_ids(None, Some(status), None, count).unwrap();
        }
        assert_eq!(shard.queue.waiting().0 + shard.suspects.len(), queued, "tasks in the queue");
        let runs = |(run, task): &(RunId, TaskIndex)| {
            let run = shard.rows.run_state(*run).unwrap();
            run.is_some_and(|run| run.task(*task).unwrap().status == Status::Running)
        };
        let resting = open.iter().filter(|key| !runs(key)).count();
        let has_stopped = shard.node.running() + shard.node.free_slots() == 0;
        let expected = if has_stopped { 0 } else { running + resting };
        assert_eq!(shard.node.running(), expected, "steps under way and tasks with open requests");
    }

    fn commit(&mut self) {
        if !self.to_do.is_empty() {
            return;
        }
        let Some(Closed { changes, post_commit, after }) = self.closed.take() else { return };
        self.assert_no_answers();
        let store = self.shard().shared.store.clone();
        let view = match changes {
            Some(changes) => store.commit(Fence(0), changes).unwrap(),
            None => store.view(),
        };
        let is_cut = self.power_goes();
        let dice = &mut self.dice;
        let all = self.machine.write_until(|ops| if is_cut { below(dice, ops + 1) } else { ops });
        if is_cut {
            self.closed = Some(Closed { changes: None, post_commit: PostCommit::default(), after });
            return self.kill(!all, true);
        }
        self.durable = after;
        self.news = Some(view);
        let PostCommit { answers, started, starts, catalog, .. } = post_commit;
        assert!(started.is_empty(), "a call that is answered with its run was not prepared");
        self.to_do.extend(catalog.map(Action::Catalog));
        self.to_do.extend(answers.into_iter().map(Action::Answer));
        self.to_do.extend(starts.into_iter().map(|(start, handle)| Action::Start(Box::new(start), handle)));
    }

    /// Whether the power goes in the middle of what the disk is told.
    fn power_goes(&mut self) -> bool {
        !self.is_calm && self.once_in(8)
    }

    /// Does the next of what the last commit left to do.
    fn do_next(&mut self) {
        match self.to_do.pop_front() {
            None => {}
            Some(Action::Catalog(catalog)) => {
                let shared = &self.shard.as_ref().unwrap().shared;
                *shared.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
            }
            Some(Action::Answer(answer)) => {
                answer();
                self.take_answers();
            }
            Some(Action::Start(start, handle)) => {
                let shared = Arc::clone(&self.shard().shared);
                (shared.start_step)(*start, &shared, &handle);
                self.take_down();
            }
        }
    }

    fn take_answers(&mut self) {
        let promises = &mut self.seen.promises;
        self.answers.retain_mut(|answer| match answer.try_recv() {
            Ok(outcome) => {
                promises.extend(outcome.ok());
                false
            }
            Err(error) => error == oneshot::error::TryRecvError::Empty,
        });
        self.started.retain_mut(|answer| match answer.try_recv() {
            Ok(outcome) => {
                let Started { id, row, .. } = outcome.map_err(|_| ()).unwrap();
                let status = row.map_or(Status::Queued, |row| row.run.status);
                promises.push(Promise::Run { id, status });
                false
            }
            Err(error) => error == oneshot::error::TryRecvError::Empty,
        });
    }

    /// Nobody hears of what is not durable.
    fn assert_no_answers(&mut self) {
        let (promises, waiting) = (self.seen.promises.len(), self.answers.len() + self.started.len());
        self.take_answers();
        assert_eq!(self.seen.promises.len(), promises, "somebody was answered before the commit");
        assert_eq!(self.answers.len() + self.started.len(), waiting, "somebody lost the way to an answer");
    }

    fn hear_of_commit(&mut self) {
        if let Some(view) = self.news.take() {
            self.shard().rows.committed(view);
        }
    }

    fn begin_or_end_checkpoint(&mut self) {
        let store = self.shard().shared.store.clone();
        match self.checkpoint {
            false => store.begin_checkpoint().unwrap(),
            true => store.end_checkpoint(),
        }
        self.checkpoint = !self.checkpoint;
        let is_cut = self.power_goes();
        let dice = &mut self.dice;
        self.machine.write_until(|ops| if is_cut { below(dice, ops + 1) } else { ops });
        if is_cut {
            self.kill(true, false);
        }
    }

    /// Ends as a host does that is told to stop.
    fn stop(&mut self) {
        let life = self.lives;
        self.shard().give_steps_back().unwrap();
        self.shard().settle().unwrap();
        self.finish_commit();
        if self.lives != life {
            return;
        }
        let store = self.shard().shared.store.clone();
        if self.checkpoint {
            store.end_checkpoint();
        }
        store.checkpoint().unwrap();
        drop(store);
        self.machine.write();
        self.kill(true, false);
    }

    /// Commits all that was decided and does what it left to do, unless the power goes.
    fn finish_commit(&mut self) {
        let life = self.lives;
        while self.lives == life && (self.closed.is_some() || self.shard().has_decided()) {
            self.do_all();
            self.hear_of_commit();
            self.close();
            self.commit();
        }
        self.do_all();
        self.hear_of_commit();
    }

    fn do_all(&mut self) {
        while !self.to_do.is_empty() {
            self.do_next();
        }
    }

    /// Cuts the power and starts another engine on what is left: what was durable, what was on its way, or
    /// either of them.
    fn kill(&mut self, may_be_durable: bool, may_be_closed: bool) {
        self.shard = None;
        self.lives += 1;
        (self.answers, self.started, self.steps) = (Vec::new(), Vec::new(), Vec::new());
        self.to_do.clear();
        (self.news, self.checkpoint) = (None, false);
        let closed = self.closed.take().filter(|_| may_be_closed);
        let store = self.machine.restart(&mut self.dice);
        let view = store.view();
        let found = contents(&*view);
        match closed {
            Some(Closed { after, .. }) if after.0 == found => self.durable = after,
            _ => {
                assert!(may_be_durable, "what was committed is not there");
                assert!(found == self.durable.0, "it is neither as it was nor as it was to be");
            }
        }
        self.facts = self.durable.1.clone();
        self.seen.verify(&view, &self.facts);
        self.known.retain(|run| view.run_state(*run).unwrap().is_some());
        drop(view);
        let mut shard = self.machine.shard(store);
        shard.recover().unwrap();
        self.with_open_requests.1 += usize::from(shard.open.tasks().next().is_some());
        self.shard = Some(shard);
        self.decide(|_| {});
    }

    /// Nothing more is asked, every step completes, and time passes until nothing is left to come: then all
    /// has ended but for what waits for an event, or for a run that waits.
    pub(super) fn come_to_rest(&mut self) {
        self.is_calm = true;
        for name in NAMES {
            let change = WorkflowChange { paused: Some(false), current: None };
            let name = name.parse().unwrap();
            self.decide(|shard| {
                let earlier = EarlierRuns::find(&shard.rows, &name).unwrap();
                change_workflow::decide(shard, &name, change, &earlier).map_err(|_| ()).unwrap();
            });
        }
        self.decide(|shard| shard.remove_crons(&"cron".parse().unwrap()).unwrap());
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 10_000, "it never comes to rest");
            while let Some(position) = self.steps.len().checked_sub(1) {
                self.complete(position);
            }
            // Some steps start when their module is durable.
            self.finish_commit();
            while self.shard().has_work {
                self.decide(|_| {});
            }
            if self.steps.is_empty() {
                let Some(next) = self.shard().next_timer().unwrap() else { break };
                self.machine.clock.jump_to(next);
                self.decide(|_| {});
            }
        }
        self.finish_commit();
        let view = self.shard().shared.store.view();
        let shard = self.shard();
        assert!(shard.queue.is_empty() && shard.suspects.is_empty());
        assert!(shard.node.running() == 0 && !shard.has_decided());
        let rows = rows(&view);
        let ended: BTreeSet<RunId> =
            rows.iter().filter(|row| row.run.status.is_final()).map(|row| row.spec.id).collect();
        for row in rows.iter().filter(|row| !row.run.status.is_final()) {
            assert_eq!(row.run.status, Status::Sleeping, "run {} is forgotten", row.spec.id);
            for (_, wait) in &row.waits {
                let is_due = match &wait.condition {
                    WaitCondition::Until(_) => true,
                    WaitCondition::Run(run) => ended.contains(run),
                    WaitCondition::Event { .. } => false,
                };
                assert!(!is_due, "run {} was not told of {wait:?}", row.spec.id);
            }
        }
        let visit = |event: EventRow| {
            let subscribed = usize::from(event.key.starts_with("a."));
            let filtered = if event.payload.as_str() == NOTHING { 0 } else { subscribed };
            let id = event.id;
            assert_eq!(event.runs.len(), subscribed + filtered, "event {id} and what it starts");
            assert!(event.runs.iter().all(|(run, _)| view.run_state(*run).unwrap().is_some()), "event {id}");
            ControlFlow::Continue(())
        };
        view.visit_events(None, visit).unwrap();
        let (facts, seen) = (&self.facts, &mut self.seen);
        seen.verify(&view, facts);
    }

    /// A step completes and asks for nothing.
    fn complete(&mut self, position: usize) {
        let Step { run, task, lease, .. } = self.steps.swap_remove(position);
        self.facts.snapshots.remove(&(run, task));
        let end = StepEnd {
            ran: Duration::ZERO,
            outcome: StepOutcome::Completed { output: Json::trusted(NOTHING) },
            requests: Requests::default(),
            taken: 0,
        };
        self.decide(|shard| shard.step_ended((run, task), lease, end, Vec::new()).unwrap());
    }
}

fn is_current(status: Status, (attempt, epoch): (u32, u64), lease: Lease) -> bool {
    status == Status::Running && lease == Lease { attempt, epoch }
}

/// What a step returns or fails with: JSON, sometimes too large for the state of its run.
fn said(step: u32) -> String {
    step.to_string().repeat(if step.is_multiple_of(3) { 300 } else { 1 })
}

/// The snapshot that a step takes, sometimes in more than one part.
fn image(step: u32) -> Vec<u8> {
    step.to_be_bytes().repeat(1 + usize::try_from(step).unwrap() % 5 * 300)
}

/// What is deployed.
const NAMES: [&str; 7] = ["plain", "queue", "newest", "displace", "pair", "listener", "cron"];

fn definition(name: &str) -> Workflow {
    let task = |name: &str, parents: Vec<TaskIndex>| Task {
        name: name.parse().unwrap(),
        description: String::new(),
        parents,
        retries: 2,
        backoff: Backoff { jitter: 0.0, ..Backoff::default() },
        execution_timeout: Duration::from_secs(60),
        schedule_timeout: None,
        memory_bytes_max: None,
        concurrency: Vec::new(),
        rate_limits: Vec::new(),
        skip_if: Vec::new(),
        cancel_if: Vec::new(),
    };
    let limit = |max_runs, strategy| vec![Concurrency { key: None, max_runs, strategy }];
    let crons = [("every", Overlap::Queue), ("other", Overlap::CancelRunning)].map(|(name, overlap)| {
        let spec = CronSpec {
            expression: "*/20 * * * * *".to_owned(),
            timezone: "UTC".to_owned(),
            input: Json::trusted(NOTHING),
            metadata: Metadata::default(),
            priority: None,
            catch_up: CatchUp::One,
            overlap,
        };
        DeclaredCron { name: name.parse().unwrap(), spec }
    });
    let filters = [None, Some("input.x == 1".to_owned())];
    let subscriptions =
        filters.map(|filter| EventSubscription { key_pattern: "a.*".to_owned(), filter }).to_vec();
    let first = task("first", Vec::new());
    Workflow {
        name: name.parse().unwrap(),
        description: String::new(),
        crons: if name == "cron" { crons.to_vec() } else { Vec::new() },
        events: if name == "listener" { subscriptions } else { Vec::new() },
        tasks: match name {
            "pair" => vec![
                Task { schedule_timeout: Some(Duration::from_secs(15)), ..first },
                task("second", vec![TaskIndex(0)]),
                Task { retries: 0, ..task("beside", Vec::new()) },
            ],
            _ => vec![first],
        },
        on_failure: None,
        input_schema: None,
        output_schema: None,
        concurrency: match name {
            "queue" => limit(2, ConcurrencyStrategy::Queue),
            "newest" => limit(1, ConcurrencyStrategy::CancelNewest),
            "displace" => limit(2, ConcurrencyStrategy::CancelRunning),
            _ => Vec::new(),
        },
        default_priority: Priority::DEFAULT,
    }
}

/// Puts a module into the rows that declares all workflows, whose next versions are current then.
fn deploy(rows: &mut WorkingSet, number: u8, now: Timestamp) -> Result<(), crate::store::StoreError> {
    let bytes = format!("module {number}").into_bytes();
    let digest = ModuleDigest::from_bytes(Sha256::digest(&bytes).into());
    let mut workflows = Vec::new();
    for name in NAMES {
        let name: WorkflowName = name.parse().unwrap();
        let before = rows.workflow(&name)?;
        let version = Version(before.as_ref().map_or(1, |row| row.latest.0 + 1));
        rows.put_workflow(&WorkflowRow {
            name: name.clone(),
            current: Some(version),
            latest: version,
            paused: before.is_some_and(|row| row.paused),
            created_at: now,
            updated_at: now,
        })?;
        let definition = definition(name.as_str());
        rows.put_version(&VersionRow { version, module: digest, created_at: now, definition })?;
        workflows.push((name, version));
    }
    let module = ModuleRow {
        digest,
        size_bytes: bytes.len() as u64,
        uploaded_at: now,
        workflows,
        imports: Vec::new(),
        warnings: Vec::new(),
    };
    rows.put_module(&module, &bytes)
}
