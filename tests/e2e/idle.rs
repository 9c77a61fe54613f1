//! A host that has nothing to do does nothing.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::thread;
use std::time::Duration;

use dormouse_tests::{HostProcess, eventually, guest};
use serde_json::json;

/// Whatever polled would wake up more often than this within a second.
const WAKE_UPS_MAX: u64 = 2;

/// Threads that were busy a moment ago may wake up once more before they rest.
const SECONDS: usize = 15;

#[test]
fn a_host_with_sleepers_does_not_wake_up() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let host = HostProcess::start(env!("CARGO_BIN_EXE_dormouse-under-test"), folder.path());
    host.deploy("dormouse-programs");
    // Something of each kind that could make a host look at the clock.
    let cron = json!({ "expression": "0 0 29 2 *" });
    drop(host.put("/workflows/echo/crons/leap-day", &cron).expect(201));
    let scheduled = json!({ "triggerAt": "2999-01-01T00:00:00Z" });
    drop(host.post("/workflows/echo/scheduled", &scheduled).expect(201));
    for _ in 0..20 {
        host.start("map-checksum", &json!({ "n": 10, "sleep_ms": 86_400_000 }));
        host.start("event-waiter", &json!({ "pattern": "never" }));
    }
    let path = "/workflows/event-waiter";
    eventually("all of them sleep", || {
        (host.get(path).expect(200)["runCounts"]["sleeping"] == 20).then_some(())
    });

    let mut counts = Vec::new();
    while counts.last().is_none_or(|count| *count > WAKE_UPS_MAX) {
        assert!(counts.len() < SECONDS, "wake-ups in each second: {counts:?}");
        counts.push(wake_ups_in_a_second(host.id()));
    }
}

/// A file of the log of a host at rest is at most this long: what it grows by at a time.
const LOG_FILE_BYTES_MAX: u64 = 256 << 10;

#[test]
fn a_host_at_rest_keeps_a_short_log_and_loses_nothing_with_it() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let host = HostProcess::start(env!("CARGO_BIN_EXE_dormouse-under-test"), folder.path());
    // The log has the module as well. A checkpoint would begin by itself when it has a megabyte.
    assert!((LOG_FILE_BYTES_MAX..900_000).contains(&(guest("dormouse-programs").len() as u64)));
    host.deploy("dormouse-programs");
    let text = "x".repeat(1_000);
    let id = host.start("echo", &json!(text));
    drop(host.ended(&id));
    let files = ["dormouse.log-0", "dormouse.log-1"].map(|name| folder.path().join(name));
    let longest = || files.iter().map(|file| fs::metadata(file).expect("it is there").len()).max();
    eventually("both files are short", || (longest() <= Some(LOG_FILE_BYTES_MAX)).then_some(()));
    host.kill();

    let host = HostProcess::start(env!("CARGO_BIN_EXE_dormouse-under-test"), folder.path());
    assert_eq!(host.run(&id)["output"], json!(text));
}

/// How often the threads of a process woke up while a second passed: a pause that is the measurement.
fn wake_ups_in_a_second(process: u32) -> u64 {
    let before = sleeps(process);
    thread::sleep(Duration::from_secs(1));
    // A thread that ended meanwhile is not missed: it does nothing any more.
    sleeps(process).iter().map(|(thread, count)| count - before.get(thread).unwrap_or(&0)).sum()
}

/// How often each thread of a process has gone to sleep since it began.
fn sleeps(process: u32) -> HashMap<OsString, u64> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let count = |thread: fs::DirEntry| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some((thread.file_name(), line.trim().parse().ok()?))
    };
    threads.flatten().filter_map(count).collect()
}
