//! Runs: called, listed, followed, retried, cancelled.

use std::time::Duration;

use dormouse_tests::{TestHost, column};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const NONE: [Value; 0] = [];

fn cancel(host: &TestHost, id: &str) -> dormouse_tests::Answer {
    host.post(&format!("/runs/{id}/cancel"), &json!({}))
}

fn pause(host: &TestHost, workflow: &str, paused: bool) {
    let row = host.patch(&format!("/workflows/{workflow}"), &json!({ "paused": paused })).expect(200);
    assert_eq!(row["paused"], paused);
}

#[test]
fn a_call_can_wait_for_the_result() {
    let host = TestHost::with(&["dormouse-programs"]);
    let run = host.post("/workflows/echo/runs?wait=60000", &json!({ "input": { "a": 1 } })).expect(200);
    assert_eq!((&run["status"], &run["output"]), (&json!("completed"), &json!({ "a": 1 })));

    let run = host.post("/workflows/counter/runs?wait=1", &json!({ "input": { "times": 1, "ms": 1000 } }));
    assert_eq!(run.expect(202)["finishedAt"], Value::Null);
}

#[test]
fn a_task_learns_what_its_run_is() {
    let host = TestHost::with(&["dormouse-programs"]);
    let body = json!({ "input": { "x": [1.50, null] }, "metadata": { "tenant": "7" }, "priority": 2 });
    let id = host.start_with("about", &body);
    let run = host.to_end(&id);
    assert_eq!(
        run["output"],
        json!({
            "run": id, "attempt": 1, "metadata": { "tenant": "7" }, "priority": 2, "parent": null,
            "created_at": run["createdAt"], "now": host.now().to_string(),
            "trigger": "Call", "trigger_id": null, "scheduled_at": null, "input": { "x": [1.50, null] },
        })
    );
}

#[test]
fn input_is_checked_against_the_declared_schema_before_it_is_accepted() {
    let host = TestHost::with(&["durable-sleep"]);
    for input in [json!({ "seconds": "ten" }), json!({}), json!(null)] {
        let answer = host.post("/workflows/durable-sleep/runs", &json!({ "input": input }));
        assert_eq!(answer.error(), (422, "invalid_input", "input"), "{input}");
    }
    assert_eq!(host.list("/runs"), NONE);
}

#[test]
fn a_repeated_idempotency_key_gives_the_first_run_until_its_time_is_over() {
    let host = TestHost::with(&["dormouse-programs"]);
    let call = |workflow: &str| {
        let body = json!({ "input": 1, "idempotencyKey": "k", "idempotencyTtlMs": 60_000 });
        let answer = host.post(&format!("/workflows/{workflow}/runs"), &body);
        (answer.status, answer.body["id"].clone())
    };
    let (created, first) = call("echo");
    assert_eq!(created, 202);
    assert_eq!(call("echo"), (200, first.clone()));
    assert_eq!(call("about").0, 202, "keys are the workflow's own");
    host.advance(59 * SECOND);
    assert_eq!(call("echo"), (200, first.clone()));
    host.advance(SECOND);
    let (created, second) = call("echo");
    assert_eq!(created, 202);
    assert_ne!(second, first);
}

