//! How keys are written down: parts one after the other, each so that bytes sort as values do.
//! Numbers are big endian, names end in a zero byte, free texts follow their length.

use dormouse_core::id::{
    BaseDigest, CronId, CronName, EventId, ModuleDigest, RunId, ScheduledId, TaskIndex, Version, WaitId,
    WorkflowName,
};
use dormouse_core::run::{Status, TaskTimer};
use dormouse_core::time::Timestamp;

use super::error::DecodeError;
use super::rows::{Due, IdempotencyScope, ScheduledStatus, Timer, TimerLine};

/// Who names belong to. Wherever names meet, keys begin with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Namespace(u32);

/// The only namespace there is yet: `default`.
pub(super) const NAMESPACE: Namespace = Namespace(0);

/// Something that can stand in a key: a part, or parts in a tuple.
pub(super) trait KeyPart {
    /// The same without borrowing; what a table declares as its key.
    type Owned;

    fn put(&self, out: &mut Vec<u8>);
}

/// What a table declares as its key: it reads back.
pub(super) trait Key: KeyPart<Owned = Self> + Sized {
    /// Takes the part off the front of the input.
    fn take(input: &mut &[u8]) -> Result<Self, DecodeError>;
}

/// The bytes of a key, or of its first parts.
pub(super) fn encode(key: &(impl KeyPart + ?Sized)) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    key.put(&mut out);
    out
}

/// The key of these bytes, all of them.
pub(super) fn decode<K: Key>(mut bytes: &[u8]) -> Result<K, DecodeError> {
    let key = K::take(&mut bytes)?;
    if bytes.is_empty() { Ok(key) } else { Err(DecodeError::Trailing { count: bytes.len() }) }
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (head, tail) = input.split_first_chunk().ok_or(DecodeError::Truncated)?;
    *input = tail;
    Ok(*head)
}

impl<T: KeyPart + ?Sized> KeyPart for &T {
    type Owned = T::Owned;

    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }
}

macro_rules! fixed_width {
    ($($type:ty: $size:literal, $to:expr, $from:expr;)*) => {
        $(
            impl KeyPart for $type {
                type Owned = Self;

                fn put(&self, out: &mut Vec<u8>) {
                    let to: fn(Self) -> [u8; $size] = $to;
                    out.extend_from_slice(&to(*self));
                }
            }

            impl Key for $type {
                fn take(input: &mut &[u8]) -> Result<Self, DecodeError> {
                    let from: fn([u8; $size]) -> Result<Self, DecodeError> = $from;
                    from(take_array(input)?)
                }
            }
        )*
    };
}

fixed_width! {
    RunId: 16, Self::to_bytes, |b| Ok(Self::from_bytes(b));
    EventId: 16, Self::to_bytes, |b| Ok(Self::from_bytes(b));
    CronId: 16, Self::to_bytes, |b| Ok(Self::from_bytes(b));
    ScheduledId: 16, Self::to_bytes, |b| Ok(Self::from_bytes(b));
    BaseDigest: 32, Self::to_bytes, |b| Ok(Self::from_bytes(b));
    ModuleDigest: 32, Self::to_bytes, |b| Ok(Self::from_bytes(b));
    Namespace: 4, |n| n.0.to_be_bytes(), |b| Ok(Self(u32::from_be_bytes(b)));
    TaskIndex: 1, |t| [t.0], |[b]| Ok(Self(b));
    WaitId: 8, |w| w.0.to_be_bytes(), |b| Ok(Self(u64::from_be_bytes(b)));
    Version: 4, |v| v.0.to_be_bytes(), |b| Ok(Self(u32::from_be_bytes(b)));
    u8: 1, |n| [n], |[b]| Ok(b);
    u64: 8, Self::to_be_bytes, |b| Ok(Self::from_be_bytes(b));
    Timestamp: 8, |t| t.as_millis().to_be_bytes(), |b| Ok(Self::from_millis(u64::from_be_bytes(b)));
    Status: 1, |s| [s as u8], |[b]| Self::ALL.get(usize::from(b)).copied()
        .ok_or(DecodeError::Invalid { what: "status of a run" });
    ScheduledStatus: 1, |s| [s as u8], |[b]| SCHEDULED_STATUSES.get(usize::from(b)).copied()
        .ok_or(DecodeError::Invalid { what: "status of a scheduled run" });
    TimerLine: 1, |l| [l as u8], |[b]| TimerLine::ALL.get(usize::from(b)).copied()
        .ok_or(DecodeError::Invalid { what: "kind of timer" });
    TaskTimer: 1, |t| [t as u8], |[b]| TASK_TIMERS.get(usize::from(b)).copied()
        .ok_or(DecodeError::Invalid { what: "timer of a task" });
}

