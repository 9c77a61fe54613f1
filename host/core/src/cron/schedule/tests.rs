use std::collections::BTreeSet;

use chrono::{Datelike, LocalResult, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;
use crate::cron::Field;

fn at(text: &str) -> Timestamp {
    Timestamp::from_chrono(format!("{text}:00Z").parse::<DateTime<Utc>>().unwrap())
}

/// The times after the first one, as many as are expected.
fn assert_fires(expression: &str, zone: &str, after: &str, expected: &[&str]) {
    let schedule = Schedule::parse(expression, zone).unwrap();
    let mut time = at(after);
    for expected in expected {
        let next = schedule.next_after(time).unwrap();
        assert_eq!(next, at(expected), "`{expression}` in {zone} after {time}");
        time = next;
    }
}

#[test]
fn appointments_that_the_clocks_skip_are_kept_right_after_the_gap() {
    for (expression, zone, after, expected) in [
        // Paris puts its clocks from 02:00 to 03:00 at 01:00 UTC.
        (
            "30 2 * * *",
            "Europe/Paris",
            "2025-03-29T00:00",
            ["2025-03-29T01:30", "2025-03-30T01:00", "2025-03-31T00:30"],
        ),
        (
            "30 2 * * *",
            "Europe/Paris",
            "2026-03-28T00:00",
            ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"],
        ),
        (
            "15 1,2 * * *",
            "Europe/Paris",
            "2025-03-30T00:00",
            ["2025-03-30T00:15", "2025-03-30T01:00", "2025-03-30T23:15"],
        ),
        // All that the gap swallowed is one firing, together with what is due at its end.
        (
            "*/20 2 * * *",
            "Europe/Paris",
            "2025-03-30T00:00",
            ["2025-03-30T01:00", "2025-03-31T00:00", "2025-03-31T00:20"],
        ),
        (
            "0 2,3 * * *",
            "Europe/Paris",
            "2025-03-30T00:00",
            ["2025-03-30T01:00", "2025-03-31T00:00", "2025-03-31T01:00"],
        ),
        (
            "10 2,3 * * *",
            "Europe/Paris",
            "2025-03-30T00:00",
            ["2025-03-30T01:00", "2025-03-30T01:10", "2025-03-31T00:10"],
        ),
        // New York: from 02:00 to 03:00 at 07:00 UTC.
        (
            "30 2 * * *",
            "America/New_York",
            "2025-03-08T00:00",
            ["2025-03-08T07:30", "2025-03-09T07:00", "2025-03-10T06:30"],
        ),
        (
            "0 2 * * SUN",
            "America/New_York",
            "2026-03-01T12:00",
            ["2026-03-08T07:00", "2026-03-15T06:00", "2026-03-22T06:00"],
        ),
        // Lord Howe: from 02:00 to 02:30 at 15:30 UTC of the day before.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2025-10-03T00:00",
            ["2025-10-03T15:45", "2025-10-04T15:30", "2025-10-05T15:15"],
        ),
        // Casablanca, at the end of Ramadan: from 02:00 to 03:00 at 02:00 UTC.
        (
            "30 2 * * *",
            "Africa/Casablanca",
            "2025-04-05T00:00",
            ["2025-04-05T02:30", "2025-04-06T02:00", "2025-04-07T01:30"],
        ),
        // Cairo skips the first hour of a day.
        (
            "0 0 * * *",
            "Africa/Cairo",
            "2025-04-24T00:00",
            ["2025-04-24T22:00", "2025-04-25T21:00", "2025-04-26T21:00"],
        ),
    ] {
        assert_fires(expression, zone, after, &expected);
    }
}

