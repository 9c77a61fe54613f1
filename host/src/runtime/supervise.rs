//! Watches a guest while it runs: kills it at its deadline and hands its log over in time.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

use super::logs::Logs;
use super::processors::Turn;

/// The guest used up its time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TimedOut;

/// Polls the guest to its end, at most for `time_left`, in which it does not stand in line for its turn. A
/// busy guest gives way every ten milliseconds, so neither its deadline nor its log wait for it. Timers are
/// made only when the guest does give way: most steps end before.
pub(super) async fn supervised<F: Future>(
    guest: F,
    logs: &Logs,
    turn: &Turn,
    started: Instant,
    time_left: Duration,
) -> Result<F::Output, TimedOut> {
    let mut guest = pin!(guest);
    let mut deadline = Alarm::default();
    let mut flush = Alarm::default();
    // A deadline that the clock cannot tell never comes.
    let ends_at = started.checked_add(time_left);
    poll_fn(|cx| {
        let polled = guest.as_mut().poll(cx);
        turn.rest();
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Ok(output));
        }
        // While it stands in line, the deadline moves on: it is looked at again when that comes.
        while let Some(at) = ends_at.and_then(|at| at.checked_add(turn.waited())) {
            if deadline.poll(at, cx).is_pending() {
                break;
            }
            if ends_at.and_then(|at| at.checked_add(turn.waited())) <= Some(Instant::now()) {
                return Poll::Ready(Err(TimedOut));
            }
        }
        while let Some(due) = logs.flush_due() {
            if flush.poll(due, cx).is_pending() {
                break;
            }
        }
        Poll::Pending
    })
    .await
}

/// A timer that exists from its first use on.
#[derive(Default)]
struct Alarm(Option<(Instant, Pin<Box<Sleep>>)>);

impl Alarm {
    fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let (set_to, sleep) = self.0.get_or_insert_with(|| (at, Box::pin(sleep_until(at.into()))));
        if *set_to != at {
            *set_to = at;
            sleep.as_mut().reset(at.into());
        }
        sleep.as_mut().poll(cx)
    }
}