#[test]
fn a_known_idempotency_key_with_another_input_is_a_conflict() {
    let host = TestHost::with(&["dormouse-programs"]);
    let call = |input: &str| {
        let body = format!(r#"{{"input":{input},"idempotencyKey":"k"}}"#);
        host.post_bytes("/workflows/echo/runs", "application/json", body.as_bytes())
    };
    let first = call(r#"{"a":[1,2]}"#);
    assert_eq!(first.status, 202);
    let again = call(r#"{ "a": [1, 2] }"#);
    assert_eq!((again.status, &again.body["id"]), (200, &first.body["id"]), "white space says nothing");
    let other = call(r#"{"a":[1,3]}"#);
    assert_eq!(other.error(), (409, "idempotency_conflict", "idempotencyKey"));
    assert_eq!(host.list("/runs").len(), 1);

    let push = |key: &str, payload: u64| {
        host.post("/events", &json!({ "key": key, "payload": payload, "idempotencyKey": "e" })).status
    };
    assert_eq!([push("a", 1), push("a", 1), push("a", 2), push("b", 1)], [201, 200, 409, 409]);
    assert_eq!(host.list("/events").len(), 1);
}

#[test]
fn runs_of_higher_priority_go_first() {
    let host = TestHost::with_one_slot(&["dormouse-programs"]);
    let plans = [1, 2, 3, 2, 1].map(|priority| json!({ "sleep_ms": 0, "priority": priority }));
    let id = host.start_with("roll-call", &json!({ "input": plans, "priority": 3 }));
    assert_eq!(host.to_end(&id)["output"], json!([2, 1, 3, 0, 4]));
}

#[test]
fn cancel_a_running_step_is_killed() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("blocking-sleep", &json!({ "ms": 60_000 }));
    assert_eq!(host.run(&id)["status"], "running");
    let run = cancel(&host, &id).expect(200);
    assert_eq!((&run["status"], &run["reason"]), (&json!("cancelled"), &json!("requested")));
    host.settle();
    assert_eq!(host.run(&id), run);
    assert!(!host.logs(&id).contains(&"blocked".to_owned()));
    assert_eq!(cancel(&host, &id).error(), (409, "run_ended", ""));
}

#[test]
fn a_run_that_waits_for_its_next_attempt_can_be_cancelled() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("fails", &json!({ "attempts": 1 }));
    host.settle();
    assert_eq!(host.run(&id)["tasks"][0]["retryAt"], host.now().after(SECOND).to_string());
    cancel(&host, &id).expect(200);
    host.advance(10 * SECOND);
    assert_eq!(host.run(&id)["status"], "cancelled");
}

#[test]
fn retries_with_exponential_backoff_and_cap() {
    let host = TestHost::with(&["dormouse-programs"]);
    let began = host.now();
    let run = host.call("fails", &json!({ "attempts": 5 }));
    assert_eq!((&run["status"], &run["output"]), (&json!("completed"), &json!(6)));

    let history = host.list(&format!("/runs/{}/history", run["id"].as_str().unwrap()));
    let starts: Vec<_> = history.iter().filter(|entry| entry["status"] == "running").collect();
    for (start, (attempt, seconds)) in starts.iter().zip([(1, 0), (2, 1), (3, 3), (4, 7), (5, 15), (6, 25)]) {
        assert_eq!(start["attempt"], attempt);
        assert_eq!(start["at"], began.after(seconds * SECOND).to_string(), "attempt {attempt}");
    }
    assert_eq!(starts.len(), 6);
}

#[test]
fn non_retryable_errors_and_attempts_that_are_used_up() {
    let host = TestHost::with(&["dormouse-programs"]);
    let used_up = host.call("fails", &json!({ "attempts": 6 }));
    let fatal = host.call("fails", &json!({ "attempts": 6, "fatal": true }));
    for (run, attempt) in [(used_up, 6), (fatal, 1)] {
        assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!("error")));
        assert_eq!(run["tasks"][0]["attempt"], attempt);
        let message = format!("attempt {attempt} fails");
        assert_eq!(run["error"], json!({ "message": message, "details": { "attempt": attempt } }));
        assert_eq!(run["output"], Value::Null);
    }
}

#[test]
fn traps_limits_and_timeouts_use_up_an_attempt() {
    let host = TestHost::with(&["dormouse-programs"]);
    for (how, reason) in [("trap", "trap"), ("limit", "limit_exceeded"), ("timeout", "execution_timeout")] {
        let run = host.call("dies-once", &json!(how));
        assert_eq!((&run["output"], &run["tasks"][0]["attempt"]), (&json!(2), &json!(2)), "{run:#}");
        let history = host.list(&format!("/runs/{}/history", run["id"].as_str().unwrap()));
        assert!(column(&history, "/reason").contains(&reason.to_owned()), "{history:#?}");
    }
}

#[test]
fn a_new_attempt_starts_the_task_from_the_beginning() {
    let host = TestHost::with(&["dormouse-programs"]);
    let began = host.now();
    let run = host.call("fails", &json!({ "attempts": 1, "sleep_ms": 60_000 }));
    assert_eq!(run["output"], 2);
    assert_eq!(host.now(), began.after(Duration::from_secs(60 + 1 + 60)));
}