#[test]
fn appointments_that_come_twice_are_kept_the_first_time() {
    for (expression, zone, after, expected) in [
        // Paris puts its clocks from 03:00 to 02:00 at 01:00 UTC.
        (
            "30 2 * * *",
            "Europe/Paris",
            "2025-10-25T00:00",
            ["2025-10-25T00:30", "2025-10-26T00:30", "2025-10-27T01:30"],
        ),
        (
            "15 1,2 * * *",
            "Europe/Paris",
            "2025-10-25T23:00",
            ["2025-10-25T23:15", "2025-10-26T00:15", "2025-10-27T00:15"],
        ),
        (
            "*/30 2 * * *",
            "Europe/Paris",
            "2026-10-24T23:00",
            ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-26T01:00"],
        ),
        // Asked while the hour repeats.
        (
            "30 2,3 * * *",
            "Europe/Paris",
            "2025-10-26T01:10",
            ["2025-10-26T02:30", "2025-10-27T01:30", "2025-10-27T02:30"],
        ),
        // New York: from 02:00 to 01:00 at 06:00 UTC.
        (
            "30 1 * * *",
            "America/New_York",
            "2025-11-01T00:00",
            ["2025-11-01T05:30", "2025-11-02T05:30", "2025-11-03T06:30"],
        ),
        (
            "0 1 1 11 *",
            "America/New_York",
            "2025-12-01T00:00",
            ["2026-11-01T05:00", "2027-11-01T05:00", "2028-11-01T05:00"],
        ),
        // Lord Howe: from 02:00 to 01:30 at 15:00 UTC of the day before.
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2025-04-04T00:00",
            ["2025-04-04T14:45", "2025-04-05T14:45", "2025-04-06T15:15"],
        ),
        // Casablanca, at the beginning of Ramadan: from 03:00 to 02:00 at 02:00 UTC.
        (
            "30 2 * * *",
            "Africa/Casablanca",
            "2025-02-22T00:00",
            ["2025-02-22T01:30", "2025-02-23T01:30", "2025-02-24T02:30"],
        ),
        (
            "0 9 * * *",
            "Africa/Casablanca",
            "2026-02-14T00:00",
            ["2026-02-14T08:00", "2026-02-15T09:00", "2026-02-16T09:00"],
        ),
    ] {
        assert_fires(expression, zone, after, &expected);
    }
}

#[test]
fn steps_through_the_hours_follow_the_time_that_passes() {
    for (expression, zone, after, expected) in [
        (
            "0 * * * *",
            "Europe/Paris",
            "2025-03-29T23:30",
            ["2025-03-30T00:00", "2025-03-30T01:00", "2025-03-30T02:00"],
        ),
        (
            "0 * * * *",
            "Europe/Paris",
            "2025-10-25T23:30",
            ["2025-10-26T00:00", "2025-10-26T01:00", "2025-10-26T02:00"],
        ),
        (
            "@hourly",
            "America/New_York",
            "2025-11-02T04:30",
            ["2025-11-02T05:00", "2025-11-02T06:00", "2025-11-02T07:00"],
        ),
        (
            "*/30 * * * *",
            "Europe/Paris",
            "2026-10-25T00:00",
            ["2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30"],
        ),
        (
            "30 1-3 * * *",
            "Europe/Paris",
            "2025-03-30T00:00",
            ["2025-03-30T00:30", "2025-03-30T01:30", "2025-03-30T23:30"],
        ),
        (
            "30 1-3 * * *",
            "Europe/Paris",
            "2025-10-26T00:00",
            ["2025-10-26T00:30", "2025-10-26T01:30", "2025-10-26T02:30"],
        ),
        (
            "50 */2 * * *",
            "Europe/Paris",
            "2025-10-26T00:00",
            ["2025-10-26T00:50", "2025-10-26T01:50", "2025-10-26T03:50"],
        ),
        (
            "*/15 * * * *",
            "Australia/Lord_Howe",
            "2025-04-05T14:30",
            ["2025-04-05T14:45", "2025-04-05T15:00", "2025-04-05T15:15"],
        ),
        (
            "*/15 * * * *",
            "Australia/Lord_Howe",
            "2025-10-04T15:00",
            ["2025-10-04T15:15", "2025-10-04T15:30", "2025-10-04T15:45"],
        ),
        // The clocks go back from 02:00 before it strikes.
        (
            "0 * * * *",
            "Australia/Lord_Howe",
            "2025-04-05T14:00",
            ["2025-04-05T15:30", "2025-04-05T16:30", "2025-04-05T17:30"],
        ),
        (
            "0 */1 * * *",
            "Africa/Casablanca",
            "2026-03-22T00:30",
            ["2026-03-22T01:00", "2026-03-22T02:00", "2026-03-22T03:00"],
        ),
    ] {
        assert_fires(expression, zone, after, &expected);
    }
}

