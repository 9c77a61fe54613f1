//! Guests that harm the host, or try to: each fails for a reason that names what it broke, nothing
//! of what it asked for happens, and whoever runs beside it does not notice.

use dormouse_tests::TestHost;
use serde_json::{Value, json};

const PROGRAMS: &[&str] = &["dormouse-programs"];

/// Runs a program and expects it to fail with this reason and a message with these words, while
/// nothing else happens and others run as if it was not there. Returns the run.
#[track_caller]
fn fails(host: &TestHost, workflow: &str, input: &Value, reason: &str, words: &str) -> Value {
    let runs = host.list("/runs?limit=200").len();
    let id = host.start(workflow, input);
    // Without waiting for the other to die.
    let beside = host.start("echo", &json!("beside"));
    assert_eq!(host.ended(&beside)["output"], "beside");

    let run = host.to_end(&id);
    assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!(reason)), "{run:#}");
    let message = run["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains(words), "{workflow} {input}: {message}");
    assert!(run["output"].is_null(), "{run:#}");

    assert_eq!(host.call("echo", &json!("after"))["output"], "after");
    assert_eq!(host.list("/runs?limit=200").len(), runs + 3, "{workflow} {input} started runs");
    assert_eq!(host.list("/events").len(), 0, "{workflow} {input} pushed events");
    assert_eq!(host.list("/scheduled").len(), 0, "{workflow} {input} scheduled runs");
    run
}

#[test]
fn whoever_breaks_a_limit_fails_and_is_told_which() {
    let host = TestHost::with(PROGRAMS);
    for (workflow, input, reason, words) in [
        ("memory-bomb", json!(null), "limit_exceeded", "memory is limited to 67108864 bytes"),
        // The stack that Rust keeps in its memory ends before that of the calls does.
        ("deep-recursion", json!(null), "trap", "out of bounds memory access"),
        ("log-flood", json!({}), "limit_exceeded", "logs are limited to 8388608 bytes"),
        ("log-flood", json!({ "print": true }), "limit_exceeded", "logs are limited to 8388608 bytes"),
        ("log-flood", json!({ "line_bytes": 0 }), "limit_exceeded", "each line counts for 64 more"),
        ("log-flood", json!({ "line_bytes": 0, "print": true }), "limit_exceeded", "each line counts for 64"),
        ("wait-flood", json!({ "sleep_ms": 1000 }), "invalid_result", "at most 10000 can be open"),
        ("huge-output", json!({}), "invalid_result", "at most 1048576 are allowed"),
        ("endless-loop", json!(null), "execution_timeout", "execution timeout of 500ms"),
        ("blocking-sleep", json!({ "ms": 60_000 }), "execution_timeout", "execution timeout of 1s"),
        ("handle-held", json!({ "close": false }), "handle_held", "close it before you sleep"),
        ("stuck", json!(null), "error", "nothing"),
    ] {
        fails(&host, workflow, &input, reason, words);
    }
}

#[test]
fn whoever_stays_within_the_limits_is_not_stopped() {
    let host = TestHost::with(PROGRAMS);
    for (workflow, input) in [
        ("log-flood", json!({ "mib": 2 })),
        ("wait-flood", json!({ "waits": 30, "sleep_ms": 1000 })),
        ("huge-output", json!({ "bytes": (1 << 20) - 2 })),
        ("blocking-sleep", json!({ "ms": 20 })),
        ("handle-held", json!({ "close": true })),
    ] {
        let run = host.call(workflow, &input);
        assert_eq!(run["status"], "completed", "{workflow} {input}: {}", run["error"]);
    }
}

#[test]
fn answers_that_make_no_sense_fail_the_task() {
    let host = TestHost::with(PROGRAMS);
    let modes = host.call("nonsense", &json!("which are there?"))["output"].clone();
    let expected = [
        ("invalid-json", "invalid_result", "not JSON"),
        ("invalid-details", "error", "details left out: it is not JSON"),
        ("no-waits", "invalid_result", "nothing would ever wake it"),
        ("duplicate-waits", "invalid_result", "two waits have the id 1"),
        ("endless-wait", "invalid_result", "after the year 9999"),
        ("unknown-run", "invalid_result", "no id at all"),
    ];
    assert_eq!(modes, json!(expected.map(|(mode, ..)| mode)), "every mode has a row in this test");
    for (mode, reason, words) in expected {
        fails(&host, "nonsense", &json!(mode), reason, words);
    }
}

