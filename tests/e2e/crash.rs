//! Hosts that are killed, stopped and started again on the same data, in real time.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use dormouse::Clock;
use dormouse_tests::{Client, HostProcess, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

const HOST: &str = env!("CARGO_BIN_EXE_dormouse-under-test");

/// A host with the programs of the tests, and the folder of its data.
fn deployed() -> (TempDir, HostProcess) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let host = start(&folder);
    host.deploy("dormouse-programs");
    (folder, host)
}

fn start(folder: &TempDir) -> HostProcess {
    HostProcess::start(HOST, folder.path())
}

/// The lines of a run's log, each with whether its step was repeated.
fn lines(host: &Client, id: &str) -> Vec<(String, bool)> {
    let rows = host.list(&format!("/runs/{id}/logs"));
    let line = |row: Value| (row["message"].as_str().unwrap_or_default().to_owned(), row["repeated"] == true);
    rows.into_iter().map(line).collect()
}

/// Starts a `pusher` that takes its time, and returns once it has asked for its effects.
fn pushing(host: &Client, block_ms: u64) -> String {
    let id = host.start("pusher", &json!({ "tag": "crash", "block_ms": block_ms }));
    has_pushed(host, &id, 1);
    id
}

/// Waits until a `pusher` has asked for its effects so many times.
fn has_pushed(host: &Client, id: &str, times: usize) {
    eventually("the step asks for its effects", || (host.logs(id).len() == times).then_some(()));
}

#[test]
fn sleepers_wake_with_their_memory_after_the_host_was_killed() {
    const SLEEPERS: u64 = 50;
    let (folder, host) = deployed();
    let input = |n: u64| json!({ "n": 100 + n, "sleep_ms": 3000 });
    let ids: Vec<_> = (0..SLEEPERS).map(|n| host.start("map-checksum", &input(n))).collect();
    let asleep = eventually("no step runs any more", || {
        let counts = &host.get("/workflows/map-checksum").expect(200)["runCounts"];
        (counts["queued"] == 0 && counts["running"] == 0).then(|| counts["sleeping"].as_u64())?
    });
    assert!(asleep > 0, "the host was killed too late for this test");
    host.kill();

    let host = start(&folder);
    for (n, id) in (0..SLEEPERS).zip(&ids) {
        let (run, n) = (host.ended(id), 100 + n);
        assert_eq!(run["status"], "completed", "{run:#}");
        assert_eq!(run["output"]["checksum"], n * n * (n - 1) / 2);
        assert_eq!(lines(&host, id), [("before".to_owned(), false), ("after".to_owned(), false)]);
    }
    assert_eq!(host.list("/runs").len() as u64, SLEEPERS);
}

#[test]
fn a_step_that_the_host_did_not_live_to_finish_is_no_attempt_and_what_it_asked_for_happens_once() {
    let (folder, host) = deployed();
    let id = pushing(&host, 2000);
    assert_eq!(host.list("/events").len(), 0, "nothing happens before the step has ended");
    assert_eq!(host.list("/runs?workflow=echo").len(), 0, "nothing happens before the step has ended");
    host.kill();

    let host = start(&folder);
    let run = host.ended(&id);
    assert_eq!((&run["status"], &run["tasks"][0]["attempt"]), (&json!("completed"), &json!(1)), "{run:#}");
    let line = "effects asked for".to_owned();
    assert_eq!(lines(&host, &id), [(line.clone(), false), (line, true)]);

    let (events, children) = (host.list("/events"), host.list(&format!("/runs?parent={id}")));
    assert_eq!((events.len(), children.len()), (1, 1));
    assert_eq!((&events[0]["id"], &children[0]["id"]), (&run["output"]["event"], &run["output"]["child"]));
    assert_eq!(host.list("/runs").len(), 2);
}

#[test]
fn all_whose_waits_an_event_has_settled_are_told_though_the_host_is_killed() {
    let (folder, host) = deployed();
    let waiter = json!({ "input": { "pattern": "go", "filter": null, "look_back_ms": null } });
    for _ in 0..3 {
        host.post("/workflows/event-waiter/runs/bulk", &json!({ "runs": vec![&waiter; 1000] })).expect(202);
    }
    let count = |host: &HostProcess, status: &str| {
        let counts = host.get("/workflows/event-waiter").expect(200)["runCounts"][status].clone();
        (counts == 3000).then_some(())
    };
    eventually("all wait", || count(&host, "sleeping"));
    let answer = host.post("/events", &json!({ "key": "go", "payload": 1 })).expect(201);
    assert_eq!(answer["settledWaits"], 3000);
    host.kill();

    let host = start(&folder);
    let next = host.post("/events", &json!({ "key": "go", "payload": 2 })).expect(201);
    assert_eq!(next["settledWaits"], 0);
    eventually("all are told", || count(&host, "completed"));
    let runs = host.list("/runs?workflow=event-waiter&limit=200");
    assert!(runs.iter().all(|run| run["output"]["payload"] == 1));
}

