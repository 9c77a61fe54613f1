//! One test for each row of the table of routes in the description of the API, named after it: the
//! request, the status and the shape of the answer.

use std::time::Duration;

use dormouse_tests::{Answer, TestHost, column, guest};
use serde_json::{Value, json};

mod bulk;
mod triggers;

const ID: &str = "01920b5e-7b1c-7d3e-8f00-000000000001";
const HOUR: Duration = Duration::from_secs(3600);

const RUN: &str = "createdAt error finishedAt held id input metadata module output parentId priority reason \
     startedAt status tasks trigger version workflow";
const CRON: &str = "catchUp catchUpWindowMs createdAt description enabled expression id input lastRunAt \
     lastRunId metadata name nextRunAt overlap priority problem source timezone updatedAt workflow";
const SCHEDULED: &str = "createdAt id input metadata priority runId source sourceRunId status triggerAt \
     updatedAt workflow";

fn host() -> TestHost {
    TestHost::with(&["dormouse-programs"])
}

fn id(row: &Value) -> &str {
    row["id"].as_str().expect("it has an id")
}

/// Checks that an object has exactly these fields, and that its times are written as they must be.
#[track_caller]
fn assert_shape(value: &Value, fields: &str) {
    let object = value.as_object().expect("it is an object");
    let mut names: Vec<_> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, fields.split_whitespace().collect::<Vec<_>>());
    for (name, value) in object.iter().filter(|(name, value)| name.ends_with("At") && !value.is_null()) {
        assert_time(name, value);
    }
}

/// RFC 3339 in UTC with milliseconds, such as `2026-01-05T08:00:00.000Z`.
#[track_caller]
fn assert_time(name: &str, value: &Value) {
    let text = value.as_str().expect("a time is a string");
    let written = |(at, expected): (usize, char)| {
        let found = text.chars().nth(at);
        if expected == '0' { found.is_some_and(|c| c.is_ascii_digit()) } else { found == Some(expected) }
    };
    let form = "0000-00-00T00:00:00.000Z";
    assert!(text.len() == form.len() && form.char_indices().all(written), "{name}: {text}");
}

