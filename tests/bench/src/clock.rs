//! Wall time, in which deadlines are given and answered.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;

/// How far wall time and the monotonic clock may drift apart within a measurement: more than clocks
/// are slewed by, less than a suspended machine misses.
const DRIFT_MAX: Duration = Duration::from_secs(1);

/// Notices when the machine was suspended, or its clock set: whatever is due by the clock is late
/// then, through no fault of the host.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    began: Instant,
    began_ms: i64,
}

impl ClockWatch {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), began_ms: now_ms() }
    }

    /// Says by how much the clock has jumped, if it has.
    pub(crate) fn jump(&self) -> Option<String> {
        let monotonic_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        jump(now_ms() - self.began_ms - monotonic_ms)
    }
}

fn jump(drift_ms: i64) -> Option<String> {
    let drift = Duration::from_millis(drift_ms.unsigned_abs());
    (drift > DRIFT_MAX).then(|| {
        let seconds = drift_ms as f64 / 1e3;
        format!("the machine was suspended or its clock set, by {seconds:.1} s: lateness says nothing")
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_noticed_and_one_that_drifts_is_not() {
        assert_eq!((jump(0), jump(900), jump(-900)), (None, None, None));
        assert!(jump(47_000).unwrap().contains("by 47.0 s") && jump(-2_000).is_some());
        assert_eq!(ClockWatch::start().jump(), None);
    }
}
