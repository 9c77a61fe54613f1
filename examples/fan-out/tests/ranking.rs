//! Many children, four at a time.

use dormouse_sdk::prelude::*;
use dormouse_sdk::testing::{Host, Status};

#[test]
fn all_users_are_scored_and_ranked() {
    let host = Host::new();
    let run = host.start("score-all", json!({ "users": ["bo", "ada", "grace", "linus", "margaret", "al"] }));
    let children = run.children();
    assert_eq!(children.len(), 6);
    let asleep = children.iter().filter(|child| child.is_sleeping()).count();
    assert_eq!(asleep, 4, "the others wait for their turn");

    let ranking: Value = run.finish().output();
    assert_eq!(ranking["scores"][0], json!({ "user": "margaret", "score": 8 }));
    assert!(children.iter().all(|child| child.status() == Status::Completed));
}
