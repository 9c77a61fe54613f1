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
fn cancel_waiting_is_dropped() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("race", &json!({ "key": "go", "sleep_ms": 60_000 }));
    host.settle();
    let run = host.post(&format!("/runs/{id}/cancel"), &json!({})).expect(200);
    assert_eq!((&run["status"], &run["reason"]), (&json!("cancelled"), &json!("requested")));
    assert_eq!(run["tasks"][0]["waits"], json!([]));
    assert_eq!(push(&host, "go", json!(1))["settledWaits"], 0);
    assert_eq!(host.settle(), None);
}

/// What came of a tree of waits, and when.
fn came(host: &TestHost, id: &str) -> (Value, u64) {
    let run = host.run(id);
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(run["tasks"][0]["waits"], json!([]), "nothing is waited for any more");
    (run["output"]["what"].clone(), run["output"]["after_ms"].as_u64().unwrap())
}

#[test]
fn sleeps_events_and_child_results_are_combinable_with_the_languages_own_join_and_select() {
    let host = TestHost::with(&["dormouse-programs"]);
    // A join of selects of joins, whose first select is won by its join and whose second by its child.
    let tree = json!({ "join": [
        { "select": [
            { "join": [{ "event": "one" }, { "sleep": 3000 }] },
            { "join": [{ "event": "never" }, { "sleep": 1000 }] },
        ] },
        { "select": [
            { "then": [{ "sleep": 2000 }, { "child": 5000 }] },
            { "select": [{ "event": "never" }, { "sleep": 60_000 }] },
        ] },
        { "then": [{ "event": "one" }, { "event": "two" }] },
    ] });
    let id = host.start("wait-tree", &tree);
    host.settle();
    let open = ["event", "event", "event", "event", "until", "until", "until", "until"];
    assert_eq!(waits(&host, &id), open);

    assert_eq!(push(&host, "one", json!(1))["settledWaits"], 2);
    host.settle();
    assert_eq!(waits(&host, &id), ["event", "event", "event", "until", "until", "until", "until"]);
    host.advance(2 * SECOND);
    assert_eq!(waits(&host, &id), ["event", "event", "event", "run", "until", "until"]);
    // The losers of the first select go with the third second, those of the second with the seventh.
    host.advance(SECOND);
    assert_eq!(waits(&host, &id), ["event", "event", "run", "until"]);
    host.advance(4 * SECOND);
    assert_eq!(waits(&host, &id), ["event"]);
    host.advance(SECOND);
    assert_eq!(push(&host, "two", json!(2))["settledWaits"], 1);
    host.settle();
    assert_eq!(came(&host, &id), (json!([[1, "slept"], 42, 2]), 8000));
}

#[test]
fn any_nesting_of_waits_outlives_the_host() {
    let mut host = TestHost::with(&["dormouse-programs"]);
    let mut tree = json!({ "sleep": 60_000 });
    for depth in 0..8 {
        let other = [json!({ "event": "never" }), json!({ "child": 1000 })][depth % 2].clone();
        let way = ["select", "join"][depth % 2];
        tree = json!({ (way): [tree, other] });
    }
    let id = host.start("wait-tree", &tree);
    for _ in 0..3 {
        host.settle();
        assert_eq!(host.run(&id)["status"], "sleeping");
        host = host.restart_after(20 * SECOND);
    }
    host.settle();
    assert_eq!(came(&host, &id), (json!([[[["slept", 42], 42], 42], 42]), 60_000));
}

#[test]
fn each_wait_is_droppable_and_forgotten_by_the_host() {
    let host = TestHost::with(&["dormouse-programs"]);
    let far = host.now().after(90 * SECOND).as_millis();
    let losers = [
        json!({ "sleep": 90_000 }),
        json!({ "until": far }),
        json!({ "event": "go" }),
        json!({ "child": 5000 }),
    ];
    for loser in losers {
        let tree = json!({ "then": [{ "select": [loser, { "sleep": 1000 }] }, { "event": "end" }] });
        let id = host.start("wait-tree", &tree);
        host.settle();
        assert_eq!(waits(&host, &id).len(), 2);
        host.advance(SECOND);
        assert_eq!(waits(&host, &id), ["event"], "{loser} is forgotten");
        assert_eq!(push(&host, "go", json!(null))["settledWaits"], 0);
        // The child ends, and nobody is told of it.
        host.advance(5 * SECOND);
        assert_eq!(host.settle(), None, "no timer is left of {loser}");
        let steps = |id: &str| {
            let history = host.list(&format!("/runs/{id}/history"));
            history.iter().filter(|entry| entry["status"] == "running").count()
        };
        assert_eq!(steps(&id), 2, "{loser} woke nobody");
        push(&host, "end", json!("ended"));
        host.settle();
        assert_eq!(came(&host, &id), (json!("ended"), 6000));
    }
}

