//! The rows of crons, scheduled runs and events.

use dormouse_tests::{TestHost, column};
use serde_json::{Value, json};

use super::{
    CRON, HOUR, ID, RUN, SCHEDULED, assert_pages, assert_refused, assert_shape, assert_time, host, id, rows,
};

#[test]
fn put_workflows_name_crons_cron_name() {
    let host = host();
    let path = "/workflows/echo/crons/night";
    let body = json!({
        "expression": "30 2 * * MON", "timezone": "Europe/Paris", "input": 1, "metadata": { "a": "b" },
        "priority": 2, "enabled": true, "catchUp": "one", "overlap": "skip",
    });
    let cron = host.put(path, &body).expect(201);
    assert_shape(&cron, CRON);
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&cron[field], value, "{field}");
    }
    assert_eq!(
        (&cron["workflow"], &cron["name"], &cron["source"]),
        (&json!("echo"), &json!("night"), &json!("api"))
    );
    assert_eq!(cron["description"], "At 02:30, on Monday, Europe/Paris");
    assert_eq!(host.put(path, &body).expect(200), cron);
    assert_refused(
        &host.put(path, &json!({ "expression": "@daily", "tz": "UTC" })),
        422,
        "unknown_field",
        "tz",
    );
}

#[test]
fn post_workflows_name_crons() {
    let host = host();
    let path = "/workflows/echo/crons";
    let cron = host.post(path, &json!({ "name": "a", "expression": "@hourly" })).expect(201);
    assert_shape(&cron, CRON);
    let updated = host.post(path, &json!({ "name": "a", "expression": "@daily" })).expect(200);
    assert_eq!((id(&updated), &updated["expression"]), (id(&cron), &json!("@daily")));
    assert_refused(&host.post(path, &json!({ "expression": "@daily" })), 422, "missing_field", "name");
}

#[test]
fn get_crons() {
    let host = host();
    for (name, enabled) in [("a", true), ("b", false)] {
        let body = json!({ "expression": "@hourly", "enabled": enabled, "metadata": { "is": name } });
        host.put(&format!("/workflows/echo/crons/{name}"), &body).expect(201);
    }
    assert_pages(&host, "/crons");
    let found = |query: &str| column(&rows(host.get(&format!("/crons?{query}"))), "/name");
    host.list("/crons").iter().for_each(|cron| assert_shape(cron, CRON));
    assert_eq!(found(""), ["b", "a"], "newest first");
    assert_eq!((found("workflow=echo").len(), found("workflow=about").len()), (2, 0));
    assert_eq!(found("name=a"), ["a"]);
    assert_eq!(found("metadata=is:b"), ["b"]);
    assert_eq!(found("enabled=true"), ["a"]);
}

#[test]
fn get_patch_delete_crons_id() {
    let host = TestHost::with(&["declared-cron"]);
    let body = json!({ "expression": "@hourly" });
    let cron = host.put("/workflows/heartbeat/crons/mine", &body).expect(201);
    let path = format!("/crons/{}", id(&cron));
    assert_eq!(host.get(&path).expect(200), cron);
    let patched = host.patch(&path, &json!({ "overlap": "queue", "enabled": false })).expect(200);
    assert_shape(&patched, CRON);
    assert_eq!((&patched["overlap"], &patched["expression"]), (&json!("queue"), &json!("@hourly")));
    assert_eq!(patched["nextRunAt"], Value::Null);
    assert_refused(&host.patch(&path, &json!({ "name": "x" })), 422, "unknown_field", "name");

    let declared = &host.list("/crons?name=x..10_x_x_x_x_x")[0];
    assert_refused(&host.delete(&format!("/crons/{}", id(declared))), 409, "declared_cron", "");
    assert_eq!(host.delete(&path).expect(204), Value::Null);
    assert_refused(&host.get(&path), 404, "unknown_cron", "");
}

#[test]
fn post_crons_id_trigger() {
    let host = host();
    let cron = host.put("/workflows/echo/crons/a", &json!({ "expression": "@hourly" })).expect(201);
    let run = host.post(&format!("/crons/{}/trigger", id(&cron)), &json!({})).expect(202);
    assert_shape(&run, RUN);
    assert_eq!((&run["trigger"]["kind"], &run["trigger"]["id"]), (&json!("cron"), &cron["id"]));
    assert_time("scheduledAt", &run["trigger"]["scheduledAt"]);
    assert_eq!(host.get(&format!("/crons/{}", id(&cron))).expect(200)["lastRunId"], run["id"]);
    assert_refused(&host.post(&format!("/crons/{ID}/trigger"), &json!({})), 404, "unknown_cron", "");
}

/// Schedules a run of `echo` an hour from now.
fn scheduled(host: &TestHost) -> Value {
    let body = json!({ "triggerAt": host.now().after(HOUR).to_string() });
    host.post("/workflows/echo/scheduled", &body).expect(201)
}

