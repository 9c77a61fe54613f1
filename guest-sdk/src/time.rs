//! Points in time as the host counts them, written as in its API.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time in milliseconds since 1970-01-01T00:00:00Z.
///
/// In text and JSON it is RFC 3339 in UTC with milliseconds, as in the host's API:
/// `2026-02-03T04:05:06.789Z`. It reads any offset and any fraction of a second, of which it
/// keeps the milliseconds.
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

    /// A time that is no later than [`Self::MAX`], for constants.
    #[cfg(all(feature = "testing", not(target_family = "wasm")))]
    pub(crate) const fn from_valid_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` it is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// At most [`Timestamp::MAX`]. Parts of a millisecond are rounded up: nothing happens too early.
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        // Not by way of `as_nanos`: dividing 128 bits takes a kilobyte of code.
        let part = u64::from(duration.subsec_nanos().div_ceil(1_000_000));
        let millis = duration.as_secs().saturating_mul(1_000).saturating_add(part);
        Self::from_millis(self.0.saturating_add(millis))
    }
}

/// At least the epoch.
impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// As [`Timestamp::since`].
impl Sub for Timestamp {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

const DAY_SECONDS: i64 = 86_400;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (day, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, date) = civil(day);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no time from 1970 to 9999 in RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time from 1970 to 9999 such as 2026-02-03T04:05:06Z")]
pub struct InvalidTimestamp {
    text: String,
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        parse(text).ok_or_else(|| InvalidTimestamp { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let bytes = date_time.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if marks.iter().any(|&(i, mark)| bytes[i] != mark) || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let [year, month, date] = [number(&bytes[..4])?, number(&bytes[5..7])?, number(&bytes[8..10])?];
    let [hour, minute] = [number(&bytes[11..13])?, number(&bytes[14..16])?];
    // A leap second is read as the second before it.
    let second = number(&bytes[17..19]).filter(|&s| s <= 60)?.min(59);
    if !(1..=12).contains(&month) || date < 1 || date > month_days(year, month) || hour > 23 || minute > 59 {
        return None;
    }
    let (millis, offset) = fraction(rest)?;
    let local = days(year, month, date) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
    let utc = (local - offset_seconds(offset)?) * 1000 + millis;
    u64::try_from(utc).ok().filter(|&millis| millis <= Timestamp::MAX.0).map(Timestamp)
}

/// Milliseconds of a fraction such as `.25`, if there is one, and what comes after it.
fn fraction(rest: &str) -> Option<(i64, &str)> {
    let Some(digits) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let len = digits.bytes().take_while(u8::is_ascii_digit).count();
    let mut millis = [b'0'; 3];
    let kept = len.min(3);
    millis[..kept].copy_from_slice(&digits.as_bytes()[..kept]);
    (len > 0).then_some((number(&millis)?, &digits[len..]))
}

fn offset_seconds(offset: &str) -> Option<i64> {
    let sign = match offset.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(&offset.as_bytes()[1..3])?, number(&offset.as_bytes()[4..6])?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |n, digit| digit.is_ascii_digit().then(|| n * 10 + i64::from(digit - b'0')))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date. The year begins in March here, so that the leap day is its
/// last; 719468 days lie between 0000-03-01 and 1970-01-01.
fn days(year: i64, month: i64, date: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + date - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// The inverse of [`days`], by way of the 146097 days that 400 years have.
fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, date)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_api_writes_them_and_read_back() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000_007, "2023-11-14T22:13:20.007Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (Timestamp::MAX.0, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp(millis).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(millis)), "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_reads_back() {
        for day in 0..146_097 {
            let time = Timestamp(day * 86_400_000);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn offsets_and_fractions_are_understood() {
        for text in [
            "2026-02-03T04:05:06.78Z",
            "2026-02-03T05:05:06.780999999+01:00",
            "2026-02-02 22:35:06.780-05:30",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), "2026-02-03T04:05:06.780Z", "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2026-02-03",
            "2026-02-03T04:05:06",
            "2026-02-30T04:05:06Z",
            "2026-13-03T04:05:06Z",
            "2026-02-03T24:05:06Z",
            "2026-02-03T04:05:06.Z",
            "2026-02-03T04:05:06+1:00",
            "1969-12-31T23:59:59Z",
            "2026-02-03T04:05:0éZ",
            "+026-02-03T04:05:06Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic_stays_in_range_and_is_never_early() {
        assert_eq!(Timestamp(5) + Duration::from_micros(1), Timestamp(6));
        assert_eq!(Timestamp(5) - Duration::from_secs(1), Timestamp(0));
        assert_eq!(Timestamp(5) - Timestamp(7), Duration::ZERO);
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
    }
}