/// Checks the status and the shape of a refusal.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str, field: &str) {
    assert_eq!(answer.error(), (status, code, field), "{:#}", answer.body);
    assert_eq!(answer.body.as_object().expect("an object").len(), 1);
    for error in answer.body["errors"].as_array().expect("a list of errors") {
        let object = error.as_object().expect("an object");
        assert!(object.keys().all(|name| ["code", "field", "description"].contains(&name.as_str())));
        assert!(error["description"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
    }
}

/// A page of a list, checked for its shape.
#[track_caller]
fn rows(answer: Answer) -> Vec<Value> {
    let page = answer.expect(200);
    assert_shape(&page, "nextCursor rows");
    page["rows"].as_array().expect("rows").clone()
}

/// Walks through a list in pages of one, and refuses what the query does not know.
#[track_caller]
fn assert_pages(host: &TestHost, path: &str) {
    let all = host.list(path);
    assert!(all.len() > 1, "{path} has too few rows to show anything");
    assert_eq!(host.list(&format!("{path}?limit=1")), all);
    assert_refused(&host.get(&format!("{path}?limit=201")), 422, "invalid_limit", "limit");
    assert_refused(&host.get(&format!("{path}?colour=red")), 422, "unknown_parameter", "colour");
}

#[test]
fn post_modules() {
    let host = TestHost::with(&[]);
    let upload = || host.post_bytes("/modules", "application/wasm", &guest("declared-cron"));
    let module = upload().expect(201);
    assert_shape(&module, "digest imports size uploadedAt warnings workflows");
    assert!(module["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(module["size"], guest("declared-cron").len());
    assert!(module["imports"].as_array().is_some_and(|imports| !imports.is_empty()));
    let workflow = &module["workflows"][0];
    assert_eq!((&workflow["name"], &workflow["version"]), (&json!("daily-report"), &json!(1)));
    for list in ["crons", "events", "tasks"] {
        assert!(workflow[list].is_array(), "{list}");
    }
    assert_eq!(upload().expect(200), module);
    assert_refused(&host.post_bytes("/modules", "application/wasm", b"nonsense"), 400, "not_wasm", "");
}

#[test]
fn get_modules_and_get_delete_modules_digest() {
    let host = TestHost::with(&["durable-sleep", "declared-cron"]);
    assert_pages(&host, "/modules");
    let mut modules = host.list("/modules").into_iter();
    let module = modules.find(|module| module["workflows"][0]["name"] == "durable-sleep").unwrap();
    let path = format!("/modules/{}", module["digest"].as_str().unwrap());
    assert_eq!(host.get(&path).expect(200), module);

    let run = host.start("durable-sleep", &json!({ "seconds": 60 }));
    // Its workflow's next version is in another module.
    let next = [guest("durable-sleep"), vec![0, 2, 0, 7]].concat();
    host.post_bytes("/modules", "application/wasm", &next).expect(201);
    assert_refused(&host.delete(&path), 409, "module_in_use", "");
    drop(host.to_end(&run));
    assert_eq!(host.delete(&path).expect(204), Value::Null);
    assert_refused(&host.get(&path), 404, "unknown_module", "");
}

#[test]
fn get_workflows_and_get_workflows_name() {
    let host = host();
    assert_pages(&host, "/workflows");
    host.start("echo", &json!(1));
    host.settle();
    let workflow = host.get("/workflows/echo").expect(200);
    let fields = "createdAt currentVersion definition name paused runCounts updatedAt versions";
    assert_shape(&workflow, fields);
    assert_eq!((&workflow["currentVersion"], &workflow["paused"]), (&json!(1), &json!(false)));
    assert_eq!(workflow["versions"][0]["version"], 1);
    assert_eq!(workflow["runCounts"]["completed"], 1);
    assert!(workflow["definition"]["tasks"].is_array());
    assert!(host.list("/workflows").contains(&workflow));
    assert_refused(&host.get("/workflows/nobody"), 404, "unknown_workflow", "");
}

#[test]
fn patch_workflows_name() {
    let host = host();
    for paused in [true, false] {
        let workflow = host.patch("/workflows/echo", &json!({ "paused": paused })).expect(200);
        assert_eq!(workflow["paused"], paused);
        assert_eq!(host.get("/workflows/echo").expect(200), workflow);
    }
    assert_refused(&host.patch("/workflows/echo", &json!({ "colour": 1 })), 422, "unknown_field", "colour");
    assert_refused(&host.patch("/workflows/nobody", &json!({ "paused": true })), 404, "unknown_workflow", "");
}

#[test]
fn delete_workflows_name() {
    let host = host();
    host.put("/workflows/echo/crons/hourly", &json!({ "expression": "@hourly" })).expect(201);
    let run = host.call("echo", &json!(1));
    assert_eq!(host.delete("/workflows/echo").expect(204), Value::Null);
    assert_eq!(host.list("/crons").len(), 0, "its triggers go");
    assert_eq!(host.run(id(&run))["status"], "completed", "its runs stay");
    assert_refused(&host.delete("/workflows/echo"), 404, "unknown_workflow", "");
}

#[test]
fn post_workflows_name_runs() {
    let host = host();
    let path = "/workflows/echo/runs";
    let body = json!({
        "input": [1], "metadata": { "a": "b" }, "priority": 3, "idempotencyKey": "k", "idempotencyTtlMs": 1000,
    });
    let run = host.post(path, &body).expect(202);
    assert_shape(&run, RUN);
    assert_shape(&run["trigger"], "id kind scheduledAt");
    assert_eq!(run["trigger"], json!({ "kind": "call", "id": null, "scheduledAt": null }));
    assert_eq!(
        (&run["input"], &run["metadata"], &run["priority"]),
        (&body["input"], &body["metadata"], &json!(3))
    );
    assert_eq!(host.post(path, &body).expect(200)["id"], run["id"], "a repeated key");

    let done = host.post(&format!("{path}?wait=60000"), &json!({ "input": 7 })).expect(200);
    assert_shape(&done, RUN);
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!(7)));
    assert_refused(&host.post(&format!("{path}?wait=60001"), &json!({})), 422, "invalid_wait", "wait");
    assert_refused(&host.post(path, &json!({ "inputs": 1 })), 422, "unknown_field", "inputs");
    assert_refused(&host.post(path, &json!({ "priority": 4 })), 422, "invalid_value", "priority");
}

#[test]
fn get_runs() {
    let host = host();
    let parent = host.call("parent", &json!({ "children": 1 }));
    host.advance(HOUR);
    let from = host.now().to_string();
    let tagged = host.start_with("echo", &json!({ "metadata": { "a": "b", "c": "d" } }));
    let cron = host.put("/workflows/echo/crons/c", &json!({ "expression": "@hourly" })).expect(201);
    let triggered = host.post(&format!("/crons/{}/trigger", id(&cron)), &json!({})).expect(202);
    host.settle();
    assert_pages(&host, "/runs");

    let all = host.list("/runs");
    all.iter().for_each(|run| assert_shape(run, RUN));
    assert!(all.is_sorted_by(|a, b| a["createdAt"].as_str() >= b["createdAt"].as_str()), "newest first");
    let found = |query: &str| column(&rows(host.get(&format!("/runs?{query}"))), "/id");
    let child = found(&format!("parent={}", id(&parent)));
    assert_eq!(child.len(), 1);
    let (tagged, triggered, parent) = (tagged, id(&triggered).to_owned(), id(&parent).to_owned());
    assert_eq!(found("workflow=parent"), [parent.as_str()]);
    assert_eq!(found("metadata=a:b&metadata=c:d"), [tagged.as_str()]);
    assert_eq!(found("metadata=a:b&metadata=c:x").len(), 0);
    assert_eq!(found(&format!("trigger={}", id(&cron))), [triggered.as_str()]);
    assert_eq!(found("trigger=cron"), [triggered.as_str()]);
    assert_eq!(found(&format!("since={from}")), [triggered.as_str(), tagged.as_str()]);
    assert_eq!(found(&format!("until={from}")), [child[0].as_str(), parent.as_str()]);
    assert_eq!(found("status=completed").len(), all.len());
    assert_eq!(found("status=failed").len(), 0);
}

#[test]
fn get_runs_id() {
    let host = host();
    let started = host.start("echo", &json!(7));
    let run = host.get(&format!("/runs/{started}?wait=60000")).expect(200);
    assert_shape(&run, RUN);
    assert_eq!(
        (&run["status"], &run["output"], &run["error"]),
        (&json!("completed"), &json!(7), &Value::Null)
    );
    let task = &run["tasks"][0];
    let fields =
        "attempt error finishedAt held name output queuedAt ranMs reason retryAt startedAt status waits";
    assert_shape(task, fields);

    let failed = host.call("fails", &json!({ "attempts": 1, "fatal": true }));
    assert_shape(&failed["error"], "details message");
    assert_eq!((&failed["status"], &failed["reason"]), (&json!("failed"), &json!("error")));
    assert_refused(&host.get(&format!("/runs/{ID}")), 404, "unknown_run", "");
}

#[test]
fn get_runs_id_history_and_get_runs_id_logs() {
    let host = host();
    let run = host.call("logger", &Value::Null);
    for (list, fields) in [
        ("history", "at attempt reason runStatus sequence status task"),
        ("logs", "at attempt level message repeated sequence task"),
    ] {
        let path = format!("/runs/{}/{list}", id(&run));
        let all = rows(host.get(&format!("{path}?limit=200")));
        all.iter().for_each(|row| assert_shape(row, fields));
        all.iter().for_each(|row| assert_time("at", &row["at"]));
        let sequence = |row: &Value| row["sequence"].as_u64().unwrap();
        assert!(all.len() > 2 && all.is_sorted_by(|a, b| sequence(a) < sequence(b)), "oldest first");
        let since = format!("{path}?since={}&limit=1", sequence(&all[0]));
        assert_eq!(rows(host.get(&since)), all[1..2]);
    }
}

#[test]
fn get_runs_id_stream() {
    let host = host();
    let run = host.call("publisher", &json!({ "chunks": 2 }));
    let lines: Vec<_> = host.stream(id(&run), None).collect();
    for kind in ["event: status", "event: chunk"] {
        assert!(lines.iter().any(|line| line == kind), "{kind} is not among {lines:#?}");
    }
    let ids: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("id: ")).collect();
    let rest = host.stream(id(&run), Some(ids[0]));
    let rest: Vec<_> = rest.filter_map(|line| line.strip_prefix("id: ").map(str::to_owned)).collect();
    assert_eq!(rest, ids[1..]);
}

#[test]
fn post_runs_id_cancel() {
    let host = host();
    let run = host.start("map-checksum", &json!({ "n": 10, "sleep_ms": 60_000 }));
    host.settle();
    let path = format!("/runs/{run}/cancel");
    let cancelled = host.post(&path, &json!({})).expect(200);
    assert_shape(&cancelled, RUN);
    assert_eq!((&cancelled["status"], &cancelled["reason"]), (&json!("cancelled"), &json!("requested")));
    assert_refused(&host.post(&path, &json!({})), 409, "run_ended", "");
    assert_refused(&host.post(&format!("/runs/{ID}/cancel"), &json!({})), 404, "unknown_run", "");
}

#[test]
fn get_healthz_and_readyz() {
    let host = TestHost::with(&[]);
    for path in ["//healthz", "//readyz"] {
        assert_eq!(host.get(path).expect(200), json!({ "status": "ok" }));
    }
}
