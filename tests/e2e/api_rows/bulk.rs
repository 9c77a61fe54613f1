//! The rows of many at once and of what is run again, rolled back and measured.

use dormouse_tests::{TestHost, column, guest};
use serde_json::{Value, json};

use super::{HOUR, ID, RUN, assert_refused, assert_shape, host, id};

/// The rows of an answer to many at once, checked for its shape.
#[track_caller]
fn rows(answer: &Value) -> Vec<Value> {
    assert_shape(answer, "rows");
    answer["rows"].as_array().expect("rows").clone()
}

/// Checks that there is one row with an id alone and one with an id and its errors, in this order.
#[track_caller]
fn assert_one_done_one_refused(answer: &Value, done: &str) {
    let rows = rows(answer);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0], json!({ "id": done }));
    assert_shape(&rows[1], "errors id");
    assert_eq!(rows[1]["id"], ID);
    assert!(rows[1]["errors"][0]["code"].is_string() && rows[1]["errors"][0]["description"].is_string());
}

/// A run that sleeps for a minute.
fn asleep(host: &TestHost) -> String {
    let run = host.start("map-checksum", &json!({ "n": 10, "sleep_ms": 60_000 }));
    host.settle();
    run
}

#[test]
fn patch_workflows_name_current_version() {
    let host = TestHost::with(&["durable-sleep"]);
    let next = [guest("durable-sleep"), vec![0, 2, 0, 7]].concat();
    host.post_bytes("/modules", "application/wasm", &next).expect(201);
    let workflow = host.patch("/workflows/durable-sleep", &json!({ "currentVersion": 1 })).expect(200);
    assert_eq!((&workflow["currentVersion"], &workflow["paused"]), (&json!(1), &json!(false)));
    assert_eq!(host.get("/workflows/durable-sleep").expect(200), workflow);
}

#[test]
fn post_workflows_name_runs_bulk() {
    let host = host();
    let path = "/workflows/counter/runs/bulk";
    let runs = json!([{ "input": { "times": 1, "ms": 1 }, "priority": 2 }, { "input": 7 }]);
    let rows = rows(&host.post(path, &json!({ "runs": runs })).expect(202));
    assert_shape(&rows[0], RUN);
    assert_eq!((rows.len(), &rows[0]["priority"]), (2, &json!(2)));
    assert_shape(&rows[1], "errors");
    assert_eq!(rows[1]["errors"][0]["code"], "invalid_input");
    assert_eq!(host.post(path, &json!({ "runs": vec![json!({}); 1001] })).status, 422);
    assert_refused(&host.post(path, &json!({ "runs": [{}], "run": 1 })), 422, "unknown_field", "run");
}

#[test]
fn post_runs_id_replay() {
    let host = host();
    let first = host.call("echo", &json!(1));
    let path = format!("/runs/{}/replay", id(&first));
    for (body, input) in [(json!({}), json!(1)), (json!({ "input": 2 }), json!(2))] {
        let again = host.post(&path, &body).expect(202);
        assert_shape(&again, RUN);
        assert_eq!((&again["trigger"]["kind"], &again["trigger"]["id"]), (&json!("replay"), &first["id"]));
        assert_eq!(again["input"], input);
        assert_eq!(host.to_end(id(&again))["output"], input);
    }
    assert_refused(&host.post(&path, &json!({ "inputs": 1 })), 422, "unknown_field", "inputs");
    assert_refused(&host.post(&format!("/runs/{ID}/replay"), &json!({})), 404, "unknown_run", "");
}

#[test]
fn post_runs_cancel() {
    let host = host();
    let (by_id, by_filter) = (asleep(&host), asleep(&host));
    let answer = host.post("/runs/cancel", &json!({ "ids": [by_id, ID] })).expect(200);
    assert_one_done_one_refused(&answer, &by_id);
    let filter = json!({ "filter": { "workflow": "map-checksum", "status": "sleeping" } });
    assert_eq!(rows(&host.post("/runs/cancel", &filter).expect(200)), [json!({ "id": by_filter })]);
    assert_eq!(column(&host.list("/runs"), "/status"), ["cancelled", "cancelled"]);
}

#[test]
fn post_runs_replay() {
    let host = host();
    let first = host.call("echo", &json!(7));
    let answer = host.post("/runs/replay", &json!({ "ids": [id(&first), ID] })).expect(200);
    let replayed = rows(&answer);
    assert_eq!((replayed.len(), &replayed[1]["id"]), (2, &json!(ID)));
    assert!(replayed[0].get("errors").is_none() && replayed[1]["errors"][0]["code"].is_string());
    host.settle();
    assert_eq!(column(&host.list("/runs?trigger=replay"), "/output"), ["7"]);
}

#[test]
fn post_scheduled_bulk_delete_and_post_scheduled_bulk_update() {
    let host = host();
    let schedule = || {
        let body = json!({ "triggerAt": host.now().after(HOUR).to_string() });
        id(&host.post("/workflows/echo/scheduled", &body).expect(201)).to_owned()
    };
    let (kept, dropped) = (schedule(), schedule());
    let updates = json!([{ "id": kept, "input": 2, "priority": 3 }, { "id": ID, "input": 2 }]);
    let answer = host.post("/scheduled/bulk-update", &json!({ "updates": updates })).expect(200);
    assert_one_done_one_refused(&answer, &kept);
    let row = host.get(&format!("/scheduled/{kept}")).expect(200);
    assert_eq!((&row["input"], &row["priority"]), (&json!(2), &json!(3)));

    let answer = host.post("/scheduled/bulk-delete", &json!({ "ids": [dropped, ID] })).expect(200);
    assert_one_done_one_refused(&answer, &dropped);
    let filter = json!({ "filter": { "workflow": "echo", "status": "pending" } });
    assert_eq!(rows(&host.post("/scheduled/bulk-delete", &filter).expect(200)), [json!({ "id": kept })]);
    assert_eq!(column(&host.list("/scheduled"), "/status"), ["cancelled", "cancelled"]);
    assert_eq!(host.post("/scheduled/bulk-delete", &json!({ "ids": vec![ID; 501] })).status, 422);
}

#[test]
fn post_events_bulk() {
    let host = host();
    let events = json!([{ "key": "triggered:plain", "payload": 1 }, { "key": "nobody" }]);
    let rows = rows(&host.post("/events/bulk", &json!({ "events": events })).expect(201));
    rows.iter().for_each(|row| assert_shape(row, "event runs settledWaits"));
    assert_eq!(column(&rows, "/event/key"), ["triggered:plain", "nobody"]);
    assert_eq!(rows[0]["runs"][0]["workflow"], "triggered");
    assert_eq!(
        host.post("/events/bulk", &json!({ "events": vec![json!({ "key": "a" }); 1001] })).status,
        422
    );
}

#[test]
fn get_metrics() {
    let host = host();
    drop(host.call("echo", &json!(1)));
    let metrics = host.get("//metrics").expect(200);
    let text = metrics.as_str().expect("it is text");
    for part in ["# TYPE ", "# HELP ", "completed"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
