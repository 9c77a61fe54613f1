//! Who decides, and what happens when nobody does.

use dormouse_sdk::prelude::*;
use dormouse_sdk::testing::{Host, Run};

const DAY: Duration = Duration::from_secs(86_400);

#[data]
#[derive(Debug, PartialEq)]
struct Outcome {
    approved: bool,
    reason: String,
}

fn asked(host: &Host, expense: &str) -> Run {
    host.start("approve-expense", json!({ "expense": expense, "amount": 120, "seconds": 3 * 86_400 }))
}

fn decide(host: &Host, expense: &str) -> u32 {
    let decision = json!({ "expense": expense, "approved": true, "by": "ada" });
    host.push("expense:decided", decision).settled_waits
}

#[test]
fn whoever_decides_within_three_days_is_heard() {
    let host = Host::new();
    let run = asked(&host, "taxi");
    assert_eq!(run.waits().len(), 2, "a decision, or the end of the time");
    host.advance(2 * DAY);
    assert_eq!(decide(&host, "taxi"), 1);
    assert_eq!(run.output::<Outcome>(), Outcome { approved: true, reason: "decided by ada".to_owned() });
}

#[test]
fn a_decision_about_another_expense_is_none() {
    let host = Host::new();
    let run = asked(&host, "taxi");
    assert!(run.is_sleeping());
    assert_eq!(decide(&host, "hotel"), 0);
    host.advance(3 * DAY);
    assert_eq!(run.output::<Outcome>().reason, "nobody decided in 259200 s");
}

#[test]
fn a_decision_just_before_the_question_counts() {
    let host = Host::new();
    decide(&host, "taxi");
    host.advance(Duration::from_secs(59));
    assert!(asked(&host, "taxi").output::<Outcome>().approved);
}