/// Starts a run whose only step spawns so many runs of `echo`, which is paused, each under a key of its own,
/// and returns it once some of them are there.
fn spawning(host: &HostProcess, children: u64) -> String {
    drop(host.patch("/workflows/echo", &json!({ "paused": true })).expect(200));
    let spawn = json!({ "workflow": "echo", "input": 7, "times": children, "key": "bulk:{n}" });
    let id = host.start("script", &json!([{ "spawn": spawn }]));
    let there = eventually("the first children are there", || {
        host.get("/workflows/echo").expect(200)["runCounts"]["queued"].as_u64().filter(|there| *there > 0)
    });
    assert!(there < children, "it was looked too late for this test");
    id
}

#[test]
fn what_a_step_asked_for_in_bulk_happens_once_though_the_host_is_killed() {
    const CHILDREN: u64 = 10_000;
    let (folder, host) = deployed();
    let id = spawning(&host, CHILDREN);
    host.kill();

    let host = start(&folder);
    // A caller with the key of one of the last finds that one, be it there by now or not.
    let call = json!({ "input": 7, "idempotencyKey": format!("bulk:{}", CHILDREN - 1) });
    let child = host.post("/workflows/echo/runs", &call).expect(200)["id"].clone();
    let child = host.run(child.as_str().expect("it has an id"));
    assert_eq!(child["trigger"]["id"], id, "{child:#}");

    let run = host.ended(&id);
    assert_eq!((&run["status"], &run["tasks"][0]["attempt"]), (&json!("completed"), &json!(1)), "{run:#}");
    assert_eq!(host.get("/workflows/echo").expect(200)["runCounts"]["queued"], CHILDREN);
}

#[test]
fn children_that_a_cancelled_run_has_asked_for_in_bulk_are_cancelled_too() {
    const CHILDREN: u64 = 10_000;
    let (_folder, host) = deployed();
    let id = spawning(&host, CHILDREN);
    assert_eq!(host.post(&format!("/runs/{id}/cancel"), &json!({})).expect(200)["status"], "cancelled");
    // None of them begins, though most were not cancelled yet when that was answered.
    drop(host.patch("/workflows/echo", &json!({ "paused": false })).expect(200));
    eventually("all are cancelled", || {
        let counts = host.get("/workflows/echo").expect(200)["runCounts"].clone();
        (counts["cancelled"] == CHILDREN && counts["queued"] == 0).then_some(())
    });
}

#[test]
fn a_scheduled_run_that_came_due_while_no_host_ran_fires_once_on_start() {
    let (folder, host) = deployed();
    let at = Clock::system().now().after(Duration::from_secs(1)).to_string();
    let body = json!({ "triggerAt": at, "input": "late" });
    let scheduled = host.post("/workflows/echo/scheduled", &body).expect(201);
    host.kill();
    // The time comes while there is no host: a pause that is the scenario.
    thread::sleep(Duration::from_secs(2));

    let path = format!("/scheduled/{}", scheduled["id"].as_str().expect("it has an id"));
    let mut run = Value::Null;
    // The second start finds that it has fired.
    for _ in 0..2 {
        let host = start(&folder);
        let row = eventually("the scheduled run fires", || {
            Some(host.get(&path).expect(200)).filter(|row| row["status"] == "fired")
        });
        run = host.ended(row["runId"].as_str().expect("it names its run"));
        assert_eq!(run["output"], "late");
        assert_eq!(run["trigger"], json!({ "kind": "scheduled", "id": scheduled["id"], "scheduledAt": at }));
        assert_eq!(host.list("/runs").len(), 1);
        host.kill();
    }
    assert!(run["createdAt"].as_str() > Some(&at), "it was late");
}

#[test]
fn what_comes_after_an_idle_time_has_the_time_at_which_it_came() {
    let (_folder, host) = deployed();
    assert_eq!(host.ended(&host.start("echo", &json!(1)))["output"], 1);
    // Nothing happens: a pause that is the scenario.
    thread::sleep(Duration::from_secs(1));
    let before = Clock::system().now();
    let event = host.post("/events", &json!({ "key": "after-a-while", "payload": 1 })).expect(201);
    assert!(
        event["event"]["pushedAt"].as_str() >= Some(before.to_string().as_str()),
        "{event:#} before {before}"
    );
}

