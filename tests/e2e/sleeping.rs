//! Durable sleep.

use std::time::Duration;

use dormouse_tests::TestHost;
use serde_json::json;

#[test]
fn a_task_that_sleeps_for_three_days_wakes_where_it_stopped() {
    let host = TestHost::with(&["durable-sleep"]);
    let id = host.start("durable-sleep", &json!({ "seconds": 3 * 86_400 }));

    host.settle();
    assert_eq!(host.run(&id)["status"], "sleeping");
    host.advance(Duration::from_secs(3 * 86_400 - 1));
    assert_eq!(host.run(&id)["status"], "sleeping");
    host.advance(Duration::from_secs(1));

    let run = host.run(&id);
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(run["output"]["slept_ms"], 3 * 86_400_000);
    assert_eq!(host.logs(&id), ["good night", "good morning"]);
}
