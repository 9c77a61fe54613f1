//! Modules, workflows and their versions.

use std::time::Duration;

use dormouse_tests::{TestHost, column, guest, patched};
use serde_json::{Value, json};

fn upload(host: &TestHost, bytes: &[u8]) -> (u16, Value) {
    let answer = host.post_bytes("/modules", "application/wasm", bytes);
    (answer.status, answer.body)
}

/// The same component with other bytes at its end: another digest, the same code.
fn retouched(package: &str, mark: u8) -> Vec<u8> {
    // A custom section of one byte without a name.
    [guest(package), vec![0, 2, 0, mark]].concat()
}

fn module(uploaded: &Value) -> String {
    format!("/modules/{}", uploaded["digest"].as_str().unwrap())
}

#[test]
fn uploading_the_same_bytes_changes_nothing() {
    let host = TestHost::with(&[]);
    let bytes = guest("durable-sleep");
    let (created, first) = upload(&host, &bytes);
    let (repeated, second) = upload(&host, &bytes);
    assert_eq!((created, repeated), (201, 200));
    assert_eq!(first, second);
    assert_eq!(first["size"], bytes.len());
    assert_eq!(host.list("/modules"), std::slice::from_ref(&first));
    assert_eq!(host.get(&module(&first)).expect(200), first);
    assert_eq!(host.get("/workflows/durable-sleep").expect(200)["versions"].as_array().unwrap().len(), 1);
}

