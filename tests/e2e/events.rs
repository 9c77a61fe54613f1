//! Events: what they start, what they settle, and how they are found again.

use std::time::Duration;

use dormouse_tests::{TestHost, column};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn push(host: &TestHost, body: Value) -> Value {
    host.post("/events", &body).expect(201)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn all_runs_an_event_starts_and_the_event_itself_are_one_transaction_the_answer_lists_the_runs() {
    let host = TestHost::with(&["dormouse-programs"]);
    let answer = push(&host, json!({ "key": "both:at-once", "payload": { "a": 1 } }));
    host.settle();

    let runs = answer["runs"].as_array().unwrap();
    let mut workflows = column(runs, "/workflow");
    workflows.sort();
    assert_eq!(workflows, ["about", "triggered"]);
    for run in runs.iter().map(|run| host.run(text(&run["id"]))) {
        let event = &answer["event"]["id"];
        assert_eq!(run["trigger"], json!({ "kind": "event", "id": event, "scheduledAt": null }));
        assert_eq!((&run["status"], &run["input"]), (&json!("completed"), &json!({ "a": 1 })));
        if run["workflow"] == "about" {
            assert_eq!((&run["output"]["trigger"], &run["output"]["trigger_id"]), (&json!("Event"), event));
        }
    }
    let event = host.get(&format!("/events/{}", text(&answer["event"]["id"]))).expect(200);
    assert_eq!(event["runs"], answer["runs"]);
}

#[test]
fn no_match_stored_no_run() {
    let host = TestHost::with(&["dormouse-programs"]);
    let answer = push(&host, json!({ "key": "nobody:cares", "payload": [1] }));
    assert_eq!((&answer["runs"], &answer["settledWaits"]), (&json!([]), &json!(0)));
    assert_eq!(host.list("/runs"), [] as [Value; 0]);
    let stored = &host.list("/events")[0];
    assert_eq!(stored["id"], answer["event"]["id"]);
    assert_eq!(stored["payload"], json!([1]));
}

#[test]
fn subscriptions_match_keys_exactly_or_with_a_star_which_is_one_or_more_characters() {
    let host = TestHost::with(&["dormouse-programs"]);
    for (key, runs) in [
        ("triggered:plain", 1),
        ("triggered:plain2", 0),
        ("triggered:x:adult", 1),
        ("triggered:x:y:adult", 1),
        ("triggered::adult", 0),
        ("triggered:x:adults", 0),
    ] {
        let answer = push(&host, json!({ "key": key, "payload": { "age": 18 } }));
        assert_eq!(answer["runs"].as_array().unwrap().len(), runs, "{key}");
    }
}

#[test]
fn events_are_listed_newest_first_by_pattern_metadata_and_time() {
    let host = TestHost::with(&[]);
    let keys = ["order:1", "order_1", "order%1", "orderx1", "order:2:paid"];
    for (n, key) in keys.iter().enumerate() {
        push(&host, json!({ "key": key, "metadata": { "n": n.to_string(), "team": "sales" } }));
        host.advance(SECOND);
    }
    let found = |query: &str| column(&host.list(&format!("/events?limit=2&{query}")), "/key");

    assert_eq!(found(""), ["order:2:paid", "orderx1", "order%1", "order_1", "order:1"]);
    assert_eq!(found("key=order:*"), ["order:2:paid", "order:1"]);
    assert_eq!(found("key=order_1"), ["order_1"]);
    assert_eq!(found("key=order%25*"), ["order%1"]);
    assert_eq!(found("key=*1"), ["orderx1", "order%1", "order_1", "order:1"]);
    assert_eq!(found("metadata=n:3"), ["orderx1"]);
    assert_eq!(found("metadata=team:sales&metadata=n:0"), ["order:1"]);
    assert_eq!(found("metadata=n:0&metadata=n:1"), [] as [&str; 0]);
    let (second, fourth) = (host.now().before(4 * SECOND), host.now().before(2 * SECOND));
    assert_eq!(found(&format!("since={second}&until={fourth}")), ["order%1", "order_1"]);
}

#[test]
fn an_event_also_settles_waits() {
    let host = TestHost::with(&["dormouse-programs"]);
    let wait = |pattern: &str| host.start("event-waiter", &json!({ "pattern": pattern }));
    let (one, star, other) = (wait("order:7"), wait("order:*"), wait("order_*"));
    host.settle();

    let answer =
        push(&host, json!({ "key": "order:7", "payload": { "eur": 3 }, "metadata": { "by": "ann" } }));
    assert_eq!(answer["settledWaits"], 2);
    host.settle();

    for id in [one, star] {
        let run = host.run(&id);
        let event = &answer["event"];
        assert_eq!(run["status"], "completed", "{run:#}");
        assert_eq!(run["output"]["id"], event["id"]);
        assert_eq!(run["output"]["key"], "order:7");
        assert_eq!(run["output"]["payload"], json!({ "eur": 3 }));
        assert_eq!(run["output"]["metadata"], json!({ "by": "ann" }));
        assert_eq!(run["output"]["pushed_at"], event["pushedAt"]);
    }
    assert_eq!(host.run(&other)["status"], "sleeping");
    assert_eq!(push(&host, json!({ "key": "order:7" }))["settledWaits"], 0);
}

#[test]
fn with_a_look_back_window_a_wait_takes_an_event_that_came_just_before_it() {
    let host = TestHost::with(&["dormouse-programs"]);
    let wait = |pattern: &str, look_back_ms: u64| {
        let input = json!({ "pattern": pattern, "look_back_ms": look_back_ms, "sleep_ms": 10_000 });
        host.start("event-waiter", &input)
    };
    let (found, by_pattern, too_late) = (wait("early", 9_000), wait("ear*", 9_000), wait("early", 7_999));
    host.advance(SECOND);
    push(&host, json!({ "key": "early", "payload": "older" }));
    host.advance(SECOND);
    push(&host, json!({ "key": "early", "payload": "latest" }));
    host.advance(8 * SECOND);

    assert_eq!(host.run(&found)["output"]["payload"], "latest");
    assert_eq!(host.run(&by_pattern)["output"]["payload"], "latest");
    assert_eq!(host.run(&too_late)["status"], "sleeping");
}

#[test]
fn a_repeated_idempotency_key_gives_the_first_event_and_starts_nothing() {
    let host = TestHost::with(&["dormouse-programs"]);
    let body = json!({ "key": "triggered:plain", "payload": 1, "idempotencyKey": "k" });
    let first = push(&host, body.clone());
    assert_eq!(host.post("/events", &body).expect(200), first);
    assert_eq!(host.list("/runs").len(), 1);

    host.advance(Duration::from_secs(86_400));
    assert_ne!(push(&host, body)["event"]["id"], first["event"]["id"], "a key is remembered for a day");
    assert_eq!(host.list("/runs").len(), 2);
}

#[test]
fn metadata_and_priority_of_an_event_go_to_its_runs_and_on_to_their_events() {
    let host = TestHost::with(&["event-trigger"]);
    let answer = push(
        &host,
        json!({
            "key": "user:create", "priority": 3, "metadata": { "tenant": "7" },
            "payload": { "email": "eve@example.com", "should_skip": false },
        }),
    );
    host.settle();

    let greeted = &host.list("/events?key=user:greeted")[0];
    assert_eq!(greeted["metadata"], json!({ "tenant": "7" }));
    let first = host.run(text(&answer["runs"][0]["id"]));
    let second = host.run(text(&greeted["runs"][0]["id"]));
    assert_eq!((text(&first["workflow"]), text(&second["workflow"])), ("greet-user", "note-colleague"));
    assert_eq!(
        (&first["metadata"], &second["metadata"]),
        (&json!({ "tenant": "7" }), &json!({ "tenant": "7" }))
    );
    assert_eq!((&first["priority"], &second["priority"]), (&json!(3), &json!(1)));
}

#[test]
fn a_payload_that_does_not_fit_gives_a_failed_run_that_says_so() {
    let host = TestHost::with(&["event-trigger"]);
    let answer = push(&host, json!({ "key": "user:create", "payload": { "email": 7 } }));
    host.settle();
    let run = host.run(text(&answer["runs"][0]["id"]));
    assert_eq!((text(&run["status"]), text(&run["reason"])), ("failed", "invalid_input"));
    assert!(text(&run["error"]["message"]).contains("at /email"), "{}", run["error"]);
}

#[test]
fn an_optional_cel_filter_over_input_metadata_and_key_decides_whether_a_subscription_matches() {
    let host = TestHost::with(&["dormouse-programs"]);
    let runs = |payload: Value| {
        let answer = push(&host, json!({ "key": "triggered:user:adult", "payload": payload }));
        answer["runs"].as_array().unwrap().len()
    };
    assert_eq!(runs(json!({ "age": 17 })), 0);
    assert_eq!(runs(json!({ "age": 18 })), 1);
    assert_eq!(runs(json!({ "name": "no age at all" })), 0);
    assert_eq!(runs(json!({ "age": "eighteen" })), 0);
}

#[test]
fn a_wait_with_a_filter_takes_only_the_event_that_satisfies_it() {
    let host = TestHost::with(&["dormouse-programs"]);
    let filter = "input.order == 7 && metadata.region == 'eu' && key != 'paid:draft'";
    let id = host.start("event-waiter", &json!({ "pattern": "paid:*", "filter": filter }));
    host.settle();
    let settled = |key: &str, order: u32, region: &str| {
        let body = json!({ "key": key, "payload": { "order": order }, "metadata": { "region": region } });
        push(&host, body)["settledWaits"].clone()
    };
    assert_eq!(settled("paid:x", 8, "eu"), 0);
    assert_eq!(settled("paid:x", 7, "us"), 0);
    assert_eq!(settled("paid:draft", 7, "eu"), 0);
    assert_eq!(host.run(&id)["status"], "sleeping");
    assert_eq!(settled("paid:x", 7, "eu"), 1);
    assert_eq!(host.to_end(&id)["output"]["payload"], json!({ "order": 7 }));
}

#[test]
fn look_back_takes_the_latest_event_that_satisfies_the_filter() {
    let host = TestHost::with(&["dormouse-programs"]);
    for (order, key) in [(7, "paid:a"), (7, "paid:b"), (8, "paid:c")] {
        push(&host, json!({ "key": key, "payload": { "order": order } }));
        host.advance(SECOND);
    }
    let input = json!({ "pattern": "paid:*", "filter": "input.order == 7", "look_back_ms": 60_000 });
    assert_eq!(host.call("event-waiter", &input)["output"]["key"], "paid:b");
}

#[test]
fn a_wait_with_a_bad_filter_fails_its_task_and_says_why() {
    let host = TestHost::with(&["dormouse-programs"]);
    let run = host.call("event-waiter", &json!({ "pattern": "x", "filter": "order == 7" }));
    assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!("invalid_result")));
    let message = text(&run["error"]["message"]);
    assert!(
        message.contains("filter") && message.contains("there are only `input`, `metadata`, `key`"),
        "{message}"
    );
}

