//! What becomes of the times of a cron that cannot simply fire: because a run has not ended, because
//! the cron was changed meanwhile, or because of the clock.

use std::time::Duration;

use dormouse_tests::{TestHost, column, guest, patched};
use serde_json::{Value, json};

use crate::crons::{cron, fired, runs, show};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// An hourly cron whose runs take two and a half hours.
fn slow_cron(host: &TestHost, overlap: &str) -> String {
    let body = json!({ "expression": "@hourly", "input": { "seconds": 9000 }, "overlap": overlap });
    cron(host, "durable-sleep", &overlap.to_lowercase(), body)
}

fn trigger(host: &TestHost, id: &str) -> Value {
    host.post(&format!("/crons/{id}/trigger"), &json!({})).expect(202)
}

/// The nominal times of a cron's runs and when each began, without the day.
fn begun(host: &TestHost, id: &str) -> Vec<String> {
    let runs = runs(host, id);
    let times = |pointer| column(&runs, pointer).into_iter().map(|time| time[11..16].to_owned());
    times("/trigger/scheduledAt")
        .zip(times("/createdAt"))
        .map(|(at, began)| format!("{at} {began}"))
        .collect()
}

#[test]
fn a_cron_goes_on_after_a_clock_that_was_ahead() {
    for catch_up in ["skip", "one", "all"] {
        let host = TestHost::with(&["dormouse-programs"]);
        let body = json!({ "expression": "@hourly", "catchUp": catch_up });
        let id = cron(&host, "echo", "ahead", body);
        let before = host.now();
        let host = host.restart_at(before.after(365 * DAY));
        host.advance(2 * HOUR);
        let host = host.restart_at(before.after(HOUR / 2));
        host.settle();
        assert_eq!(show(&host, &id)["nextRunAt"], "2026-01-05T09:00:00.000Z", "{catch_up}");
        let count = fired(&host, &id).len();
        host.advance(HOUR);
        let fired = fired(&host, &id);
        assert_eq!(fired.len(), count + 1, "{catch_up}");
        assert!(fired.contains(&"2026-01-05T09:00".to_owned()), "{catch_up}: {fired:?}");
    }
}

#[test]
fn no_time_fires_twice_when_the_clock_is_set_back() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = cron(&host, "echo", "twice", json!({ "expression": "@hourly", "catchUp": "all" }));
    let before = host.now();
    host.advance(3 * HOUR);
    let host = host.restart_at(before.after(HOUR / 2));
    host.advance(4 * HOUR);
    assert_eq!(fired(&host, &id), ["09:00", "10:00", "11:00", "12:00"].map(|at| format!("2026-01-05T{at}")));
}

#[test]
fn a_time_that_comes_again_leaves_its_run_alone() {
    let host = TestHost::with(&["durable-sleep"]);
    let ids = ["allow", "skip", "queue", "cancelRunning"].map(|overlap| slow_cron(&host, overlap));
    host.advance(HOUR);
    let before: Vec<_> = ids.iter().map(|id| show(&host, id)).collect();
    host.set_clock(host.now().before(Duration::from_secs(2)));
    host.advance(HOUR / 2);
    for (id, before) in ids.iter().zip(before) {
        let runs = runs(&host, id);
        assert_eq!(column(&runs, "/status"), ["sleeping"], "{before:#}");
        let after = show(&host, id);
        assert_eq!((&after["lastRunId"], &after["nextRunAt"]), (&before["lastRunId"], &before["nextRunAt"]));
    }
}

#[test]
fn a_clock_that_was_ahead_for_a_moment_stops_neither_crons_nor_retention() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = cron(&host, "echo", "moment", json!({ "expression": "@hourly" }));
    let began = host.now();
    host.set_clock(began.after(20 * DAY));
    host.set_clock(began.after(HOUR / 2));
    assert_eq!(show(&host, &id)["nextRunAt"], "2026-01-05T09:00:00.000Z");
    host.advance(HOUR);
    assert!(fired(&host, &id).contains(&"2026-01-05T09:00".to_owned()));
    let newest = host.start("echo", &json!(1));
    assert_eq!(host.list("/runs?limit=200").iter().filter(|run| run["id"] == newest).count(), 1);
    assert!(host.to_end(&newest)["createdAt"].as_str().unwrap() < "2026-01-06");
}

#[test]
fn a_disabled_cron_forgets_the_times_that_it_held_back() {
    let host = TestHost::with(&["durable-sleep"]);
    let body = json!({ "expression": "@hourly", "input": { "seconds": 9000 }, "overlap": "queue" });
    let id = cron(&host, "durable-sleep", "queue", body);
    host.advance(3 * HOUR);
    host.patch(&format!("/crons/{id}"), &json!({ "enabled": false })).expect(200);
    host.advance(DAY);
    assert_eq!(fired(&host, &id), ["2026-01-05T09:00"]);
}

