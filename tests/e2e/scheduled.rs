//! Scheduled runs.

use std::time::Duration;

use dormouse_core::time::Timestamp;
use dormouse_tests::{TestHost, column};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);

fn schedule(host: &TestHost, at: Timestamp, input: Value) -> String {
    let body = json!({ "triggerAt": at.to_string(), "input": input });
    let row = host.post("/workflows/echo/scheduled", &body).expect(201);
    assert_eq!(
        (&row["status"], &row["runId"], &row["source"]),
        (&json!("pending"), &Value::Null, &json!("api"))
    );
    row["id"].as_str().unwrap().to_owned()
}

fn show(host: &TestHost, id: &str) -> Value {
    host.get(&format!("/scheduled/{id}")).expect(200)
}

/// The run that a scheduled run became.
fn run_of(host: &TestHost, id: &str) -> Value {
    let row = show(host, id);
    assert_eq!(row["status"], "fired", "{row:#}");
    host.run(row["runId"].as_str().unwrap())
}

#[test]
fn one_run_at_a_time_in_the_future() {
    let host = TestHost::with(&["dormouse-programs"]);
    let at = host.now().after(HOUR);
    let body = json!({ "triggerAt": at.to_string(), "input": 7, "metadata": { "a": "b" }, "priority": 2 });
    let id = host.post("/workflows/echo/scheduled", &body).expect(201)["id"].as_str().unwrap().to_owned();

    host.advance(HOUR - Duration::from_millis(1));
    assert_eq!(host.list("/runs"), [] as [Value; 0]);
    host.advance(Duration::from_millis(1));

    let run = run_of(&host, &id);
    assert_eq!(run["trigger"], json!({ "kind": "scheduled", "id": id, "scheduledAt": at.to_string() }));
    assert_eq!(run["createdAt"], at.to_string());
    assert_eq!(
        (&run["output"], &run["metadata"], &run["priority"]),
        (&json!(7), &json!({ "a": "b" }), &json!(2))
    );
    host.advance(24 * HOUR);
    assert_eq!(host.list("/runs").len(), 1);
}

#[test]
fn after_firing_it_stays_with_status_and_run_id() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = schedule(&host, host.now().after(HOUR), json!(1));
    host.advance(HOUR);
    let fired = show(&host, &id);
    assert_eq!((&fired["status"], &fired["runId"]), (&json!("fired"), &host.list("/runs")[0]["id"]));
    let host = host.restart_after(7 * 24 * HOUR);
    assert_eq!(host.list("/scheduled"), [fired]);
}

#[test]
fn a_past_time_runs_at_once() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = schedule(&host, host.now().before(HOUR), json!("late"));
    host.settle();
    let run = run_of(&host, &id);
    assert_eq!(run["output"], "late");
    assert_eq!(run["trigger"]["scheduledAt"], host.now().before(HOUR).to_string());
}

#[test]
fn survives_restarts_and_fires_late_rather_than_never() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = schedule(&host, host.now().after(HOUR), json!(1));
    let host = host.restart_after(24 * HOUR);
    host.settle();
    assert_eq!(run_of(&host, &id)["createdAt"], host.now().to_string());

    let host = host.restart_after(HOUR);
    host.advance(HOUR);
    assert_eq!(host.list("/runs").len(), 1);
}

#[test]
fn reschedule_and_edit_until_it_fires() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = schedule(&host, host.now().after(HOUR), json!(1));
    let path = format!("/scheduled/{id}");
    let at = host.now().after(3 * HOUR).to_string();

    let row =
        host.patch(&path, &json!({ "triggerAt": at, "input": 2, "metadata": { "v": "2" } })).expect(200);
    assert_eq!((&row["triggerAt"], &row["input"]), (&json!(at), &json!(2)));
    let row = host.patch(&path, &json!({ "priority": 3 })).expect(200);
    assert_eq!((&row["triggerAt"], &row["input"], &row["priority"]), (&json!(at), &json!(2), &json!(3)));
    host.advance(2 * HOUR);
    assert_eq!(show(&host, &id)["status"], "pending");
    host.advance(HOUR);

    let run = run_of(&host, &id);
    assert_eq!(
        (&run["output"], &run["metadata"]["v"], &run["priority"]),
        (&json!(2), &json!("2"), &json!(3))
    );
    for answer in [host.patch(&path, &json!({ "input": 3 })), host.delete(&path)] {
        assert_eq!(answer.error(), (409, "not_pending", ""));
    }
}

