//! Durable sleep.

use std::time::Duration;

use dormouse_tests::TestHost;
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_task_that_sleeps_for_three_days_wakes_where_it_stopped() {
    let host = TestHost::with(&["durable-sleep"]);
    let id = host.start("durable-sleep", &json!({ "seconds": 3 * 86_400 }));

    host.settle();
    assert_eq!(host.run(&id)["status"], "sleeping");
    host.advance(Duration::from_secs(3 * 86_400 - 1));
    assert_eq!(host.run(&id)["status"], "sleeping");
    host.advance(Duration::from_secs(1));

    let run = host.run(&id);
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(run["output"]["slept_ms"], 3 * 86_400_000);
    assert_eq!(host.logs(&id), ["good night", "good morning"]);
}

#[test]
fn a_sleep_outlives_the_host_and_its_deadline_stays() {
    let host = TestHost::with(&["durable-sleep"]);
    let id = host.start("durable-sleep", &json!({ "seconds": 3600 }));
    host.settle();

    let host = host.restart_after(HOUR / 2);
    host.settle();
    assert_eq!(host.run(&id)["status"], "sleeping");
    host.advance(HOUR / 2);

    let run = host.run(&id);
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(run["output"], json!({ "asked_ms": 3_600_000, "slept_ms": 3_600_000 }));
}

#[test]
fn a_host_that_was_down_wakes_late_sleepers_at_once_in_order_of_deadline() {
    let host = TestHost::with_one_slot(&["dormouse-programs"]);
    let plans = [5, 1, 3, 2, 4].map(|s| json!({ "sleep_ms": s * 1000, "priority": 1 }));
    let id = host.start_with("roll-call", &json!({ "input": plans, "priority": 3 }));
    host.settle();

    let host = host.restart_after(DAY);
    host.settle();

    let run = host.run(&id);
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(run["output"], json!([1, 3, 2, 4, 0]));
    assert_eq!(run["finishedAt"], host.now().to_string());
}

#[test]
fn the_monotonic_clock_never_goes_back_across_a_sleep() {
    let host = TestHost::with(&["dormouse-programs"]);
    let (here, there) = (
        host.start("clocks", &json!({ "sleep_ms": 1 })),
        host.start("clocks", &json!({ "sleep_ms": 60_000 })),
    );
    assert!(host.to_end(&here)["output"]["monotonic_ms"].as_u64() >= Some(1));

    let host = host.restart_after(DAY);
    let output = &host.to_end(&there)["output"];
    assert_eq!(output["host_ms"], 86_400_000 + 1);
    assert!(output["monotonic_ms"].as_u64() >= Some(86_400_000), "{output}");
}

#[test]
fn randomness_does_not_come_out_of_the_snapshot() {
    let host = TestHost::with(&["dormouse-programs"]);
    let runs = [(); 2].map(|()| host.call("random", &json!({ "sleep_ms": 1000 })));

    let draws = runs.iter().flat_map(|run| run["output"].as_array().expect("two draws"));
    let values =
        |draw: &Value| [&draw["host"], &draw["uuids"]].map(|drawn| drawn.as_array().unwrap().clone());
    let mut all: Vec<_> = draws.clone().flat_map(values).flatten().map(|value| value.to_string()).collect();
    all.extend(draws.map(|draw| draw["hash"].to_string()));
    assert_eq!(all.len(), 2 * 2 * 5);
    let drawn = all.clone();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), drawn.len(), "something came twice: {drawn:#?}");
}

#[test]
fn sleeping_until_a_time_that_has_passed_takes_no_time() {
    let host = TestHost::with(&["dormouse-programs"]);
    let began = host.now();

    let past = host.call("sleep-until", &json!({ "at": began.before(HOUR).as_millis() }));
    assert_eq!(past["output"]["slept_ms"], 0);
    assert_eq!(host.now(), began);

    let future = host.call("sleep-until", &json!({ "at": began.after(HOUR).as_millis() }));
    assert_eq!(future["output"]["slept_ms"], 3_600_000);
    assert_eq!(host.now(), began.after(HOUR));
}

#[test]
fn a_task_keeps_its_state_over_many_sleeps() {
    let host = TestHost::with(&["dormouse-programs"]);
    let run = host.call("counter", &json!({ "times": 200, "ms": 1000 }));
    assert_eq!(run["output"], json!({ "count": 200, "slept_ms": 200_000 }));
}

#[test]
fn a_hash_map_survives_a_sleep_on_another_host() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("map-checksum", &json!({ "n": 5000, "sleep_ms": 60_000 }));
    host.settle();
    let host = host.restart_after(Duration::ZERO);

    let run = host.to_end(&id);
    assert_eq!(run["output"], json!({ "checksum": 5000u64 * 5000 * 4999 / 2, "slept_ms": 60_000 }));
    assert_eq!(host.logs(&id), ["before", "after"]);
}

#[test]
fn a_checkpoint_ends_the_step_and_goes_on_at_once() {
    let host = TestHost::with(&["dormouse-programs"]);
    let began = host.now();
    let run = host.call("counter", &json!({ "times": 3, "ms": 0 }));
    assert_eq!(run["output"], json!({ "count": 3, "slept_ms": 0 }));
    assert_eq!(host.now(), began);

    let history = host.list(&format!("/runs/{}/history", run["id"].as_str().unwrap()));
    let steps = history.iter().filter(|entry| entry["status"] == "running").count();
    assert_eq!(steps, 4, "a step before each checkpoint and one behind the last: {history:#?}");
}
