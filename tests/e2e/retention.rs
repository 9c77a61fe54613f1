//! What has ended goes after a time.

use std::time::Duration;

use dormouse_tests::TestHost;
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(86_400);

fn is_there(host: &TestHost, path: &str) -> bool {
    match host.get(path).status {
        200 => true,
        404 => false,
        status => panic!("{path} was answered with {status}"),
    }
}

/// Every test host checks its store when it ends: what goes, goes completely.
#[test]
fn finished_runs_events_logs_and_fired_schedules_go_after_30_days() {
    let host = TestHost::with(&["dormouse-programs"]);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let body = json!({ "input": { "children": 2, "sleep_ms": 1000 }, "idempotencyKey": "k" });
    let parent = host.start_with("parent", &body);
    let event = host.post("/events", &json!({ "key": "triggered:plain", "idempotencyKey": "e" })).expect(201);
    let (event, started) = (text(&event["event"]["id"]), text(&event["runs"][0]["id"]));
    let at = |days: u32| host.now().after(days * DAY).to_string();
    let schedule = |days: u32| {
        let body = json!({ "triggerAt": at(days), "input": 1 });
        text(&host.post("/workflows/echo/scheduled", &body).expect(201)["id"])
    };
    let (fired, cancelled, pending) = (schedule(2), schedule(2), schedule(90));
    host.delete(&format!("/scheduled/{cancelled}")).expect(204);
    let failed = host.start("fails", &json!({ "attempts": 9, "fatal": true }));
    let sleeper = host.start("map-checksum", &json!({ "n": 10, "sleep_ms": 86_400_000_u64 * 40 }));
    let of_ended = [
        format!("/runs/{parent}"),
        format!("/runs/{started}"),
        format!("/runs/{failed}"),
        format!("/events/{event}"),
    ];
    // It ended when it was cancelled, not when it was due.
    let of_ended = [&of_ended[..], &[format!("/scheduled/{cancelled}")]].concat();
    let later = [format!("/scheduled/{fired}")];
    let kept = [format!("/scheduled/{pending}"), format!("/runs/{sleeper}")];

    host.advance(29 * DAY);
    for path in of_ended.iter().chain(&later).chain(&kept) {
        assert!(is_there(&host, path), "{path} went too early");
    }
    host.advance(2 * DAY);
    for path in &of_ended {
        assert!(!is_there(&host, path), "{path} is still there");
    }
    for path in later.iter().chain(&kept) {
        assert!(is_there(&host, path), "{path} went too early");
    }
    assert_eq!(host.get(&format!("/runs/{parent}/logs")).status, 404);
    assert_eq!(host.list(&format!("/runs?parent={parent}")), [] as [Value; 0], "children have ended as well");
    let host = host.restart_after(2 * DAY);
    host.settle();
    for path in &later {
        assert!(!is_there(&host, path), "{path} is still there");
    }
    assert!(kept.iter().all(|path| is_there(&host, path)));

    host.advance(8 * DAY);
    assert_eq!(host.run(&sleeper)["status"], "completed", "it outlived what was made with it");
    host.advance(31 * DAY);
    assert!(!is_there(&host, &kept[1]));
}

/// A task may ask for the result of a child long after that has ended.
#[test]
fn a_child_stays_for_as_long_as_its_parent_goes_on() {
    let host = TestHost::with(&["dormouse-programs"]);
    let days = |days: u64| days * 86_400_000;
    let parent = host.start("wait-tree", &json!({ "meanwhile": [1000, { "sleep": days(40) }] }));
    host.advance(39 * DAY);
    assert_eq!(host.list(&format!("/runs?parent={parent}"))[0]["status"], "completed");
    host.advance(DAY);
    assert_eq!(host.run(&parent)["output"], json!({ "what": 42, "after_ms": days(40) }));
    host.advance(32 * DAY);
    assert!(host.list("/runs").is_empty(), "both have gone");
}