#[test]
fn a_run_that_is_triggered_by_hand_counts_as_one_of_the_cron() {
    let host = TestHost::with(&["durable-sleep"]);
    let [skip, queue, cancel] = ["skip", "queue", "cancelRunning"].map(|overlap| slow_cron(&host, overlap));
    // They end at 10:30 unless they are cancelled.
    let [_, _, cancelled] = [&skip, &queue, &cancel].map(|id| trigger(&host, id));
    host.advance(3 * HOUR + HOUR / 4);
    assert_eq!(begun(&host, &skip), ["08:00 08:00", "11:00 11:00"]);
    assert_eq!(begun(&host, &queue), ["08:00 08:00", "09:00 10:30"]);
    assert_eq!(begun(&host, &cancel), ["08:00 08:00", "09:00 09:00", "10:00 10:00", "11:00 11:00"]);
    assert_eq!(host.run(cancelled["id"].as_str().unwrap())["reason"], "overlap");
}

#[test]
fn a_time_waits_for_all_runs_that_have_not_ended() {
    let host = TestHost::with(&["durable-sleep"]);
    let id = slow_cron(&host, "queue");
    host.advance(HOUR + HOUR / 2);
    trigger(&host, &id);
    // The run of 9:00 ends at 11:30, that of 9:30 at noon, and only then comes the turn of 10:00.
    host.advance(3 * HOUR);
    assert_eq!(begun(&host, &id), ["09:00 09:00", "09:30 09:30", "10:00 12:00"]);
}

#[test]
fn times_that_wait_outlive_the_host() {
    let host = TestHost::with(&["durable-sleep"]);
    let id = slow_cron(&host, "queue");
    host.advance(3 * HOUR);
    let host = host.restart_after(Duration::ZERO).restart_after(Duration::ZERO);
    host.advance(3 * HOUR);
    assert_eq!(begun(&host, &id), ["09:00 09:00", "10:00 11:30", "11:00 14:00"]);
}

#[test]
fn the_overlap_policy_knows_the_runs_that_began_before_it_was_set() {
    let host = TestHost::with(&["durable-sleep"]);
    let [skip, cancel] = ["skip", "cancelRunning"].map(|overlap| {
        let body = json!({ "expression": "@hourly", "input": { "seconds": 9000 } });
        (cron(&host, "durable-sleep", &overlap.to_lowercase(), body), overlap)
    });
    host.advance(2 * HOUR + HOUR / 2);
    for (id, overlap) in [&skip, &cancel] {
        host.patch(&format!("/crons/{id}"), &json!({ "overlap": overlap })).expect(200);
    }
    host.advance(3 * HOUR);
    // The run of 10:00 ends at 12:30.
    assert_eq!(begun(&host, &skip.0), ["09:00 09:00", "10:00 10:00", "13:00 13:00"]);
    let cancelled = runs(&host, &cancel.0);
    assert_eq!(column(&cancelled[..4], "/reason"), ["overlap"; 4]);
    assert_eq!(cancelled[4]["status"], "sleeping");
}

#[test]
fn times_that_wait_begin_at_once_when_overlap_is_allowed() {
    let host = TestHost::with(&["durable-sleep"]);
    let id = slow_cron(&host, "queue");
    host.advance(3 * HOUR + HOUR / 4);
    host.patch(&format!("/crons/{id}"), &json!({ "overlap": "allow" })).expect(200);
    host.advance(HOUR);
    assert_eq!(begun(&host, &id), ["09:00 09:00", "10:00 11:15", "11:00 11:15", "12:00 12:00"]);
}

#[test]
fn times_that_wait_are_left_out_when_the_latest_cancels_the_others() {
    let host = TestHost::with(&["durable-sleep"]);
    let id = slow_cron(&host, "queue");
    host.advance(3 * HOUR + HOUR / 4);
    host.patch(&format!("/crons/{id}"), &json!({ "overlap": "cancelRunning" })).expect(200);
    host.advance(6 * HOUR);
    let begun = begun(&host, &id);
    assert_eq!(begun[..3], ["09:00 09:00", "10:00 11:30", "12:00 12:00"]);
    assert_eq!(begun.len(), 2 + 6);
}

#[test]
fn times_that_wait_take_the_input_of_the_moment_at_which_they_begin() {
    let host = TestHost::with(&["durable-sleep"]);
    let id = slow_cron(&host, "queue");
    host.advance(2 * HOUR);
    // The expression names no other time today, but those that have come stay.
    let change = json!({ "expression": "0 0 1 1 *", "input": { "seconds": 60 } });
    host.patch(&format!("/crons/{id}"), &change).expect(200);
    host.advance(DAY);
    assert_eq!(begun(&host, &id), ["09:00 09:00", "10:00 11:30"]);
    assert_eq!(runs(&host, &id)[1]["finishedAt"], "2026-01-05T11:31:00.000Z");
}

