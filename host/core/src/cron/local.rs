//! Between the clock on the wall and the time line, also where the clocks change.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

/// What a local time is on the time line.
pub(super) enum Instants {
    /// One instant.
    One(DateTime<Utc>),
    /// Two: the clocks were put back, and the local time came again.
    Two(DateTime<Utc>, DateTime<Utc>),
    /// None: the clocks were put forward over it. Where they went on, and the first local time
    /// there.
    Gap(DateTime<Utc>, NaiveDateTime),
}

/// The instants of a local time; `None` beyond the range of the calendar.
pub(super) fn instants(zone: Tz, local: NaiveDateTime) -> Option<Instants> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) => Some(Instants::One(at.to_utc())),
        LocalResult::Ambiguous(first, second) => Some(Instants::Two(first.to_utc(), second.to_utc())),
        LocalResult::None => {
            let end = GapInfo::new(&local, &zone)?.end?;
            Some(Instants::Gap(end.to_utc(), end.naive_local()))
        }
    }
}

/// The local time of an instant.
pub(super) fn local_of(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    at.with_timezone(&zone).naive_local()
}

/// Where the local times begin that come again, when the given instant lies among them and its
/// own local time will still come again.
pub(super) fn repeated_from(zone: Tz, at: DateTime<Utc>) -> Option<NaiveDateTime> {
    let Some(Instants::Two(first, second)) = instants(zone, local_of(zone, at)) else { return None };
    if first != at {
        return None;
    }
    // The clocks are put back between the two, once: bisect for the second at which they are.
    let offset_at = |at: DateTime<Utc>| local_of(zone, at).signed_duration_since(at.naive_utc());
    let (mut before, mut after) = (first, second);
    while after - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        if offset_at(middle) == offset_at(first) { before = middle } else { after = middle }
    }
    Some(local_of(zone, after))
}
