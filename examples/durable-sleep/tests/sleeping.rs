//! Three days pass in a test as fast as what happens in them.

use dormouse_sdk::prelude::*;
use dormouse_sdk::testing::{Host, Wait};

const THREE_DAYS: u64 = 3 * 86_400;

#[data]
struct Slept {
    asked_ms: u64,
    slept_ms: u64,
}

#[test]
fn it_sleeps_for_three_days() {
    let host = Host::new();
    let began = host.now();
    let run = host.start("durable-sleep", json!({ "seconds": THREE_DAYS }));
    assert_eq!(run.waits(), [Wait::Until { at: began + Duration::from_secs(THREE_DAYS) }]);
    assert_eq!(run.logs(), ["good night"]);

    host.advance(Duration::from_secs(THREE_DAYS - 1));
    assert!(run.is_sleeping());
    host.advance(Duration::from_secs(1));
    assert_eq!(run.logs(), ["good night", "good morning"]);
    let slept: Slept = run.output();
    assert_eq!((slept.asked_ms, slept.slept_ms), (THREE_DAYS * 1000, THREE_DAYS * 1000));
}

#[test]
fn a_host_that_was_down_wakes_it_late() {
    let host = Host::new();
    let run = host.start("durable-sleep", json!({ "seconds": 60 }));
    assert!(run.is_sleeping());
    host.restart_after(Duration::from_secs(3600));
    assert_eq!(run.output::<Slept>().slept_ms, 3_600_000);
}
