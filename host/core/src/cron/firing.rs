//! What to do when a cron is due: which nominal times fire, and what becomes of an earlier run
//! that has not finished.

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

/// What a cron does at time `now` whose next nominal time is `next`.
///
/// Nominal times since `up_since`, when the host started, are at worst late, and fire. Those before
/// it were missed while the host was down, and `policy` decides on them. No more than `most` fire, nor
/// more than [`FIRINGS_MAX`], and at least one if any does.
#[must_use]
pub fn due(
    schedule: &Schedule,
    policy: CatchUp,
    next: Timestamp,
    now: Timestamp,
    up_since: Timestamp,
    most: usize,
) -> Firing {
    if next > now {
        return Firing { fire: Vec::new(), next: Some(next) };
    }
    // A clock that was set back may show a time before the host started.
    let up_since = up_since.min(now);
    let mut fire = Vec::new();
    let mut at = Some(next);
    if next < up_since {
        at = match policy {
            CatchUp::Skip => schedule.next_from(up_since),
            CatchUp::One => {
                fire.push(last_before(schedule, next, up_since));
                schedule.next_from(up_since)
            }
            CatchUp::All { window } => {
                let oldest = now.before(window).min(up_since);
                if next < oldest { schedule.next_from(oldest) } else { Some(next) }
            }
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
            None => end = middle.after(std::time::Duration::from_millis(1)),
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