#[test]
fn post_workflows_name_scheduled() {
    let host = host();
    let path = "/workflows/echo/scheduled";
    let at = "2030-01-31T09:00:00.000Z";
    let body = json!({ "triggerAt": at, "input": 1, "metadata": { "a": "b" }, "priority": 2 });
    let row = host.post(path, &body).expect(201);
    assert_shape(&row, SCHEDULED);
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&row[field], value, "{field}");
    }
    assert_eq!(
        (&row["status"], &row["source"], &row["runId"]),
        (&json!("pending"), &json!("api"), &Value::Null)
    );
    assert_refused(&host.post(path, &json!({ "triggerAt": at, "when": 1 })), 422, "unknown_field", "when");
}

#[test]
fn get_scheduled() {
    let host = host();
    let at = |hours: u32| host.now().after(hours * HOUR).to_string();
    for hours in [2, 1] {
        let body = json!({ "triggerAt": at(hours), "metadata": { "in": hours.to_string() } });
        host.post("/workflows/echo/scheduled", &body).expect(201);
    }
    assert_pages(&host, "/scheduled");
    let found = |query: &str| column(&rows(host.get(&format!("/scheduled?{query}"))), "/metadata/in");
    assert_eq!(found(""), ["1", "2"], "earliest first");
    assert_eq!((found("workflow=echo").len(), found("workflow=about").len()), (2, 0));
    assert_eq!((found("status=pending").len(), found("status=fired").len()), (2, 0));
    assert_eq!(found("metadata=in:2"), ["2"]);
}

#[test]
fn get_patch_delete_scheduled_id() {
    let host = host();
    let row = scheduled(&host);
    let path = format!("/scheduled/{}", id(&row));
    assert_eq!(host.get(&path).expect(200), row);
    let at = host.now().after(2 * HOUR).to_string();
    let change = json!({ "triggerAt": at, "input": 2, "metadata": { "a": "b" }, "priority": 3 });
    let patched = host.patch(&path, &change).expect(200);
    for (field, value) in change.as_object().unwrap() {
        assert_eq!(&patched[field], value, "{field}");
    }
    assert_eq!(host.delete(&path).expect(204), Value::Null);
    assert_eq!(host.get(&path).expect(200)["status"], "cancelled", "the row stays");

    let fired = format!("/scheduled/{}", id(&scheduled(&host)));
    host.advance(HOUR);
    assert_refused(&host.patch(&fired, &json!({ "input": 3 })), 409, "not_pending", "");
    assert_refused(&host.get(&format!("/scheduled/{ID}")), 404, "unknown_scheduled_run", "");
}

#[test]
fn post_scheduled_id_trigger() {
    let host = host();
    let row = scheduled(&host);
    let run = host.post(&format!("/scheduled/{}/trigger", id(&row)), &json!({})).expect(202);
    assert_shape(&run, RUN);
    assert_eq!((&run["trigger"]["kind"], &run["trigger"]["id"]), (&json!("scheduled"), &row["id"]));
    let row = host.get(&format!("/scheduled/{}", id(&row))).expect(200);
    assert_eq!((&row["status"], &row["runId"]), (&json!("fired"), &run["id"]));
}

#[test]
fn post_events() {
    let host = host();
    let body = json!({
        "key": "triggered:plain", "payload": [1], "metadata": { "a": "b" }, "priority": 2, "idempotencyKey": "k",
    });
    let pushed = host.post("/events", &body).expect(201);
    assert_shape(&pushed, "event runs settledWaits");
    for field in ["key", "payload", "metadata", "priority"] {
        assert_eq!(pushed["event"][field], body[field], "{field}");
    }
    assert_time("pushedAt", &pushed["event"]["pushedAt"]);
    assert_shape(&pushed["runs"][0], "id workflow");
    assert_eq!((&pushed["runs"][0]["workflow"], &pushed["settledWaits"]), (&json!("triggered"), &json!(0)));
    assert_refused(&host.post("/events", &json!({ "key": "a", "x": 1 })), 422, "unknown_field", "x");
}

#[test]
fn get_events_and_get_events_id() {
    let host = host();
    let first = host.post("/events", &json!({ "key": "a:b", "metadata": { "n": "1" } })).expect(201);
    host.advance(HOUR);
    let second = host.post("/events", &json!({ "key": "triggered:plain" })).expect(201);
    assert_pages(&host, "/events");
    let keys = |query: &str| column(&rows(host.get(&format!("/events?{query}"))), "/key");
    assert_eq!(keys(""), ["triggered:plain", "a:b"], "newest first");
    assert_eq!((keys("key=a:b"), keys("key=a:*")), (vec!["a:b".to_owned()], vec!["a:b".to_owned()]));
    assert_eq!(keys(&format!("since={}", host.now())), ["triggered:plain"]);
    assert_eq!(keys(&format!("until={}", host.now())), ["a:b"]);
    assert_eq!(keys("metadata=n:1"), ["a:b"]);
    let shown = host.get(&format!("/events/{}", id(&second["event"]))).expect(200);
    assert_eq!(shown["runs"], second["runs"], "with its runs");
    assert_eq!(host.get(&format!("/events/{}", id(&first["event"]))).expect(200)["key"], "a:b");
    assert_refused(&host.get(&format!("/events/{ID}")), 404, "unknown_event", "");
}
