//! Modules that were built and stores that were written in the past, which every host must be able
//! to go on with. `tests/golden/README.md` says how to add more.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_core::time::Timestamp;
use dormouse_tests::{START_MILLIS, TestHost, column};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const WORKFLOW: &str = "approve-expense";
const RUNS: &str = "/workflows/approve-expense/runs";

/// Longest that a module here may be, in bytes.
const MODULE_MAX: usize = 160 << 10;

/// The golden files whose names end like this, the oldest first.
fn golden(end: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let entries = fs::read_dir(folder).expect("the folder is there").flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    files.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    assert!(!files.is_empty(), "there is no file that ends with {end}");
    files
}

fn upload(host: &TestHost, module: &Path) -> (u16, Value) {
    let bytes = fs::read(module).expect("the module can be read");
    assert!(bytes.len() <= MODULE_MAX, "{} is too large", module.display());
    let answer = host.post_bytes("/modules", "application/wasm", &bytes);
    (answer.status, answer.body)
}

fn expense(name: &str, seconds: u64) -> Value {
    json!({ "expense": name, "amount": 1, "seconds": seconds })
}

fn decide(host: &TestHost, name: &str) -> Value {
    let payload = json!({ "expense": name, "approved": true, "by": "ann" });
    host.post("/events", &json!({ "key": "expense:decided", "payload": payload })).expect(201)
}

/// Starts a run that can be found by its name.
fn start(host: &TestHost, name: &str, seconds: u64) {
    let body =
        json!({ "input": expense(name, seconds), "metadata": { "name": name }, "idempotencyKey": name });
    drop(host.post(RUNS, &body).expect(202));
}

/// The runs of this name, newest first.
fn named(host: &TestHost, name: &str) -> Vec<Value> {
    host.list(&format!("/runs?metadata=name:{name}&limit=200"))
}

/// The reasons of the decisions of the runs of this name, all of which have ended.
fn reasons(host: &TestHost, name: &str) -> Vec<String> {
    column(&named(host, name), "/output/reason")
}

#[test]
fn a_module_built_in_the_past_deploys_sleeps_and_wakes() {
    for module in golden(".wasm") {
        let host = TestHost::with(&[]);
        assert_eq!(upload(&host, &module).0, 201, "{}", module.display());
        for name in ["nobody", "somebody"] {
            start(&host, name, 3 * 86_400);
        }
        host.settle();
        let host = host.restart_after(DAY);
        assert_eq!(decide(&host, "somebody")["settledWaits"], 1);
        host.advance(2 * DAY);
        assert_eq!(reasons(&host, "somebody"), ["decided by ann"]);
        assert_eq!(reasons(&host, "nobody"), ["nobody decided in 259200 s"]);
    }
}

/// A host with something of every kind that lies in a store.
fn with_everything(module: &Path) -> TestHost {
    let host = TestHost::with(&[]);
    assert_eq!(upload(&host, module).0, 201);
    for (name, seconds) in [("late", 3600), ("sleeper", 10 * 86_400), ("asked", 20 * 86_400), ("ended", 60)] {
        start(&host, name, seconds);
    }
    let cron = json!({
        "expression": "0 9 * * *", "timezone": "Europe/Paris", "catchUp": "all",
        "input": expense("daily", 60), "metadata": { "name": "daily" },
    });
    drop(host.put("/workflows/approve-expense/crons/daily", &cron).expect(201));
    for (name, days) in [("tomorrow", 1), ("in-a-week", 7)] {
        let at = host.now().after(days * DAY).to_string();
        let body = json!({ "triggerAt": at, "input": expense(name, 60), "metadata": { "name": name } });
        drop(host.post("/workflows/approve-expense/scheduled", &body).expect(201));
    }
    host.settle();
    assert_eq!(decide(&host, "ended")["settledWaits"], 1);
    host.advance(SECOND);
    assert_eq!(reasons(&host, "ended"), ["decided by ann"]);
    host
}

/// What must become of it on a host that opens the store two days later.
fn all_wake(store: &[u8]) {
    let opened = Timestamp::from_millis(START_MILLIS).after(2 * DAY);
    let host = TestHost::on_store(store, opened);
    host.settle();
    assert_eq!(reasons(&host, "late"), ["nobody decided in 172800 s"]);
    assert_eq!(named(&host, "sleeper")[0]["status"], "sleeping");
    assert_eq!(reasons(&host, "ended"), ["decided by ann"]);
    assert_eq!(host.list("/events").len(), 1);
    let ended = named(&host, "ended")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(host.logs(&ended), ["expense ended of 1 is to be decided"]);
    // The idempotency key of a run is remembered.
    assert_eq!(decide(&host, "asked")["settledWaits"], 1);
    host.settle();
    assert_eq!(reasons(&host, "asked"), ["decided by ann"]);

    host.advance(8 * DAY + 60 * SECOND);
    assert_eq!(reasons(&host, "sleeper"), ["nobody decided in 864000 s"]);
    assert_eq!(reasons(&host, "tomorrow"), ["nobody decided in 60 s"]);
    assert_eq!(reasons(&host, "in-a-week"), ["nobody decided in 60 s"]);
    assert_eq!(column(&host.list("/scheduled"), "/status"), ["fired", "fired"]);
    let mut days = column(&named(&host, "daily"), "/trigger/scheduledAt");
    days.sort();
    // 9 in Paris is the 8 at which the store's time begins, which is not behind itself.
    let expected: Vec<_> =
        (1..=10).map(|day| Timestamp::from_millis(START_MILLIS).after(day * DAY)).collect();
    assert_eq!(days, expected.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(reasons(&host, "daily"), vec!["nobody decided in 60 s"; 10]);
    assert_eq!(host.list(&format!("/runs?workflow={WORKFLOW}&limit=200")).len(), 4 + 2 + 10);
}

#[test]
fn every_sleeper_of_a_store_written_in_the_past_wakes() {
    for store in golden(".redb.lz4") {
        let bytes = fs::read(&store).expect("the store can be read");
        all_wake(&lz4_flex::decompress_size_prepended(&bytes).expect("the store is compressed"));
    }
}

#[test]
fn every_sleeper_of_a_store_written_today_wakes() {
    let module = golden(".wasm").pop().expect("there is a golden module");
    all_wake(&with_everything(&module).into_store());
}

#[test]
#[ignore = "adds a file to tests/golden"]
fn write_a_golden_store() {
    let module = golden(".wasm").pop().expect("there is a golden module");
    let store = with_everything(&module).into_store();
    let number = golden(".redb.lz4").len() + 1;
    let file = module.with_file_name(format!("store-{number}.redb.lz4"));
    assert!(!file.exists(), "golden files are only ever added");
    fs::write(&file, lz4_flex::compress_prepend_size(&store)).expect("the store can be written");
}