#[test]
fn execution_timeout_time_really_running_summed_over_the_steps_of_one_attempt_sleeping_does_not_count() {
    let host = TestHost::with(&["dormouse-programs"]);
    let run = host.call("blocking-sleep", &json!({ "ms": 10, "steps": 3 }));
    assert_eq!(run["status"], "completed", "{run:#}");
    assert!(run["tasks"][0]["ranMs"].as_u64() >= Some(30), "{run:#}");

    let run = host.call("blocking-sleep", &json!({ "ms": 300, "steps": 5 }));
    assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!("execution_timeout")));
    let steps = host.logs(run["id"].as_str().unwrap()).iter().filter(|line| *line == "blocked").count();
    assert!((1..4).contains(&steps), "a second has room for no more than three: {steps}");
}

#[test]
fn schedule_timeout_expiry_is_a_failure_with_its_own_reason() {
    let host = TestHost::with(&["dormouse-programs"]);
    let in_time = host.start("impatient", &json!(null));
    host.settle();
    pause(&host, "impatient", true);
    let late = host.start("impatient", &json!(null));
    host.advance(9 * SECOND);
    assert_eq!(host.run(&late)["status"], "queued");
    host.advance(SECOND);
    let run = host.run(&late);
    assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!("schedule_timeout")));
    pause(&host, "impatient", false);
    assert_eq!(host.to_end(&in_time)["status"], "completed");
}

#[test]
fn a_runs_history_lists_every_transition_with_its_time() {
    let host = TestHost::with(&["dormouse-programs"]);
    let run = host.call("fails", &json!({ "attempts": 1, "sleep_ms": 1000 }));
    let path = format!("/runs/{}/history", run["id"].as_str().unwrap());
    let history = host.list(&path);
    let entry = |entry: &Value| {
        let texts =
            ["status", "reason", "runStatus"].map(|name| entry[name].as_str().unwrap_or("-").to_owned());
        (entry["attempt"].as_u64().unwrap(), texts)
    };
    let expected = [
        (1, ["queued", "-", "queued"]),
        (1, ["running", "-", "running"]),
        (1, ["sleeping", "-", "sleeping"]),
        (1, ["queued", "-", "queued"]),
        (1, ["running", "-", "running"]),
        (2, ["queued", "error", "queued"]),
        (2, ["queued", "-", "queued"]),
        (2, ["running", "-", "running"]),
        (2, ["sleeping", "-", "sleeping"]),
        (2, ["queued", "-", "queued"]),
        (2, ["running", "-", "running"]),
        (2, ["completed", "-", "completed"]),
    ];
    let found: Vec<_> = history.iter().map(entry).collect();
    assert_eq!(found, expected.map(|(attempt, texts)| (attempt, texts.map(str::to_owned))));
    assert!(history.iter().all(|entry| entry["task"] == "fails"));
    assert_eq!((&history[0]["at"], &history[11]["at"]), (&run["createdAt"], &run["finishedAt"]));
    assert!(history.is_sorted_by_key(|entry| entry["at"].as_str().unwrap()));
    assert!(history.is_sorted_by_key(|entry| entry["sequence"].as_u64().unwrap()));

    let after = |since: &Value| host.get(&format!("{path}?since={since}&limit=200")).expect(200);
    assert_eq!(after(&history[3]["sequence"])["rows"], json!(history[4..]));
}

#[test]
fn stdout_stderr_and_log_become_log_lines_of_the_attempt_with_level_and_time() {
    let host = TestHost::with(&["dormouse-programs"]);
    let run = host.call("logger", &json!(null));
    let rows = host.get(&format!("/runs/{}/logs", run["id"].as_str().unwrap())).expect(200);
    let line = |row: &Value| {
        let texts = ["level", "message"].map(|name| row[name].as_str().unwrap().to_owned());
        (row["attempt"].as_u64().unwrap(), texts)
    };
    let found: Vec<_> = rows["rows"].as_array().unwrap().iter().map(line).collect();
    let times = column(rows["rows"].as_array().unwrap(), "/at");
    assert_eq!(
        times,
        [&[run["createdAt"].as_str().unwrap()][..], &[run["finishedAt"].as_str().unwrap(); 7]].concat()
    );
    let expected = [
        (1, ["trace", "trace"]),
        (2, ["trace", "trace"]),
        (2, ["debug", "debug"]),
        (2, ["info", "info"]),
        (2, ["warn", "warn"]),
        (2, ["error", "error"]),
        (2, ["info", "to standard output"]),
        (2, ["warn", "to standard error"]),
    ];
    assert_eq!(found, expected.map(|(attempt, texts)| (attempt, texts.map(str::to_owned))));
}

