//! Wall time, in which deadlines are given and answered.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

/// Milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "nothing here runs on virtual time; deadlines are real")]
pub(crate) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// A time of the API in milliseconds since the Unix epoch.
pub(crate) fn parse_ms(time: &str) -> anyhow::Result<i64> {
    let time = chrono::DateTime::parse_from_rfc3339(time).with_context(|| format!("`{time}` is no time"))?;
    Ok(time.timestamp_millis())
}
