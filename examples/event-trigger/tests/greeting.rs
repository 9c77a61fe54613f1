//! Which events start which runs.

use dormouse_sdk::prelude::*;
use dormouse_sdk::testing::{Host, Pushed};

fn created(host: &Host, email: &str, should_skip: bool) -> Pushed {
    host.push("user:create", json!({ "email": email, "should_skip": should_skip }))
}

#[test]
fn a_new_user_is_greeted() {
    let host = Host::new();
    let pushed = created(&host, "ada@elsewhere.org", false);
    assert_eq!(pushed.runs.len(), 1);
    assert_eq!(pushed.runs[0].output::<Value>(), json!({ "email": "ada@elsewhere.org", "greeted": true }));
    assert_eq!(pushed.runs[0].logs(), ["welcome, ada@elsewhere.org"]);
    assert!(host.runs_of("note-colleague").is_empty(), "the filter leaves others out");
}

#[test]
fn a_greeted_colleague_is_noted() {
    let host = Host::new();
    created(&host, "ada@example.com", false);
    assert_eq!(host.runs_of("note-colleague").len(), 1);
}

#[test]
fn whoever_is_to_be_skipped_is_not_greeted() {
    let host = Host::new();
    let pushed = created(&host, "ada@example.com", true);
    assert_eq!(pushed.runs[0].output::<Value>()["greeted"], false);
    assert!(host.runs_of("note-colleague").is_empty());
}

#[test]
fn other_events_start_nothing() {
    let host = Host::new();
    assert!(host.push("user:deleted", json!({})).runs.is_empty());
}
