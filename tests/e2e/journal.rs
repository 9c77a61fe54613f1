//! What is kept of a run's history, log and stream, and where one can go on in them.

use std::time::Duration;

use dormouse_tests::TestHost;
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// The sequence numbers of a history or a log, stretch by stretch.
fn sequences(host: &TestHost, path: &str, since: &str) -> Vec<u64> {
    let (mut found, mut since) = (Vec::new(), since.to_owned());
    loop {
        let stretch = host.get(&format!("{path}?limit=200{since}")).expect(200);
        let rows = stretch["rows"].as_array().expect("a stretch has rows");
        found.extend(rows.iter().map(|row| row["sequence"].as_u64().expect("a number")));
        match stretch["nextCursor"].as_str() {
            Some(cursor) => since = format!("&since={cursor}"),
            None => return found,
        }
    }
}

/// The ids of the events of a stream.
fn ids(lines: impl Iterator<Item = String>) -> impl Iterator<Item = u64> {
    lines.filter_map(|line| line.strip_prefix("id:").map(|id| id.trim().parse().expect("a number")))
}

#[test]
fn of_a_run_that_wakes_two_thousand_times_the_beginning_and_the_end_are_kept() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("counter", &json!({ "times": 2000, "ms": 0 }));
    assert_eq!(host.to_end(&id)["output"]["count"], 2000);
    let history = format!("/runs/{id}/history");
    let kept = sequences(&host, &history, "");
    assert!((1100..=1200).contains(&kept.len()), "{} are kept", kept.len());
    let (first, last) = kept.split_at(100);
    let end = *last.last().expect("an end");
    let in_gap = 2000;
    assert!(end > in_gap && first.iter().copied().eq(0..100) && last.iter().copied().eq(last[0]..=end));

    assert_eq!(sequences(&host, &history, &format!("&since={in_gap}")), last);
    assert_eq!(sequences(&host, &format!("/runs/{id}/logs"), ""), [] as [u64; 0]);
    let streamed: Vec<u64> = ids(host.stream(&id, Some(&in_gap.to_string()))).collect();
    assert_eq!(streamed, last);
    let streamed: Vec<u64> = ids(host.stream(&id, None)).collect();
    assert_eq!(streamed, kept);
}

/// The greatest number was an error, and any number beyond the end silence for as long as the run went on.
#[test]
fn a_number_beyond_the_end_is_an_empty_page_and_a_stream_of_what_is_new() {
    let host = TestHost::with(&["dormouse-programs"]);
    let id = host.start("publisher", &json!({ "chunks": 2, "sleep_ms": 1000 }));
    host.settle();
    let beyond = [u64::MAX, 99_999].map(|number| number.to_string());
    for since in &beyond {
        for list in ["history", "logs"] {
            let page = host.get(&format!("/runs/{id}/{list}?since={since}")).expect(200);
            assert_eq!(page, json!({ "rows": [], "nextCursor": Value::Null }));
        }
    }
    let last = *sequences(&host, &format!("/runs/{id}/history"), "").last().expect("a transition");
    let streams = beyond.each_ref().map(|since| host.stream(&id, Some(since)));
    host.advance(SECOND);
    host.advance(SECOND);
    assert_eq!(host.run(&id)["status"], "completed");
    for stream in streams {
        let new: Vec<u64> = ids(stream).collect();
        assert_eq!(new.first(), Some(&(last + 1)), "{new:?}");
    }
    for since in &beyond {
        assert_eq!(host.get(&format!("/runs/{id}/stream?lastEventId={since}")).status, 204);
    }
}
