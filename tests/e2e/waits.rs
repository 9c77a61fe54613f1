//! Waits and their combinations, and what of them can be seen.

use std::time::Duration;

use dormouse_tests::{TestHost, column};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn waits(host: &TestHost, id: &str) -> Vec<String> {
    let run = host.run(id);
    let mut kinds = column(run["tasks"][0]["waits"].as_array().expect("a list"), "/kind");
    kinds.sort();
    kinds
}

fn push(host: &TestHost, key: &str, payload: Value) -> Value {
    host.post("/events", &json!({ "key": key, "payload": payload })).expect(201)
}

#[test]
fn a_wait_can_be_looked_at() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("race", &json!({ "key": "go:*", "sleep_ms": 60_000 }));
    host.settle();

    let run = host.run(&id);
    assert_eq!((&run["status"], &run["tasks"][0]["status"]), (&json!("sleeping"), &json!("sleeping")));
    let mut waits = run["tasks"][0]["waits"].as_array().unwrap().clone();
    waits.iter_mut().for_each(|wait| drop(wait.as_object_mut().unwrap().remove("id")));
    waits.sort_by_key(|wait| wait["kind"].to_string());
    let event = json!({ "kind": "event", "keyPattern": "go:*", "filter": null, "lookBackMs": null });
    let until = json!({ "kind": "until", "at": host.now().after(60 * SECOND).to_string() });
    assert_eq!(waits, [event, until]);
}

#[test]
fn an_event_can_win_against_a_sleep_which_is_forgotten() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("race", &json!({ "key": "go", "sleep_ms": 60_000, "linger_ms": 10_000 }));
    host.settle();
    assert_eq!(waits(&host, &id), ["event", "until"]);

    push(&host, "go", json!({ "by": "ann" }));
    let next = host.settle();
    assert_eq!(waits(&host, &id), ["until"]);
    assert_eq!(next, Some(host.now().after(10 * SECOND)), "nobody waits for the loser any more");

    let run = host.to_end(&id);
    assert_eq!(run["output"], json!({ "event": { "by": "ann" } }));
    assert_eq!(run["tasks"][0]["waits"], json!([]));
    assert_eq!(host.settle(), None);
}

#[test]
fn a_sleep_can_win_against_an_event_which_is_forgotten() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("race", &json!({ "key": "go", "sleep_ms": 60_000, "linger_ms": 10_000 }));
    host.advance(60 * SECOND);
    assert_eq!(waits(&host, &id), ["until"]);
    assert_eq!(push(&host, "go", json!(1))["settledWaits"], 0);
    assert_eq!(host.to_end(&id)["output"], json!({ "event": null }));
}

#[test]
fn of_two_waits_that_settle_while_the_host_is_down_both_are_told() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("joiner", &json!({ "sleep_ms": 60_000, "key": "go" }));
    host.settle();
    let host = host.restart_after(120 * SECOND);
    push(&host, "go", json!(1));
    let run = host.to_end(&id);
    assert_eq!(run["output"], json!({ "slept_ms": 120_000, "event": 1, "child": "child" }));
}

#[test]
fn a_join_ends_with_the_last_of_a_sleep_an_event_and_a_child() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("joiner", &json!({ "sleep_ms": 60_000, "key": "go" }));
    host.settle();
    assert_eq!(waits(&host, &id), ["event", "until"], "the child has ended");
    host.advance(60 * SECOND);
    assert_eq!(waits(&host, &id), ["event"]);
    push(&host, "go", json!("now"));
    host.settle();

    let run = host.run(&id);
    assert_eq!(run["output"], json!({ "slept_ms": 60_000, "event": "now", "child": "child" }));
}

#[test]
fn a_wait_for_what_can_be_no_run_fails_the_task() {
    let host = TestHost::with(&["dormouse-programs"]);
    let run = host.call("nonsense", &json!("unknown-run"));
    assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!("invalid_result")));
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("wait 1"), "{message}");
}

#[test]
fn cancelling_a_run_drops_what_it_waits_for() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("race", &json!({ "key": "go", "sleep_ms": 60_000 }));
    host.settle();
    let run = host.post(&format!("/runs/{id}/cancel"), &json!({})).expect(200);
    assert_eq!((&run["status"], &run["reason"]), (&json!("cancelled"), &json!("requested")));
    assert_eq!(run["tasks"][0]["waits"], json!([]));
    assert_eq!(push(&host, "go", json!(1))["settledWaits"], 0);
    assert_eq!(host.settle(), None);
}
