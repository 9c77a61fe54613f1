//! Sleeping: for a while, until a time, or for no longer than it takes to store the task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::bindings::exports::dormouse::workflow::guest::WaitCondition;
use crate::host;
use crate::time::Timestamp;
use crate::wait::Waiting;

/// Made by [`Context::sleep`](crate::Context::sleep) and its siblings. Gives how long it slept,
/// by the clock of the host: at least what was asked for, and more when the host was down or busy.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` them"]
pub struct Sleep {
    began: Timestamp,
    waiting: Waiting,
}

impl Sleep {
    pub(crate) fn until(began: Timestamp, deadline: Timestamp) -> Self {
        Self { began, waiting: Waiting::new(WaitCondition::Until(deadline.as_millis())) }
    }
}

impl Future for Sleep {
    type Output = Duration;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Duration> {
        Pin::new(&mut self.waiting).poll(cx).map(|_| host::now() - self.began)
    }
}
