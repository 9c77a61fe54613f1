//! Hosts that end within this process, one after the other on one store.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use dormouse::{Clock, Config, Problem, Server, check};
use dormouse_tests::{Client, TestHost, eventually};
use serde_json::json;
use tokio::runtime::Runtime;

/// A host with a step that does not end by itself.
fn busy(runtime: &Runtime, data: &Path) -> Server {
    let config = Config::in_folder(data.to_owned());
    let server = runtime.block_on(Server::start(config, Clock::system())).expect("the store is not locked");
    let client = Client::new(&server.address().to_string());
    client.deploy("dormouse-programs");
    let id = client.start("patient-loop", &json!(null));
    eventually("the step runs", || (client.run(&id)["status"] == "running").then_some(()));
    server
}

fn problems(data: &Path) -> Vec<Problem> {
    let mut found = Vec::new();
    check(data, &mut |problem| found.push(problem)).expect("the store is closed");
    found
}

#[test]
fn a_host_that_has_stopped_has_closed_its_store_whatever_was_going_on() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let runtime = Runtime::new().expect("there is room for a runtime");
    for _ in 0..4 {
        let server = busy(&runtime, folder.path());
        runtime.block_on(server.stop()).expect("the host ends well");
        assert_eq!(problems(folder.path()), []);
    }
}

#[test]
fn a_host_that_is_dropped_ends_by_itself_and_closes_its_store() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let runtime = Runtime::new().expect("there is room for a runtime");
    for _ in 0..3 {
        drop(busy(&runtime, folder.path()));
        let mut found = Vec::new();
        eventually("the store is closed", || check(folder.path(), &mut |problem| found.push(problem)).ok());
        assert_eq!(found, []);
    }
}

#[test]
fn a_store_in_use_cannot_be_checked_and_a_missing_one_is_not_made() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let refused = check(folder.path(), &mut |_| {}).expect_err("there is no store");
    assert!(refused.to_string().contains("--data"), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder is there").count(), 0);

    let runtime = Runtime::new().expect("there is room for a runtime");
    let server = busy(&runtime, folder.path());
    let refused = check(folder.path(), &mut |_| {}).expect_err("a host has the store open");
    assert!(refused.to_string().contains("stop it first"), "{refused}");
    runtime.block_on(server.stop()).expect("the host ends well");
}

#[test]
fn steps_and_followers_do_not_keep_the_store_of_a_host_that_stops() {
    let mut host = TestHost::with(&["dormouse-programs"]);
    for _ in 0..5 {
        // Steps that run and requests that wait when the host stops.
        for _ in 0..8 {
            host.start("blocking-sleep", &json!({ "ms": 60_000 }));
        }
        let id = host
            .start("sleep-until", &json!({ "at": host.now().after(Duration::from_secs(60)).as_millis() }));
        let mut stream = host.stream(&id, None);
        assert!(stream.next().is_some(), "it is followed");
        let follower = std::thread::spawn(move || stream.count());
        host = host.restart_after(Duration::from_secs(1));
        follower.join().expect("it ends with the host");
        // It stands behind the steps that are taken up again.
        host.post("/workflows/echo/runs?wait=10000", &json!({})).expect(200);
        let runs = host.list("/runs?workflow=blocking-sleep");
        assert!(runs.iter().any(|run| run["status"] == "running"), "{runs:#?}");
    }
}

/// Longest that a stop may take with nothing but halves of requests: the host waits ten seconds for whole ones.
const STOP_MAX: Duration = Duration::from_secs(5);

#[test]
fn halves_of_requests_do_not_keep_a_host_that_stops() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let runtime = Runtime::new().expect("there is room for a runtime");
    let config = Config::in_folder(folder.path().to_owned());
    let server = runtime.block_on(Server::start(config, Clock::system())).expect("the store is not locked");
    let address = server.address();
    let client = Client::new(&address.to_string());
    client.deploy("dormouse-programs");
    let halves = [
        "",
        "P",
        "GET /api/v1/runs HTTP/1.1\r\nHo",
        "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        "POST /api/v1/modules HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/wasm\r\nContent-Length: 100\r\n\r\n",
    ];
    let connections = halves.map(|half| {
        let mut connection = TcpStream::connect(address).expect("the host listens");
        connection.write_all(half.as_bytes()).expect("the host reads");
        connection
    });
    // It is served behind them, so the host has them.
    let id = client.start("echo", &json!(1));
    assert_eq!(client.ended(&id)["output"], 1);
    let began = Instant::now();
    runtime.block_on(server.stop()).expect("the host ends well");
    assert!(began.elapsed() < STOP_MAX, "it took {:?}", began.elapsed());
    assert_eq!(problems(folder.path()), []);
    drop(connections);
}
