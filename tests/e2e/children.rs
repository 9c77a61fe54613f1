//! Child runs, and what becomes of the requests of failed attempts.

use std::time::Duration;

use dormouse_tests::{TestHost, column};
use serde_json::{Value, json};

const NONE: [Value; 0] = [];
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_parent_joins_many_children() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start_with(
        "parent",
        &json!({
            "input": { "children": 25, "sleep_ms": 1000 }, "metadata": { "tenant": "7" },
        }),
    );
    host.settle();
    assert_eq!(host.run(&id)["tasks"][0]["waits"].as_array().unwrap().len(), 25);
    assert_eq!(host.to_end(&id)["output"], 25 * 24);

    let children = host.list(&format!("/runs?parent={id}&limit=10"));
    let mut numbers = column(&children, "/metadata/child");
    numbers.sort_by_key(|number| number.parse::<u32>().unwrap());
    assert_eq!(numbers, (0..25).map(|n| n.to_string()).collect::<Vec<_>>());
    for child in &children {
        assert_eq!(child["parentId"], id);
        assert_eq!(child["trigger"], json!({ "kind": "parent", "id": id, "scheduledAt": null }));
        assert_eq!(child["metadata"]["tenant"], "7");
    }
}

/// More than one step is told of: the first are part of the state of the parent, the others its backlog.
#[test]
fn a_parent_that_was_paused_while_all_its_children_ended_is_told_of_each() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("parent", &json!({ "children": 600, "sleep_ms": 1000 }));
    host.settle();
    host.patch("/workflows/parent", &json!({ "paused": true })).expect(200);
    let host = host.restart_after(2 * SECOND);
    host.settle();
    assert_eq!(host.list("/runs?workflow=child&status=completed&limit=200").len(), 600);
    assert_eq!(
        (&host.run(&id)["status"], &host.run(&id)["tasks"][0]["waits"]),
        (&json!("queued"), &json!(NONE))
    );
    let host = host.restart_after(SECOND);
    host.patch("/workflows/parent", &json!({ "paused": false })).expect(200);
    assert_eq!(host.to_end(&id)["output"], 600 * 599);
}

#[test]
fn the_failure_of_a_child_is_an_error_in_its_parent() {
    let host = TestHost::with(&["dormouse-programs"]);
    let run = host.call("parent", &json!({ "children": 3, "failing": 1 }));
    assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!("error")));
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("child 1 fails"), "{message}");
    let mut statuses = column(&host.list("/runs?workflow=child"), "/status");
    statuses.sort();
    assert_eq!(statuses, ["completed", "completed", "failed"]);
}

#[test]
fn a_parent_hears_that_its_child_was_cancelled() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("parent", &json!({ "children": 1, "sleep_ms": 1000 }));
    host.settle();
    let child = &host.list(&format!("/runs?parent={id}"))[0]["id"];
    host.post(&format!("/runs/{}/cancel", child.as_str().unwrap()), &json!({})).expect(200);
    host.settle();
    let run = host.run(&id);
    assert_eq!(run["status"], "failed");
    assert!(run["error"]["message"].as_str().unwrap().contains("cancelled"), "{}", run["error"]);
}

#[test]
fn cancel_children_too_unless_detached() {
    let host = TestHost::with(&["dormouse-programs"]);
    let start = |detached: bool| {
        host.start("parent", &json!({ "children": 2, "sleep_ms": 1000, "detached": detached }))
    };
    let (attached, detached) = (start(false), start(true));
    host.settle();
    for id in [&attached, &detached] {
        host.post(&format!("/runs/{id}/cancel"), &json!({})).expect(200);
    }
    host.advance(Duration::from_secs(1));

    let ended = |id: &str| {
        let children = host.list(&format!("/runs?parent={id}"));
        (column(&children, "/status"), column(&children, "/reason"))
    };
    assert_eq!(ended(&attached), (vec!["cancelled".into(); 2], vec!["parent_cancelled".into(); 2]));
    assert_eq!(ended(&detached), (vec!["completed".into(); 2], vec!["null".into(); 2]));
}

#[test]
fn spawning_twice_under_one_key_gives_one_child() {
    let host = TestHost::with(&["dormouse-programs"]);
    let spawn = || host.call("idempotent-spawn", &json!({ "key": "k", "ttl_ms": 60_000 }))["output"].clone();
    let (one, two) = (spawn(), spawn());
    assert_eq!(one["first"], one["second"]);
    assert_eq!(one["outputs"], json!(["first", "first"]));
    assert_eq!(two, one, "the key holds for other parents, too");
    assert_eq!(host.list("/runs?workflow=echo").len(), 1);

    host.advance(Duration::from_secs(60));
    assert_ne!(spawn()["first"], one["first"], "the key is forgotten when its time is over");
}

#[test]
fn parents_that_spawn_under_one_key_at_the_same_time_share_one_child() {
    let host = TestHost::with(&["dormouse-programs"]);
    let pause = |paused| host.patch("/workflows/idempotent-spawn", &json!({ "paused": paused })).expect(200);
    pause(true);
    let parents: Vec<_> = (0..16).map(|_| host.start("idempotent-spawn", &json!({ "key": "k" }))).collect();
    pause(false);
    host.settle();
    let mut outputs: Vec<_> = parents.iter().map(|id| host.run(id)["output"].to_string()).collect();
    outputs.dedup();
    assert_eq!(outputs.len(), 1, "{outputs:#?}");
    assert_eq!(host.list("/runs?workflow=echo").len(), 1);
}

#[test]
fn the_effects_of_an_attempt_that_fails_do_not_happen() {
    let host = TestHost::with(&["dormouse-programs"]);
    let run = host.call("fails", &json!({ "attempts": 2 }));
    assert_eq!((&run["status"], &run["output"]), (&json!("completed"), &json!(3)));
    host.advance(Duration::from_secs(10));
    assert_eq!(host.list("/events"), NONE);
    assert_eq!(host.list("/scheduled"), NONE);
    assert_eq!(column(&host.list("/runs"), "/workflow"), ["fails"]);
}

#[test]
fn the_effects_of_an_attempt_that_traps_do_not_happen_and_its_log_stays() {
    let host = TestHost::with(&["dormouse-programs"]);
    for how in ["panic", "abort", "out_of_bounds"] {
        let run = host.call("trap-after-effects", &json!({ "tag": how, "how": how }));
        assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!("trap")), "{how}");
        let logs = host.logs(run["id"].as_str().unwrap());
        assert_eq!(logs[0], "asked for effects: true, true");
    }
    assert_eq!(host.list("/events"), NONE);
    assert_eq!(host.list("/runs?workflow=echo"), NONE);
}

#[test]
fn the_effects_of_a_step_happen_when_it_sleeps() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("pusher", &json!({ "tag": "t", "sleep_ms": 60_000 }));
    host.settle();

    let run = host.run(&id);
    assert_eq!(run["status"], "sleeping");
    let (events, children) = (host.list("/events"), host.list("/runs?workflow=echo"));
    assert_eq!(column(&events, "/payload/tag"), ["t"]);
    assert_eq!(column(&children, "/output/tag"), ["t"]);
    let output = host.to_end(&id)["output"].clone();
    assert_eq!(output, json!({ "event": events[0]["id"], "child": children[0]["id"] }));
}
