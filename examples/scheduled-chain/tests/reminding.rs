//! A run that schedules the next one.

use dormouse_sdk::prelude::*;
use dormouse_sdk::testing::{Host, ScheduledStatus};

#[test]
fn it_reminds_as_often_as_it_was_told_every_15_seconds() {
    let host = Host::new();
    let run = host.start("remind", json!({ "text": "tea", "times": 3 }));
    assert_eq!(run.logs(), ["remember: tea"]);
    assert_eq!(host.scheduled()[0].trigger_at, run.created_at() + Duration::from_secs(15));

    host.advance(Duration::from_secs(15));
    assert_eq!(host.runs_of("remind").len(), 2);
    host.advance(Duration::from_secs(86_400));
    assert_eq!(host.runs_of("remind").len(), 3);
    assert!(host.scheduled().iter().all(|scheduled| scheduled.status == ScheduledStatus::Fired));
}

#[test]
fn whoever_calls_it_off_is_not_reminded_again() {
    let host = Host::new();
    host.start("remind", json!({ "text": "tea", "times": 3 }));
    host.scheduled()[0].cancel();
    host.advance(Duration::from_secs(60));
    assert_eq!(host.runs_of("remind").len(), 1);
}