#[test]
fn whoever_dies_leaves_nothing_of_what_it_asked_for_but_its_log() {
    let host = TestHost::with(PROGRAMS);
    for (how, words) in
        [("panic", "unreachable"), ("abort", "unreachable"), ("out_of_bounds", "out of bounds")]
    {
        let run = fails(&host, "trap-after-effects", &json!({ "tag": how, "how": how }), "trap", words);
        let id = run["id"].as_str().expect("a run has an id");
        let logs = host.logs(id);
        assert_eq!(logs[0], "asked for effects: true, true");
        assert_eq!(logs.iter().any(|line| line.contains("as told")), how == "panic", "{logs:?}");
    }
}

#[test]
fn a_flood_of_spawns_is_refused_beyond_the_limit_of_a_step() {
    let host = TestHost::with(PROGRAMS);
    // The children would only take time.
    drop(host.patch("/workflows/echo", &json!({ "paused": true })).expect(200));
    let run = host.call("spawn-flood", &json!({ "runs": 10_100 }));
    let output = &run["output"];
    assert_eq!((&output["accepted"], &output["refused"]), (&json!(10_000), &json!(100)), "{run:#}");
    let refusal = output["refusal"].as_str().unwrap_or_default();
    assert!(refusal.contains("at most 10000"), "{refusal}");
    assert_eq!(host.get("/workflows/echo").expect(200)["runCounts"]["queued"], 10_000);
}

#[test]
fn a_script_does_one_thing_after_the_other() {
    let host = TestHost::with(PROGRAMS);
    let child = json!({"workflow": "echo", "input": 7, "times": 2, "key": null});
    let shared = json!({"workflow": "echo", "input": 8, "times": 3, "key": "shared"});
    let dropped = json!({"pattern": "no:{n}", "filter": "input.n == {n}", "times": 3, "drop_after_ms": 1000});
    let looked = json!({"pattern": "script:pushed", "times": 1, "look_back_ms": 60_000});
    let run = host.call(
        "script",
        &json!([
            {"push": {"key": "script:pushed", "payload": null, "times": 2}},
            {"spawn": child},
            {"spawn": shared},
            "join",
            {"wait": dropped},
            {"wait": looked},
            {"schedule": {"workflow": "echo", "times": 2, "at": 253_402_300_799_999_u64}},
            {"sleep": 1000},
        ]),
    );
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(host.list("/runs?workflow=echo").len(), 3);
    assert_eq!(host.list("/events?key=script:pushed").len(), 2);
    assert_eq!(host.list("/scheduled?status=pending").len(), 2);
}

#[test]
fn an_endless_loop_does_not_hold_up_a_hundred_others() {
    let host = TestHost::with(PROGRAMS);
    let endless = host.start("endless-loop", &json!(null));
    let others: Vec<_> = (0..100).map(|n| (n, host.start("echo", &json!(n)))).collect();
    for (n, id) in others {
        assert_eq!(host.ended(&id)["output"], n);
    }
    let run = host.to_end(&endless);
    assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!("execution_timeout")));
}

#[test]
fn a_loop_that_is_cancelled_gives_its_slot_to_the_next() {
    let host = TestHost::with_one_slot(PROGRAMS);
    let endless = host.start("patient-loop", &json!(null));
    let next = host.start("echo", &json!("next"));
    assert_eq!(host.run(&endless)["status"], "running");
    assert_eq!(host.run(&next)["status"], "queued");

    let cancelled = host.post(&format!("/runs/{endless}/cancel"), &json!({})).expect(200);
    assert_eq!((&cancelled["status"], &cancelled["reason"]), (&json!("cancelled"), &json!("requested")));
    assert_eq!(host.ended(&next)["output"], "next");
    // Nothing of the loop comes after all.
    host.settle();
    assert_eq!(host.run(&endless), cancelled);
}

#[test]
fn many_loops_at_once_are_all_ended_and_the_host_answers_meanwhile() {
    let host = TestHost::with(PROGRAMS);
    let loops: Vec<_> = (0..20).map(|_| host.start("endless-loop", &json!(null))).collect();
    assert_eq!(host.get("//healthz").status, 200);
    for id in loops {
        assert_eq!(host.ended(&id)["reason"], "execution_timeout");
    }
    assert_eq!(host.call("echo", &json!("after"))["output"], "after");
}