/// Takes whole events off a stream: id, kind and data of each.
fn events(lines: impl Iterator<Item = String>) -> impl Iterator<Item = (String, String, Value)> {
    let mut lines = lines.fuse();
    std::iter::from_fn(move || {
        let (mut id, mut kind, mut data) = (String::new(), String::new(), Value::Null);
        loop {
            let line = lines.next()?;
            match line.split_once(':').map(|(name, value)| (name, value.trim_start())) {
                Some(("id", value)) => id = value.to_owned(),
                Some(("event", value)) => kind = value.to_owned(),
                Some(("data", value)) => data = serde_json::from_str(value).unwrap(),
                None if line.is_empty() && !id.is_empty() => return Some((id, kind, data)),
                _ => {}
            }
        }
    })
}

#[test]
fn a_runs_stream_is_stored_with_sequence_numbers_and_followed_over_sse_from_any_of_them() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("publisher", &json!({ "chunks": 4, "sleep_ms": 1000 }));
    let (mut seen, mut last) = (Vec::new(), None::<String>);
    // Whoever reads two events a connection loses it twice a step.
    for _ in 0..6 {
        host.settle();
        seen.extend(events(host.stream(&id, last.as_deref())).take(2));
        last = seen.last().map(|(id, ..)| id.clone());
        host.advance(SECOND);
    }
    assert_eq!(host.run(&id)["status"], "completed");
    seen.extend(events(host.stream(&id, last.as_deref())));

    let whole: Vec<_> = events(host.stream(&id, None)).collect();
    assert_eq!(seen, whole);
    let chunks = whole.iter().filter(|(_, kind, _)| kind == "chunk").map(|(.., data)| data["text"].clone());
    assert_eq!(chunks.collect::<Vec<_>>(), ["chunk 0", "chunk 1", "chunk 2", "chunk 3"]);
    let (end, kind, data) = whole.last().unwrap();
    assert_eq!((kind.as_str(), &data["runStatus"]), ("status", &json!("completed")));
    assert_eq!(host.get(&format!("/runs/{id}/stream?lastEventId={end}")).status, 204);
}

#[test]
fn log_lines_are_followed_live() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("map-checksum", &json!({ "n": 1, "sleep_ms": 1000 }));
    host.settle();
    let mut live = events(host.stream(&id, None));
    let before: Vec<_> = live.by_ref().take(4).map(|(_, kind, _)| kind).collect();
    assert_eq!(before, ["status", "status", "log", "status"]);
    host.advance(SECOND);
    let after: Vec<_> = live.map(|(_, kind, _)| kind).collect();
    assert_eq!(after, ["status", "status", "log", "status"]);
}

