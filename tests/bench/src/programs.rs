//! The workflows of the test programs that are measured: their names, inputs and outputs. When a
//! program changes, this is the only file to follow.

use serde_json::{Value, json};

/// The package of the programs.
pub(crate) const PACKAGE: &str = "dormouse-programs";

/// Returns its input and does nothing else.
pub(crate) const ECHO: &str = "echo";

/// Sleeps a number of times, for the same while each time.
pub(crate) const COUNTER: &str = "counter";

/// Sleeps once, until a given time, and says when it woke.
pub(crate) const SLEEP_UNTIL: &str = "sleep-until";

/// Fills a map, sleeps once with it, and returns a checksum of it.
pub(crate) const MAP_CHECKSUM: &str = "map-checksum";

/// An input of `echo`.
pub(crate) fn echo() -> Value {
    json!({"hello": "dormouse"})
}

/// An input of `counter`.
pub(crate) fn counter(sleeps: usize, sleep_ms: u64) -> Value {
    json!({"times": sleeps, "ms": sleep_ms})
}

/// An input of `sleep-until`: milliseconds since the Unix epoch.
pub(crate) fn sleep_until(at_ms: i64) -> Value {
    json!({ "at": at_ms })
}

/// The time that was given to `sleep-until`.
pub(crate) fn due(input: &Value) -> Option<i64> {
    input["at"].as_i64()
}

/// The time at which `sleep-until` was back, by the guest's own clock, of its output.
pub(crate) fn woke(output: &Value) -> Option<i64> {
    output["woke_at"].as_i64()
}

/// An input of `map-checksum`.
pub(crate) fn map_checksum(entries: usize, sleep_ms: u64) -> Value {
    json!({"n": entries, "sleep_ms": sleep_ms})
}
