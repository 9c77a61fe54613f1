//! Whatever is wrong with a request: the status says what class of error it is, the code which one,
//! the field where, and the description how to mend it.

use dormouse_tests::{Answer, TestHost};
use serde_json::{Value, json};

const ID: &str = "01920b5e-7b1c-7d3e-8f00-000000000001";

/// Expects a refusal with this status, code and field, and these words in its description.
#[track_caller]
fn refused(answer: &Answer, expected: (u16, &str, &str), words: &str) {
    assert_eq!(answer.error(), expected, "{:#}", answer.body);
    let errors = answer.body["errors"].as_array().expect("there is a list of errors");
    let description = errors[0]["description"].as_str().unwrap_or_default();
    assert!(description.contains(words), "{description}");
    assert_eq!(answer.body.as_object().map(serde_json::Map::len), Some(1), "{:#}", answer.body);
}

#[test]
fn bodies_that_are_wrong_are_refused_with_what_is_wrong_and_nothing_happens() {
    let host = TestHost::with(&["dormouse-programs"]);
    let (runs, cron, scheduled) =
        ("/workflows/echo/runs", "/workflows/echo/crons", "/workflows/echo/scheduled");
    for (path, body, expected, words) in [
        (runs, r#"{"input": nope}"#, (400, "malformed_json", ""), "line 1 column 12"),
        (runs, r#"{"input": 1"#, (400, "malformed_json", ""), "not JSON"),
        (runs, "[1]", (422, "invalid_value", "body"), "must be a JSON object"),
        (runs, r#"{"inputs": 1}"#, (422, "unknown_field", "inputs"), "expected one of `input`"),
        (runs, r#"{"priority": 7}"#, (422, "invalid_value", "priority"), "from 1 to 3, not 7"),
        (runs, r#"{"metadata": {"a": 1}}"#, (422, "invalid_value", "metadata.a"), "expected a string"),
        ("/workflows/nobody/runs", "{}", (404, "unknown_workflow", ""), "no workflow is named `nobody`"),
        (
            "/workflows/counter/runs",
            r#"{"input": {"times": "x"}}"#,
            (422, "invalid_input", "input"),
            "at /times",
        ),
        ("/workflows/counter/runs", "{}", (422, "invalid_input", "input"), "object"),
        (cron, r#"{"name": "a", "expression": "61 * * * *"}"#, (422, "invalid_cron", "expression"), "61"),
        (cron, r#"{"name": "a", "expression": "hourly"}"#, (422, "invalid_cron", "expression"), "write five"),
        (cron, r#"{"name": "a", "expression": "0 0 31 2 *"}"#, (422, "invalid_cron", "expression"), "never"),
        (
            cron,
            r#"{"name": "a", "expression": "@daily", "timezone": "Mars/Olympus"}"#,
            (422, "invalid_timezone", "timezone"),
            "Mars/Olympus",
        ),
        (cron, r#"{"name": "a"}"#, (422, "missing_field", "expression"), "expression"),
        (cron, r#"{"name": "A b", "expression": "@daily"}"#, (422, "invalid_value", "name"), "A b"),
        (
            "/workflows/counter/crons",
            r#"{"name": "a", "expression": "@daily", "input": 7}"#,
            (422, "invalid_input", "input"),
            "7",
        ),
        (
            scheduled,
            r#"{"triggerAt": "tomorrow"}"#,
            (422, "invalid_value", "triggerAt"),
            "2030-01-31T09:00:00Z",
        ),
        (scheduled, "{}", (422, "missing_field", "triggerAt"), "triggerAt"),
        (
            "/workflows/counter/scheduled",
            r#"{"triggerAt": "2030-01-31T09:00:00Z", "input": 7}"#,
            (422, "invalid_input", "input"),
            "7",
        ),
        ("/events", r#"{"key": ""}"#, (422, "invalid_event_key", "key"), "cannot be empty"),
        ("/events", r#"{"payload": 1}"#, (422, "missing_field", "key"), "key"),
        ("/runs", "{}", (405, "wrong_method", ""), "knows no POST"),
        ("/rums", "{}", (404, "unknown_route", ""), "/openapi.json"),
    ] {
        let answer = host.post_bytes(path, "application/json", body.as_bytes());
        refused(&answer, expected, words);
    }
    for list in ["/runs", "/crons", "/scheduled", "/events"] {
        assert_eq!(host.list(list).len(), 0, "{list}");
    }
}

#[test]
fn bodies_of_another_type_or_too_large_are_refused() {
    let host = TestHost::with(&["dormouse-programs"]);
    let path = "/workflows/echo/runs";
    let typed = |content_type, body: &str| host.post_bytes(path, content_type, body.as_bytes());
    refused(&typed("text/plain", "{}"), (415, "wrong_content_type", "Content-Type"), "application/json");

    let long = json!({ "input": "x".repeat(1 << 20) }).to_string();
    refused(&typed("application/json", &long), (413, "value_too_large", "input"), "at most 1048576 bytes");
    let longer = json!({ "input": "x".repeat(3 << 20) }).to_string();
    refused(&typed("application/json", &longer), (413, "body_too_large", ""), "at most 2097152 bytes");

    let deep = format!(r#"{{"input": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    refused(&typed("application/json", &deep), (422, "invalid_value", "input"), "more than 128");
    assert_eq!(host.list("/runs").len(), 0);
    assert_eq!(host.call("echo", &json!("after"))["output"], "after");
}

#[test]
fn paths_and_queries_that_are_wrong_are_refused_with_what_is_wrong() {
    let host = TestHost::with(&[]);
    for (path, expected, words) in [
        ("/runs/7", (400, "malformed_path", "id"), "7"),
        ("/crons/x", (400, "malformed_path", "id"), "x"),
        ("/workflows/Upper", (400, "malformed_path", "name"), "Upper"),
        ("/modules/md5:00", (400, "malformed_path", "digest"), "sha256:"),
        ("/runs?cursor=%21", (400, "invalid_cursor", "cursor"), "nextCursor"),
        ("/scheduled?cursor=5", (400, "invalid_cursor", "cursor"), "nextCursor"),
        ("/runs?limit=0", (422, "invalid_limit", "limit"), "from 1 to 200"),
        ("/runs?limit=201", (422, "invalid_limit", "limit"), "from 1 to 200"),
        ("/runs?limit=all", (422, "invalid_value", "limit"), "`limit` cannot be `all`"),
        (
            "/runs?metadata=team",
            (422, "invalid_value", "metadata[0]"),
            "`team`: a metadata filter is `key:value`",
        ),
        ("/runs?status=done", (422, "invalid_value", "status"), "`completed`"),
        ("/runs?state=failed", (422, "unknown_parameter", "state"), "`status`"),
        ("/runs?since=yesterday", (422, "invalid_value", "since"), "2030-01-31T09:00:00Z"),
        ("/events?key=", (422, "invalid_key_pattern", "key"), "empty"),
        ("/nothing", (404, "unknown_route", ""), "/openapi.json"),
    ] {
        refused(&host.get(path), expected, words);
    }
    for (what, code) in [
        ("runs", "unknown_run"),
        ("crons", "unknown_cron"),
        ("scheduled", "unknown_scheduled_run"),
        ("events", "unknown_event"),
    ] {
        refused(&host.get(&format!("/{what}/{ID}")), (404, code, ""), ID);
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    refused(&host.get(&format!("/modules/{digest}")), (404, "unknown_module", ""), &digest);
    for part in ["history", "logs", "stream"] {
        refused(&host.get(&format!("/runs/{ID}/{part}")), (404, "unknown_run", ""), ID);
    }
    let wait = format!("/runs/{ID}?wait=99999999");
    refused(&host.get(&wait), (422, "invalid_wait", "wait"), "at most 60000 milliseconds");
}

#[test]
fn files_that_are_no_modules_are_refused_with_what_they_are() {
    let host = TestHost::with(&[]);
    let text = |text: &str| wat::parse_str(text).expect("it is WebAssembly text");
    let mut cut_off = dormouse_tests::guest("dormouse-programs");
    cut_off.truncate(cut_off.len() / 2);
    for (bytes, expected, words) in [
        (b"Dear diary,".to_vec(), (400, "not_wasm", ""), "upload the `.wasm` file"),
        (Vec::new(), (400, "not_wasm", ""), "upload the `.wasm` file"),
        (cut_off, (400, "malformed", ""), "malformed"),
        (text("(module)"), (422, "core_module", ""), "--target wasm32-wasip2"),
        (text("(component)"), (422, "missing_interface", ""), "dormouse:workflow/guest@0.1.0"),
    ] {
        refused(&host.post_bytes("/modules", "application/wasm", &bytes), expected, words);
    }
    // A client hears of it although it sends all of it before it listens.
    let large = vec![0; 65 << 20];
    let sent = host.post_bytes("/modules", "application/wasm", &large);
    refused(&sent, (413, "body_too_large", ""), "at most 67108864 bytes");
    let sent = host.post_bytes("/modules", "application/octet-stream", &large);
    refused(&sent, (415, "wrong_content_type", "Content-Type"), "application/wasm");
    assert_eq!(host.list("/modules").len(), 0);
}

#[test]
fn what_the_state_of_things_forbids_is_a_conflict() {
    let host = TestHost::with(&["dormouse-programs", "declared-cron"]);
    let declared = host.list("/crons")[0].clone();
    let cron = format!("/crons/{}", id(&declared));
    refused(&host.delete(&cron), (409, "declared_cron", ""), "disable it instead");
    let change = json!({ "expression": "@daily" });
    refused(&host.patch(&cron, &change), (409, "declared_cron", ""), "only `enabled` can be changed");

    let at = json!({ "triggerAt": "2026-01-05T07:00:00Z" });
    let scheduled = host.post("/workflows/echo/scheduled", &at).expect(201);
    host.settle();
    let path = format!("/scheduled/{}", id(&scheduled));
    refused(&host.patch(&path, &at), (409, "not_pending", ""), "fired");
    refused(&host.delete(&path), (409, "not_pending", ""), "fired");

    let echo = host.get("/workflows/echo").expect(200);
    let module =
        format!("/modules/{}", echo["versions"][0]["module"].as_str().expect("a version has a module"));
    refused(&host.delete(&module), (409, "module_current", ""), "delete the workflow first");

    let run = host.call("echo", &json!(1));
    let cancel = host.post(&format!("/runs/{}/cancel", id(&run)), &json!({}));
    refused(&cancel, (409, "run_ended", ""), "completed");
}

fn id(row: &Value) -> &str {
    row["id"].as_str().expect("it has an id")
}
