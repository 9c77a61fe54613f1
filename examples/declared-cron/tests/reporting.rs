//! Crons that the module declares.

use dormouse_sdk::prelude::*;
use dormouse_sdk::testing::{CronSource, Host};

const HOUR: Duration = Duration::from_secs(3600);

/// A host on which only the reports fire.
fn host() -> Host {
    let host = Host::new();
    host.crons().iter().filter(|cron| cron.workflow == "heartbeat").for_each(|cron| cron.enable(false));
    host
}

#[test]
fn each_region_gets_its_report_in_its_own_morning_on_working_days() {
    let host = host();
    assert!(host.crons().iter().all(|cron| cron.source == CronSource::Declared));
    // The clock stands at 8:00 UTC on a Monday: 9:00 in Paris, 17:00 in Tokyo.
    host.advance(24 * HOUR);
    let regions = || host.runs_of("daily-report").iter().map(|run| run.input::<Value>()).collect::<Vec<_>>();
    assert_eq!(regions(), [json!({ "region": "asia" }), json!({ "region": "europe" })]);
    host.advance(3 * 24 * HOUR);
    assert_eq!(regions().len(), 8);
    host.advance(2 * 24 * HOUR);
    assert_eq!(regions().len(), 8, "not at the weekend");
}

#[test]
fn after_a_weekend_that_the_host_slept_through_one_report_stands_for_all() {
    let host = host();
    host.restart_after(3 * 24 * HOUR);
    assert_eq!(host.runs_of("daily-report").len(), 2, "one for each region");
}

#[test]
fn the_heartbeat_beats_every_ten_seconds() {
    let host = Host::new();
    host.advance(Duration::from_secs(60));
    assert_eq!(host.runs_of("heartbeat").len(), 6);
}
