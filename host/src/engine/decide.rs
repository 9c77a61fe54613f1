//! The deciding thread: takes commands and due timers, applies them to the shard, and hands what has
//! changed to the persisting thread, one change set at a time. While that commits, it decides on.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use dormouse_core::time::Timestamp;

use super::command::Command;
use super::events::EventRuns;
use super::lines::Lines;
use super::persist::{Closed, Committed, Persister};
use super::post_commit::PostCommit;
use super::retention::Retention;
use super::shard::{OPEN_BYTES_MAX, OPEN_ROWS_MAX, Shard};
use super::work::CANCELLATIONS_MAX;
use crate::store::StoreError;

/// Most commands that are decided without a look at the timers and at the persisting thread.
const COMMANDS_AT_ONCE_MAX: usize = 256;

/// How long one command may hold events against waits, and let what a step asked for take effect, before the
/// rest is done in portions: enough for the ten thousand waits that a task can have, and half of what a caller
/// beside it may have to wait.
const COMMAND_TIME: Duration = Duration::from_millis(50);

/// How long to wait for a command when timers are due and every slot is taken: a flood of timers that
/// went into the queue would stand there before whatever comes later.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// A change set stays open for fresh steps for half the time of a commit at most: who waits for it
/// loses at most that, and gains a whole commit when the steps end meanwhile. This is the bound of that
/// bound, on a disk that is slow.
const HOLD_MAX: Duration = Duration::from_millis(2);

/// The deciding thread and what it works with.
pub(super) struct Decider {
    shard: Shard,
    commands: Receiver<Command>,
    persister: Persister,
    /// Whether a change set is on its way to the disk.
    persisting: bool,
    /// Commands that have come and are to be decided.
    lines: Lines,
    /// Since when the open change set has something in it.
    open_since: Option<Instant>,
    /// How many commands were decided in it.
    decided: usize,
    /// How long a commit takes, the last ones counting most.
    commit_time: Duration,
    /// When the first timer is due.
    next_timer: Option<Timestamp>,
    /// `None` when everything is kept for ever.
    retention: Option<Retention>,
    /// Whether retention has deleted something in the open change set.
    has_swept: bool,
    stopping: bool,
}

/// Why the thread goes on.
enum Woken {
    ByCommand(Command),
    ByTime,
}

impl Decider {
    pub(super) fn new(
        shard: Shard,
        commands: Receiver<Command>,
        persister: Persister,
        retention: Option<Retention>,
    ) -> Self {
        Self {
            shard,
            commands,
            persister,
            persisting: false,
            lines: Lines::default(),
            open_since: None,
            decided: 0,
            commit_time: Duration::ZERO,
            next_timer: None,
            retention,
            has_swept: false,
            stopping: false,
        }
    }

