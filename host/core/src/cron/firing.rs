//! What to do when a cron is due: which nominal times fire, and what becomes of an earlier run
//! that has not finished.

use std::time::Duration;

use super::schedule::Schedule;
use crate::time::Timestamp;
use crate::workflow::{CatchUp, Overlap};

/// Most nominal times of one cron that fire in one go, so that others get their turn. What is left
/// is due at once: `Firing::next` has passed already.
pub const FIRINGS_MAX: usize = 64;

/// What a cron does now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firing {
    /// The nominal times that start a run now, in order, each at most now.
    pub fire: Vec<Timestamp>,
    /// The nominal time to wait for. `None` when the cron never fires again.
    pub next: Option<Timestamp>,
}

/// A nominal time is *late* beyond this, or beyond the interval to the one that follows it if that is shorter.
pub const LATE_AFTER: Duration = Duration::from_secs(60);

/// What a cron does at time `now` whose next nominal time is `next`.
///
/// Nominal times that are not late fire. On those that are `policy` decides, whatever the host did meanwhile: it
/// may have been down, suspended or busy, or its clock was wrong. No more than `most` fire, nor more than
/// [`FIRINGS_MAX`], and at least one if any does.
#[must_use]
pub fn due(schedule: &Schedule, policy: CatchUp, next: Timestamp, now: Timestamp, most: usize) -> Firing {
    if next > now {
        return Firing { fire: Vec::new(), next: Some(next) };
    }
    let on_time = first_on_time(schedule, next, now);
    let mut fire = Vec::new();
    let mut at = Some(next);
    if on_time != Some(next) {
        at = match policy {
            CatchUp::Skip => on_time,
            CatchUp::One => {
                fire.push(last_before(schedule, next, on_time.unwrap_or(now.after(TICK))));
                on_time
            }
            CatchUp::All { window } if next < now.before(window) => {
                schedule.next_from(now.before(window)).into_iter().chain(on_time).min()
            }
            CatchUp::All { .. } => Some(next),
        };
    }
    while let Some(nominal) = at
        && nominal <= now
        && fire.len() < most.clamp(1, FIRINGS_MAX)
    {
        fire.push(nominal);
        at = schedule.next_after(nominal);
    }
    Firing { fire, next: at }
}

/// How exact times are.
const TICK: Duration = Duration::from_millis(1);

/// The first nominal time from `next` on that is not late, be it one to come.
fn first_on_time(schedule: &Schedule, next: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let mut at = schedule.next_from(next.max(now.before(LATE_AFTER)))?;
    // There are at most as many as seconds in `LATE_AFTER`.
    while let Some(following) = schedule.next_after(at)
        && following < now
    {
        at = following;
    }
    Some(at)
}

/// The last nominal time before `end`, given one that is. Bisects, since there may be a year of
/// seconds between them.
fn last_before(schedule: &Schedule, known: Timestamp, end: Timestamp) -> Timestamp {
    let (mut last, mut end) = (known, end);
    let next_before = |from: Timestamp, end| schedule.next_after(from).filter(|&next| next < end);
    // No nominal time lies from `end` to the end that was given.
    while let Some(next) = next_before(last, end) {
        last = next;
        let middle = Timestamp::from_millis(last.as_millis().midpoint(end.as_millis()));
        match next_before(middle, end) {
            Some(later) => last = later,
            None => end = middle.after(TICK),
        }
    }
    last
}

/// What a due cron does about an earlier run of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlapAction {
    /// The new run starts.
    Start,
    /// The new time is left out.
    Skip,
    /// The new run waits until the earlier one has finished.
    Hold,
    /// The earlier run is cancelled, and the new one starts.
    CancelEarlierThenStart,
}

/// Decides between a nominal time of a cron and an earlier run of it.
#[must_use]
pub fn overlap(policy: Overlap, earlier_unfinished: bool) -> OverlapAction {
    match policy {
        _ if !earlier_unfinished => OverlapAction::Start,
        Overlap::Allow => OverlapAction::Start,
        Overlap::Skip => OverlapAction::Skip,
        Overlap::Queue => OverlapAction::Hold,
        Overlap::CancelRunning => OverlapAction::CancelEarlierThenStart,
    }
}

#[cfg(test)]
mod tests;