#[test]
fn cancel_keeps_the_row_and_it_never_fires() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = schedule(&host, host.now().after(HOUR), json!(1));
    host.delete(&format!("/scheduled/{id}")).expect(204);
    host.advance(2 * HOUR);

    assert_eq!(show(&host, &id)["status"], "cancelled");
    assert_eq!(column(&host.list("/scheduled?status=cancelled"), "/id"), std::slice::from_ref(&id));
    assert_eq!(host.list("/runs"), [] as [Value; 0]);
    assert_eq!(host.post(&format!("/scheduled/{id}/trigger"), &json!({})).error().0, 409);
}

#[test]
fn run_now_and_not_again_at_its_time() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = schedule(&host, host.now().after(HOUR), json!(1));
    let run = host.post(&format!("/scheduled/{id}/trigger"), &json!({})).expect(202);
    assert_eq!(show(&host, &id)["runId"], run["id"]);
    host.advance(2 * HOUR);
    assert_eq!(column(&host.list("/runs"), "/id"), [run["id"].as_str().unwrap()]);
}

#[test]
fn scheduled_runs_are_listed_earliest_first() {
    let host = TestHost::with(&["dormouse-programs"]);
    for (hours, workflow) in [(3, "echo"), (1, "echo"), (5, "about"), (2, "echo"), (4, "about")] {
        let at = host.now().after(hours * HOUR).to_string();
        let metadata = json!({ "odd": (hours % 2 == 1).to_string() });
        let body = json!({ "triggerAt": at, "input": hours, "metadata": metadata });
        host.post(&format!("/workflows/{workflow}/scheduled"), &body).expect(201);
    }
    host.advance(HOUR);
    let found = |query: &str| column(&host.list(&format!("/scheduled?limit=2&{query}")), "/input");

    assert_eq!(found(""), ["1", "2", "3", "4", "5"]);
    assert_eq!(found("status=pending"), ["2", "3", "4", "5"]);
    assert_eq!(found("status=fired"), ["1"]);
    assert_eq!(found("workflow=about"), ["4", "5"]);
    assert_eq!(found("metadata=odd:true&status=pending"), ["3", "5"]);
}

#[test]
fn also_from_inside_a_task() {
    let host = TestHost::with(&["dormouse-programs"]);
    let input = json!({ "left": 2, "ms": 1000 });
    let first = host.start_with("chain", &json!({ "input": input, "metadata": { "tenant": "7" } }));
    let first = host.to_end(&first);
    host.advance(2 * Duration::from_secs(1));

    let rows = host.list("/scheduled");
    assert_eq!(column(&rows, "/status"), ["fired", "fired"]);
    assert_eq!(column(&rows, "/metadata/left"), ["1", "0"]);
    assert_eq!(column(&rows, "/metadata/tenant"), ["7", "7"], "inherited from run to run");
    assert_eq!((&rows[0]["source"], &rows[0]["sourceRunId"]), (&json!("task"), &first["id"]));
    assert_eq!(rows[0]["id"], first["output"]["next"]);
    let runs = host.list("/runs?workflow=chain");
    assert_eq!(
        column(&runs, "/output/next"),
        ["null", rows[1]["id"].as_str().unwrap(), rows[0]["id"].as_str().unwrap()]
    );
    assert_eq!(column(&runs, "/priority"), ["2", "2", "1"]);
}

#[test]
fn what_a_failed_attempt_scheduled_does_not_happen() {
    let host = TestHost::with(&["dormouse-programs"]);
    let run = host.call("fails", &json!({ "attempts": 1, "fatal": true }));
    assert_eq!(run["status"], "failed");
    assert_eq!(host.list("/scheduled"), [] as [Value; 0]);
}
