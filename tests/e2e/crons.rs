//! Crons: made, changed, and fired at their nominal times.

use std::time::Duration;

use dormouse_tests::{TestHost, column};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const NONE: [Value; 0] = [];

/// Makes a cron and returns its id.
pub(crate) fn cron(host: &TestHost, workflow: &str, name: &str, body: Value) -> String {
    let row = host.put(&format!("/workflows/{workflow}/crons/{name}"), &body).expect(201);
    row["id"].as_str().unwrap().to_owned()
}

pub(crate) fn show(host: &TestHost, id: &str) -> Value {
    host.get(&format!("/crons/{id}")).expect(200)
}

pub(crate) fn runs(host: &TestHost, id: &str) -> Vec<Value> {
    let mut runs = host.list(&format!("/runs?trigger={id}"));
    runs.reverse();
    runs
}

/// The nominal times for which a cron has started runs, without the zeros at their end.
pub(crate) fn fired(host: &TestHost, id: &str) -> Vec<String> {
    let times = column(&runs(host, id), "/trigger/scheduledAt");
    times.iter().map(|time| time.trim_end_matches(":00.000Z").to_owned()).collect()
}

#[test]
fn declared_crons_are_there_after_the_upload_with_their_next_time() {
    let host = TestHost::with(&["declared-cron"]);
    let mut rows = host.list("/crons");
    rows.sort_by_key(|row| row["name"].to_string());
    // It is Monday, 8:00 in London and 9:00 in Paris.
    for (row, expected) in rows.iter().zip([
        ("daily-report", "asia", "0 9 * * MON-FRI", "Asia/Tokyo", "2026-01-06T00:00:00.000Z", "one", "skip"),
        (
            "daily-report",
            "europe",
            "0 9 * * MON-FRI",
            "Europe/Paris",
            "2026-01-06T08:00:00.000Z",
            "one",
            "skip",
        ),
        (
            "heartbeat",
            "x..10_x_x_x_x_x",
            "*/10 * * * * *",
            "UTC",
            "2026-01-05T08:00:10.000Z",
            "skip",
            "allow",
        ),
    ]) {
        let fields = ["workflow", "name", "expression", "timezone", "nextRunAt", "catchUp", "overlap"];
        let found = fields.map(|field| row[field].as_str().unwrap());
        assert_eq!(<[&str; 7]>::from(expected), found);
        assert_eq!((&row["source"], &row["enabled"]), (&json!("declared"), &json!(true)));
        assert_eq!((&row["lastRunAt"], &row["lastRunId"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["description"], "At 09:00, on Monday to Friday, Asia/Tokyo");
}

#[test]
fn unique_name_per_workflow_creating_an_existing_name_updates_it() {
    let host = TestHost::with(&["dormouse-programs"]);
    let body = json!({ "expression": "0 12 * * *", "input": 1, "metadata": { "a": "b" } });
    let id = cron(&host, "echo", "noon", body);
    assert_eq!(show(&host, &id)["nextRunAt"], "2026-01-05T12:00:00.000Z");

    let put = host.put("/workflows/echo/crons/noon", &json!({ "expression": "0 13 * * *" })).expect(200);
    let post = json!({ "name": "noon", "expression": "0 14 * * *", "timezone": "Europe/Paris" });
    let post = host.post("/workflows/echo/crons", &post).expect(200);
    let patch = host.patch(&format!("/crons/{id}"), &json!({ "input": 2 })).expect(200);

    for (row, next) in [(&put, "13"), (&post, "13"), (&patch, "13")] {
        assert_eq!(row["id"], id);
        assert_eq!(row["nextRunAt"], format!("2026-01-05T{next}:00:00.000Z"));
        assert_eq!(row["metadata"], json!({ "a": "b" }));
    }
    assert_eq!((&post["input"], &patch["input"]), (&json!(1), &json!(2)));
    assert_eq!(host.list("/crons").len(), 1);
    host.post("/workflows/echo/crons", &json!({ "name": "new", "expression": "@hourly" })).expect(201);
    assert_eq!(host.list("/crons").len(), 2);

    host.advance(DAY);
    assert_eq!(fired(&host, &id), ["2026-01-05T13:00"]);
}

#[test]
fn a_cron_fires_once_at_each_of_its_times() {
    let host = TestHost::with(&["dormouse-programs"]);
    let body =
        json!({ "expression": "30 */6 * * *", "input": { "n": 1 }, "metadata": { "a": "b" }, "priority": 3 });
    let id = cron(&host, "echo", "six", body);
    host.advance(DAY);

    assert_eq!(
        fired(&host, &id),
        ["2026-01-05T12:30", "2026-01-05T18:30", "2026-01-06T00:30", "2026-01-06T06:30"]
    );
    let runs = runs(&host, &id);
    for run in &runs {
        assert_eq!(run["createdAt"], run["trigger"]["scheduledAt"]);
        assert_eq!((&run["trigger"]["kind"], &run["trigger"]["id"]), (&json!("cron"), &json!(id)));
        assert_eq!((&run["output"], &run["priority"]), (&json!({ "n": 1 }), &json!(3)));
        assert_eq!(run["metadata"], json!({ "a": "b" }));
    }
}

#[test]
fn next_run_at_last_run_at_last_run_id_are_shown() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = cron(&host, "echo", "six", json!({ "expression": "30 */6 * * *" }));
    let row = show(&host, &id);
    assert_eq!(row["nextRunAt"], "2026-01-05T12:30:00.000Z");
    assert_eq!((&row["lastRunAt"], &row["lastRunId"]), (&Value::Null, &Value::Null));

    host.advance(DAY);
    let (row, last) = (show(&host, &id), &runs(&host, &id)[3]);
    assert_eq!(row["nextRunAt"], "2026-01-06T12:30:00.000Z");
    assert_eq!((&row["lastRunAt"], &row["lastRunId"]), (&json!("2026-01-06T06:30:00.000Z"), &last["id"]));
    assert_eq!(host.list("/crons"), [row]);
}

#[test]
fn five_fields_or_six_with_seconds_first_hourly_and_the_like_names_mon_fri() {
    let host = TestHost::with(&["dormouse-programs"]);
    // It is Monday, 8:00.
    for (expression, next) in [
        ("30 9 * * *", "05T09:30:00"),
        ("15 30 9 * * *", "05T09:30:15"),
        ("*/7 * * * * *", "05T08:00:07"),
        ("@hourly", "05T09:00:00"),
        ("@daily", "06T00:00:00"),
        ("@midnight", "06T00:00:00"),
        ("@weekly", "11T00:00:00"),
        ("0 7 * * MON-FRI", "06T07:00:00"),
        ("0 7 * * sat,sun", "10T07:00:00"),
        ("0 7 15 JAN *", "15T07:00:00"),
    ] {
        let id = cron(&host, "echo", "cron", json!({ "expression": expression }));
        let row = show(&host, &id);
        assert_eq!(row["nextRunAt"], format!("2026-01-{next}.000Z"), "{expression}");
        host.delete(&format!("/crons/{id}")).expect(204);
    }
}

#[test]
fn iana_time_zone_per_cron_default_utc() {
    let host = TestHost::with(&["dormouse-programs"]);
    for (zone, next, words) in [
        (None, "2026-01-05T12:00", "UTC"),
        (Some("Europe/Paris"), "2026-01-05T11:00", "Europe/Paris"),
        (Some("America/New_York"), "2026-01-05T17:00", "America/New_York"),
        (Some("Asia/Kolkata"), "2026-01-06T06:30", "Asia/Kolkata"),
        (Some("Australia/Lord_Howe"), "2026-01-06T01:00", "Australia/Lord_Howe"),
    ] {
        let mut body = json!({ "expression": "0 12 * * *" });
        body["timezone"] = zone.map_or(Value::Null, Value::from);
        let id = cron(&host, "echo", &format!("in-{}", words.len()), body);
        let row = show(&host, &id);
        assert_eq!(row["nextRunAt"], format!("{next}:00.000Z"), "{words}");
        assert_eq!(row["timezone"], words);
        assert_eq!(row["description"], format!("At 12:00, {words}"));
        host.delete(&format!("/crons/{id}")).expect(204);
    }
}

#[test]
fn validated_before_the_2xx_expression_zone_that_it_ever_fires() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = cron(&host, "echo", "good", json!({ "expression": "@hourly" }));
    for (wrong, code, field) in [
        (json!({ "expression": "61 * * * *" }), "invalid_cron", "expression"),
        (json!({ "expression": "* * * *" }), "invalid_cron", "expression"),
        (json!({ "expression": "0 0 31 2 *" }), "invalid_cron", "expression"),
        (json!({ "expression": "@hourly", "timezone": "Europe/Pariss" }), "invalid_timezone", "timezone"),
    ] {
        let answers = [
            host.put("/workflows/echo/crons/new", &wrong),
            host.put("/workflows/echo/crons/good", &wrong),
            host.patch(&format!("/crons/{id}"), &wrong),
        ];
        for answer in answers {
            assert_eq!(answer.error(), (422, code, field), "{wrong}");
        }
    }
    let rows = host.list("/crons");
    assert_eq!((rows.len(), &rows[0]["expression"]), (1, &json!("@hourly")));
}

#[test]
fn editable_in_place() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = cron(&host, "echo", "hourly", json!({ "expression": "@hourly" }));
    host.advance(HOUR);
    let before = show(&host, &id);
    host.advance(HOUR / 2);
    let change = json!({
        "expression": "0 12 * * *", "timezone": "Europe/Paris", "input": 1, "metadata": { "a": "b" },
        "priority": 2, "enabled": true, "catchUp": "all", "catchUpWindowMs": 5000, "overlap": "queue",
    });
    let row = host.patch(&format!("/crons/{id}"), &change).expect(200);
    for (field, value) in change.as_object().unwrap() {
        assert_eq!(&row[field], value, "{field}");
    }
    for field in ["id", "name", "workflow", "createdAt", "lastRunAt", "lastRunId"] {
        assert_eq!(row[field], before[field], "{field}");
    }
    assert_eq!(row["updatedAt"], host.now().to_string());
    assert_eq!(row["nextRunAt"], "2026-01-05T11:00:00.000Z");
    host.advance(DAY);
    assert_eq!(fired(&host, &id), ["2026-01-05T09:00", "2026-01-05T11:00"]);
}

