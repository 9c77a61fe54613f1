//! Many at once, and runs that are run again.

use std::time::Duration;

use dormouse_tests::{TestHost, column};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const PROGRAMS: &[&str] = &["dormouse-programs"];

fn rows(body: &Value) -> Vec<Value> {
    body["rows"].as_array().expect("rows").clone()
}

fn code(row: &Value) -> &str {
    row["errors"][0]["code"].as_str().unwrap_or("none")
}

fn ids(rows: &[Value]) -> Vec<Value> {
    rows.iter().map(|row| row["id"].clone()).collect()
}

#[test]
fn bulk_runs_are_answered_in_the_order_sent_each_with_a_run_or_its_errors() {
    let host = TestHost::with(PROGRAMS);
    let job = |customer: Value| json!({ "input": { "customer": customer, "sleep_ms": 0 } });
    let keyed = json!({ "input": { "customer": "k", "sleep_ms": 0 }, "idempotencyKey": "once" });
    let runs = [job(json!("a")), job(json!(7)), keyed.clone(), keyed, job(json!("b"))];
    let answer = host.post("/workflows/short-job/runs/bulk", &json!({ "runs": runs })).expect(202);
    host.settle();

    let rows = rows(&answer);
    assert_eq!(rows.iter().map(code).collect::<Vec<_>>(), ["none", "invalid_input", "none", "none", "none"]);
    assert_eq!(rows[2]["id"], rows[3]["id"], "the key holds within the request as well");
    let outputs: Vec<_> = [0, 2, 4]
        .iter()
        .map(|at: &usize| host.run(rows[*at]["id"].as_str().unwrap())["output"].clone())
        .collect();
    assert_eq!(outputs, ["a", "k", "b"]);
    assert_eq!(host.list("/runs").len(), 3);
}

#[test]
fn bulk_requests_are_bounded_and_say_so() {
    let host = TestHost::with(PROGRAMS);
    let too_many = vec![json!({ "input": 1 }); 1001];
    for (path, body, expected) in [
        ("/workflows/echo/runs/bulk", json!({ "runs": too_many }), "invalid_count"),
        ("/workflows/echo/runs/bulk", json!({ "runs": [] }), "invalid_count"),
        ("/events/bulk", json!({ "events": [] }), "invalid_count"),
        ("/runs/cancel", json!({}), "invalid_selection"),
        ("/runs/cancel", json!({ "ids": [], "filter": { "workflow": "echo" } }), "invalid_selection"),
        ("/runs/cancel", json!({ "filter": {} }), "empty_filter"),
        ("/runs/replay", json!({ "filter": { "colour": "red" } }), "unknown_field"),
        ("/scheduled/bulk-delete", json!({ "filter": {} }), "empty_filter"),
        ("/scheduled/bulk-update", json!({ "updates": [] }), "invalid_count"),
    ] {
        let answer = host.post(path, &body);
        assert_eq!((answer.status, answer.error().1), (422, expected), "{path} {body:.80}");
    }
    assert_eq!(host.post("/workflows/none/runs/bulk", &json!({ "runs": [{}] })).status, 404);
}

#[test]
fn bulk_push_stores_each_event_and_lists_what_came_of_it() {
    let host = TestHost::with(PROGRAMS);
    let waiter =
        host.start("event-waiter", &json!({ "pattern": "go", "filter": null, "look_back_ms": null }));
    host.settle();
    let events = json!([
        { "key": "triggered:plain", "payload": 1 },
        { "key": "not*a*key" },
        { "key": "go", "payload": 2, "idempotencyKey": "e" },
        { "key": "go", "payload": 2, "idempotencyKey": "e" },
        { "key": "go", "payload": 4 },
        { "key": "go", "payload": 3, "idempotencyKey": "e" },
    ]);
    let rows = rows(&host.post("/events/bulk", &json!({ "events": events })).expect(201));
    host.settle();
    assert_eq!(
        rows.iter().map(code).collect::<Vec<_>>(),
        ["none", "invalid_event_key", "none", "none", "none", "idempotency_conflict"]
    );
    assert_eq!(rows[0]["runs"][0]["workflow"], "triggered");
    assert_eq!(rows[2], rows[3]);
    assert_eq!((&rows[2]["settledWaits"], &rows[4]["settledWaits"]), (&json!(1), &json!(0)));
    assert_eq!(host.run(&waiter)["output"]["payload"], 2);
    assert_eq!(host.list("/events").len(), 3);
}

