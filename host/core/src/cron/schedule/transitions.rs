//! Crons around the real changes of clocks: `transitions.txt` has the changes and the times, and
//! says where they are from.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::*;

const ZONES_THAT_CHANGE: [&str; 4] =
    ["Africa/Casablanca", "America/New_York", "Australia/Lord_Howe", "Europe/Paris"];

/// The lines of a section, without comments.
fn section(name: &str) -> impl Iterator<Item = &'static str> {
    let lines = include_str!("transitions.txt").lines().filter(|line| !line.starts_with('#'));
    let heading = format!("[{name}]");
    let lines = lines.skip_while(move |line| *line != heading).skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty())
}

fn instant(text: &str) -> DateTime<Utc> {
    format!("{text}:00Z").parse().unwrap()
}

/// Checks every row of a section, and that they are about these zones.
fn assert_section(name: &str, zones: &[&str]) {
    let mut seen = BTreeSet::new();
    for row in section(name) {
        let [zone, expression, after, times] = row.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not four columns: {row}");
        };
        let schedule = Schedule::parse(expression, zone).unwrap();
        let expected: Vec<_> = times.split(' ').map(|at| Timestamp::from_chrono(instant(at))).collect();
        let after = Timestamp::from_chrono(instant(after));
        let found: Vec<_> = std::iter::successors(schedule.next_after(after), |&at| schedule.next_after(at))
            .take(expected.len())
            .collect();
        assert_eq!(found, expected, "`{expression}` in {zone} after {after}");
        seen.insert(zone);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), zones);
}

#[test]
fn clocks_change_when_the_database_says_and_at_no_other_time() {
    for zone in ZONES_THAT_CHANGE.into_iter().chain(["Asia/Kolkata"]) {
        let zone_of_schedule = zone::parse(zone).unwrap();
        let offset = |at: DateTime<Utc>| (local_of(&zone_of_schedule, at) - at.naive_utc()).num_minutes();
        let published: Vec<_> = section("changes")
            .map(|row| row.split(' ').collect::<Vec<_>>())
            .filter(|columns| columns[0] == zone)
            .map(|columns| (instant(columns[1]), columns[2].parse().unwrap(), columns[3].parse().unwrap()))
            .collect();
        let quarters =
            (0..3 * 365 * 24 * 4).map(|n| instant("2025-01-01T00:00") + TimeDelta::minutes(15 * n));
        let found: Vec<_> = quarters
            .map(|at| (at, offset(at - TimeDelta::seconds(1)), offset(at)))
            .filter(|(_, before, after)| before != after)
            .collect();
        assert_eq!(found, published, "{zone}");
    }
}

#[test]
fn fixed_times_that_fall_in_a_gap_fire_once_right_after_it() {
    assert_section("gaps", &ZONES_THAT_CHANGE);
}

#[test]
fn fixed_times_fire_once_where_local_time_repeats() {
    assert_section("repeats", &ZONES_THAT_CHANGE);
}

#[test]
fn expressions_that_step_through_the_hours_follow_elapsed_time() {
    assert_section("steps", &ZONES_THAT_CHANGE);
}

#[test]
fn where_no_clock_changes_the_offset_alone_counts() {
    assert_section("none", &["Asia/Kolkata"]);
}
