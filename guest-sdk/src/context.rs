//! What a task asks of its host.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::dormouse::workflow as host_calls;
use crate::child::Child;
use crate::error::CallError;
use crate::event::EventWait;
use crate::host;
use crate::id::{EventId, RunId, ScheduledId};
use crate::options::{EventOptions, ScheduleOptions, SpawnOptions};
use crate::sleep::Sleep;
use crate::time::Timestamp;
use crate::workflow::Target;

/// The first argument of every task: what it can ask of its host.
///
/// What a task asks for (runs, events, schedules, chunks of its stream) takes effect together with
/// the state that it goes to sleep with, in one transaction, or with its output when it ends: all
/// of it once, or, when the attempt fails before that, none. Only effects on the outside world can
/// happen twice, and [`Self::checkpoint`] keeps the time small in which that can be.
///
/// It is a handle without contents: copy it wherever it is needed.
#[derive(Debug, Clone, Copy)]
pub struct Context(());

/// Waiting. Each of these gives a future; combine them with `join!` and `select!` at will. While
/// nothing but waits is left to do, the task is no process and no thread, only a row in the store.
impl Context {
    /// For the glue that starts tasks.
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// Sleeps for so long, counted from this call, and gives how long it was in the end.
    ///
    /// ```
    /// # use dormouse_sdk::prelude::*;
    /// # async fn demo(ctx: Context) {
    /// let slept = ctx.sleep(Duration::from_secs(3 * 86_400)).await;
    /// println!("{} seconds later", slept.as_secs());
    /// # }
    /// ```
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let now = host::now();
        Sleep::until(now, now + duration)
    }

    /// Sleeps until this time, not at all when it has passed, and gives how long it was.
    pub fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        Sleep::until(host::now(), deadline)
    }

    /// Waits until all that the task has done so far is durable. What comes before is not done
    /// again when the host crashes; call it after an effect on the outside world.
    pub async fn checkpoint(&self) {
        let now = host::now();
        Sleep::until(now, now).await;
    }

    /// Waits for the next event whose key matches and gives its payload.
    ///
    /// `*` in the pattern stands for one or more characters. See [`EventWait`] for a filter, a
    /// look-back window and the whole event.
    ///
    /// ```
    /// # use dormouse_sdk::prelude::*;
    /// # async fn demo(ctx: Context) -> Result<()> {
    /// let answer = select! {
    ///     answer = ctx.wait_for_event::<String>("user:answered").filter("input != ''") => Some(answer?),
    ///     _ = ctx.sleep(Duration::from_secs(86_400)) => None,
    /// };
    /// # drop(answer); Ok(()) }
    /// ```
    pub fn wait_for_event<T: DeserializeOwned>(&self, key_pattern: &str) -> EventWait<T> {
        EventWait::new(key_pattern)
    }
}

/// Starting runs and pushing events.
impl Context {
    /// Starts a child run. It begins when this step is committed, that is at the next wait or at
    /// the end of the task.
    ///
    /// ```
    /// # use dormouse_sdk::prelude::*;
    /// # async fn demo(ctx: Context, score: Named<u32, f64>) -> Result<()> {
    /// let children: Vec<_> = (0..10).map(|n| ctx.spawn(&score, &n)).collect::<Result<_, _>>()?;
    /// let scores = try_join_all(children.iter().map(Child::result)).await?;
    /// # drop(scores); Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the host knows no such workflow, or the input does not fit its schema.
    pub fn spawn<W: Target<Input: Serialize>>(
        &self,
        workflow: &W,
        input: &W::Input,
    ) -> Result<Child<W::Output>, CallError> {
        self.spawn_with(workflow, input, SpawnOptions::new())
    }

    /// As [`Self::spawn`], with options.
    ///
    /// # Errors
    ///
    /// As [`Self::spawn`], and when an option is out of its range.
    pub fn spawn_with<W: Target<Input: Serialize>>(
        &self,
        workflow: &W,
        input: &W::Input,
        options: SpawnOptions,
    ) -> Result<Child<W::Output>, CallError> {
        let id = host_calls::runs::spawn(&host_calls::runs::SpawnRequest {
            workflow: workflow.name().to_owned(),
            input: serde_json::to_string(input)?,
            metadata: options.common.metadata,
            priority: options.common.priority,
            detached: options.detached,
            idempotency_key: options.idempotency_key,
            idempotency_ttl: options.idempotency_ttl,
        })?;
        Ok(Child::new(RunId::new(id)))
    }

    /// Schedules one run of a workflow, in the version that is current by then. A time that has
    /// passed means at once.
    ///
    /// # Errors
    ///
    /// When the host knows no such workflow, or the input does not fit its schema.
    pub fn schedule<W: Target<Input: Serialize>>(
        &self,
        workflow: &W,
        at: Timestamp,
        input: &W::Input,
    ) -> Result<ScheduledId, CallError> {
        self.schedule_with(workflow, at, input, ScheduleOptions::new())
    }