#[test]
fn an_upload_says_what_it_leaves_as_it_is() {
    let host = TestHost::with(&[]);
    let old = guest("declared-cron");
    let warnings = |answer: (u16, Value)| {
        let warnings = answer.1["warnings"].as_array().unwrap().clone();
        (answer.0, warnings.iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(warnings(upload(&host, &old)), (201, vec![]));

    // A workflow that was renamed goes on beside its successor.
    let (status, said) = warnings(upload(&host, &patched("declared-cron", "heartbeat", "heartbeet")));
    assert_eq!((status, said.len()), (201, 1), "{said:?}");
    assert!(said[0].starts_with("`heartbeat` is not in this module"), "{said:?}");
    assert!(said[0].contains("`dormouse workflows delete heartbeat` ends that"), "{said:?}");
    assert_eq!(column(&host.list("/crons?name=x..10_x_x_x_x_x"), "/workflow"), ["heartbeet", "heartbeat"]);

    // The same bytes change nothing, not even the version that is current.
    let (status, said) = warnings(upload(&host, &old));
    assert_eq!((status, said.len()), (200, 1), "{said:?}");
    assert!(said[0].starts_with("`daily-report` stays at version 2"), "{said:?}");
    assert!(said[0].contains("`dormouse workflows rollback daily-report --to 1`"), "{said:?}");
    assert_eq!(host.get("/workflows/daily-report").expect(200)["currentVersion"], 2);
}

#[test]
fn a_module_with_live_runs_cannot_be_deleted() {
    let host = TestHost::with(&[]);
    let (_, first) = upload(&host, &guest("durable-sleep"));
    assert_eq!(host.delete(&module(&first)).error(), (409, "module_current", ""));

    let id = host.start("durable-sleep", &json!({ "seconds": 60 }));
    host.settle();
    upload(&host, &retouched("durable-sleep", 2));
    assert_eq!(host.delete(&module(&first)).error(), (409, "module_in_use", ""));

    let ended = host.to_end(&id);
    host.delete(&module(&first)).expect(204);
    assert_eq!(host.get(&module(&first)).error(), (404, "unknown_module", ""));
    assert_eq!(host.list("/modules").len(), 1);
    let kept = host.run(&id);
    assert_eq!((&kept["status"], &kept["output"]), (&ended["status"], &ended["output"]), "the run stays");
}

#[test]
fn compiled_artefacts_are_dropped_when_nothing_needs_them() {
    let host = TestHost::with(&["durable-sleep"]);
    let newer = retouched("durable-sleep", 2);
    let pinned = host.start("durable-sleep", &json!({ "seconds": 60 }));
    host.settle();
    let first = host.list("/modules")[0]["digest"].as_str().unwrap().to_owned();
    let second = upload(&host, &newer).1["digest"].as_str().unwrap().to_owned();
    let kept = |host: &TestHost| {
        host.settle();
        [&first, &second].map(|digest| host.keeps_compiled(digest))
    };
    let roll_back = |version: u32| {
        host.patch("/workflows/durable-sleep", &json!({ "currentVersion": version })).expect(200);
    };
    assert_eq!(kept(&host), [true, true], "a run needs the first");
    assert_eq!(host.to_end(&pinned)["status"], "completed");
    assert_eq!(kept(&host), [false, true]);

    roll_back(1);
    assert_eq!(host.call("durable-sleep", &json!({ "seconds": 1 }))["version"], 1);
    assert_eq!(kept(&host), [true, false], "compiled anew for the first run");
    assert_eq!(upload(&host, &newer).0, 200);
    assert_eq!(kept(&host), [true, false], "it was only compiled to be looked at");

    let host = host.restart_after(Duration::ZERO);
    assert_eq!(kept(&host), [true, false]);
    host.delete("/workflows/durable-sleep").expect(204);
    assert_eq!(kept(&host), [false, false]);
}

#[test]
fn a_deleted_workflow_is_gone_until_its_module_is_uploaded_again() {
    let host = TestHost::with(&["declared-cron", "dormouse-programs"]);
    let at = host.now().after(Duration::from_secs(60)).to_string();
    host.post("/workflows/heartbeat/scheduled", &json!({ "triggerAt": at })).expect(201);
    host.delete("/workflows/heartbeat").expect(204);

    assert_eq!(host.get("/workflows/heartbeat").error(), (404, "unknown_workflow", ""));
    assert_eq!(host.post("/workflows/heartbeat/runs", &json!({})).error(), (404, "unknown_workflow", ""));
    assert_eq!(host.list("/crons?workflow=heartbeat"), [] as [Value; 0]);
    assert_eq!(column(&host.list("/scheduled"), "/status"), ["cancelled"]);
    assert!(!column(&host.list("/workflows?limit=7"), "/name").contains(&"heartbeat".to_owned()));
    host.advance(Duration::from_secs(60));
    assert_eq!(host.list("/runs"), [] as [Value; 0]);

    assert_eq!(upload(&host, &guest("declared-cron")).0, 200);
    assert_eq!(host.get("/workflows/heartbeat").expect(200)["currentVersion"], 1);
    assert_eq!(column(&host.list("/crons?workflow=heartbeat"), "/name"), ["x..10_x_x_x_x_x"]);
    host.advance(Duration::from_secs(10));
    assert_eq!(column(&host.list("/runs"), "/status"), ["completed"]);
}

#[test]
fn runs_of_a_deleted_workflow_go_on_to_their_end() {
    let host = TestHost::with(&["durable-sleep"]);
    let id = host.start("durable-sleep", &json!({ "seconds": 60 }));
    host.settle();
    host.delete("/workflows/durable-sleep").expect(204);
    assert_eq!(host.to_end(&id)["status"], "completed");
}

#[test]
fn a_workflow_shows_what_its_module_declares() {
    let host = TestHost::with(&["fan-out"]);
    let names = column(&host.list("/workflows"), "/name");
    assert_eq!(names, ["score-all", "score-user"]);
    let workflow = host.get("/workflows/score-user").expect(200);
    let definition = &workflow["definition"];
    assert_eq!(definition["tasks"][0]["retries"], 2);
    assert_eq!(definition["concurrency"][0]["maxRuns"], 4);
    assert_eq!(definition["inputSchema"]["type"], "string");
    assert_eq!(workflow["versions"][0]["module"], host.list("/modules")[0]["digest"]);
}

#[test]
fn declared_in_a_definition_replaced_on_upload_enabled_kept_or_made_through_the_api_survive_uploads() {
    let host = TestHost::with(&["declared-cron"]);
    let crons = || {
        let rows = host.list("/crons?workflow=daily-report");
        rows.into_iter()
            .map(|row| (row["name"].as_str().unwrap().to_owned(), row))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let before = crons();
    let asia = format!("/crons/{}", before["asia"]["id"].as_str().unwrap());
    host.patch(&asia, &json!({ "enabled": false })).expect(200);
    let body = json!({ "expression": "0 0 * * *", "input": { "region": "mars" } });
    host.put("/workflows/daily-report/crons/mars", &body).expect(201);

    let renamed = patched("declared-cron", "europe", "africa");
    assert_eq!(upload(&host, &renamed).0, 201);

    let after = crons();
    assert_eq!(after.keys().collect::<Vec<_>>(), ["africa", "asia", "mars"]);
    assert_eq!(after["asia"]["id"], before["asia"]["id"]);
    assert_eq!((&after["asia"]["enabled"], &after["asia"]["nextRunAt"]), (&json!(false), &Value::Null));
    assert_eq!(after["africa"]["input"], json!({ "region": "africa" }));
    assert_eq!(after["mars"]["source"], "api");
}

#[test]
fn a_declared_cron_stays_disabled_over_versions_that_do_not_declare_it() {
    let host = TestHost::with(&["declared-cron"]);
    let cron = |name: &str| host.list(&format!("/crons?workflow=daily-report&name={name}")).pop();
    let id = cron("europe").unwrap()["id"].as_str().unwrap().to_owned();
    host.patch(&format!("/crons/{id}"), &json!({ "enabled": false })).expect(200);
    assert_eq!(upload(&host, &patched("declared-cron", "europe", "africa")).0, 201);
    assert_eq!(cron("europe"), None);
    assert_eq!(cron("africa").unwrap()["enabled"], true);
    host.patch("/workflows/daily-report", &json!({ "currentVersion": 1 })).expect(200);
    assert_eq!(cron("europe").unwrap()["enabled"], false);
    assert_eq!(cron("asia").unwrap()["enabled"], true);
    // Deleted with its workflow, it is another one when it comes back.
    host.delete("/workflows/daily-report").expect(204);
    assert_eq!(upload(&host, &guest("declared-cron")).0, 200);
    assert_eq!(cron("europe").unwrap()["enabled"], true);
}

#[test]
fn a_module_cannot_declare_a_cron_that_was_made_over_the_api() {
    let host = TestHost::with(&[]);
    upload(&host, &patched("declared-cron", "europe", "africa"));
    let body = json!({ "expression": "0 0 * * *", "input": { "region": "europe" } });
    host.put("/workflows/daily-report/crons/europe", &body).expect(201);

    let answer = host.post_bytes("/modules", "application/wasm", &guest("declared-cron"));
    assert_eq!(answer.error(), (409, "cron_conflict", ""));
    assert_eq!(host.list("/modules").len(), 1);
    assert_eq!(host.get("/workflows/daily-report").expect(200)["currentVersion"], 1);
}

#[test]
fn a_sleeping_run_of_an_older_module_wakes_on_its_own_code_after_three_uploads_of_newer_ones_and_two_restarts()
 {
    const MINUTE: Duration = Duration::from_secs(60);
    let mut host = TestHost::with(&["approval"]);
    let start = |host: &TestHost, seconds: u64| {
        host.start("approve-expense", &json!({ "expense": "7", "amount": 1, "seconds": seconds }))
    };
    // What a module says when it wakes shows which code ran.
    let says = ["nobody", "second", "third!", "fourth"];
    let mut runs = vec![start(&host, 600)];
    for (says, version) in says[1..].iter().zip(2..) {
        host.settle();
        upload(&host, &patched("approval", "nobody", says));
        assert_eq!(host.get("/workflows/approve-expense").expect(200)["currentVersion"], version);
        runs.push(start(&host, 600));
        if version < 4 {
            host.settle();
            host = host.restart_after(MINUTE);
        }
    }
    for ((id, says), version) in runs.iter().zip(says).zip(1..) {
        let run = host.to_end(id);
        assert_eq!(run["output"]["reason"], format!("{says} decided in 600 s"), "{run:#}");
        assert_eq!(run["version"], version);
    }
}