#[test]
fn a_cron_keeps_its_rhythm_over_restarts_and_never_fires_a_time_twice() {
    let (folder, mut host) = deployed();
    for (name, catch_up) in [("all", "all"), ("skip", "skip")] {
        let cron =
            json!({ "expression": "*/1 * * * * *", "catchUp": catch_up, "metadata": { "cron": name } });
        drop(host.put(&format!("/workflows/echo/crons/{name}"), &cron).expect(201));
    }
    let runs =
        |host: &Client, name: &str| host.list(&format!("/runs?trigger=cron&metadata=cron:{name}&limit=200"));
    for hosts in 1..=3 {
        let fired = ["all", "skip"].map(|name| (name, runs(&host, name).len()));
        for (name, count) in fired {
            eventually("the cron fires", || (runs(&host, name).len() > count).then_some(()));
        }
        if hosts < 3 {
            host.kill();
            host = start(&folder);
        }
    }
    for name in ["all", "skip"] {
        let runs = runs(&host, name);
        let seconds: Vec<_> = runs.iter().rev().map(|run| second(&run["trigger"]["scheduledAt"])).collect();
        let is_rhythm = |pair: &[u64]| if name == "all" { pair[1] == pair[0] + 1 } else { pair[1] > pair[0] };
        assert!(seconds.windows(2).all(is_rhythm), "{name}: {seconds:?}");
    }
}

/// The second of a day that a time on a whole second names.
fn second(time: &Value) -> u64 {
    let clock = time.as_str().and_then(|text| text.strip_suffix(".000Z")).expect("a whole second");
    let clock = clock.split_once('T').expect("a date and a time").1;
    clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().expect("a number"))
}

#[test]
fn whatever_was_accepted_ends_once_however_often_the_host_is_killed() {
    let (folder, host) = deployed();
    host.kill();
    let accepted = Mutex::new(Vec::new());
    // In milliseconds after the start; what the host is at by then, nobody knows.
    for lifetime in [400, 90, 700, 30, 250, 520] {
        let host = start(&folder);
        thread::scope(|scope| {
            for load in LOADS {
                let (client, accepted) = (Client::clone(&host), &accepted);
                scope.spawn(move || {
                    let ids = std::iter::repeat_with(|| client.try_start(load.workflow, &load.input()));
                    for id in ids.take(20).map_while(|id| id) {
                        accepted.lock().expect("nobody panicked").push((load, id));
                    }
                });
            }
            thread::sleep(Duration::from_millis(lifetime));
            host.kill();
        });
    }

    let host = start(&folder);
    let accepted = accepted.into_inner().expect("nobody panicked");
    assert!(accepted.len() > 20, "only {} runs were accepted: too few for this test", accepted.len());
    for (load, id) in &accepted {
        let run = host.ended(id);
        assert_eq!(run["status"], "completed", "{run:#}");
        assert_eq!(run["output"].pointer(load.pointer), Some(&load.output()), "{run:#}");
        assert_eq!(run["tasks"][0]["attempt"], 1, "{run:#}");
    }
    // Those whose acceptance the client did not live to hear of end as well, and no child is there twice.
    for run in host.list("/runs?limit=200") {
        let id = run["id"].as_str().expect("a run has an id");
        assert_eq!(host.ended(id)["status"], "completed");
        if run["workflow"] == "parent" {
            assert_eq!(host.list(&format!("/runs?parent={id}")).len(), 3);
        }
    }
}

/// What is started over and over while hosts come and go.
#[derive(Clone, Copy)]
struct Load {
    workflow: &'static str,
    input: &'static str,
    /// Where in the output to look, and what is there.
    pointer: &'static str,
    output: &'static str,
}