#[test]
fn expressions_mean_what_they_say() {
    for (expression, zone, after, expected) in [
        (
            "30 9 * * MON-FRI",
            "Asia/Kolkata",
            "2025-10-31T00:00",
            ["2025-10-31T04:00", "2025-11-03T04:00", "2025-11-04T04:00"],
        ),
        (
            "0 0 29 2 *",
            "UTC",
            "2025-01-01T00:00",
            ["2028-02-29T00:00", "2032-02-29T00:00", "2036-02-29T00:00"],
        ),
        (
            "0 0 L * *",
            "UTC",
            "2025-01-31T00:00",
            ["2025-02-28T00:00", "2025-03-31T00:00", "2025-04-30T00:00"],
        ),
        (
            "0 0 * * FRI#2",
            "UTC",
            "2025-01-01T00:00",
            ["2025-01-10T00:00", "2025-02-14T00:00", "2025-03-14T00:00"],
        ),
        (
            "0 12 1,15 JUN-AUG *",
            "UTC",
            "2025-08-01T00:00",
            ["2025-08-01T12:00", "2025-08-15T12:00", "2026-06-01T12:00"],
        ),
        // Either day counts when both are given.
        (
            "0 0 1 * MON",
            "UTC",
            "2025-09-01T00:00",
            ["2025-09-08T00:00", "2025-09-15T00:00", "2025-09-22T00:00"],
        ),
        (
            "@midnight",
            "UTC",
            "2025-12-31T00:00",
            ["2026-01-01T00:00", "2026-01-02T00:00", "2026-01-03T00:00"],
        ),
        ("@Weekly", "UTC", "2025-01-01T00:00", ["2025-01-05T00:00", "2025-01-12T00:00", "2025-01-19T00:00"]),
        (
            " @monthly ",
            "UTC",
            "2025-01-01T00:00",
            ["2025-02-01T00:00", "2025-03-01T00:00", "2025-04-01T00:00"],
        ),
        (
            "@annually",
            "UTC",
            "2025-01-01T00:00",
            ["2026-01-01T00:00", "2027-01-01T00:00", "2028-01-01T00:00"],
        ),
    ] {
        assert_fires(expression, zone, after, &expected);
    }
}

#[test]
fn zones_whose_rules_were_changed_lately_have_the_new_ones() {
    for (zone, at) in [
        ("America/Vancouver", "2026-11-26T16:00"),
        ("America/Edmonton", "2026-11-26T15:00"),
        ("America/Winnipeg", "2026-11-26T14:00"),
        ("America/Havana", "2026-11-26T13:00"),
        ("Africa/Casablanca", "2026-11-26T09:00"),
        // The data go on for as long as the rules hold.
        ("Europe/Paris", "2150-07-01T07:00"),
    ] {
        assert_fires("0 9 * * *", zone, &format!("{}T00:00", &at[..10]), &[at]);
    }
}

