//! Versions of a workflow: what new runs take, what begun ones keep, and the way back.

use std::time::Duration;

use dormouse_tests::{Client, TestHost, column, guest, patched};
use serde_json::{Value, json};

/// The module of `durable-sleep` in which the name of an output field tells the edition.
fn edition(number: u8) -> Vec<u8> {
    patched("durable-sleep", "slept_ms", &format!("slept_v{number}"))
}

fn upload(client: &Client, bytes: &[u8]) -> Value {
    client.post_bytes("/modules", "application/wasm", bytes).expect(201)
}

fn sleeper(client: &Client, seconds: u64) -> String {
    client.start("durable-sleep", &json!({ "seconds": seconds }))
}

/// Whether the code of this edition gave the output.
#[track_caller]
fn assert_ran(run: &Value, field: &str) {
    assert_eq!(run["status"], "completed", "{run:#}");
    assert!(run["output"].get(field).is_some(), "{:#}", run["output"]);
}

#[test]
fn new_runs_take_the_newest_version_begun_runs_keep_theirs() {
    let host = TestHost::with(&["durable-sleep"]);
    let begun = sleeper(&host, 60);
    upload(&host, &edition(2));
    let new = sleeper(&host, 60);
    assert_eq!((&host.run(&begun)["version"], &host.run(&new)["version"]), (&json!(1), &json!(2)));
    assert_ran(&host.to_end(&begun), "slept_ms");
    assert_ran(&host.to_end(&new), "slept_v2");
}

#[test]
fn roll_back_makes_an_older_version_current() {
    let host = TestHost::with(&["durable-sleep"]);
    upload(&host, &edition(2));
    let begun = sleeper(&host, 60);
    let workflow = host.patch("/workflows/durable-sleep", &json!({ "currentVersion": 1 })).expect(200);
    assert_eq!(workflow["currentVersion"], 1);
    assert_eq!(column(workflow["versions"].as_array().expect("a list"), "/version").len(), 2);
    let host = host.restart_after(Duration::ZERO);
    let new = sleeper(&host, 60);
    assert_ran(&host.to_end(&new), "slept_ms");
    assert_ran(&host.to_end(&begun), "slept_v2");

    let forth = host.patch("/workflows/durable-sleep", &json!({ "currentVersion": 2 })).expect(200);
    assert_eq!(forth["currentVersion"], 2);
    upload(&host, &edition(3));
    assert_eq!(host.get("/workflows/durable-sleep").expect(200)["currentVersion"], 3);
}

#[test]
fn roll_back_brings_back_the_crons_of_the_version_with_enabled_kept() {
    let host = TestHost::with(&["declared-cron"]);
    let cron = |host: &TestHost| host.list("/crons?workflow=heartbeat").remove(0);
    let id = cron(&host)["id"].as_str().expect("an id").to_owned();
    let expression = cron(&host)["expression"].as_str().expect("a text").to_owned();
    let changed = patched("declared-cron", &expression, &expression.replace("10", "20"));
    host.post_bytes("/modules", "application/wasm", &changed).expect(201);
    host.patch(&format!("/crons/{id}"), &json!({ "enabled": false })).expect(200);
    assert_ne!(cron(&host)["expression"], expression);

    host.patch("/workflows/heartbeat", &json!({ "currentVersion": 1 })).expect(200);
    let back = cron(&host);
    assert_eq!((&back["id"], &back["expression"]), (&json!(id), &json!(expression)));
    assert_eq!(back["enabled"], false);
}

#[test]
fn roll_back_to_what_is_not_there_says_what_is() {
    let host = TestHost::with(&["durable-sleep"]);
    let digest = host.list("/modules")[0]["digest"].as_str().expect("a digest").to_owned();
    let back = |version: u32| host.patch("/workflows/durable-sleep", &json!({ "currentVersion": version }));
    assert_eq!(back(7).error(), (422, "unknown_version", "currentVersion"));
    assert!(back(0).body["errors"][0]["description"].as_str().expect("a text").contains("from 1 to 1"));

    upload(&host, &edition(2));
    host.delete(&format!("/modules/{digest}")).expect(204);
    assert_eq!(back(1).error(), (409, "module_deleted", ""));
    upload(&host, &guest("durable-sleep"));
    assert_eq!(host.get("/workflows/durable-sleep").expect(200)["currentVersion"], 3);
}