const LOADS: [Load; 3] = [
    Load { workflow: "echo", input: r#"{"text":"hello"}"#, pointer: "", output: r#"{"text":"hello"}"# },
    Load { workflow: "counter", input: r#"{"times":3,"ms":20}"#, pointer: "/count", output: "3" },
    Load { workflow: "parent", input: r#"{"children":3,"sleep_ms":20}"#, pointer: "", output: "6" },
];

impl Load {
    fn input(&self) -> Value {
        serde_json::from_str(self.input).expect("it is JSON")
    }

    fn output(&self) -> Value {
        serde_json::from_str(self.output).expect("it is JSON")
    }
}

#[test]
fn given_up_with_a_reason_when_five_hosts_in_a_row_did_not_survive_it() {
    let (folder, mut host) = deployed();
    let id = pushing(&host, 60_000);
    for hosts in 1..=4 {
        host.kill();
        host = start(&folder);
        has_pushed(&host, &id, hosts + 1);
    }
    host.kill();

    let host = start(&folder);
    let run = host.ended(&id);
    assert_eq!((&run["status"], &run["reason"]), (&json!("failed"), &json!("host_lost")), "{run:#}");
    assert!(run["error"]["message"].as_str().is_some_and(|text| text.contains("5 hosts")), "{run:#}");
    assert_eq!((host.list("/events").len(), host.list("/runs").len()), (0, 1));
    let repeated = lines(&host, &id).iter().filter(|(_, repeated)| *repeated).count();
    assert_eq!(repeated, 4);
}

#[test]
fn neighbours_of_a_step_that_takes_hosts_with_it_are_spared() {
    let (folder, mut host) = deployed();
    let deadly = pushing(&host, 60_000);
    let neighbour = pushing(&host, 4_000);
    host.kill();
    host = start(&folder);
    [&deadly, &neighbour].into_iter().for_each(|id| has_pushed(&host, id, 2));
    host.kill();
    // From now on either may be the one that does it, so each runs alone, in a random order.
    for hosts in 3..=5 {
        host = start(&folder);
        has_pushed(&host, &deadly, hosts);
        assert_ne!(host.run(&neighbour)["status"], "running");
        host.kill();
    }
    host = start(&folder);
    assert_eq!(host.ended(&deadly)["reason"], "host_lost");
    let run = host.ended(&neighbour);
    assert_eq!((&run["status"], &run["tasks"][0]["attempt"]), (&json!("completed"), &json!(1)), "{run:#}");
}

#[test]
fn hosts_that_stop_in_order_may_interrupt_a_step_as_often_as_they_like() {
    let (folder, mut host) = deployed();
    let id = pushing(&host, 2000);
    for hosts in 1..=11 {
        assert_eq!(host.stop().code(), Some(0));
        host = start(&folder);
        has_pushed(&host, &id, hosts + 1);
    }
    let run = host.ended(&id);
    assert_eq!((&run["status"], &run["tasks"][0]["attempt"]), (&json!("completed"), &json!(1)), "{run:#}");
    assert_eq!((host.list("/events").len(), host.list("/runs").len()), (1, 2));
}

#[test]
fn a_host_that_stops_does_not_wait_for_those_who_follow_a_run() {
    let (folder, host) = deployed();
    let id = pushing(&host, 2000);
    let mut lines = host.stream(&id, None);
    assert!(lines.next().is_some(), "the stream has begun");
    let began = Instant::now();
    assert_eq!(host.stop().code(), Some(0));
    // Requests that are under way get ten seconds, which such a stream must not take.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(lines.all(|line| !line.contains("completed")), "the stream ends before the run");

    assert_eq!(start(&folder).ended(&id)["status"], "completed");
}

#[test]
fn a_second_host_on_the_same_data_is_refused_and_does_no_harm() {
    let (folder, host) = deployed();
    let refused = serve(folder.path());
    assert_eq!(refused.0, Some(1), "{}", refused.1);
    assert!(refused.1.contains("two hosts cannot share one store"), "{}", refused.1);
    assert_eq!(host.ended(&host.start("echo", &json!("still here")))["output"], "still here");
}

#[test]
fn data_that_is_no_store_is_refused_and_kept() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let store = folder.path().join("dormouse.redb");
    fs::write(&store, "my diary").expect("the file can be written");
    let refused = serve(folder.path());
    assert_eq!(refused.0, Some(1), "{}", refused.1);
    assert!(refused.1.contains("is not a store"), "{}", refused.1);
    assert_eq!(fs::read(&store).expect("the file is there"), b"my diary");
}

/// The exit code and the last words of a host that is expected not to start.
fn serve(folder: &Path) -> (Option<i32>, String) {
    let mut serve = Command::new(HOST);
    let output = serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder).output();
    let output = output.expect("the host can be started");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn damaged_files_of_the_cache_of_compiled_modules_are_made_anew() {
    let (folder, mut host) = deployed();
    let cache = folder.path().join("cache");
    for damage in [Damage::Garbage, Damage::Cut, Damage::NoChecksum, Damage::Gone] {
        assert_eq!(host.stop().code(), Some(0));
        let whole = files(&cache);
        damage.apply(&cache);
        assert_ne!(files(&cache), whole);

        host = start(&folder);
        assert_eq!(host.ended(&host.start("echo", &json!(1)))["output"], 1, "{damage:?}");
        let names =
            |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&files(&cache)), names(&whole), "{damage:?}");
        let sizes =
            |files: &[(String, Vec<u8>)]| files.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&files(&cache)), sizes(&whole), "{damage:?}");
    }
}

