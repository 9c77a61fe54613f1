//! What a list looks at to answer, and how one goes on in it.

use std::time::Duration;

use dormouse_tests::{TestHost, column};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// A filter that few rows pass went through the whole table for one page.
#[test]
fn a_page_looks_at_a_bounded_number_of_rows_and_says_where_to_go_on() {
    let host = TestHost::with(&["dormouse-programs"]);
    let rare = json!({ "key": "a:b", "metadata": { "rare": "yes" } });
    host.post("/events", &rare).expect(201);
    for _ in 0..11 {
        host.post("/events/bulk", &json!({ "events": vec![json!({ "key": "a:b" }); 1000] })).expect(201);
    }
    let filtered = |cursor: &str| host.get(&format!("/events?metadata=rare:yes{cursor}")).expect(200);
    let first = filtered("");
    assert_eq!(first["rows"], json!([]));
    let second = filtered(&format!("&cursor={}", first["nextCursor"].as_str().expect("there is more")));
    assert_eq!(column(second["rows"].as_array().expect("rows"), "/metadata/rare"), ["yes"]);
    assert_eq!(second["nextCursor"], Value::Null);
}

#[test]
fn runs_and_events_are_found_by_time_page_by_page() {
    let host = TestHost::with(&["dormouse-programs"]);
    let mut times = Vec::new();
    for n in 0..6 {
        times.push(host.now());
        host.start("echo", &json!(n));
        host.post("/events", &json!({ "key": "a:b", "payload": n })).expect(201);
        host.advance(100 * SECOND);
    }
    for list in ["runs", "events"] {
        let values = if list == "runs" { "/input" } else { "/payload" };
        let found = |query: &str| {
            let rows = host.list(&format!("/{list}?limit=1&{query}"));
            rows.iter().map(|row| row.pointer(values).and_then(Value::as_u64).expect("a number")).collect()
        };
        let between = |from: usize, to: usize| -> Vec<u64> {
            found(&format!("since={}&until={}", times[from], times[to]))
        };
        assert_eq!(between(1, 4), [3, 2, 1], "{list}");
        assert_eq!(between(2, 2), [] as [u64; 0], "{list}");
        let until: Vec<u64> = found(&format!("until={}", times[1]));
        assert_eq!(until, [0], "{list}");
    }
}

#[test]
fn children_are_listed_newest_first_page_by_page() {
    let host = TestHost::with(&["dormouse-programs"]);
    let parent = host.start("parent", &json!({ "children": 5 }));
    host.settle();
    let all = column(&host.list(&format!("/runs?limit=200&parent={parent}")), "/id");
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted_by(|newer, older| newer > older));
    assert_eq!(column(&host.list(&format!("/runs?limit=1&parent={parent}")), "/id"), all);
    let behind = host.get(&format!("/runs?limit=2&parent={parent}&cursor={}", all[1])).expect(200);
    assert_eq!(column(behind["rows"].as_array().expect("rows"), "/id"), all[2..4]);
}