/// The task was woken and could not go on: it has not been told of the event.
#[test]
fn an_event_stays_until_those_whose_waits_it_settled_were_told() {
    let host = TestHost::with(&["dormouse-programs"]);
    let waiter = json!({ "pattern": "go", "filter": null, "look_back_ms": null });
    let waiter = host.start("event-waiter", &waiter);
    host.settle();
    let pause = |paused: bool| {
        host.patch("/workflows/event-waiter", &json!({ "paused": paused })).expect(200);
    };
    pause(true);
    for key in ["go", "nobody:waits"] {
        host.post("/events", &json!({ "key": key, "payload": 7 })).expect(201);
    }
    host.advance(40 * DAY);
    assert_eq!(host.list("/events").len(), 1);
    pause(false);
    host.settle();
    assert_eq!(host.run(&waiter)["output"]["payload"], 7);
    host.advance(DAY);
    assert!(host.list("/events").is_empty());
}

#[test]
fn a_run_stays_for_as_long_as_its_idempotency_key_and_holds_up_nothing_else() {
    let host = TestHost::with(&["dormouse-programs"]);
    let body = json!({ "input": 1, "idempotencyKey": "k", "idempotencyTtlMs": 300 * 86_400_000_u64 });
    let keyed = host.start_with("echo", &body);
    let other = host.start("echo", &json!(2));
    host.advance(62 * DAY);
    assert!(!is_there(&host, &format!("/runs/{other}")));
    let host = host.restart_after(DAY);
    assert_eq!(host.post("/workflows/echo/runs", &body).expect(200)["id"], keyed);
    let later = host.start("echo", &json!(2));
    host.advance(62 * DAY);
    assert!(!is_there(&host, &format!("/runs/{later}")));
    assert!(is_there(&host, &format!("/runs/{keyed}")));
    host.advance(176 * DAY);
    assert!(!is_there(&host, &format!("/runs/{keyed}")));
    assert_ne!(host.post("/workflows/echo/runs", &body).expect(202)["id"], keyed);
}

/// It got the child of another for an idempotency key, and may ask for its result long after.
#[test]
fn a_run_stays_for_as_long_as_one_goes_on_that_got_it_for_its_key() {
    let host = TestHost::with(&["dormouse-programs"]);
    let spawn = json!({ "spawn": { "workflow": "echo", "input": 7, "times": 1, "detached": false, "key": "shared" } });
    let first = host.start("script", &json!([spawn]));
    host.advance(Duration::from_secs(60));
    let child = host.list("/runs?workflow=echo")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(host.run(&child)["parentId"], first);
    let second = host.start("script", &json!([spawn, { "sleep": 40 * 86_400_000_u64 }, "join"]));
    host.advance(39 * DAY);
    assert!(!is_there(&host, &format!("/runs/{first}")));
    assert!(is_there(&host, &format!("/runs/{child}")));
    let host = host.restart_after(DAY);
    assert_eq!(host.to_end(&second)["status"], "completed");
    assert_eq!(host.list("/runs?workflow=echo").len(), 1, "it was not spawned again");
    host.advance(32 * DAY);
    assert!(host.list("/runs").is_empty());
}

/// Runs that slept for long and ended lately are the oldest of all, and hold up no others.
#[test]
fn runs_go_in_time_behind_thousands_that_ended_later() {
    let host = TestHost::with(&["dormouse-programs"]);
    let bulk = |runs: Vec<Value>| {
        host.post("/workflows/child/runs/bulk", &json!({ "runs": runs })).expect(202);
    };
    let run = |sleep_ms: u64| json!({ "input": { "n": 1, "sleep_ms": sleep_ms, "fail": false } });
    for _ in 0..2 {
        bulk(vec![run(20 * 86_400_000); 800]);
    }
    bulk(vec![run(0); 10]);
    host.advance(31 * DAY);
    assert_eq!(host.get("/workflows/child").expect(200)["runCounts"]["completed"], 1600);
    host.advance(21 * DAY);
    assert_eq!(host.get("/workflows/child").expect(200)["runCounts"]["completed"], 0);
}

