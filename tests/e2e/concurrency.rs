//! Concurrency limits, priorities, pause and resume.

use std::time::Duration;

use dormouse_tests::{TestHost, column};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const PROGRAMS: &[&str] = &["dormouse-programs"];

fn job(customer: &str) -> Value {
    json!({ "customer": customer, "sleep_ms": 10_000 })
}

fn start(host: &TestHost, workflow: &str, customer: &str) -> String {
    host.start(workflow, &job(customer))
}

fn statuses(host: &TestHost, ids: &[String]) -> Vec<String> {
    let runs: Vec<_> = ids.iter().map(|id| host.run(id)).collect();
    column(&runs, "/status")
}

fn reason(host: &TestHost, id: &str) -> Value {
    host.run(id)["reason"].clone()
}

#[test]
fn concurrency_queue_holds_back_the_runs_of_a_key_and_no_other() {
    let host = TestHost::with(PROGRAMS);
    let ids: Vec<_> = ["a", "a", "a", "a", "b"].map(|key| start(&host, "queued-job", key)).into();
    host.settle();
    assert_eq!(statuses(&host, &ids), ["sleeping", "sleeping", "queued", "queued", "sleeping"]);

    host.advance(10 * SECOND);
    assert_eq!(statuses(&host, &ids), ["completed", "completed", "sleeping", "sleeping", "completed"]);
    host.advance(10 * SECOND);
    assert_eq!(statuses(&host, &ids)[2..4], ["completed", "completed"]);
}

#[test]
fn concurrency_all_limits_of_a_workflow_hold() {
    let host = TestHost::with(PROGRAMS);
    let ids: Vec<_> = ["a", "a", "b", "b", "c", "c"].map(|key| start(&host, "queued-job", key)).into();
    host.settle();
    assert_eq!(statuses(&host, &ids)[..5], ["sleeping"; 5]);
    assert_eq!(statuses(&host, &ids)[5], "queued", "`c` has room, but five run in all");
    host.advance(10 * SECOND);
    assert_eq!(statuses(&host, &ids)[5], "sleeping");
}

/// The customers in the order in which their jobs ran, on one slot.
fn turns(customers: &[&str]) -> Vec<String> {
    let host = TestHost::with_one_slot(PROGRAMS);
    let body = json!({ "input": customers, "priority": 3 });
    let run = host.to_end(&host.start_with("job-roll-call", &body));
    serde_json::from_value(run["output"].clone()).expect("the run completed")
}

#[test]
fn concurrency_queue_is_round_robin_by_key() {
    assert_eq!(turns(&["a", "a", "a", "a", "b", "b", "c"]), ["a", "b", "c", "a", "b", "a", "a"]);
}

#[test]
fn concurrency_cancel_running_ends_the_oldest_and_lets_the_new_one_run() {
    let host = TestHost::with(PROGRAMS);
    let first = start(&host, "latest-job", "a");
    let other = start(&host, "latest-job", "b");
    host.settle();
    let second = start(&host, "latest-job", "a");
    let third = start(&host, "latest-job", "a");
    host.settle();

    let ids = [first, second, third, other];
    assert_eq!(statuses(&host, &ids), ["cancelled", "cancelled", "sleeping", "sleeping"]);
    assert_eq!(reason(&host, &ids[0]), "concurrency");
    host.advance(10 * SECOND);
    assert_eq!(statuses(&host, &ids)[2..], ["completed", "completed"]);
}

#[test]
fn concurrency_cancel_newest_ends_the_new_one() {
    let host = TestHost::with(PROGRAMS);
    let start = |tenant: &str| {
        let body = json!({ "input": job("x"), "metadata": { "tenant": tenant } });
        host.start_with("only-job", &body)
    };
    let ids: Vec<_> = ["a", "a", "b"].map(start).into();
    host.settle();
    assert_eq!(statuses(&host, &ids), ["sleeping", "cancelled", "sleeping"]);
    assert_eq!(reason(&host, &ids[1]), "concurrency");
    assert_eq!(host.run(&ids[1])["startedAt"], Value::Null);

    host.advance(10 * SECOND);
    let again = start("a");
    host.settle();
    assert_eq!(host.run(&again)["status"], "sleeping");
}

#[test]
fn concurrency_counters_derive_from_what_runs_so_none_leaks() {
    let host = TestHost::with(PROGRAMS);
    let ids: Vec<_> = ["a"; 5].map(|key| start(&host, "queued-job", key)).into();
    host.settle();
    assert_eq!(statuses(&host, &ids), ["sleeping", "sleeping", "queued", "queued", "queued"]);

    let host = host.restart_after(SECOND);
    host.settle();
    assert_eq!(statuses(&host, &ids), ["sleeping", "sleeping", "queued", "queued", "queued"]);
    // One that ran and one that waited end: there is room for one more.
    for id in [&ids[0], &ids[2]] {
        host.post(&format!("/runs/{id}/cancel"), &json!({})).expect(200);
    }
    host.settle();
    assert_eq!(statuses(&host, &ids), ["cancelled", "sleeping", "cancelled", "sleeping", "queued"]);
    host.advance(20 * SECOND);
    assert_eq!(statuses(&host, &ids[3..]), ["completed", "completed"]);
    let next: Vec<_> = ["a"; 3].map(|key| start(&host, "queued-job", key)).into();
    host.settle();
    assert_eq!(statuses(&host, &next), ["sleeping", "sleeping", "queued"]);
}

#[test]
fn a_run_whose_concurrency_key_cannot_be_computed_is_refused() {
    let host = TestHost::with(PROGRAMS);
    let answer = host.post("/workflows/only-job/runs", &json!({ "input": job("x") }));
    assert_eq!(answer.error(), (422, "invalid_input", "input"));
    let text = answer.body["errors"][0]["description"].to_string();
    assert!(text.contains("concurrency key") && text.contains("there is no `tenant`"), "{text}");
}

#[test]
fn a_flood_under_one_key_does_not_hold_up_another() {
    let mut customers = vec!["flood"; 300];
    customers.extend(["few"; 3]);
    let turns = turns(&customers);
    let last = turns.iter().rposition(|customer| customer == "few");
    assert_eq!((turns.len(), last), (303, Some(5)));
}