/// What can happen to a compiled module on disk.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Garbage,
    Cut,
    NoChecksum,
    Gone,
}

impl Damage {
    fn apply(self, cache: &Path) {
        for (name, bytes) in files(cache) {
            let path = cache.join(&name);
            let compiled = name.ends_with(".cwasm");
            let result = match self {
                Self::Garbage if compiled => fs::write(path, vec![0x5a; bytes.len()]),
                Self::Cut if compiled => fs::write(path, &bytes[..bytes.len() / 2]),
                Self::NoChecksum if !compiled => fs::remove_file(path),
                Self::Gone => fs::remove_file(path),
                _ => Ok(()),
            };
            result.expect("the file can be damaged");
        }
    }
}

/// Names and bytes of the files in a folder, in order.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("the folder is there").map(|entry| {
        let entry = entry.expect("the folder can be read");
        let bytes = fs::read(entry.path()).expect("the file can be read");
        (entry.file_name().to_string_lossy().into_owned(), bytes)
    });
    let mut files: Vec<_> = entries.collect();
    files.sort();
    files
}

/// An event of a stream: its id, its kind and its data.
type Seen = (u64, String, Value);

/// The whole events of a stream, up to its end or until there are `enough`. One that the end cut
/// in two was not seen.
fn follow(host: &Client, id: &str, seen: &mut Vec<Seen>, enough: impl Fn(&[Seen]) -> bool) {
    let last = seen.last().map(|(id, ..)| id.to_string());
    let mut lines = host.stream(id, last.as_deref());
    let mut fields = HashMap::new();
    while !enough(seen) {
        let Some(line) = lines.next() else { return };
        if let Some((name, value)) = line.split_once(": ") {
            fields.insert(name.to_owned(), value.to_owned());
        } else if let (Some(id), Some(event), Some(data)) =
            (fields.remove("id"), fields.remove("event"), fields.remove("data"))
        {
            let data = serde_json::from_str(&data).expect("the data is JSON");
            seen.push((id.parse().expect("ids are numbers"), event, data));
        }
    }
}

#[test]
fn an_sse_client_sees_every_log_line_and_status_of_a_run_that_lives_through_a_sigkill_without_gap_or_repeat()
{
    let (folder, mut host) = deployed();
    let id = host.start("pusher", &json!({ "tag": "sse", "block_ms": 1000, "sleep_ms": 1000 }));
    let mut seen = Vec::new();
    let logged = |seen: &[Seen], times| seen.iter().filter(|(_, kind, _)| kind == "log").count() == times;
    // Twice the host is killed in the middle of the step, and once while the task sleeps.
    for times in 1..=2 {
        follow(&host, &id, &mut seen, |seen| logged(seen, times));
        assert!(logged(&seen, times), "the stream broke off: {seen:#?}");
        host.kill();
        host = start(&folder);
    }
    let sleeps = |seen: &[Seen]| seen.last().is_some_and(|(.., data)| data["status"] == "sleeping");
    follow(&host, &id, &mut seen, sleeps);
    host.kill();
    let host = start(&folder);
    follow(&host, &id, &mut seen, |_| false);

    let (_, kind, data) = seen.last().expect("something was seen");
    assert_eq!((kind.as_str(), &data["runStatus"]), ("status", &json!("completed")));
    let path = format!("/runs/{id}");
    let kept = |kind: &str, list: &str| -> Vec<Seen> {
        let rows = host.list(&format!("{path}/{list}?limit=200")).into_iter();
        rows.map(|row| (row["sequence"].as_u64().expect("a number"), kind.to_owned(), row)).collect()
    };
    let mut all = [kept("status", "history"), kept("log", "logs")].concat();
    all.sort_by_key(|(sequence, ..)| *sequence);
    assert_eq!(seen, all);
    let repeated: Vec<_> = lines(&host, &id).into_iter().map(|(_, repeated)| repeated).collect();
    assert_eq!(repeated, [false, true, true]);
    let sequences: Vec<_> = seen.iter().map(|(sequence, ..)| *sequence).collect();
    assert_eq!(sequences, (0..sequences.len() as u64).collect::<Vec<_>>());
}