    /// As [`Self::schedule`], with options.
    ///
    /// # Errors
    ///
    /// As [`Self::schedule`], and when an option is out of its range.
    pub fn schedule_with<W: Target<Input: Serialize>>(
        &self,
        workflow: &W,
        at: Timestamp,
        input: &W::Input,
        options: ScheduleOptions,
    ) -> Result<ScheduledId, CallError> {
        let id = host_calls::schedules::create(&host_calls::schedules::ScheduleRequest {
            workflow: workflow.name().to_owned(),
            trigger_at: at.as_millis(),
            input: serde_json::to_string(input)?,
            metadata: options.common.metadata,
            priority: options.common.priority,
        })?;
        Ok(ScheduledId::new(id))
    }

    /// Pushes an event when this step is committed.
    ///
    /// # Errors
    ///
    /// When the key is empty, too long or holds a `*`.
    pub fn push_event<T: Serialize + ?Sized>(&self, key: &str, payload: &T) -> Result<EventId, CallError> {
        self.push_event_with(key, payload, EventOptions::new())
    }

    /// As [`Self::push_event`], with options.
    ///
    /// # Errors
    ///
    /// As [`Self::push_event`], and when an option is out of its range.
    pub fn push_event_with<T: Serialize + ?Sized>(
        &self,
        key: &str,
        payload: &T,
        options: EventOptions,
    ) -> Result<EventId, CallError> {
        let id = host_calls::events::push(&host_calls::events::Event {
            key: key.to_owned(),
            payload: serde_json::to_string(payload)?,
            metadata: options.common.metadata,
            priority: options.common.priority,
        })?;
        Ok(EventId::new(id))
    }

    /// Appends a chunk to the stream of this run, which clients follow, when this step is
    /// committed. At most 64 KiB, and 1 MiB in one step.
    ///
    /// # Errors
    ///
    /// When it is too long.
    pub fn publish(&self, chunk: impl AsRef<str>) -> Result<(), CallError> {
        Ok(host_calls::stream::publish(chunk.as_ref())?)
    }
}

/// Asking about itself.
impl Context {
    /// The host's clock. An operator may set it back; to measure, use [`std::time::Instant`],
    /// which never goes back, not even across a sleep.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        host::now()
    }

    /// The run that this task is part of.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        RunId::new(host_calls::context::current().run_id)
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        host_calls::context::current().attempt
    }

    /// Metadata of the run. What it spawns, schedules and pushes inherits them.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, String> {
        host_calls::context::current().metadata.into_iter().collect()
    }

    /// What started the run.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        let trigger = host_calls::context::current().trigger;
        Trigger {
            kind: trigger.kind.into(),
            id: trigger.id,
            scheduled_at: trigger.scheduled_at.map(Timestamp::from_millis),
        }
    }

    /// Priority of the run: from 1 (the default) to 3 (first).
    #[must_use]
    pub fn priority(&self) -> u8 {
        host_calls::context::current().priority
    }

    /// The run that spawned this one.
    #[must_use]
    pub fn parent(&self) -> Option<RunId> {
        host_calls::context::current().parent.map(RunId::new)
    }

    /// When the run was accepted.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        Timestamp::from_millis(host_calls::context::current().created_at)
    }

    /// 64 random bits, fit for secrets.
    #[must_use]
    pub fn random_u64(&self) -> u64 {
        host_calls::random::random_u64()
    }

    /// A fresh UUID of version 7.
    #[must_use]
    pub fn uuid(&self) -> String {
        host_calls::random::uuid()
    }
}

/// What started a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trigger {
    /// What kind of thing.
    pub kind: TriggerKind,
    /// The cron, scheduled run, event, parent run or replayed run.
    pub id: Option<String>,
    /// The nominal time, of crons and scheduled runs: when it was due, however late it began.
    pub scheduled_at: Option<Timestamp>,
}

/// What kind of thing started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TriggerKind {
    /// A call over the API.
    Call,
    /// A cron.
    Cron,
    /// A scheduled run.
    Scheduled,
    /// An event.
    Event,
    /// Another run, which spawned it.
    Parent,
    /// It replays an earlier run.
    Replay,
}

impl From<host_calls::context::TriggerKind> for TriggerKind {
    fn from(kind: host_calls::context::TriggerKind) -> Self {
        use host_calls::context::TriggerKind as Kind;
        match kind {
            Kind::Call => Self::Call,
            Kind::Cron => Self::Cron,
            Kind::Scheduled => Self::Scheduled,
            Kind::Event => Self::Event,
            Kind::Parent => Self::Parent,
            Kind::Replay => Self::Replay,
        }
    }
}
