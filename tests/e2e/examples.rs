//! Every example is executed, and every guest program has a test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_tests::{TestHost, column};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn approval() {
    let host = TestHost::with(&["approval"]);
    let input = json!({ "expense": "42", "amount": 120, "seconds": 600 });
    let approved = host.start("approve-expense", &input);
    host.advance(SECOND);
    let payload = json!({ "expense": "42", "approved": true, "by": "ann" });
    host.post("/events", &json!({ "key": "expense:decided", "payload": payload })).expect(201);
    assert_eq!(host.to_end(&approved)["output"], json!({ "approved": true, "reason": "decided by ann" }));

    host.advance(61 * SECOND);
    let declined = host.call("approve-expense", &input);
    assert_eq!(declined["output"], json!({ "approved": false, "reason": "nobody decided in 600 s" }));

    // A decision that comes before the question is not missed.
    host.post("/events", &json!({ "key": "expense:decided", "payload": payload })).expect(201);
    let early = host.start("approve-expense", &input);
    host.settle();
    assert_eq!(host.run(&early)["output"]["reason"], "decided by ann");
}

#[test]
fn customer_crons() {
    let host = TestHost::with(&["customer-crons"]);
    let body = json!({
        "expression": "0 8 * * *", "timezone": "America/New_York",
        "input": { "customer": "7" }, "metadata": { "customer": "7" },
    });
    host.put("/workflows/send-digest/crons/customer-7", &body).expect(201);
    host.advance(DAY);

    let runs = host.list("/runs?metadata=customer:7");
    assert_eq!(column(&runs, "/status"), ["completed"]);
    let logs = host.logs(runs[0]["id"].as_str().unwrap());
    assert_eq!(logs, ["digest for customer 7 as of 2026-01-05T13:00:00.000Z"]);
    let cron = &host.list("/crons?metadata=customer:7")[0];
    host.delete(&format!("/crons/{}", cron["id"].as_str().unwrap())).expect(204);
}

#[test]
fn declared_cron() {
    let host = TestHost::with(&["declared-cron"]);
    host.advance(30 * SECOND);
    let beats = host.list("/runs?workflow=heartbeat");
    assert_eq!(beats.len(), 3);
    assert_eq!(host.logs(beats[0]["id"].as_str().unwrap()), ["alive at 2026-01-05T08:00:30.000Z"]);

    let heartbeat = &host.list("/crons?workflow=heartbeat")[0];
    host.patch(&format!("/crons/{}", heartbeat["id"].as_str().unwrap()), &json!({ "enabled": false }))
        .expect(200);
    host.advance(DAY);
    let reports = host.list("/runs?workflow=daily-report");
    assert_eq!(column(&reports, "/output/region"), ["europe", "asia"]);
    assert_eq!(column(&reports, "/output/due"), ["2026-01-06T08:00:00.000Z", "2026-01-06T00:00:00.000Z"]);
}

#[test]
fn durable_sleep() {
    let host = TestHost::with(&["durable-sleep"]);
    let run = host.call("durable-sleep", &json!({ "seconds": 10 }));
    assert_eq!(run["output"], json!({ "asked_ms": 10_000, "slept_ms": 10_000 }));
}

#[test]
fn event_trigger() {
    let host = TestHost::with(&["event-trigger"]);
    for (email, skip) in [("ann@example.com", false), ("bob@example.com", true)] {
        let payload = json!({ "email": email, "should_skip": skip });
        host.post("/events", &json!({ "key": "user:create", "payload": payload })).expect(201);
        host.advance(SECOND);
    }
    let greeted = host.list("/runs?workflow=greet-user");
    assert_eq!(column(&greeted, "/output/greeted"), ["false", "true"]);
    let noted = host.list("/runs?workflow=note-colleague");
    assert_eq!(column(&noted, "/input/email"), ["ann@example.com"]);
    let line = &host.logs(noted[0]["id"].as_str().unwrap())[0];
    assert!(line.starts_with("\"ann@example.com\" is one of us"), "{line}");
}

#[test]
fn fan_out() {
    let host = TestHost::with(&["fan-out"]);
    let run = host.call("score-all", &json!({ "users": ["ann", "robert", "eve", "susan"] }));
    let scores = run["output"]["scores"].as_array().unwrap();
    assert_eq!(column(scores, "/user"), ["robert", "susan", "ann", "eve"]);
    assert_eq!(column(scores, "/score"), ["6", "5", "3", "3"]);
}

#[test]
fn scheduled_chain() {
    let host = TestHost::with(&["scheduled-chain"]);
    let at = host.now().after(60 * SECOND).to_string();
    let body = json!({ "triggerAt": at, "input": { "text": "water the plants", "times": 3 } });
    host.post("/workflows/remind/scheduled", &body).expect(201);
    host.advance(89 * SECOND);
    assert_eq!(host.list("/runs").len(), 2);
    host.advance(DAY);

    let runs = host.list("/runs");
    assert_eq!(column(&runs, "/input/times"), ["1", "2", "3"]);
    assert_eq!(runs[0]["output"]["next"], Value::Null);
    assert_eq!(host.logs(runs[0]["id"].as_str().unwrap()), ["remember: water the plants"]);
}

#[test]
fn every_example_has_a_test_of_its_name_here() {
    let here = include_str!("examples.rs");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for example in std::fs::read_dir(examples).unwrap().flatten() {
        let name = example.file_name().to_string_lossy().replace('-', "_");
        assert!(here.contains(&format!("fn {name}()")), "examples/{name} is not executed");
    }
}

#[test]
fn every_program_is_used_by_a_test() {
    let programs = ["programs/src/good", "programs/src/hostile"].into_iter().flat_map(files);
    let programs = programs.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    let tests: String = files("e2e").iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for program in programs.filter(|name| name != "mod") {
        let name = program.replace('_', "-");
        // By a call, or by an event of its name.
        let is_used = [format!("\"{name}\""), format!("\"{name}:")].iter().any(|text| tests.contains(text));
        assert!(is_used, "no test starts `{name}`");
    }
}

/// All files of a folder of this package, those of folders within it too.
fn files(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(path) } else { vec![path] }).collect()
}