#[test]
fn runs_are_listed_newest_first_with_every_filter() {
    let host = TestHost::with(&["dormouse-programs"]);
    let began = host.now();
    let next = || host.advance(SECOND);
    let start = |workflow: &str, input: Value, team: &str| {
        host.start_with(workflow, &json!({ "input": input, "metadata": { "team": team, "x": "y:z" } }))
    };
    let mut ids = vec![start("echo", json!(0), "a")];
    next();
    ids.push(start("fails", json!({ "attempts": 1, "fatal": true }), "b"));
    next();
    ids.push(start("race", json!({ "key": "k", "sleep_ms": 600_000 }), "a"));
    next();
    ids.push(start("parent", json!({ "children": 1 }), "b"));
    host.settle();
    ids.push(host.list(&format!("/runs?parent={}", ids[3]))[0]["id"].as_str().unwrap().to_owned());
    next();
    let event =
        host.post("/events", &json!({ "key": "triggered:plain", "metadata": { "team": "a" } })).expect(201);
    ids.push(event["runs"][0]["id"].as_str().unwrap().to_owned());
    next();
    pause(&host, "echo", true);
    ids.push(start("echo", json!(1), "b"));
    cancel(&host, &start("counter", json!({ "times": 1, "ms": 60_000 }), "c")).expect(200);
    host.advance(SECOND);

    let found = |query: &str| -> Vec<usize> {
        let rows = host.list(&format!("/runs?limit=2&{query}"));
        let rows = column(&rows, "/id").into_iter();
        // The cancelled one comes last of all.
        rows.map(|id| ids.iter().position(|known| *known == id).unwrap_or(7)).collect()
    };
    let all = found("");
    // Those two begin in the same millisecond, and so do a parent and its child.
    assert_eq!([all[0] + all[1], all[3] + all[4]], [6 + 7, 3 + 4]);
    assert_eq!(all.len(), 8);
    assert_eq!([all[2], all[5], all[6], all[7]], [5, 2, 1, 0]);
    assert_eq!(found("workflow=echo"), [6, 0]);
    assert_eq!(found("status=completed&workflow=echo"), [0]);
    assert_eq!(found("status=queued"), [6]);
    assert_eq!(found("status=sleeping"), [2]);
    assert_eq!(found("status=failed"), [1]);
    assert_eq!(found("status=cancelled"), [7]);
    assert_eq!(found("metadata=team:a"), [5, 2, 0]);
    assert_eq!(found("metadata=team:a&metadata=x:y:z"), [2, 0]);
    assert_eq!(found("trigger=event"), [5]);
    assert_eq!(found("trigger=parent"), [4]);
    assert_eq!(found(&format!("trigger={}", event["event"]["id"].as_str().unwrap())), [5]);
    assert_eq!(found(&format!("parent={}", ids[3])), [4]);
    let (since, until) = (began.after(SECOND), began.after(3 * SECOND));
    assert_eq!(found(&format!("since={since}&until={until}")), [2, 1]);
    assert_eq!(found(&format!("since={until}&trigger=call&status=completed")), [3]);
}

#[test]
fn a_paused_workflow_takes_calls_and_begins_nothing() {
    let host = TestHost::with(&["dormouse-programs"]);
    let sleeper = host.start("counter", &json!({ "times": 1, "ms": 1000 }));
    host.settle();
    pause(&host, "counter", true);
    let called = host.start("counter", &json!({ "times": 0, "ms": 0 }));
    host.advance(SECOND);
    assert_eq!(host.call("echo", &json!(1))["status"], "completed", "others go on");

    let host = host.restart_after(SECOND);
    host.settle();
    for id in [&sleeper, &called] {
        assert_eq!(host.run(id)["status"], "queued");
    }
    let counts = &host.get("/workflows/counter").expect(200)["runCounts"];
    assert_eq!(counts["queued"], 2);

    let unwanted = host.start("counter", &json!({ "times": 0, "ms": 0 }));
    cancel(&host, &unwanted).expect(200);

    pause(&host, "counter", false);
    host.settle();
    for id in [&sleeper, &called] {
        assert_eq!(host.run(id)["status"], "completed");
    }
    assert_eq!(host.run(&unwanted)["status"], "cancelled");
}

#[test]
fn a_workflow_counts_its_runs_by_status() {
    let host = TestHost::with(&["dormouse-programs"]);
    let start = |attempts: u32, fatal: bool, sleep_ms: u64| {
        host.start("fails", &json!({ "attempts": attempts, "fatal": fatal, "sleep_ms": sleep_ms }))
    };
    (0..3).for_each(|_| drop(start(0, false, 0)));
    (0..2).for_each(|_| drop(start(1, true, 0)));
    start(1, false, 0);
    let cancelled = start(0, false, 60_000);
    start(0, false, 60_000);
    host.settle();
    cancel(&host, &cancelled).expect(200);

    let counts = host.get("/workflows/fails").expect(200)["runCounts"].clone();
    assert_eq!(
        counts,
        json!({
            "queued": 1, "running": 0, "sleeping": 1, "completed": 3, "failed": 2, "cancelled": 1,
        })
    );
}
