//! What `/metrics` shows.

use std::time::Duration;

use dormouse_tests::TestHost;
use serde_json::json;

#[test]
fn metrics_show_runs_by_status_queue_steps_commits_timers_sleepers_and_snapshots() {
    let host = TestHost::with_one_slot(&["dormouse-programs"]);
    assert_eq!(host.call("echo", &json!(1))["status"], "completed");
    host.start("map-checksum", &json!({ "n": 10, "sleep_ms": 60_000 }));
    host.settle();
    for (name, expected) in [
        ("dormouse_runs{status=\"completed\"}", 1.0),
        ("dormouse_runs{status=\"sleeping\"}", 1.0),
        ("dormouse_runs{status=\"failed\"}", 0.0),
        ("dormouse_runs_ended_total{status=\"completed\"}", 1.0),
        ("dormouse_sleepers", 1.0),
        ("dormouse_queue_depth", 0.0),
        ("dormouse_queue_age_seconds", 0.0),
        ("dormouse_live_instances", 0.0),
        ("dormouse_step_seconds_count", 2.0),
        ("dormouse_snapshot_bytes_count", 1.0),
        ("dormouse_timer_lateness_seconds_count", 0.0),
    ] {
        assert_eq!(host.metric(name).to_string(), expected.to_string(), "{name}");
    }
    assert!(host.metric("dormouse_snapshot_bytes_sum") > 100.0);
    let commits = host.metric("dormouse_commit_seconds_count");
    assert!(commits >= 3.0 && host.metric("dormouse_batch_commands_sum") >= 3.0, "{commits}");

    host.advance(Duration::from_secs(60));
    assert_eq!(host.metric("dormouse_timer_lateness_seconds_count").to_string(), "1");
    assert_eq!(host.metric("dormouse_sleepers").to_string(), "0");
}

#[test]
fn metrics_show_the_depth_and_the_age_of_the_queue() {
    let host = TestHost::with_one_slot(&["dormouse-programs"]);
    host.patch("/workflows/echo", &json!({ "paused": true })).expect(200);
    host.start("echo", &json!(1));
    host.advance(Duration::from_secs(30));
    host.start("echo", &json!(2));
    host.advance(Duration::from_secs(10));
    assert_eq!(host.metric("dormouse_queue_depth").to_string(), "2");
    assert_eq!(host.metric("dormouse_queue_age_seconds").to_string(), "40");
    host.patch("/workflows/echo", &json!({ "paused": false })).expect(200);
    host.settle();
    assert_eq!(host.metric("dormouse_queue_depth").to_string(), "0");
}
