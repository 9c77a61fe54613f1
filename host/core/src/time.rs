//! Points in time. Nothing here reads a clock: the caller says what time it is.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The end of the year 9999, the last time that RFC 3339 can write.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// A time from its milliseconds; later times than [`Self::MAX`] become it.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self(millis.min(Self::MAX.0))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// The time that lies this long after it, at most [`Self::MAX`]. Parts of a millisecond are
    /// rounded up: nothing happens too early.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self::from_millis(u64::try_from(millis).map_or(u64::MAX, |m| self.0.saturating_add(m)))
    }

    /// The time that lies this long before it, at least the epoch.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).map_or(0, |m| self.0.saturating_sub(m)))
    }

    /// How long after `earlier` it is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The same time for chrono.
    #[must_use]
    pub fn to_chrono(self) -> DateTime<Utc> {
        // Both bounds of the type lie within chrono's range.
        i64::try_from(self.0).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default()
    }

    /// The same time from chrono; times before the epoch become it.
    #[must_use]
    pub fn from_chrono(time: DateTime<Utc>) -> Self {
        Self::from_millis(u64::try_from(time.timestamp_millis()).unwrap_or(0))
    }
}

/// RFC 3339 in UTC with milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_chrono().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_700_000_000_007).to_string(), "2023-11-14T22:13:20.007Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn arithmetic_stays_in_range_and_is_never_early() {
        let at = Timestamp::from_millis;
        assert_eq!(at(5).after(Duration::from_micros(1)), at(6));
        assert_eq!(at(5).before(Duration::from_secs(1)), at(0));
        assert_eq!(Timestamp::MAX.after(Duration::MAX), Timestamp::MAX);
        assert_eq!(at(5).since(at(7)), Duration::ZERO);
    }
}