    /// Works until it is told to stop or the store fails.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        let ended = self.work();
        // A commit that failed is the cause of whatever else did.
        self.persister.finish().and(ended)
    }

    fn work(&mut self) -> Result<(), StoreError> {
        self.go_on()?;
        while !(self.stopping && !self.persisting && !self.shard.has_decided()) {
            match self.wait() {
                Woken::ByTime => {}
                Woken::ByCommand(Command::CommitFailed) => return Ok(()),
                Woken::ByCommand(command) => {
                    self.handle(command)?;
                    for _ in 1..COMMANDS_AT_ONCE_MAX {
                        if self.shard.has_enough() {
                            break;
                        }
                        let Some(command) = self.next() else { break };
                        if matches!(command, Command::CommitFailed) {
                            return Ok(());
                        }
                        self.handle(command)?;
                    }
                }
            }
            self.go_on()?;
        }
        Ok(())
    }

    /// Does what is to be done whatever has happened: timers, slots, retention, the commit.
    fn go_on(&mut self) -> Result<(), StoreError> {
        self.look_at_clock()?;
        if !self.stopping && !self.is_full() {
            if !self.is_behind() {
                self.shard.do_work()?;
            }
            self.next_timer = self.shard.ring_timers()?;
            self.sweep()?;
        }
        self.shard.grant_slots()?;
        self.shard.settle()?;
        self.commit()?;
        self.tell_idlers()
    }

    fn look_at_clock(&mut self) -> Result<(), StoreError> {
        if self.shard.look_at_clock()?
            && let Some(retention) = &mut self.retention
        {
            // What it waits for may lie as far ahead as the clock did.
            retention.begin_anew(self.shard.now);
        }
        Ok(())
    }

    /// Waits for a command, for the first timer, or until the open change set is to be closed.
    fn wait(&mut self) -> Woken {
        if let Some(command) = self.next() {
            return Woken::ByCommand(command);
        }
        let received = match self.time_to_wait() {
            Some(Duration::ZERO) => Err(RecvTimeoutError::Timeout),
            Some(time) => self.commands.recv_timeout(time),
            None => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(command) if command.is_of_commit() => Woken::ByCommand(command),
            Ok(command) => {
                self.lines.push(command);
                self.next().map_or(Woken::ByTime, Woken::ByCommand)
            }
            Err(RecvTimeoutError::Timeout) => Woken::ByTime,
            // Every sender is gone: nobody is left to work for.
            Err(RecvTimeoutError::Disconnected) => Woken::ByCommand(Command::Stop),
        }
    }

    fn time_to_wait(&self) -> Option<Duration> {
        if self.is_full() {
            return None;
        }
        if self.shard.node.free_slots() > 0 && !self.shard.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        // What is left in the lines is held back, as the store was behind.
        if !self.stopping && (!self.lines.is_empty() || self.shard.has_work && self.is_behind()) {
            return Some(FULL_PAUSE);
        }
        if self.shard.has_work && !self.stopping {
            let has_slots = self.shard.node.free_slots() > 0 || !self.shard.open.is_empty();
            return Some(if has_slots { Duration::ZERO } else { FULL_PAUSE });
        }
        let clock = &self.shard.shared.clock;
        let next = self.next_sweep().filter(|_| self.has_room_to_sweep());
        let next = self.next_timer.into_iter().chain(next).min().filter(|_| !self.stopping);
        let timer = next.and_then(|at| match at <= clock.now() {
            true if self.shard.node.free_slots() == 0 => Some(FULL_PAUSE),
            true => Some(Duration::ZERO),
            false => clock.wait_until(at),
        });
        let hold = match self.open_since {
            Some(since) if !self.persisting => Some(self.hold().saturating_sub(since.elapsed())),
            _ => None,
        };
        timer.into_iter().chain(hold).chain(self.shard.node.alone_for()).min()
    }

    /// The next command that is there and may be decided now.
    fn next(&mut self) -> Option<Command> {
        while let Ok(command) = self.commands.try_recv() {
            if command.is_of_commit() {
                return Some(command);
            }
            self.lines.push(command);
        }
        if self.is_full() { None } else { self.lines.pop(!self.is_behind()) }
    }

    /// Whether what was decided has to be on its way before more is.
    fn is_full(&self) -> bool {
        self.persisting && self.shard.has_enough()
    }

    /// Whether the store has more to write into its database than is good: what is large waits then, so that
    /// what is small does not have to.
    fn is_behind(&self) -> bool {
        self.shard.shared.store.is_behind()
    }

    /// How long to keep the change set open for steps that have just begun.
    fn hold(&self) -> Duration {
        (self.commit_time / 2).min(HOLD_MAX)
    }

    fn handle(&mut self, command: Command) -> Result<(), StoreError> {
        let line = (!command.is_of_commit()).then(|| command.line());
        let begun = Instant::now();
        // The thread may have waited for it for long.
        self.look_at_clock()?;
        let shard = &mut self.shard;
        shard.portion_until = begun + COMMAND_TIME;
        shard.event_runs = EventRuns::MAX;
        shard.cancellations = CANCELLATIONS_MAX;
        self.decided += 1;
        match command {
            Command::Operate { operation, admitted } => {
                operation(shard)?;
                drop(admitted);
            }
            Command::StepEnded { run, task, lease, end, matched } => {
                shard.step_ended((run, task), lease, *end, matched)?;
            }
            Command::BaseImage { module, base, image } => shard.put_base_image(module, base, &image)?,
            Command::Log { run, task, attempt, repeated, lines } => {
                shard.log((run, task), attempt, repeated, lines)?;
            }
            Command::Committed(Committed { view, took }) => {
                self.persisting = false;
                self.commit_time = (self.commit_time * 7 + took) / 8;
                shard.rows.committed(view);
            }
            Command::AwaitIdle { reply } => shard.idlers.push(reply),
            Command::Stop => {
                self.stopping = true;
                shard.give_steps_back()?;
            }
            Command::CommitFailed | Command::ClockJumped => {}
        }
        shard.settle()?;
        if let Some(line) = line {
            self.lines.charge(line, begun.elapsed());
        }
        Ok(())
    }

    /// Hands the open change set to the persisting thread, if that is free and nothing is gained by
    /// keeping it open.
    fn commit(&mut self) -> Result<(), StoreError> {
        if !self.shard.has_decided() {
            self.open_since = None;
            return Ok(());
        }
        let since = *self.open_since.get_or_insert_with(Instant::now);
        let is_held = self.shard.node.has_fresh_steps() && !self.stopping && since.elapsed() < self.hold();
        if self.persisting || is_held {
            return Ok(());
        }
        let (changes, post_commit) = self.shard.close()?;
        self.open_since = None;
        self.has_swept = false;
        self.persisting = true;
        self.persister.commit(Closed { changes, post_commit, commands: std::mem::take(&mut self.decided) });
        // While much comes, the open change set has room for it only now.
        if self.stopping { Ok(()) } else { self.sweep() }
    }

    /// Deletes some of what is due to go.
    fn sweep(&mut self) -> Result<(), StoreError> {
        let (now, has_room) = (self.shard.now, self.has_room_to_sweep());
        match &mut self.retention {
            Some(retention) if retention.next() <= now && has_room => {
                // Tasks that are held, or are to run alone, may be told of any event later.
                let (_, waiting_since) = self.shard.queue.waiting();
                let others_wait = self.shard.held > 0 || !self.shard.suspects.is_empty();
                let waiting_since = if others_wait { Some(Timestamp::default()) } else { waiting_since };
                let before = self.shard.written().rows;
                retention.sweep(&mut self.shard.rows, now, waiting_since)?;
                self.has_swept = self.shard.written().rows > before;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether retention may add to the open change set: once, since whoever calls meanwhile waits for
    /// what it deletes to be committed, and while half of it is left for whatever else comes.
    fn has_room_to_sweep(&self) -> bool {
        let written = self.shard.written();
        !self.has_swept && written.rows < OPEN_ROWS_MAX / 2 && written.bytes < OPEN_BYTES_MAX / 2
    }

    fn next_sweep(&self) -> Option<Timestamp> {
        self.retention.as_ref().map(Retention::next)
    }

    fn tell_idlers(&mut self) -> Result<(), StoreError> {
        if self.shard.idlers.is_empty() {
            return Ok(());
        }
        let now = self.shard.shared.clock.now();
        self.next_timer = self.shard.next_timer()?;
        let quiet = |at: Option<Timestamp>| at.is_none_or(|at| at > now);
        let is_idle = !self.persisting
            && !self.shard.has_decided()
            && self.lines.is_empty()
            && self.shard.node.running() == 0
            && self.shard.queue.is_empty()
            && self.shard.suspects.is_empty()
            && !self.shard.has_work;
        if is_idle && quiet(self.next_timer) && quiet(self.next_sweep()) {
            // By way of the persisting thread: what waited for the last commit is done before.
            let next = self.next_timer;
            let mut post_commit = PostCommit::default();
            for reply in self.shard.idlers.drain(..) {
                // A caller that has given up needs no answer.
                post_commit.answers.push(Box::new(move || {
                    let _ = reply.send(next);
                }));
            }
            self.persisting = true;
            self.persister.commit(Closed { changes: None, post_commit, commands: 0 });
        }
        Ok(())
    }
}