#[test]
fn replay_from_the_start_with_the_same_or_edited_input() {
    let host = TestHost::with(PROGRAMS);
    let body = json!({ "input": { "a": 1 }, "metadata": { "team": "x" }, "priority": 2 });
    let first = host.start_with("echo", &body);
    let replay = |body: Value| host.post(&format!("/runs/{first}/replay"), &body);
    let answer = replay(json!({}));
    let too_early = answer.status;
    host.settle();
    // The step may have ended before the request came.
    assert!(too_early == 409 && answer.error().1 == "run_not_ended" || too_early == 202);

    for (body, input) in [(json!({}), json!({ "a": 1 })), (json!({ "input": [2] }), json!([2]))] {
        let run = replay(body).expect(202);
        assert_ne!(run["id"], first);
        assert_eq!(run["trigger"], json!({ "kind": "replay", "id": first, "scheduledAt": null }));
        assert_eq!((&run["metadata"], &run["priority"]), (&json!({ "team": "x" }), &json!(2)));
        let ended = host.to_end(run["id"].as_str().unwrap());
        assert_eq!((&ended["input"], &ended["status"]), (&input, &json!("completed")));
    }
    assert_eq!(host.post("/runs/01920b5e-7b1c-7d3e-8f00-000000000001/replay", &json!({})).status, 404);
}

#[test]
fn the_input_of_a_replay_is_checked_against_the_declared_schema_before_it_is_accepted() {
    let host = TestHost::with(PROGRAMS);
    let run = host.call("short-job", &json!({ "customer": "a", "sleep_ms": 0 }));
    let path = format!("/runs/{}/replay", run["id"].as_str().unwrap());
    assert_eq!(
        host.post(&path, &json!({ "input": { "customer": 7 } })).error(),
        (422, "invalid_input", "input")
    );
    host.delete("/workflows/short-job").expect(204);
    assert_eq!(host.post(&path, &json!({})).error(), (409, "workflow_deleted", ""));
}

#[test]
fn runs_are_cancelled_by_ids_or_filter_each_with_its_outcome() {
    let host = TestHost::with(PROGRAMS);
    let job = |team: &str| {
        let input = json!({ "customer": "a", "sleep_ms": 10_000 });
        host.start_with("queued-job", &json!({ "input": input, "metadata": { "team": team } }))
    };
    let (a, b, c, d) = (job("x"), job("x"), job("y"), job("x"));
    host.settle();
    let unknown = "01920b5e-7b1c-7d3e-8f00-000000000001";
    let answer = host.post("/runs/cancel", &json!({ "ids": [a, a, unknown] })).expect(200);
    let outcomes = rows(&answer);
    assert_eq!(ids(&outcomes), [json!(a), json!(a), json!(unknown)]);
    assert_eq!(outcomes.iter().map(code).collect::<Vec<_>>(), ["none", "run_ended", "unknown_run"]);

    let filter = json!({ "workflow": "queued-job", "metadata": { "team": "x" } });
    let answer = host.post("/runs/cancel", &json!({ "filter": filter })).expect(200);
    assert_eq!(ids(&rows(&answer)), [json!(d), json!(b)], "ended runs are left alone");
    host.settle();
    let runs: Vec<_> = [a, b, c, d].iter().map(|id| host.run(id)).collect();
    assert_eq!(column(&runs, "/status"), ["cancelled", "cancelled", "sleeping", "cancelled"]);
}

