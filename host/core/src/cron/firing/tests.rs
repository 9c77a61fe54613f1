use std::time::Duration;

use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3_600_000;

fn hourly() -> Schedule {
    Schedule::parse("@hourly", "UTC").unwrap()
}

fn hours(times: &[u64]) -> Vec<Timestamp> {
    times.iter().map(|hour| Timestamp::from_millis(hour * HOUR)).collect()
}

/// `due` of an hourly cron whose next time is hour 10, in hours.
fn hourly_due(policy: CatchUp, now: f64, up_since: f64) -> Firing {
    let at = |hours: f64| Timestamp::from_millis((hours * HOUR as f64) as u64);
    due(&hourly(), policy, at(10.0), at(now), at(up_since), FIRINGS_MAX)
}

fn fires(times: &[u64], next: u64) -> Firing {
    Firing { fire: hours(times), next: Some(Timestamp::from_millis(next * HOUR)) }
}

const ALL_POLICIES: [CatchUp; 3] =
    [CatchUp::Skip, CatchUp::One, CatchUp::All { window: Duration::from_millis(2 * HOUR) }];

#[test]
fn nothing_fires_too_early() {
    for policy in ALL_POLICIES {
        assert_eq!(hourly_due(policy, 9.99, 0.0), fires(&[], 10));
    }
}

#[test]
fn a_time_fires_however_late_the_host_is_as_long_as_it_is_up() {
    for policy in ALL_POLICIES {
        assert_eq!(hourly_due(policy, 10.0, 9.0), fires(&[10], 11));
        assert_eq!(hourly_due(policy, 14.5, 10.0), fires(&[10, 11, 12, 13, 14], 15));
    }
}

#[test]
fn times_missed_while_the_host_was_down_follow_the_policy() {
    for (policy, expected) in ALL_POLICIES.into_iter().zip([
        fires(&[], 16),
        fires(&[15], 16),
        // The window reaches from the time of looking, 15:54, back to 13:54.
        fires(&[14, 15], 16),
    ]) {
        assert_eq!(hourly_due(policy, 15.9, 15.5), expected, "{policy:?}");
    }
}

#[test]
fn missed_and_late_times_fire_together_in_order() {
    for (policy, expected) in ALL_POLICIES.into_iter().zip([
        fires(&[16, 17, 18], 19),
        fires(&[15, 16, 17, 18], 19),
        // The window reaches back to 16:54, but what came due since the start is late, not missed.
        fires(&[16, 17, 18], 19),
    ]) {
        assert_eq!(hourly_due(policy, 18.9, 15.5), expected, "{policy:?}");
    }
}

#[test]
fn one_run_stands_for_the_latest_missed_time_to_the_millisecond() {
    let secondly = Schedule::parse("* * * * * *", "UTC").unwrap();
    let at = Timestamp::from_millis;
    for up_since in 1001..9001 {
        let firing = due(&secondly, CatchUp::One, at(1000), at(up_since), at(up_since), 1);
        let latest = (up_since - 1) / 1000 * 1000;
        assert_eq!(firing.fire[0], at(latest), "up since {up_since} ms");
    }
}

#[test]
fn a_time_at_the_very_start_of_the_host_is_not_missed() {
    assert_eq!(hourly_due(CatchUp::Skip, 12.0, 12.0), fires(&[12], 13));
}

#[test]
fn a_clock_that_was_set_back_before_the_start_changes_nothing() {
    assert_eq!(hourly_due(CatchUp::Skip, 12.5, 20.0), fires(&[], 13));
    assert_eq!(hourly_due(CatchUp::One, 12.5, 20.0), fires(&[12], 13));
}

#[test]
fn a_year_of_missed_seconds_is_looked_through_at_once() {
    let secondly = Schedule::parse("* * * * * *", "UTC").unwrap();
    let at = Timestamp::from_millis;
    let now = at(365 * 24 * HOUR + 500);
    let firing = due(&secondly, CatchUp::One, at(0), now, now, 1);
    assert_eq!(firing, Firing { fire: vec![at(365 * 24 * HOUR)], next: Some(at(365 * 24 * HOUR + 1000)) });
}

#[test]
fn a_long_list_comes_in_parts_without_a_loss() {
    let minutely = Schedule::parse("* * * * *", "UTC").unwrap();
    let now = Timestamp::from_millis(40 * HOUR);
    let policy = CatchUp::All { window: Duration::MAX };
    for (most, at_once) in [(0, 1), (7, 7), (1000, FIRINGS_MAX)] {
        let mut fired = Vec::new();
        let mut next = Timestamp::from_millis(60_000);
        while next <= now {
            let firing = due(&minutely, policy, next, now, now, most);
            assert_eq!(firing.fire.len(), at_once.min(40 * 60 - fired.len()));
            fired.extend(firing.fire);
            next = firing.next.unwrap();
        }
        assert!(fired.is_sorted_by(|a, b| a < b));
        assert_eq!((fired.len(), next), (40 * 60, Timestamp::from_millis(40 * HOUR + 60_000)));
    }
}

#[test]
fn overlap_only_matters_while_an_earlier_run_is_unfinished() {
    for (policy, action) in [
        (Overlap::Allow, OverlapAction::Start),
        (Overlap::Skip, OverlapAction::Skip),
        (Overlap::Queue, OverlapAction::Hold),
        (Overlap::CancelRunning, OverlapAction::CancelEarlierThenStart),
    ] {
        assert_eq!(overlap(policy, true), action);
        assert_eq!(overlap(policy, false), OverlapAction::Start);
    }
}

fn policies() -> impl Strategy<Value = CatchUp> {
    prop_oneof![
        Just(CatchUp::Skip),
        Just(CatchUp::One),
        (0..100_000_u64).prop_map(|ms| CatchUp::All { window: Duration::from_millis(ms) }),
    ]
}

proptest! {
    /// The host looks at arbitrary times, and starts anew before some of them.
    #[test]
    fn no_nominal_time_fires_twice_and_none_is_lost_while_the_host_is_up(
        policy in policies(),
        looks in prop::collection::vec((1..20_000_u64, any::<bool>()), 1..40),
    ) {
        let schedule = Schedule::parse("*/2 * * * * *", "Europe/Paris").unwrap();
        let mut now = Timestamp::from_millis(1_743_000_000_000);
        let mut up_since = now;
        let mut next = schedule.next_after(now).unwrap();
        let mut fired: Vec<Timestamp> = Vec::new();
        for (pause, restarted) in looks {
            now = now.after(Duration::from_millis(pause));
            if restarted {
                up_since = now;
            }
            let firing = due(&schedule, policy, next, now, up_since, FIRINGS_MAX);
            prop_assert!(firing.fire.iter().all(|&at| at <= now && at.as_millis() % 2000 == 0));
            prop_assert!(firing.next > Some(now), "all that is due has fired");
            if !restarted {
                let expected = next.as_millis()..=now.as_millis();
                let count = expected.clone().filter(|ms| ms % 2000 == 0).count();
                prop_assert_eq!(firing.fire.len(), count);
            }
            fired.extend(firing.fire);
            next = firing.next.unwrap();
        }
        prop_assert!(fired.is_sorted_by(|a, b| a < b));
    }
}
