//! Crons that are made over the API, one for each customer.

use dormouse_sdk::prelude::*;
use dormouse_sdk::testing::Host;

#[test]
fn every_customer_has_a_cron_in_its_own_time_zone() {
    let host = Host::new();
    for (customer, timezone) in [("acme", "Europe/Paris"), ("umbrella", "America/New_York")] {
        let cron =
            json!({ "expression": "0 18 * * *", "timezone": timezone, "input": { "customer": customer } });
        host.set_cron("send-digest", customer, cron);
    }
    host.advance(Duration::from_secs(3 * 86_400));
    let runs = host.runs_of("send-digest");
    assert_eq!(runs.len(), 6);
    // 18:00 in Paris is 17:00 UTC in winter, and the clock began at 8:00.
    assert_eq!(runs[0].logs()[0].message, "digest for customer acme as of 2026-01-05T17:00:00.000Z");
}

#[test]
fn a_customer_that_has_left_gets_no_digest() {
    let host = Host::new();
    let cron = json!({ "expression": "@daily", "input": { "customer": "acme" } });
    host.set_cron("send-digest", "acme", cron).delete();
    host.advance(Duration::from_secs(3 * 86_400));
    assert!(host.runs_of("send-digest").is_empty());
}