#[test]
fn deadlines_are_absolute_from_the_first_call() {
    let host = TestHost::with(&["dormouse-programs"]);
    // Each event is another step, in which the sleep is polled again.
    let events =
        json!({ "then": [{ "event": "tick" }, { "then": [{ "event": "tick" }, { "event": "tick" }] }] });
    let id = host.start("wait-tree", &json!({ "join": [{ "sleep": 60_000 }, events] }));
    host.settle();
    let deadline = host.now().after(60 * SECOND);
    let until = |host: &TestHost| {
        let run = host.run(&id);
        let waits = run["tasks"][0]["waits"].as_array().unwrap();
        waits.iter().find(|wait| wait["kind"] == "until").expect("it sleeps")["at"].clone()
    };
    for _ in 0..2 {
        assert_eq!(until(&host), deadline.to_string());
        host.advance(7 * SECOND);
        push(&host, "tick", json!("tick"));
        host.settle();
    }
    let host = host.restart_after(SECOND);
    host.settle();
    assert_eq!(until(&host), deadline.to_string());
    push(&host, "tick", json!("tock"));
    assert_eq!(host.settle(), Some(deadline));
    host.advance(45 * SECOND);
    assert_eq!(came(&host, &id), (json!(["slept", "tock"]), 60_000));
}

#[test]
fn a_sleep_until_a_time_that_has_passed_is_immediate_in_a_join_and_in_a_select() {
    let host = TestHost::with(&["dormouse-programs"]);
    let past = host.now().before(60 * SECOND).as_millis();
    let join = host.start("wait-tree", &json!({ "join": [{ "until": past }, { "until": 0 }] }));
    let select = host.start("wait-tree", &json!({ "select": [{ "until": past }, { "event": "never" }] }));
    host.settle();
    assert_eq!(came(&host, &join), (json!(["slept", "slept"]), 0));
    assert_eq!(came(&host, &select), (json!("slept"), 0));
}

#[test]
fn every_kind_of_wait_is_visible_in_the_run() {
    let host = TestHost::with(&["dormouse-programs"]);
    let at = host.now().after(60 * SECOND);
    let tree = json!({ "join": [{ "until": at.as_millis() }, { "event": "order:*" }, { "child": 1000 }] });
    let id = host.start("wait-tree", &tree);
    host.settle();
    let child = host.list(&format!("/runs?parent={id}"))[0]["id"].clone();
    let run = host.run(&id);
    let mut shown = run["tasks"][0]["waits"].as_array().unwrap().clone();
    shown.sort_by_key(|wait| wait["kind"].to_string());
    let ids = shown.iter_mut().map(|wait| wait.as_object_mut().unwrap().remove("id").unwrap());
    let ids: std::collections::BTreeSet<_> = ids.map(|id| id.as_u64().expect("a number")).collect();
    assert_eq!(ids.len(), 3, "each has an id of its own");
    assert_eq!(
        shown,
        [
            json!({ "kind": "event", "keyPattern": "order:*", "filter": null, "lookBackMs": null }),
            json!({ "kind": "run", "runId": child }),
            json!({ "kind": "until", "at": at.to_string() }),
        ]
    );
    // One wait after the other goes as it settles, and the run says so at any time.
    host.advance(SECOND);
    assert_eq!(waits(&host, &id), ["event", "until"]);
    push(&host, "order:7", json!(7));
    host.settle();
    assert_eq!(waits(&host, &id), ["until"]);
    host.advance(59 * SECOND);
    assert_eq!(came(&host, &id), (json!(["slept", 7, 42]), 60_000));
}
