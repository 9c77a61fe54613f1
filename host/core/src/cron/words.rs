//! An expression in words, which never say more than it does: they are made of the values that fields name, and
//! not of how they were written.

use super::field::{Day, Field, Said, Values};

/// Most times of a day that are listed as such.
const CLOCK_TIMES_MAX: usize = 6;

/// From so many values on, a regular series is told by its step.
const SERIES_MIN: usize = 4;

/// From so many values on, those that follow each other are told by the first and the last.
const RUN_MIN: usize = 3;

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

/// `At 09:00, on Monday to Friday, in June to August`.
pub(super) fn describe([second, minute, hour, day, month, weekday]: &[Said; 6]) -> String {
    let time = clock_times(second, minute, hour).unwrap_or_else(|| time(second, minute, hour));
    let mut words = time[..1].to_uppercase() + &time[1..];
    if let Some(days) = days(day, weekday) {
        words += &format!(", on {days}");
    }
    if !month.is_any {
        let name = |month: u8| MONTHS[usize::from(month) - 1].to_owned();
        words += &format!(", in {}", listed(month.values(), name));
    }
    words
}

/// `at 09:00 and 17:00`, where these are few.
fn clock_times(second: &Said, minute: &Said, hour: &Said) -> Option<String> {
    let [seconds, minutes, hours] = [second, minute, hour].map(Said::values);
    if seconds.len() != 1 || minutes.len() * hours.len() > CLOCK_TIMES_MAX {
        return None;
    }
    let second = seconds.iter().find(|second| *second > 0).map(|second| format!(":{second:02}"));
    let second = second.unwrap_or_default();
    let times =
        hours.iter().flat_map(|hour| minutes.iter().map(move |minute| format!("{hour:02}:{minute:02}")));
    Some(format!("at {}", joined(times.map(|time| time + &second).collect())))
}

/// `every 15 minutes of hours 9 to 17`, `at minute 5 past every 2 hours`.
fn time(second: &Said, minute: &Said, hour: &Said) -> String {
    let fields =
        [(Field::Second, "second", second), (Field::Minute, "minute", minute), (Field::Hour, "hour", hour)];
    let at_full_minute = second.values().iter().eq([0]);
    let (mut words, mut is_every) = (String::new(), false);
    for (field, unit, said) in fields.into_iter().skip(usize::from(at_full_minute)) {
        let values = said.values();
        let is_all = values == all(field);
        // Every second is of every minute; and every second of every 2 hours could be of any hour.
        let part = match every(field, unit, values) {
            Some(_) if is_every && is_all => continue,
            Some(every) if !is_every => every,
            _ => numbered(unit, values),
        };
        words += match is_every {
            _ if words.is_empty() => "",
            true => " of ",
            false => " past ",
        };
        is_every = part.starts_with("every");
        words += &part;
    }
    if words.starts_with("every") { words } else { format!("at {words}") }
}

fn all(field: Field) -> Values {
    let (first, last) = field.range();
    (first..=last).collect()
}

/// `every minute`, `every 15 minutes`: also from one hour to the next.
fn every(field: Field, unit: &str, values: Values) -> Option<String> {
    let count = usize::from(field.range().1) + 1;
    let step = count / values.len().max(1);
    let is_even = step * values.len() == count && values.iter().eq((0..=field.range().1).step_by(step));
    match values.len() {
        1 => None,
        _ if !is_even => None,
        _ if step == 1 => Some(format!("every {unit}")),
        _ => Some(format!("every {step} {unit}s")),
    }
}

/// `minute 5`, `minutes 0, 7 and 30 to 40`, `days 1 to 31 in steps of 2`.
fn numbered(unit: &str, values: Values) -> String {
    let numbers: Vec<u8> = values.iter().collect();
    let plural = if numbers.len() == 1 { "" } else { "s" };
    let step = if let [first, second, ..] = *numbers { second - first } else { 1 };
    let is_series = numbers.windows(2).all(|pair| pair[1] - pair[0] == step);
    match *numbers {
        [first, .., last] if is_series && step > 1 && numbers.len() >= SERIES_MIN => {
            format!("{unit}{plural} {first} to {last} in steps of {step}")
        }
        _ => format!("{unit}{plural} {}", listed(values, |number| number.to_string())),
    }
}

/// `day 1 of the month or Monday`: either is enough.
fn days(day: &Said, weekday: &Said) -> Option<String> {
    let named = |weekdays| listed(weekdays, |weekday| WEEKDAYS[usize::from(weekday)].to_owned());
    let numbered = |days| format!("{} of the month", numbered("day", days));
    let words = |said: &Said, listed: &dyn Fn(Values) -> String| {
        let values = said.values();
        let listed = (!values.is_empty()).then(|| listed(values));
        (!said.is_any).then(|| either(listed.into_iter().chain(said.days.iter().map(special)).collect()))
    };
    let (days, weekdays) = (words(day, &numbered), words(weekday, &named));
    let both: Vec<_> = days.into_iter().chain(weekdays).collect();
    (!both.is_empty()).then(|| either(both))
}

fn special(day: &Day) -> String {
    let name = |weekday: &u8| WEEKDAYS[usize::from(*weekday)];
    match day {
        Day::Last => "the last day of the month".to_owned(),
        Day::LastWorkday => "the last weekday (Monday to Friday) of the month".to_owned(),
        Day::NearestWorkday(day) => {
            format!("the weekday (Monday to Friday) nearest to day {day} of the month")
        }
        Day::Nth(weekday, nth) => {
            format!("the {} {} of the month", ORDINALS[usize::from(*nth) - 1], name(weekday))
        }
        Day::LastOf(weekday) => format!("the last {} of the month", name(weekday)),
    }
}

/// `1 to 5, 10 and 12`
fn listed(values: Values, name: impl Fn(u8) -> String) -> String {
    let values: Vec<u8> = values.iter().collect();
    let runs = values.chunk_by(|one, next| next - one == 1).flat_map(|run| match *run {
        [first, .., last] if run.len() >= RUN_MIN => vec![format!("{} to {}", name(first), name(last))],
        _ => run.iter().map(|value| name(*value)).collect(),
    });
    joined(runs.collect())
}

fn joined(words: Vec<String>) -> String {
    with_last(words, " and ")
}

fn either(words: Vec<String>) -> String {
    with_last(words, " or ")
}

fn with_last(mut words: Vec<String>, before_last: &str) -> String {
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { words.join(", ") + before_last + &last }
}