#[test]
fn firing_is_one_transaction_never_twice_never_lost() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = cron(&host, "echo", "hourly", json!({ "expression": "@hourly" }));
    host.advance(HOUR);
    let host = host.restart_after(Duration::ZERO);
    host.settle();
    assert_eq!(fired(&host, &id), ["2026-01-05T09:00"]);
    let host = host.restart_after(HOUR);
    host.settle();
    assert_eq!(fired(&host, &id), ["2026-01-05T09:00", "2026-01-05T10:00"]);
}

#[test]
fn catch_up_skip_default_one_all_within_a_window_after_downtime() {
    let host = TestHost::with(&["dormouse-programs"]);
    let make = |name: &str, mut body: Value| {
        body["expression"] = json!("@hourly");
        cron(&host, "echo", name, body)
    };
    let by_default = make("by-default", json!({}));
    let skip = make("skip", json!({ "catchUp": "skip" }));
    let one = make("one", json!({ "catchUp": "one" }));
    let all = make("all", json!({ "catchUp": "all" }));
    let window = make("window", json!({ "catchUp": "all", "catchUpWindowMs": 2 * 3_600_000 }));

    // From 8:00 to 13:30.
    let host = host.restart_after(5 * HOUR + HOUR / 2);
    host.advance(HOUR);

    let times = |hours: &[u32]| -> Vec<String> {
        hours.iter().map(|hour| format!("2026-01-05T{hour:02}:00")).collect()
    };
    for (id, hours) in [
        (by_default, &[14][..]),
        (skip, &[14]),
        (one, &[13, 14]),
        (all, &[9, 10, 11, 12, 13, 14]),
        (window, &[12, 13, 14]),
    ] {
        assert_eq!(fired(&host, &id), times(hours), "{}", show(&host, &id)["name"]);
    }
}