#[test]
fn seconds_come_first_and_the_next_time_is_strictly_later() {
    let schedule = Schedule::parse("*/2 * * * * *", "UTC").unwrap();
    let next = |millis| schedule.next_after(Timestamp::from_millis(millis)).unwrap().as_millis();
    assert_eq!([next(0), next(1), next(1999), next(2000)], [2000, 2000, 2000, 4000]);

    // Also in the middle of an hour that comes again.
    let hourly = Schedule::parse("@hourly", "Europe/Paris").unwrap();
    let after = at("2025-10-26T00:30").after(std::time::Duration::from_millis(500));
    assert_eq!(hourly.next_after(after), Some(at("2025-10-26T01:00")));
}

#[test]
fn the_error_names_the_field_and_how_to_mend_it() {
    for (expression, culprit, text) in [
        ("61 * * * *", Field::Minute, "61"),
        ("75 * * * * *", Field::Second, "75"),
        ("* 24 * * *", Field::Hour, "24"),
        ("0 0 0 * *", Field::DayOfMonth, "0"),
        ("0 0 * 13 *", Field::Month, "13"),
        ("0 0 * MARCH *", Field::Month, "MARCH"),
        ("0 0 * MON *", Field::Month, "MON"),
        ("0 0 * * 8", Field::DayOfWeek, "8"),
        ("0 0 * * FRI-MON", Field::DayOfWeek, "FRI-MON"),
        ("0 0 * * JAN", Field::DayOfWeek, "JAN"),
        ("0 0 * * L", Field::DayOfWeek, "L"),
        ("JAN 0 * * *", Field::Minute, "JAN"),
        ("1,,2 * * * *", Field::Minute, "1,,2"),
        ("*/90 * * * *", Field::Minute, "*/90"),
        ("*/0 * * * *", Field::Minute, "*/0"),
        ("0 0 ü * *", Field::DayOfMonth, "ü"),
    ] {
        let error = Schedule::parse(expression, "UTC").unwrap_err();
        let expected = InvalidExpression::Field { field: culprit, text: text.to_owned() };
        assert_eq!(error, CronError::InvalidExpression(expected), "{expression}");
    }
    assert_eq!(
        Schedule::parse("0 25 * * *", "UTC").unwrap_err().to_string(),
        "the hour field cannot be `25`: use `*`, a value from 0 to 23, a range such as `9-17`, \
         a step such as `*/6` or `8-18/2`, or a list of them"
    );
}

#[test]
fn what_is_no_expression_is_refused_as_such() {
    let refused = |expression: &str| match Schedule::parse(expression, "UTC").unwrap_err() {
        CronError::InvalidExpression(error) => error,
        other => panic!("{expression}: {other}"),
    };
    assert_eq!(refused(""), InvalidExpression::FieldCount { found: 0 });
    assert_eq!(refused("* * * *"), InvalidExpression::FieldCount { found: 4 });
    assert_eq!(refused("0 0 0 1 1 * 2030"), InvalidExpression::FieldCount { found: 7 });
    assert_eq!(refused("@noon"), InvalidExpression::UnknownShorthand { text: "@noon".to_owned() });
    assert_eq!(refused(&"1,".repeat(600)), InvalidExpression::TooLong { bytes: 1200 });
    assert!(matches!(Schedule::parse("* * * * *", "Mars/Base"), Err(CronError::UnknownZone(_))));
}

#[test]
fn days_that_do_not_exist_never_fire() {
    for expression in
        ["0 0 31 2 *", "0 0 30 FEB *", "0 0 31 4,6,9,11 *", "* * * 31 2 *", "0 0 30W,31 2 *", "0 0 31W APR *"]
    {
        let error = Schedule::parse(expression, "Europe/Paris").unwrap_err();
        let expected = InvalidExpression::NoSuchDay { text: expression.to_owned() };
        assert_eq!(error, CronError::InvalidExpression(expected));
    }
    // Either day field is enough, and each of these comes, if rarely.
    for expression in
        ["0 0 29 2 *", "0 0 31 2 MON", "0 0 * 2 FRI#5", "0 0 31,L 2 *", "0 0 29W 2 *", "0 0 30,31 */2 *"]
    {
        let schedule = Schedule::parse(expression, "Europe/Paris").unwrap();
        assert!(schedule.next_after(at("2026-01-01T00:00")).is_some(), "{expression}");
    }
}

