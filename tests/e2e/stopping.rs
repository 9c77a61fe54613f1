//! What a host does when it is told to stop.

use std::time::Duration;

use dormouse_tests::TestHost;
use serde_json::json;

#[test]
fn a_host_that_has_stopped_has_let_go_of_its_store() {
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
        assert!(!host.list("/runs?status=running").is_empty());
    }
}