#[test]
fn many_ended_runs_go_in_small_batches_between_which_others_run() {
    let host = TestHost::with(&["dormouse-programs"]);
    for _ in 0..3 {
        let runs = vec![json!({ "input": 1 }); 1000];
        host.post("/workflows/echo/runs/bulk", &json!({ "runs": runs })).expect(202);
    }
    host.settle();
    host.advance(31 * DAY);
    assert_eq!(host.get("/workflows/echo").expect(200)["runCounts"]["completed"], 0);
    assert_eq!(host.call("echo", &json!(1))["output"], 1);
}

/// A pass deleted a thousand events, and the next one came an hour later.
#[test]
fn ten_thousand_events_are_gone_within_an_hour_of_being_due() {
    let host = TestHost::with(&["dormouse-programs"]);
    let waiter = json!({ "pattern": "awaited", "filter": null, "look_back_ms": null });
    host.start("event-waiter", &waiter);
    host.settle();
    host.patch("/workflows/event-waiter", &json!({ "paused": true })).expect(200);
    let push = |key: &str, count: usize| {
        host.post("/events/bulk", &json!({ "events": vec![json!({ "key": key }); count] })).expect(201);
    };
    // It stays until the task is told, and holds up none of those behind it.
    push("awaited", 1);
    for _ in 0..10 {
        push("nobody:waits", 1000);
    }
    host.advance(30 * DAY - Duration::from_secs(60));
    assert_eq!(host.get("/events?limit=200").expect(200)["rows"].as_array().map(Vec::len), Some(200));
    host.advance(Duration::from_secs(3600));
    let left = host.list("/events");
    assert_eq!(left.len(), 1, "{} are left", left.len());
    assert_eq!(left[0]["key"], "awaited");
}

/// They stood in the order of the times that they were scheduled for, and that is how they went.
#[test]
fn a_scheduled_run_goes_by_its_own_end() {
    let host = TestHost::with(&["dormouse-programs"]);
    let at = |days: u32| host.now().after(days * DAY).to_string();
    let schedule = |days: u32| {
        let body = json!({ "triggerAt": at(days), "input": 1 });
        host.post("/workflows/echo/scheduled", &body).expect(201)["id"].as_str().expect("an id").to_owned()
    };
    let (cancelled, early, pending) = (schedule(365), schedule(365), schedule(365));
    let late = schedule(20);
    host.delete(&format!("/scheduled/{cancelled}")).expect(204);
    host.post(&format!("/scheduled/{early}/trigger"), &json!({})).expect(202);
    host.advance(30 * DAY);
    host.advance(Duration::from_secs(3600));
    let is_there = |id: &str| is_there(&host, &format!("/scheduled/{id}"));
    assert_eq!([&cancelled, &early].map(|id| is_there(id)), [false; 2]);
    assert_eq!([&late, &pending].map(|id| is_there(id)), [true; 2]);
    host.advance(20 * DAY);
    assert_eq!([&late, &pending].map(|id| is_there(id)), [false, true]);
}

/// Each kind has its own passes: what is due of one does not wait for another.
#[test]
fn what_is_due_later_goes_at_most_an_hour_late() {
    let host = TestHost::with(&["dormouse-programs"]);
    let hour = Duration::from_secs(3600);
    let mut runs = Vec::new();
    // The first was made before the others and ends after them.
    let sleeps = json!({ "n": 1, "sleep_ms": 20 * 86_400_000_u64, "fail": false });
    let sleeper = host.start("child", &sleeps);
    for _ in 0..10 {
        host.advance(5 * hour);
        runs.push(host.start("echo", &json!(1)));
    }
    host.advance(30 * DAY - 46 * hour);
    for run in &runs {
        let path = format!("/runs/{run}");
        assert!(is_there(&host, &path), "it went too early");
        host.advance(2 * hour);
        assert!(!is_there(&host, &path), "it is still there");
        host.advance(3 * hour);
    }
    assert!(is_there(&host, &format!("/runs/{sleeper}")));
}