#[test]
fn slips_get_no_meaning() {
    for (expression, field, item) in [
        // A name within something else.
        ("0 0 1 JAN2 *", Field::Month, "JAN2"),
        ("0 0 1 1JAN *", Field::Month, "1JAN"),
        ("0 0 1 JANFEB *", Field::Month, "JANFEB"),
        ("0 0 * * SUN5", Field::DayOfWeek, "SUN5"),
        ("0 0 * * MONTUE", Field::DayOfWeek, "MONTUE"),
        ("0 0 * * 1MON", Field::DayOfWeek, "1MON"),
        // More than a letter says.
        ("0 0 15W3 * *", Field::DayOfMonth, "15W3"),
        ("0 0 15W* * *", Field::DayOfMonth, "15W*"),
        ("0 0 1W15W * *", Field::DayOfMonth, "1W15W"),
        ("0 0 LW5 * *", Field::DayOfMonth, "LW5"),
        ("0 0 WL * *", Field::DayOfMonth, "WL"),
        ("0 0 W * *", Field::DayOfMonth, "W"),
        ("0 0 L-3 * *", Field::DayOfMonth, "L-3"),
        ("0 0 32W * *", Field::DayOfMonth, "32W"),
        ("0 0 * * FRI#2L", Field::DayOfWeek, "FRI#2L"),
        ("0 0 * * 5#99L", Field::DayOfWeek, "5#99L"),
        ("0 0 * * 5##L", Field::DayOfWeek, "5##L"),
        ("0 0 * * FRI#0", Field::DayOfWeek, "FRI#0"),
        ("0 0 * * FRI#6", Field::DayOfWeek, "FRI#6"),
        ("0 0 * * FRI#+2", Field::DayOfWeek, "FRI#+2"),
        // What is documented nowhere.
        ("0 0 13 * +5", Field::DayOfWeek, "+5"),
        ("0 0 ?/2 * *", Field::DayOfMonth, "?/2"),
        ("0 0 ? * MON", Field::DayOfMonth, "?"),
        ("5/15 * * * *", Field::Minute, "5/15"),
        ("/15 * * * *", Field::Minute, "/15"),
        // Only the item that is wrong is named.
        ("1,2,x,4 * * * *", Field::Minute, "x"),
        ("1, * * * *", Field::Minute, "1,"),
        ("+1 * * * *", Field::Minute, "+1"),
        ("001 * * * *", Field::Minute, "001"),
        ("*/+5 * * * *", Field::Minute, "*/+5"),
        ("1-5-9 * * * *", Field::Minute, "1-5-9"),
        ("*-5 * * * *", Field::Minute, "*-5"),
        ("* 17-9 * * *", Field::Hour, "17-9"),
        ("0 0 * * SAT-SUN-MON", Field::DayOfWeek, "SAT-SUN-MON"),
        ("0 0 * * 5-0", Field::DayOfWeek, "5-0"),
    ] {
        let error = Schedule::parse(expression, "UTC").unwrap_err();
        let expected = InvalidExpression::Field { field, text: item.to_owned() };
        assert_eq!(error, CronError::InvalidExpression(expected), "{expression}");
    }
}

