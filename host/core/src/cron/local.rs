//! Between the clock on the wall and the time line, also where the clocks change.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use jiff::civil;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

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
pub(super) fn instants(zone: &TimeZone, local: NaiveDateTime) -> Option<Instants> {
    let civil = civil_of(local)?;
    let at = |offset| local.checked_sub_signed(span(offset)).map(|utc| utc.and_utc());
    Some(match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => Instants::One(at(offset)?),
        AmbiguousOffset::Fold { before, after } => Instants::Two(at(before)?, at(after)?),
        AmbiguousOffset::Gap { before, .. } => {
            // As if the clocks had not been changed: at the change, or after it.
            let after_change = at(before)? + TimeDelta::seconds(1);
            let change = zone.preceding(timestamp(after_change)).next()?;
            let end = DateTime::from_timestamp(change.timestamp().as_second(), 0)?;
            Instants::Gap(end, local_of(zone, end))
        }
    })
}

/// The local time of an instant.
pub(super) fn local_of(zone: &TimeZone, at: DateTime<Utc>) -> NaiveDateTime {
    at.naive_utc() + span(zone.to_offset(timestamp(at)))
}

/// Where the local times begin that come again, when the given instant lies among them and its
/// own local time will still come again.
pub(super) fn repeated_from(zone: &TimeZone, at: DateTime<Utc>) -> Option<NaiveDateTime> {
    let Some(Instants::Two(first, _)) = instants(zone, local_of(zone, at)) else { return None };
    if first != at {
        return None;
    }
    // The clocks are put back between the two, once.
    let change = zone.following(timestamp(first)).next()?;
    Some(local_of(zone, DateTime::from_timestamp(change.timestamp().as_second(), 0)?))
}

/// Its whole seconds, or the nearest instant that there is.
fn timestamp(at: DateTime<Utc>) -> jiff::Timestamp {
    let (first, last) = (jiff::Timestamp::MIN, jiff::Timestamp::MAX);
    let second = at.timestamp().clamp(first.as_second(), last.as_second());
    jiff::Timestamp::from_second(second).unwrap_or(last)
}

fn span(offset: Offset) -> TimeDelta {
    TimeDelta::seconds(offset.seconds().into())
}

fn civil_of(local: NaiveDateTime) -> Option<civil::DateTime> {
    let [month, day] = [local.month(), local.day()].map(|number| number as i8);
    let [hour, minute, second] = [local.hour(), local.minute(), local.second()].map(|number| number as i8);
    civil::DateTime::new(i16::try_from(local.year()).ok()?, month, day, hour, minute, second, 0).ok()
}