#[test]
fn overlap_allow_default_skip_queue_cancel_running() {
    let host = TestHost::with(&["durable-sleep"]);
    // Each run takes two and a half hours.
    let make = |overlap: &str| {
        let body = json!({ "expression": "@hourly", "input": { "seconds": 9000 }, "overlap": overlap });
        cron(&host, "durable-sleep", &overlap.to_lowercase(), body)
    };
    let [allow, skip, queue, cancel] = ["allow", "skip", "queue", "cancelRunning"].map(make);
    host.advance(6 * HOUR + HOUR / 2);

    let began = |id: &str| -> Vec<(String, String)> {
        let runs = runs(&host, id);
        let hours = |pointer| column(&runs, pointer).into_iter().map(|time| time[11..16].to_owned());
        hours("/trigger/scheduledAt").zip(hours("/createdAt")).collect()
    };
    let on_time = |hours: &[u32]| -> Vec<(String, String)> {
        hours.iter().map(|hour| (format!("{hour:02}:00"), format!("{hour:02}:00"))).collect()
    };
    assert_eq!(began(&allow), on_time(&[9, 10, 11, 12, 13, 14]));
    assert_eq!(began(&skip), on_time(&[9, 12]));
    let late = |nominal: &str, created: &str| (nominal.to_owned(), created.to_owned());
    assert_eq!(began(&queue), [late("09:00", "09:00"), late("10:00", "11:30"), late("11:00", "14:00")]);
    assert_eq!(began(&cancel), on_time(&[9, 10, 11, 12, 13, 14]));
    let cancelled = runs(&host, &cancel);
    assert_eq!(column(&cancelled[..5], "/reason"), ["overlap"; 5]);
    assert_eq!(cancelled[5]["status"], "sleeping");
}