#[test]
fn one_meaning_may_have_several_spellings() {
    for (one, other) in [
        ("0 0 * * SUN-SUN", "0 0 * * SUN"),
        ("0 0 * * SAT-SAT", "0 0 * * 6"),
        ("0 0 * * FRI-SUN", "0 0 * * 0,5,6"),
        ("0 0 * * 5-7", "0 0 * * SUN,FRI,SAT"),
        ("0 0 * * fri#2,friL", "0 0 * * 5L,5#2"),
        ("0 0 * * 7#1", "0 0 * * SUN#1"),
        ("0 0 1 jan-MAR *", "0 0 1 1,2,3 *"),
        ("0 0-12/4 * * *", "0 0-8/4,12 * * *"),
        ("05 02 * * *", "5 2 * * *"),
    ] {
        let times = |text| {
            let schedule = Schedule::parse(text, "UTC").unwrap();
            let times =
                std::iter::successors(Some(at("2026-01-01T00:00")), |&time| schedule.next_after(time));
            times.take(40).collect::<Vec<_>>()
        };
        assert_eq!(times(one), times(other), "{one}, {other}");
    }
}

#[test]
fn the_last_day_and_the_last_weekday_are_both_taken() {
    // The 31st of January 2026 is a Saturday.
    assert_fires(
        "0 0 L,LW * *",
        "UTC",
        "2026-01-01T00:00",
        &["2026-01-30T00:00", "2026-01-31T00:00", "2026-02-27T00:00", "2026-02-28T00:00", "2026-03-31T00:00"],
    );
    assert_fires(
        "0 0 1,15W,LW * *",
        "UTC",
        "2026-02-01T00:00",
        &["2026-02-16T00:00", "2026-02-27T00:00", "2026-03-01T00:00", "2026-03-16T00:00"],
    );
}

#[test]
fn each_part_of_a_list_of_hours_follows_its_own_rule() {
    // 02:30 does not exist on 2026-03-29 in Paris, and is there twice on 2026-10-25.
    for (expression, after, expected) in [
        (
            "30 2,14-15 * * *",
            "2026-03-29T00:00",
            ["2026-03-29T01:00", "2026-03-29T12:30", "2026-03-29T13:30"],
        ),
        (
            "30 2,14-15 * * *",
            "2026-10-24T23:00",
            ["2026-10-25T00:30", "2026-10-25T13:30", "2026-10-25T14:30"],
        ),
        ("30 14,2-3 * * *", "2026-10-24T23:00", ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]),
        // A range of one hour is a value.
        ("30 2-2 * * *", "2026-03-29T00:00", ["2026-03-29T01:00", "2026-03-30T00:30", "2026-03-31T00:30"]),
    ] {
        assert_fires(expression, "Europe/Paris", after, &expected);
    }
}

#[test]
fn an_expression_that_only_names_skipped_times_is_kept_after_the_gap() {
    // 02:30 on the last Sunday of March does not exist as long as there is summer time.
    let schedule = Schedule::parse("30 2-2 * 3 SUNL", "Europe/Paris").unwrap();
    assert_eq!(schedule.next_after(at("2026-01-01T00:00")), Some(at("2026-03-29T01:00")));
}