/// Whatever is told first: every run ends once, and (as after each test) nothing is left in the store.
#[test]
fn runs_can_be_cancelled_while_thousands_are_told_of_an_event() {
    let host = TestHost::with(&["dormouse-programs"]);
    let waiter = json!({ "input": { "pattern": "go", "filter": null, "look_back_ms": null } });
    host.post("/workflows/event-waiter/runs/bulk", &json!({ "runs": vec![waiter; 1000] })).expect(202);
    host.settle();
    assert_eq!(push(&host, json!({ "key": "go" }))["settledWaits"], 1000);
    let cancelled =
        host.post("/runs/cancel", &json!({ "filter": { "workflow": "event-waiter" } })).expect(200);
    let cancelled =
        cancelled["rows"].as_array().unwrap().iter().filter(|row| row["errors"].is_null()).count();
    host.settle();
    let counts = host.get("/workflows/event-waiter").expect(200)["runCounts"].clone();
    assert_eq!((&counts["cancelled"], &counts["completed"]), (&json!(cancelled), &json!(1000 - cancelled)));
}

#[test]
fn thousands_of_waits_on_one_key_settle_in_one_push_and_others_go_on() {
    let host = TestHost::with(&["dormouse-programs"]);
    let waiter = |n: usize| {
        let filter = if n.is_multiple_of(2) { Value::Null } else { json!(format!("input.n > {}", n % 7)) };
        json!({ "input": { "pattern": "go", "filter": filter, "look_back_ms": null } })
    };
    for begin in [0, 1000] {
        let runs: Vec<_> = (begin..begin + 1000).map(waiter).collect();
        host.post("/workflows/event-waiter/runs/bulk", &json!({ "runs": runs })).expect(202);
    }
    host.settle();
    let answer = push(&host, json!({ "key": "go", "payload": { "n": 3 } }));
    let settled = (0..2000).filter(|n| n % 2 == 0 || n % 7 < 3).count();
    assert_eq!(answer["settledWaits"], settled);
    let next = push(&host, json!({ "key": "go", "payload": { "n": 3 } }));
    assert_eq!(next["settledWaits"], 0, "they have taken the first one, whether or not they know it");
    assert_eq!(host.call("echo", &json!(1))["status"], "completed");
    host.settle();
    let first = &answer["event"]["id"];
    let took = host.list("/runs?workflow=event-waiter&status=completed&limit=200");
    assert!(took.iter().all(|run| run["output"]["id"] == *first));
    let counts = host.get("/workflows/event-waiter").expect(200)["runCounts"].clone();
    assert_eq!((&counts["completed"], &counts["sleeping"]), (&json!(settled), &json!(2000 - settled)));
}