#[test]
fn enable_and_disable() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = cron(&host, "echo", "hourly", json!({ "expression": "@hourly", "enabled": false }));
    assert_eq!(show(&host, &id)["nextRunAt"], Value::Null);
    host.advance(DAY);
    assert_eq!(runs(&host, &id), NONE);

    // What it would have done meanwhile is not caught up, whatever the policy for downtime.
    let body = json!({ "enabled": true, "catchUp": "all" });
    let row = host.patch(&format!("/crons/{id}"), &body).expect(200);
    assert_eq!(row["nextRunAt"], host.now().after(HOUR).to_string());
    host.advance(HOUR);
    assert_eq!(runs(&host, &id).len(), 1);

    host.patch(&format!("/crons/{id}"), &json!({ "enabled": false })).expect(200);
    host.advance(DAY);
    assert_eq!(runs(&host, &id).len(), 1);
}

#[test]
fn run_now() {
    let host = TestHost::with(&["dormouse-programs"]);
    let body = json!({ "expression": "@hourly", "input": 7, "metadata": { "a": "b" } });
    let id = cron(&host, "echo", "hourly", body);
    let run = host.post(&format!("/crons/{id}/trigger"), &json!({})).expect(202);
    let trigger = json!({ "kind": "cron", "id": id, "scheduledAt": host.now().to_string() });
    assert_eq!((&run["trigger"], &run["input"], &run["metadata"]["a"]), (&trigger, &json!(7), &json!("b")));
    let row = show(&host, &id);
    assert_eq!((&row["lastRunAt"], &row["lastRunId"]), (&json!(host.now().to_string()), &run["id"]));
    assert_eq!(row["nextRunAt"], "2026-01-05T09:00:00.000Z");
    host.advance(HOUR);
    assert_eq!(fired(&host, &id), ["2026-01-05T08:00", "2026-01-05T09:00"]);
}