#[test]
fn runs_are_replayed_by_ids_or_filter_each_with_its_new_run() {
    let host = TestHost::with(PROGRAMS);
    let failed = host.call("fails", &json!({ "attempts": 9 }));
    let echo = host.call("echo", &json!(1));
    assert_eq!(failed["status"], "failed");
    let answer = host.post("/runs/replay", &json!({ "filter": { "status": "failed" } })).expect(200);
    let rows_of_filter = rows(&answer);
    assert_eq!(ids(&rows_of_filter), [failed["id"].clone()]);
    let new = rows_of_filter[0]["runId"].as_str().unwrap();
    assert_eq!(host.run(new)["trigger"]["id"], failed["id"]);

    let answer = host.post("/runs/replay", &json!({ "ids": [echo["id"]] })).expect(200);
    let new = rows(&answer)[0]["runId"].as_str().unwrap().to_owned();
    assert_eq!(host.to_end(&new)["output"], 1);
}

#[test]
fn a_filter_may_find_more_runs_than_one_transaction_takes() {
    let host = TestHost::with(PROGRAMS);
    host.patch("/workflows/echo", &json!({ "paused": true })).expect(200);
    for _ in 0..3 {
        let runs = vec![json!({ "input": 1 }); 400];
        host.post("/workflows/echo/runs/bulk", &json!({ "runs": runs })).expect(202);
    }
    let answer = host.post("/runs/cancel", &json!({ "filter": { "workflow": "echo" } })).expect(200);
    assert_eq!(rows(&answer).len(), 1200);
    assert_eq!(host.get("/workflows/echo").expect(200)["runCounts"]["cancelled"], 1200);
}

#[test]
fn scheduled_runs_are_updated_and_deleted_in_bulk_with_errors_by_row() {
    let host = TestHost::with(PROGRAMS);
    let later = |seconds: u32| host.now().after(seconds * SECOND).to_string();
    let schedule = |team: &str| {
        let body = json!({ "triggerAt": later(60), "input": 1, "metadata": { "team": team } });
        host.post("/workflows/echo/scheduled", &body).expect(201)["id"].clone()
    };
    let (a, b, c) = (schedule("x"), schedule("x"), schedule("y"));
    let unknown = json!("01920b5e-7b1c-7d3e-8f00-000000000001");
    let updates = json!([
        { "id": a, "triggerAt": later(120), "input": 2 },
        { "id": unknown, "priority": 3 },
        { "id": b, "metadata": { "team": "z" } },
    ]);
    let outcomes = rows(&host.post("/scheduled/bulk-update", &json!({ "updates": updates })).expect(200));
    assert_eq!(ids(&outcomes), [a.clone(), unknown.clone(), b.clone()]);
    assert_eq!(outcomes.iter().map(code).collect::<Vec<_>>(), ["none", "unknown_scheduled_run", "none"]);
    let row = |id: &Value| host.get(&format!("/scheduled/{}", id.as_str().unwrap())).expect(200);
    assert_eq!((&row(&a)["triggerAt"], &row(&a)["input"]), (&json!(later(120)), &json!(2)));

    let body = json!({ "filter": { "metadata": { "team": "z" } } });
    assert_eq!(ids(&rows(&host.post("/scheduled/bulk-delete", &body).expect(200)))[0], b);
    let body = json!({ "ids": [b, c] });
    let outcomes = rows(&host.post("/scheduled/bulk-delete", &body).expect(200));
    assert_eq!(outcomes.iter().map(code).collect::<Vec<_>>(), ["not_pending", "none"]);
    host.advance(180 * SECOND);
    assert_eq!(row(&a)["status"], "fired");
    assert_eq!((&row(&b)["status"], &row(&c)["status"]), (&json!("cancelled"), &json!("cancelled")));
    assert_eq!(host.list("/runs").len(), 1);
}
