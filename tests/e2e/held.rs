//! Tasks that cannot go on for a reason that is not their own: nothing of them is lost.

use std::path::Path;
use std::time::Duration;

use dormouse_tests::TestHost;
use redb::{Database, ReadableTable, TableDefinition};
use serde_json::{Value, json};

use crate::crons::{cron, fired, show};

const HOUR: Duration = Duration::from_secs(3600);

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;
const MODULE_BYTES: Table = TableDefinition::new("module-bytes");
const SNAPSHOTS: Table = TableDefinition::new("snapshots");
const CRONS: Table = TableDefinition::new("crons");

/// Changes the byte at a position of every row of a table. To do it twice is to undo it.
fn flip(store: &Path, table: Table, position: usize) {
    change(store, table, |row| row[position] ^= 0x80);
}

/// Changes every row of a table.
fn change(store: &Path, table: Table, change: impl Fn(&mut Vec<u8>)) {
    let database = Database::open(store).expect("the store can be opened");
    let txn = database.begin_write().expect("it can be written to");
    {
        let mut table = txn.open_table(table).expect("the table is there");
        let rows: Vec<_> = table.iter().expect("it can be read").flatten().collect();
        let rows = rows.into_iter().map(|(key, row)| (key.value().to_vec(), row.value().to_vec()));
        let rows: Vec<_> = rows.collect();
        assert!(!rows.is_empty());
        for (key, mut row) in rows {
            change(&mut row);
            table.insert(key.as_slice(), row.as_slice()).expect("it can be written to");
        }
    }
    txn.commit().expect("it can be written to");
}