#[test]
fn an_api_cron_can_be_deleted_and_a_declared_one_only_disabled() {
    let host = TestHost::with(&["declared-cron"]);
    let id = cron(&host, "heartbeat", "mine", json!({ "expression": "@hourly" }));
    host.delete(&format!("/crons/{id}")).expect(204);
    assert_eq!(host.get(&format!("/crons/{id}")).error(), (404, "unknown_cron", ""));

    let declared = &host.list("/crons?workflow=heartbeat")[0];
    let path = format!("/crons/{}", declared["id"].as_str().unwrap());
    assert_eq!(host.delete(&path).error(), (409, "declared_cron", ""));
    assert_eq!(host.patch(&path, &json!({ "expression": "@daily" })).error(), (409, "declared_cron", ""));
    host.patch(&path, &json!({ "enabled": false })).expect(200);
    host.advance(HOUR);
    assert_eq!(host.list("/runs"), NONE);
}

#[test]
fn crons_are_listed_newest_first_with_filters() {
    let host = TestHost::with(&["dormouse-programs"]);
    for (n, workflow) in ["echo", "about", "echo", "about", "echo"].into_iter().enumerate() {
        let body = json!({
            "expression": "@hourly", "enabled": n != 2, "metadata": { "odd": (n % 2 == 1).to_string() },
        });
        cron(&host, workflow, &format!("cron-{}", n / 2), body);
        host.advance(Duration::from_millis(1));
    }
    let found = |query: &str| {
        let rows = host.list(&format!("/crons?limit=2&{query}"));
        let names = column(&rows, "/workflow").into_iter().zip(column(&rows, "/name"));
        names.map(|(workflow, name)| format!("{workflow}/{name}")).collect::<Vec<_>>()
    };
    assert_eq!(found(""), ["echo/cron-2", "about/cron-1", "echo/cron-1", "about/cron-0", "echo/cron-0"]);
    assert_eq!(found("workflow=about"), ["about/cron-1", "about/cron-0"]);
    assert_eq!(found("name=cron-0"), ["about/cron-0", "echo/cron-0"]);
    assert_eq!(found("enabled=false"), ["echo/cron-1"]);
    assert_eq!(found("metadata=odd:true&name=cron-1"), ["about/cron-1"]);
}

#[test]
fn fixed_times_that_fall_in_a_gap_fire_once_right_after_it_and_steps_through_the_hours_follow_elapsed_time() {
    let host = TestHost::with(&["dormouse-programs"]);
    // To noon in Paris, the day before the clocks go from 2:00 to 3:00.
    host.advance(82 * DAY + 3 * HOUR);
    assert_eq!(host.now().to_string(), "2026-03-28T11:00:00.000Z");
    let make = |name: &str, expression: &str| {
        cron(&host, "echo", name, json!({ "expression": expression, "timezone": "Europe/Paris" }))
    };
    let (appointment, steps) = (make("appointment", "30 2 * * *"), make("steps", "0 */2 * * *"));
    host.advance(2 * DAY);

    // 2:30 is not there on the 29th: right after the gap, at 3:00. The next day it is.
    assert_eq!(fired(&host, &appointment), ["2026-03-29T01:00", "2026-03-30T00:30"]);
    // 12:00 to 0:00 in winter time, then 4:00 (2:00 is not there) and on in summer time.
    let steps = fired(&host, &steps);
    assert_eq!(
        steps[..7],
        ["13", "15", "17", "19", "21", "23"]
            .map(|hour| format!("2026-03-28T{hour}:00"))
            .into_iter()
            .chain(["2026-03-29T02:00".to_owned()])
            .collect::<Vec<_>>()
    );
    assert_eq!(steps.last().map(String::as_str), Some("2026-03-30T10:00"));
}

#[test]
fn fixed_times_fire_once_where_local_time_repeats() {
    let host = TestHost::with(&["dormouse-programs"]);
    // To noon in Paris, the day before the clocks go from 3:00 to 2:00.
    host.advance(292 * DAY + 2 * HOUR);
    assert_eq!(host.now().to_string(), "2026-10-24T10:00:00.000Z");
    let body = json!({ "expression": "30 2 * * *", "timezone": "Europe/Paris" });
    let id = cron(&host, "echo", "appointment", body);
    host.advance(2 * DAY);
    assert_eq!(fired(&host, &id), ["2026-10-25T00:30", "2026-10-26T01:30"]);
}