#[test]
fn expressions_are_described_in_words() {
    for (expression, words) in [
        ("30 2 * * *", "At 02:30"),
        ("30 2 * * MON", "At 02:30, on Monday"),
        ("0 9 * * MON-FRI", "At 09:00, on Monday to Friday"),
        ("15 30 2 * * *", "At 02:30:15"),
        ("0,30 9,17 * * *", "At 09:00, 09:30, 17:00 and 17:30"),
        ("* * * * *", "Every minute"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("0,30 * * * *", "Every 30 minutes"),
        ("* * * * * *", "Every second"),
        ("*/10 * * * * *", "Every 10 seconds"),
        ("30 * * * * *", "At second 30 past every minute"),
        ("30 */5 * * * *", "At second 30 past every 5 minutes"),
        ("*/10 0,15 * * * *", "Every 10 seconds of minutes 0 and 15 past every hour"),
        ("* 5 2 * * *", "Every second of minute 5 past hour 2"),
        ("@hourly", "At minute 0 past every hour"),
        ("0 */2 * * *", "At minute 0 past every 2 hours"),
        ("* */4 * * *", "Every minute of hours 0 to 20 in steps of 4"),
        ("*/20 9-17 * * *", "Every 20 minutes of hours 9 to 17"),
        ("0 0 L * *", "At 00:00, on the last day of the month"),
        ("0 0 * * FRI#2,SUNL", "At 00:00, on the second Friday of the month or the last Sunday of the month"),
        ("0 0 1,15 6-8 *", "At 00:00, on days 1 and 15 of the month, in June to August"),
        ("0 0 13 * FRI", "At 00:00, on day 13 of the month or Friday"),
        ("0 0 * * 0-6", "At 00:00, on Sunday to Saturday"),
        // Where words promised more than the expression does.
        ("0 0 LW * *", "At 00:00, on the last weekday (Monday to Friday) of the month"),
        ("0 0 15W * *", "At 00:00, on the weekday (Monday to Friday) nearest to day 15 of the month"),
        ("0-30/10 * * * *", "At minutes 0 to 30 in steps of 10 past every hour"),
        ("*/15,7 * * * *", "At minutes 0, 7, 15, 30 and 45 past every hour"),
        ("0-5/5,50 * * * *", "At minutes 0, 5 and 50 past every hour"),
        ("0 0-12/4 * * *", "At 00:00, 04:00, 08:00 and 12:00"),
        ("* 0-12/4 * * *", "Every minute of hours 0 to 12 in steps of 4"),
        ("0 0 1 1-6/2 *", "At 00:00, on day 1 of the month, in January, March and May"),
        ("0 0 1 */5 *", "At 00:00, on day 1 of the month, in January, June and November"),
        ("*/50 * * * *", "At minutes 0 and 50 past every hour"),
        ("*/7 * * * *", "At minutes 0 to 56 in steps of 7 past every hour"),
        ("0 */5 * * *", "At 00:00, 05:00, 10:00, 15:00 and 20:00"),
        ("0 */23 * * *", "At 00:00 and 23:00"),
        ("0 0 */2 * *", "At 00:00, on days 1 to 31 in steps of 2 of the month"),
        ("1-59/2 * * * *", "At minutes 1 to 59 in steps of 2 past every hour"),
    ] {
        let described = Schedule::parse(expression, "Europe/Paris").unwrap().describe();
        assert_eq!(described, format!("{words}, Europe/Paris"), "{expression}");
    }
}

/// A field as text, and the values that it stands for.
type Values = (String, BTreeSet<u32>);

fn values(range: std::ops::Range<u32>, stepping: bool) -> BoxedStrategy<Values> {
    let (first, end) = (range.start, range.end);
    let list = proptest::collection::btree_set(range, 1..4).prop_map(|values| {
        let texts: Vec<_> = values.iter().map(u32::to_string).collect();
        (texts.join(","), values)
    });
    let steps = (2..7_u32).prop_map(move |n| (format!("*/{n}"), (first..end).step_by(n as usize).collect()));
    let span = (first..end, first..end).prop_map(|(a, b)| {
        let (low, high) = (a.min(b), a.max(b));
        (format!("{low}-{high}"), (low..=high).collect())
    });
    let all = Just(("*".to_owned(), (first..end).collect()));
    if stepping { prop_oneof![list, steps, span, all].boxed() } else { list.boxed() }
}

/// Minute, hour and day of week, with the zone and a point near one of its changes of clocks.
fn cases() -> impl Strategy<Value = (Values, Values, Values, &'static str, Timestamp)> {
    let zones = prop::sample::select(vec![
        ("UTC", "2025-06-01T00:00"),
        ("Europe/Paris", "2025-03-30T01:00"),
        ("Europe/Paris", "2025-10-26T01:00"),
        ("America/New_York", "2026-03-08T07:00"),
        ("America/New_York", "2026-11-01T06:00"),
        ("Australia/Lord_Howe", "2025-04-05T15:00"),
        ("Australia/Lord_Howe", "2025-10-04T15:30"),
        ("Africa/Casablanca", "2026-02-15T02:00"),
        ("Africa/Casablanca", "2026-03-22T02:00"),
        ("Africa/Cairo", "2025-04-24T22:00"),
        ("Asia/Kolkata", "2025-06-01T00:00"),
    ]);
    let hours = prop_oneof![values(0..24, true), values(0..4, false)];
    (values(0..60, true), hours, values(0..7, true), zones, 0..36 * 60_u64).prop_map(
        |(minute, hour, weekday, (zone, change), minutes_before)| {
            let start = at(change).before(std::time::Duration::from_secs(60 * minutes_before));
            (minute, hour, weekday, zone, start)
        },
    )
}

/// The times within the days after `start`, by looking at every minute.
fn by_brute_force(
    (minutes, hours, weekdays): (&Values, &Values, &Values),
    zone: Tz,
    start: Timestamp,
) -> BTreeSet<Timestamp> {
    let matches = |local: NaiveDateTime| {
        minutes.1.contains(&local.minute())
            && hours.1.contains(&local.hour())
            && weekdays.1.contains(&local.weekday().num_days_from_sunday())
    };
    let every_minute = (0..3 * 24 * 60).map(TimeDelta::minutes);
    if hours.0.contains(['*', '-', '/']) {
        let instants = every_minute.map(|offset| start.to_chrono() + offset + TimeDelta::minutes(1));
        return instants
            .filter(|&at| matches(at.with_timezone(&zone).naive_local()))
            .map(Timestamp::from_chrono)
            .collect();
    }
    // A day more in front: the local time may run ahead.
    let locals = every_minute.map(|offset| start.to_chrono().naive_utc() - TimeDelta::days(1) + offset);
    let resolved = locals.filter(|&local| matches(local)).map(|mut local| {
        loop {
            match zone.from_local_datetime(&local) {
                LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => break at.to_utc(),
                LocalResult::None => local += TimeDelta::minutes(1),
            }
        }
    });
    resolved.map(Timestamp::from_chrono).filter(|&at| at > start).collect()
}

proptest! {
    #[test]
    fn no_time_is_skipped_and_none_is_made_up((minute, hour, weekday, zone, start) in cases()) {
        let expression = format!("{} {} * * {}", minute.0, hour.0, weekday.0);
        let schedule = Schedule::parse(&expression, zone).unwrap();
        // The last of the days that were looked at may be incomplete.
        let end = start.after(std::time::Duration::from_secs(24 * 3600));
        let expected = by_brute_force((&minute, &hour, &weekday), zone.parse().unwrap(), start);
        let found = std::iter::successors(schedule.next_after(start), |&at| schedule.next_after(at));
        prop_assert_eq!(
            found.take_while(|&at| at <= end).collect::<Vec<_>>(),
            expected.into_iter().take_while(|&at| at <= end).collect::<Vec<_>>(),
            "`{}` in {} after {}", expression, zone, start
        );
    }

    #[test]
    fn the_next_time_is_later_and_the_same_from_anywhere_before_it(
        (minute, hour, weekday, zone, start) in cases(), millis in 0..90_000_u64
    ) {
        let schedule = Schedule::parse(&format!("{} {} * * {}", minute.0, hour.0, weekday.0), zone).unwrap();
        let start = Timestamp::from_millis(start.as_millis() + millis);
        let next = schedule.next_after(start).unwrap();
        prop_assert!(next > start);
        let middle = Timestamp::from_millis(start.as_millis().midpoint(next.as_millis() - 1));
        prop_assert_eq!(schedule.next_after(middle), Some(next));
        prop_assert_eq!(schedule.next_from(next), Some(next));
    }

    #[test]
    fn no_text_makes_the_parser_panic(expression in "[*0-9,/#LW@A-Z+? -]{0,24}", zone in "[A-Za-z/_]{0,12}") {
        if let Err(error) = Schedule::parse(&expression, &zone) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