#[test]
fn runs_that_fail_as_they_begin_hold_up_no_later_time() {
    let host = TestHost::with(&["declared-cron"]);
    let pause = |paused: bool| {
        host.patch("/workflows/daily-report", &json!({ "paused": paused })).expect(200);
    };
    pause(true);
    let body = json!({ "expression": "@hourly", "input": { "region": "mars" }, "overlap": "queue" });
    let id = cron(&host, "daily-report", "mars", body);
    host.advance(3 * HOUR);
    // The new version calls the only field of its input otherwise.
    let renamed = patched("declared-cron", "region", "planet");
    host.post_bytes("/modules", "application/wasm", &renamed).expect(201);
    pause(false);
    host.settle();
    assert_eq!(fired(&host, &id), ["2026-01-05T09:00", "2026-01-05T10:00", "2026-01-05T11:00"]);
    assert_eq!(column(&runs(&host, &id), "/status"), ["completed", "failed", "failed"]);
    assert_eq!(runs(&host, &id)[2]["reason"], "invalid_input");

    // The next version takes the input again: the cron has gone on.
    let bytes = [guest("declared-cron"), vec![0, 2, 0, 7]].concat();
    host.post_bytes("/modules", "application/wasm", &bytes).expect(201);
    host.advance(HOUR);
    // It begins; that the code still wants the old name is the patch's business.
    assert_ne!(runs(&host, &id)[3]["startedAt"], serde_json::Value::Null);
}

#[test]
fn a_cron_whose_input_fits_no_more_can_still_be_disabled() {
    let host = TestHost::with(&["declared-cron"]);
    let body = json!({ "expression": "@hourly", "input": { "region": "mars" } });
    let path = format!("/crons/{}", cron(&host, "daily-report", "mars", body));
    let renamed = patched("declared-cron", "region", "planet");
    host.post_bytes("/modules", "application/wasm", &renamed).expect(201);
    host.patch(&path, &json!({ "enabled": false })).expect(200);
    let refused = host.patch(&path, &json!({ "input": { "region": "mars" } }));
    assert_eq!(refused.error(), (422, "invalid_input", "input"));
    host.patch(&path, &json!({ "input": { "planet": "mars" }, "enabled": true })).expect(200);
}

#[test]
fn a_cron_that_is_not_declared_any_more_is_gone_and_its_runs_end() {
    let host = TestHost::with(&["declared-cron"]);
    // The other workflow would run every ten seconds of a week.
    let heartbeat = host.list("/crons?workflow=heartbeat").remove(0);
    let path = format!("/crons/{}", heartbeat["id"].as_str().unwrap());
    host.patch(&path, &json!({ "enabled": false })).expect(200);
    host.patch("/workflows/daily-report", &json!({ "paused": true })).expect(200);
    // To 9:00 in Paris on Tuesday.
    host.advance(DAY);
    let europe = &host.list("/crons?name=europe")[0];
    let run = europe["lastRunId"].as_str().unwrap().to_owned();
    assert_eq!(host.run(&run)["status"], "queued");

    let renamed = patched("declared-cron", "europe", "africa");
    host.post_bytes("/modules", "application/wasm", &renamed).expect(201);
    let gone = host.get(&format!("/crons/{}", europe["id"].as_str().unwrap()));
    assert_eq!(gone.error(), (404, "unknown_cron", ""));
    host.patch("/workflows/daily-report", &json!({ "paused": false })).expect(200);
    assert_eq!(host.to_end(&run)["status"], "completed");
    host.advance(7 * DAY);
    assert_eq!(fired(&host, europe["id"].as_str().unwrap()), ["2026-01-06T08:00"]);
}

#[test]
fn neither_an_upload_nor_the_api_takes_the_name_of_the_others_cron() {
    let host = TestHost::with(&["declared-cron"]);
    let taken = host.put("/workflows/daily-report/crons/europe", &json!({ "expression": "@daily" }));
    assert_eq!(taken.error(), (409, "declared_cron", ""));
    let advice = taken.body["errors"][0]["description"].as_str().unwrap();
    assert!(advice.contains("`europe`") && advice.contains("another name"), "{advice}");

    let body = json!({ "expression": "@daily", "input": { "region": "africa" } });
    let id = cron(&host, "daily-report", "africa", body);
    let renamed = patched("declared-cron", "europe", "africa");
    let refused = host.post_bytes("/modules", "application/wasm", &renamed);
    assert_eq!(refused.error(), (409, "cron_conflict", ""));
    let advice = refused.body["errors"][0]["description"].as_str().unwrap();
    assert!(
        advice.contains("`africa`") && advice.contains(&format!("dormouse cron delete {id}")),
        "{advice}"
    );
    assert_eq!(column(&host.list("/crons?name=europe"), "/source"), ["declared"]);

    // The advice helps.
    host.delete(&format!("/crons/{id}")).expect(204);
    host.post_bytes("/modules", "application/wasm", &renamed).expect(201);
    assert_eq!(column(&host.list("/crons?name=africa"), "/source"), ["declared"]);
}