/// All of them, in the order of their codes.
pub(super) const SCHEDULED_STATUSES: [ScheduledStatus; 3] =
    [ScheduledStatus::Pending, ScheduledStatus::Fired, ScheduledStatus::Cancelled];

/// All of them, in the order of their codes.
pub(super) const TASK_TIMERS: [TaskTimer; 2] = [TaskTimer::Retry, TaskTimer::ScheduleTimeout];

macro_rules! names {
    ($($type:ty, $what:literal;)*) => {
        $(
            impl KeyPart for $type {
                type Owned = Self;

                fn put(&self, out: &mut Vec<u8>) {
                    out.extend_from_slice(self.as_str().as_bytes());
                    out.push(0);
                }
            }

            impl Key for $type {
                fn take(input: &mut &[u8]) -> Result<Self, DecodeError> {
                    let end = input.iter().position(|&b| b == 0).ok_or(DecodeError::Truncated)?;
                    let (name, rest) = input.split_at(end);
                    *input = &rest[1..];
                    let name = str::from_utf8(name).ok().and_then(|name| name.parse().ok());
                    name.ok_or(DecodeError::Invalid { what: $what })
                }
            }
        )*
    };
}

names! {
    WorkflowName, "name of a workflow";
    CronName, "name of a cron";
}

impl KeyPart for str {
    type Owned = String;

    fn put(&self, out: &mut Vec<u8>) {
        // The database refuses keys of 3 GiB and more, so the length always fits.
        let length = u32::try_from(self.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(self.as_bytes());
    }
}

impl KeyPart for String {
    type Owned = Self;

    fn put(&self, out: &mut Vec<u8>) {
        self.as_str().put(out);
    }
}

impl Key for String {
    fn take(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let length = u32::from_be_bytes(take_array(input)?);
        let length = usize::try_from(length).map_err(|_| DecodeError::Truncated)?;
        let (text, rest) = input.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        *input = rest;
        str::from_utf8(text).map(str::to_owned).map_err(|_| DecodeError::Invalid { what: "text" })
    }
}

impl KeyPart for Due {
    type Owned = Self;

    fn put(&self, out: &mut Vec<u8>) {
        let Self { at, timer } = self;
        match timer {
            Timer::Wait { run, task, wait } => (TimerLine::Waits, at, run, task, wait).put(out),
            Timer::Task { run, task, timer } => (TimerLine::Tasks, at, run, task, timer).put(out),
            Timer::Cron(id) => (TimerLine::Crons, at, id).put(out),
            Timer::Scheduled(id) => (TimerLine::Scheduled, at, id).put(out),
            Timer::Event { run, task, wait } => (TimerLine::Events, at, run, task, wait).put(out),
        }
    }
}

impl Key for Due {
    fn take(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let (line, at) = Key::take(input)?;
        let timer = match line {
            TimerLine::Waits => Key::take(input).map(|(run, task, wait)| Timer::Wait { run, task, wait }),
            TimerLine::Tasks => Key::take(input).map(|(run, task, timer)| Timer::Task { run, task, timer }),
            TimerLine::Crons => Key::take(input).map(Timer::Cron),
            TimerLine::Scheduled => Key::take(input).map(Timer::Scheduled),
            TimerLine::Events => Key::take(input).map(|(run, task, wait)| Timer::Event { run, task, wait }),
        };
        Ok(Self { at, timer: timer? })
    }
}

/// The scope of an idempotency key as a text; no workflow has the empty name.
pub(super) fn scope(scope: IdempotencyScope<'_>) -> &str {
    match scope {
        IdempotencyScope::Runs(workflow) => workflow.as_str(),
        IdempotencyScope::Events => "",
    }
}

macro_rules! tuples {
    ($($($part:ident)+;)*) => {
        $(
            impl<$($part: KeyPart),+> KeyPart for ($($part,)+) {
                type Owned = ($($part::Owned,)+);

                fn put(&self, out: &mut Vec<u8>) {
                    #[expect(non_snake_case, reason = "each part is named after its type")]
                    let ($($part,)+) = self;
                    $($part.put(out);)+
                }
            }

            impl<$($part: Key),+> Key for ($($part,)+) {
                fn take(input: &mut &[u8]) -> Result<Self, DecodeError> {
                    Ok(($($part::take(input)?,)+))
                }
            }
        )*
    };
}

tuples! {
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
}
