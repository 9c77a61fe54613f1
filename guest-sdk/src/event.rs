//! Waiting for events.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::bindings::exports::dormouse::workflow::guest as bindings;
use crate::error::DecodeError;
use crate::id::EventId;
use crate::time::Timestamp;
use crate::wait::Waiting;

/// An event as a wait received it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event<T> {
    /// Which one.
    pub id: EventId,
    /// What it is about, such as `order:paid`.
    pub key: String,
    /// What it carries.
    pub payload: T,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// When the host took it in.
    pub pushed_at: Timestamp,
}

/// Made by [`Context::wait_for_event`](crate::Context::wait_for_event). Gives the payload of the
/// next event that matches, or an error when that payload is no `T`.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` them"]
pub struct EventWait<T>(WholeEventWait<T>);

/// Made by [`EventWait::whole`]. Gives the next event that matches.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` them"]
pub struct WholeEventWait<T> {
    state: State,
    payload: PhantomData<fn() -> T>,
}

#[derive(Debug)]
enum State {
    Unpolled(bindings::EventWait),
    Waiting(Waiting),
}

impl<T> EventWait<T> {
    pub(crate) fn new(key_pattern: &str) -> Self {
        let wait = bindings::EventWait { key_pattern: key_pattern.to_owned(), filter: None, look_back: None };
        Self(WholeEventWait { state: State::Unpolled(wait), payload: PhantomData })
    }

    /// Takes only events for which this CEL expression over `input` (the payload), `metadata` and
    /// `key` is true.
    pub fn filter(self, expression: impl Into<String>) -> Self {
        self.with(|wait| wait.filter = Some(expression.into()))
    }

    /// Also takes the latest matching event that was pushed at most this long before the wait
    /// began. Without it an event that comes a moment too early is missed.
    pub fn look_back(self, window: Duration) -> Self {
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        self.with(|wait| wait.look_back = Some(millis))
    }

    /// Gives the whole event, with its key and metadata, instead of the payload alone.
    pub fn whole(self) -> WholeEventWait<T> {
        self.0
    }

    /// Changes the wait, unless it has begun.
    fn with(mut self, change: impl FnOnce(&mut bindings::EventWait)) -> Self {
        if let State::Unpolled(wait) = &mut self.0.state {
            change(wait);
        }
        self
    }
}

impl<T: DeserializeOwned> Future for EventWait<T> {
    type Output = Result<T, DecodeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_ok(|event| event.payload)
    }
}

impl<T: DeserializeOwned> Future for WholeEventWait<T> {
    type Output = Result<Event<T>, DecodeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Unpolled(wait) = &self.state {
            self.state = State::Waiting(Waiting::new(bindings::WaitCondition::Event(wait.clone())));
        }
        let State::Waiting(waiting) = &mut self.state else { return Poll::Pending };
        match Pin::new(waiting).poll(cx) {
            Poll::Ready(bindings::WaitOutcome::Event(event)) => Poll::Ready(decode(event)),
            // The host settles a wait for an event with an event.
            Poll::Ready(_) | Poll::Pending => Poll::Pending,
        }
    }
}

fn decode<T: DeserializeOwned>(event: bindings::ReceivedEvent) -> Result<Event<T>, DecodeError> {
    let payload =
        DecodeError::decode(&event.payload, || format!("the payload of the event `{}`", event.key))?;
    Ok(Event {
        id: EventId::new(event.id),
        key: event.key,
        payload,
        metadata: event.metadata.into_iter().collect(),
        pushed_at: Timestamp::from_millis(event.pushed_at),
    })
}