#[test]
fn several_days_are_caught_up_time_by_time_within_the_window() {
    let host = TestHost::with(&["dormouse-programs"]);
    let make = |name: &str, window: Duration| {
        let body = json!({
            "expression": "*/2 * * * *", "catchUp": "all", "catchUpWindowMs": window.as_millis() as u64,
        });
        cron(&host, "echo", name, body)
    };
    // More times than fire in one transaction.
    let long = make("long", 36 * HOUR);
    let short = make("short", HOUR);
    let host = host.restart_after(5 * DAY);
    host.settle();

    let times = fired(&host, &long);
    assert_eq!(times.len(), 36 * 30 + 1);
    assert!(times.is_sorted_by(|a, b| a < b), "in order, and each once");
    assert_eq!((times[0].as_str(), times.last().unwrap().as_str()), ("2026-01-08T20:00", "2026-01-10T08:00"));
    assert_eq!(fired(&host, &short).len(), 31);
    assert_eq!(show(&host, &long)["nextRunAt"], "2026-01-10T08:02:00.000Z");
}

#[test]
fn crons_that_catch_up_take_turns_and_let_a_call_through() {
    let host = TestHost::with(&["dormouse-programs"]);
    let make = |n: u32| {
        let body = json!({ "expression": "* * * * *", "catchUp": "all" });
        cron(&host, "echo", &format!("cron-{n}"), body)
    };
    let ids: Vec<String> = (0..20).map(make).collect();
    let host = host.restart_after(2 * HOUR);
    let run = host.post("/workflows/echo/runs?wait=60000", &json!({ "input": 1 })).expect(200);
    assert_eq!(run["status"], "completed");
    host.settle();
    for id in &ids {
        let times = fired(&host, id);
        assert_eq!(times.len(), 120);
        assert!(times.is_sorted_by(|a, b| a < b), "in order, and each once");
    }
}

#[test]
fn times_that_were_missed_follow_the_overlap_policy_too() {
    let host = TestHost::with(&["durable-sleep"]);
    let [skip, queue, cancel] = ["skip", "queue", "cancelRunning"].map(|overlap| {
        let id = slow_cron(&host, overlap);
        host.patch(&format!("/crons/{id}"), &json!({ "catchUp": "all" })).expect(200);
        id
    });
    let host = host.restart_after(3 * HOUR + HOUR / 2);
    host.settle();
    assert_eq!(begun(&host, &skip), ["09:00 11:30"]);
    assert_eq!(begun(&host, &queue), ["09:00 11:30"]);
    assert_eq!(column(&runs(&host, &cancel), "/status"), ["cancelled", "cancelled", "sleeping"]);
    host.advance(3 * HOUR);
    assert_eq!(begun(&host, &queue), ["09:00 11:30", "10:00 14:00"]);
}

#[test]
fn a_clock_that_is_set_back_repeats_no_time() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = cron(&host, "echo", "hourly", json!({ "expression": "@hourly", "catchUp": "all" }));
    let early = host.now();
    host.advance(3 * HOUR);
    let host = host.restart_at(early);
    host.advance(HOUR);
    // A change looks for the next time anew: those that have fired come again.
    let path = format!("/crons/{id}");
    host.patch(&path, &json!({ "enabled": false })).expect(200);
    host.patch(&path, &json!({ "enabled": true })).expect(200);
    assert_eq!(show(&host, &id)["nextRunAt"], "2026-01-05T10:00:00.000Z");
    host.advance(3 * HOUR);
    let expected = ["09", "10", "11", "12"].map(|hour| format!("2026-01-05T{hour}:00"));
    assert_eq!(fired(&host, &id), expected);
}

#[test]
fn the_same_cron_in_a_new_version_keeps_its_times_and_its_policy_holds_at_once() {
    let host = TestHost::with(&["declared-cron"]);
    let before = &host.list("/crons?name=europe")[0];
    host.advance(HOUR);
    // A custom section of one byte without a name: another digest, the same code.
    let bytes = [guest("declared-cron"), vec![0, 2, 0, 7]].concat();
    host.post_bytes("/modules", "application/wasm", &bytes).expect(201);
    let after = &host.list("/crons?name=europe")[0];
    for field in ["id", "nextRunAt", "createdAt", "enabled", "overlap", "catchUp"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    host.advance(DAY);
    let run = &runs(&host, after["id"].as_str().unwrap())[0];
    assert_eq!((&run["version"], &run["status"]), (&json!(2), &json!("completed")));
}
