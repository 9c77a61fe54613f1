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

/// `due` of an hourly cron whose next time is hour 10, at so many hours and seconds.
fn hourly_due(policy: CatchUp, hours: u64, seconds: u64) -> Firing {
    let now = Timestamp::from_millis(hours * HOUR + seconds * 1000);
    due(&hourly(), policy, Timestamp::from_millis(10 * HOUR), now, FIRINGS_MAX)
}

fn fires(times: &[u64], next: u64) -> Firing {
    Firing { fire: hours(times), next: Some(Timestamp::from_millis(next * HOUR)) }
}

const ALL_POLICIES: [CatchUp; 3] =
    [CatchUp::Skip, CatchUp::One, CatchUp::All { window: Duration::from_millis(2 * HOUR) }];

#[test]
fn nothing_fires_too_early() {
    for policy in ALL_POLICIES {
        assert_eq!(hourly_due(policy, 9, 3599), fires(&[], 10));
    }
}

#[test]
fn a_time_fires_that_is_not_late_whatever_the_policy() {
    for policy in ALL_POLICIES {
        for seconds in [0, 1, 60] {
            assert_eq!(hourly_due(policy, 10, seconds), fires(&[10], 11), "{policy:?} {seconds} s");
        }
    }
    assert_eq!(hourly_due(CatchUp::Skip, 10, 61), fires(&[], 11));
}

#[test]
fn late_times_follow_the_policy() {
    for (policy, expected) in ALL_POLICIES.into_iter().zip([
        fires(&[], 16),
        fires(&[15], 16),
        // The window reaches from the time of looking, 15:54, back to 13:54.
        fires(&[14, 15], 16),
    ]) {
        assert_eq!(hourly_due(policy, 15, 54 * 60), expected, "{policy:?}");
    }
}

#[test]
fn late_times_and_one_that_is_not_fire_together_in_order() {
    for (policy, expected) in
        ALL_POLICIES.into_iter().zip([fires(&[15], 16), fires(&[14, 15], 16), fires(&[14, 15], 16)])
    {
        assert_eq!(hourly_due(policy, 15, 30), expected, "{policy:?}");
    }
    let none = CatchUp::All { window: Duration::ZERO };
    assert_eq!(hourly_due(none, 15, 30), fires(&[15], 16), "one that is not late fires, whatever the window");
}

#[test]
fn a_cron_that_fires_each_second_is_late_after_one() {
    let secondly = Schedule::parse("* * * * * *", "UTC").unwrap();
    let at = Timestamp::from_millis;
    let skip = |now| due(&secondly, CatchUp::Skip, at(1000), at(now), FIRINGS_MAX);
    assert_eq!(skip(1999).fire, [at(1000)]);
    assert_eq!(skip(2000).fire, [at(1000), at(2000)], "late by its interval, and not by more");
    assert_eq!(skip(2001).fire, [at(2000)]);
    assert_eq!(skip(9500), Firing { fire: vec![at(9000)], next: Some(at(10_000)) });
}

#[test]
fn one_run_stands_for_the_latest_late_time_to_the_millisecond() {
    let minutely = Schedule::parse("* * * * *", "UTC").unwrap();
    let at = Timestamp::from_millis;
    for now in 180_001..189_001 {
        let firing = due(&minutely, CatchUp::One, at(60_000), at(now), FIRINGS_MAX);
        assert_eq!(firing.fire, [at(120_000), at(180_000)], "at {now} ms");
    }
}

#[test]
fn a_cron_whose_last_time_is_late_is_done_with() {
    let once = Schedule::parse("0 0 1 1 *", "UTC").unwrap();
    let last = Timestamp::MAX;
    let next = Timestamp::from_millis(HOUR * 24 * 365 * 300);
    let nominal = once.next_after(next).unwrap();
    assert_eq!(due(&once, CatchUp::Skip, nominal, last, 1).fire, []);
    assert_eq!(due(&once, CatchUp::One, nominal, last, 1).fire.len(), 1);
}

#[test]
fn a_year_of_missed_seconds_is_looked_through_at_once() {
    let secondly = Schedule::parse("* * * * * *", "UTC").unwrap();
    let at = Timestamp::from_millis;
    let now = at(365 * 24 * HOUR + 500);
    let firing = due(&secondly, CatchUp::One, at(0), now, FIRINGS_MAX);
    let at = |seconds: u64| at(365 * 24 * HOUR + 1000 * seconds);
    assert_eq!(firing, Firing { fire: vec![at(0).before(Duration::from_secs(1)), at(0)], next: Some(at(1)) });
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
            let firing = due(&minutely, policy, next, now, most);
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
    /// The host looks at arbitrary times.
    #[test]
    fn no_nominal_time_fires_twice_and_those_that_are_late_follow_the_policy(
        policy in policies(),
        every in prop::sample::select(vec![1_u64, 2, 60, 120]),
        looks in prop::collection::vec(1..200_000_u64, 1..40),
    ) {
        let expression = match every {
            1 | 2 => format!("*/{every} * * * * *"),
            _ => format!("*/{} * * * *", every / 60),
        };
        let schedule = Schedule::parse(&expression, "Europe/Paris").unwrap();
        let mut now = Timestamp::from_millis(1_743_000_000_000);
        let mut next = schedule.next_after(now).unwrap();
        let mut fired: Vec<Timestamp> = Vec::new();
        for pause in looks {
            now = now.after(Duration::from_millis(pause));
            let every = every * 1000;
            let all: Vec<u64> = (next.as_millis()..=now.as_millis()).step_by(every as usize).collect();
            let is_late = |at: &&u64| now.as_millis() - **at > every.min(60_000);
            let late: Vec<u64> = all.iter().filter(is_late).copied().collect();
            let kept = match policy {
                CatchUp::Skip => &[],
                CatchUp::One => &late[late.len().saturating_sub(1)..],
                CatchUp::All { window } => {
                    let oldest = now.before(window).as_millis();
                    &late[late.iter().position(|at| *at >= oldest).unwrap_or(late.len())..]
                }
            };
            let expected: Vec<_> = [kept, &all[late.len()..]].concat();
            let mut found = Vec::new();
            while next <= now {
                let firing = due(&schedule, policy, next, now, FIRINGS_MAX);
                found.extend(firing.fire.iter().map(|at| at.as_millis()));
                next = firing.next.unwrap();
            }
            prop_assert_eq!(&found, &expected);
            fired.extend(found.into_iter().map(Timestamp::from_millis));
        }
        prop_assert!(fired.is_sorted_by(|a, b| a < b));
    }
}
