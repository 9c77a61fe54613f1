//! The workflows of the test programs that are measured: their names, inputs and outputs. When a
//! program changes, this is the only file to follow.

use serde_json::{Value, json};

use crate::clock::parse_ms;

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

/// Waits for one event and gives it back.
pub(crate) const EVENT_WAITER: &str = "event-waiter";

/// Spawns children, joins them and adds up what they give.
pub(crate) const PARENT: &str = "parent";

/// Does what its input says, a list of things to do.
pub(crate) const SCRIPT: &str = "script";

/// Computes without end, and dies at its execution timeout of half a second.
pub(crate) const ENDLESS_LOOP: &str = "endless-loop";

/// Logs without end.
pub(crate) const LOG_FLOOD: &str = "log-flood";

/// Says what it knows of its run.
pub(crate) const ABOUT: &str = "about";

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

/// An input of `event-waiter`.
pub(crate) fn event_waiter(pattern: &str, filter: &str) -> Value {
    json!({"pattern": pattern, "filter": filter})
}

/// The filter that was given to `event-waiter`.
pub(crate) fn filter(input: &Value) -> Option<&str> {
    input["filter"].as_str()
}

/// The payload of the event that `event-waiter` received, of its output.
pub(crate) fn payload(output: &Value) -> &Value {
    &output["payload"]
}

/// An input of `parent`.
pub(crate) fn parent(children: usize) -> Value {
    json!({ "children": children })
}

/// What `parent` gives.
pub(crate) fn sum_of_children(children: usize) -> usize {
    (0..children).map(|number| number * 2).sum()
}

/// When a run of `about` was due and when it began by the guest's own clock, in milliseconds since
/// the Unix epoch, of its output.
pub(crate) fn due_and_begun(output: &Value) -> Option<(i64, i64)> {
    let millis = |name: &str| parse_ms(output[name].as_str()?).ok();
    Some((millis("scheduled_at")?, millis("now")?))
}