/// Puts one text in the place of another of the same length, in every row of a table that has it.
fn replace(store: &Path, table: Table, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    change(store, table, |row| {
        if let Some(at) = row.windows(from.len()).position(|text| text == from.as_bytes()) {
            row[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    });
}

fn assert_held(host: &TestHost, id: &str, why: &str) {
    let run = host.run(id);
    let found = (&run["status"], &run["reason"], &run["held"]);
    assert_eq!(found, (&json!("queued"), &json!("unloadable"), &json!(true)), "{run:#}");
    assert!(run["error"]["message"].as_str().is_some_and(|text| text.contains(why)), "{run:#}");
    let task = &run["tasks"][0];
    assert_eq!((&task["held"], &task["attempt"]), (&json!(true), &json!(1)), "{run:#}");
    assert!(task["retryAt"].is_string(), "{run:#}");
    let ids = |query: &str| host.list(query).iter().map(|run| run["id"].clone()).collect::<Vec<Value>>();
    assert_eq!(ids("/runs?held=true"), [id]);
    assert_eq!(ids("/runs?held=true&status=sleeping"), [] as [Value; 0]);
    assert!(!ids("/runs?held=false").contains(&json!(id)));
    assert_eq!(host.metric("dormouse_held_tasks").to_string(), "1");
}

/// A host with a run that sleeps for an hour, and one that has ended.
fn sleeping() -> (TestHost, String) {
    let host = TestHost::with(&["durable-sleep"]);
    assert_eq!(host.call("durable-sleep", &json!({ "seconds": 1 }))["status"], "completed");
    let id = host.start("durable-sleep", &json!({ "seconds": 3600 }));
    host.settle();
    (host, id)
}

fn assert_goes_on(host: &TestHost, id: &str) {
    host.settle();
    let run = host.run(id);
    assert_eq!(
        (&run["status"], &run["held"], &run["error"]),
        (&json!("completed"), &json!(false), &json!(null)),
        "{run:#}"
    );
    assert_eq!(run["tasks"][0]["attempt"], 1);
    assert_eq!(host.logs(id), ["good night", "good morning"]);
    assert_eq!(host.metric("dormouse_held_tasks").to_string(), "0");
    assert_eq!(host.list("/runs?held=true").len(), 0);
}

#[test]
fn a_task_whose_module_cannot_be_loaded_goes_on_when_it_can() {
    let (host, id) = sleeping();
    let host = host.restart_on(|store| flip(store, MODULE_BYTES, 100));
    host.advance(HOUR);
    assert_held(&host, &id, "are those of");

    // Nor does another host that cannot load it lose anything, however long that takes.
    let host = host.restart_on(|_| {});
    host.advance(24 * HOUR);
    assert_held(&host, &id, "are those of");
    let history = host.list(&format!("/runs/{id}/history?limit=200"));
    assert!(history.len() < 200, "it is tried less and less often: {}", history.len());

    let host = host.restart_on(|store| flip(store, MODULE_BYTES, 100));
    assert_goes_on(&host, &id);
}

#[test]
fn a_task_whose_snapshot_is_of_a_newer_format_goes_on_on_a_host_that_reads_it() {
    let (host, id) = sleeping();
    let host = host.restart_on(|store| flip(store, SNAPSHOTS, 0));
    host.advance(HOUR);
    assert_held(&host, &id, "the snapshot has format 129; this host reads format 1");

    let host = host.restart_on(|store| flip(store, SNAPSHOTS, 0));
    assert_goes_on(&host, &id);
}

#[test]
fn a_held_task_can_be_cancelled() {
    let (host, id) = sleeping();
    let host = host.restart_on(|store| flip(store, MODULE_BYTES, 100));
    host.advance(HOUR);
    drop(host.post(&format!("/runs/{id}/cancel"), &json!({})).expect(200));
    host.advance(HOUR);
    let run = host.run(&id);
    assert_eq!((&run["status"], &run["held"]), (&json!("cancelled"), &json!(false)), "{run:#}");
    assert_eq!(host.list("/runs?held=true").len(), 0);
    // What is left is sound.
    drop(host.restart_on(|store| flip(store, MODULE_BYTES, 100)));
}

#[test]
fn a_cron_that_cannot_be_read_goes_on_from_where_it_was_when_it_can() {
    for (catch_up, caught_up) in [("skip", &[][..]), ("one", &["11:00"]), ("all", &["10:00", "11:00"])] {
        let host = TestHost::with(&["dormouse-programs"]);
        let body = json!({ "expression": "@hourly", "timezone": "Europe/London", "catchUp": catch_up });
        let id = cron(&host, "echo", "far", body);
        let near = cron(&host, "echo", "near", json!({ "expression": "@hourly" }));
        host.advance(HOUR + HOUR / 2);
        let host = host.restart_on(|store| replace(store, CRONS, "Europe/London", "Mars/Basecamp"));
        host.advance(2 * HOUR);
        let row = show(&host, &id);
        assert_eq!((&row["enabled"], &row["nextRunAt"]), (&json!(true), &json!(null)), "{row:#}");
        assert!(row["problem"].as_str().is_some_and(|text| text.contains("Mars/Basecamp")), "{row:#}");
        assert_eq!(host.metric("dormouse_unreadable_crons").to_string(), "1");
        assert_eq!((fired(&host, &id).len(), fired(&host, &near).len()), (1, 3), "others go on");

        let host = host.restart_on(|store| replace(store, CRONS, "Mars/Basecamp", "Europe/London"));
        host.settle();
        assert_eq!(host.metric("dormouse_unreadable_crons").to_string(), "0");
        host.advance(HOUR);
        let expected: Vec<_> = ["09:00"].iter().chain(caught_up).chain(&["12:00"]).collect();
        assert_eq!(
            fired(&host, &id),
            expected.iter().map(|at| format!("2026-01-05T{at}")).collect::<Vec<_>>()
        );
        assert_eq!(show(&host, &id)["problem"], json!(null));
    }
}

#[test]
fn a_cron_whose_row_cannot_be_read_holds_up_no_other_and_goes_on_when_it_can() {
    let host = TestHost::with(&["dormouse-programs"]);
    let far = cron(&host, "echo", "far", json!({ "expression": "@hourly", "timezone": "Europe/London" }));
    let near = cron(&host, "echo", "near", json!({ "expression": "@hourly" }));
    // The byte before the name of the workflow is its length.
    let damage = |store: &Path| replace(store, CRONS, "\u{4}echo\u{3}far", "\u{4}echo\u{7f}far");
    let mend = |store: &Path| replace(store, CRONS, "\u{4}echo\u{7f}far", "\u{4}echo\u{3}far");
    let host = host.restart_on(damage).restart_on(|_| {});
    assert_eq!(host.metric("dormouse_unreadable_crons").to_string(), "1");
    host.advance(HOUR);
    assert_eq!((fired(&host, &far).len(), fired(&host, &near).len()), (0, 1));
    let host = host.restart_on(mend);
    host.advance(HOUR);
    assert_eq!(
        (fired(&host, &far).len(), fired(&host, &near).len()),
        (2, 2),
        "the time that has just come is not late"
    );
}
