//! A cron expression: the local times that it names. Time zones are not its business: it sees the
//! calendar and the clock on the wall.

use std::fmt::Write as _;

use chrono::NaiveDateTime;
use croner::Cron;
use croner::parser::{CronParser, Year};

use super::field::{Day, Field, Said, Values};
use super::words;

/// Longest expression, in bytes: enough to list every minute and every second.
pub const EXPRESSION_BYTES_MAX: usize = 1024;

/// The names that stand for an expression, and what they stand for.
const SHORTHANDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A parsed expression: the times of all its parts together.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    parts: Vec<Part>,
    /// By field.
    said: [Said; 6],
}

/// Times of an expression that follow one rule where the clocks change.
#[derive(Debug, Clone)]
pub(super) struct Part {
    cron: Cron,
    /// Whether its hours come from a wildcard, a range or a step; they are values otherwise.
    pub(super) steps_through_hours: bool,
}

impl Expression {
    /// Reads five fields, six with seconds first, or a shorthand.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidExpression> {
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(InvalidExpression::TooLong { bytes: text.len() });
        }
        let text = expand_shorthand(text.trim())?;
        let texts: Vec<&str> = text.split_whitespace().collect();
        let texts: [&str; 6] = match *texts {
            [minute, hour, day, month, weekday] => ["0", minute, hour, day, month, weekday],
            [second, minute, hour, day, month, weekday] => [second, minute, hour, day, month, weekday],
            _ => return Err(InvalidExpression::FieldCount { found: texts.len() }),
        };
        let mut said: [Said; 6] = Default::default();
        for ((said, field), text) in said.iter_mut().zip(Field::ALL).zip(texts) {
            *said = field.parse(text).map_err(|text| InvalidExpression::Field { field, text })?;
        }
        if !names_a_day(&said) {
            return Err(InvalidExpression::NoSuchDay { text: text.to_owned() });
        }
        let parts = parts(&said).map_err(|text| InvalidExpression::Field { field: Field::Hour, text })?;
        Ok(Self { parts, said })
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What it says, in words.
    pub(super) fn describe(&self) -> String {
        words::describe(&self.said)
    }
}

impl Part {
    /// The first local time after the given one that it names; `None` when there is none in the
    /// next few thousand years.
    pub(super) fn next_after(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_next_occurrence(&local, false).ok()
    }

    /// The same, with the given time itself.
    pub(super) fn next_from(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_next_occurrence(&local, true).ok()
    }
}

/// Whether any month has a day that is named. Either day field is enough where both restrict, and every weekday
/// comes, also as the fifth in a February.
fn names_a_day([_, _, _, days, months, weekdays]: &[Said; 6]) -> bool {
    let longest = months.values().iter().map(|month| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    });
    let longest = longest.max().unwrap_or(0);
    let comes = |day: &Day| !matches!(day, Day::NearestWorkday(day) if *day > longest);
    !weekdays.is_any || days.values().iter().any(|day| day <= longest) || days.days.iter().any(comes)
}

/// Hours that are values and those that are stepped through follow rules of their own; and the parser forgets `L` beside
/// `LW`. The error is what it does not take.
fn parts([second, minute, hour, day, month, weekday]: &[Said; 6]) -> Result<Vec<Part>, String> {
    let hours =
        [(hour.single, false), (hour.stepped, true)].into_iter().filter(|(hours, _)| !hours.is_empty());
    let last_workday = |day: &Day| *day == Day::LastWorkday;
    let mut days = vec![day.clone()];
    if day.days.contains(&Day::Last) && day.days.iter().any(last_workday) {
        days[0].days.retain(|day| !last_workday(day));
        days.push(Said { days: vec![Day::LastWorkday], ..Said::default() });
    }
    let parser = CronParser::builder().year(Year::Disallowed).build();
    let mut parts = Vec::new();
    for (hours, steps_through_hours) in hours {
        for day in &days {
            let hour = list(hours);
            let fields =
                [written(second), written(minute), hour, written(day), written(month), written(weekday)];
            let text = fields.join(" ");
            let cron = parser.parse(&text).map_err(|_| text)?;
            parts.push(Part { cron, steps_through_hours });
        }
    }
    Ok(parts)
}

/// A field as the parser takes it, without anything that it may read in two ways.
fn written(said: &Said) -> String {
    if said.is_any {
        return "*".to_owned();
    }
    let mut text = list(said.values());
    for day in &said.days {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing into a `String` does not fail.
        let _ = match day {
            Day::Last => write!(text, "{comma}L"),
            Day::LastWorkday => write!(text, "{comma}LW"),
            Day::NearestWorkday(day) => write!(text, "{comma}{day}W"),
            Day::Nth(weekday, nth) => write!(text, "{comma}{weekday}#{nth}"),
            Day::LastOf(weekday) => write!(text, "{comma}{weekday}L"),
        };
    }
    text
}

fn list(values: Values) -> String {
    values.iter().map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

fn expand_shorthand(text: &str) -> Result<&str, InvalidExpression> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let known = SHORTHANDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known
        .map(|&(_, expression)| expression)
        .ok_or_else(|| InvalidExpression::UnknownShorthand { text: text.to_owned() })
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidExpression {
    /// A field says something that it cannot say.
    #[error("the {field} field cannot be `{text}`: use {}", .field.choices())]
    Field {
        /// Which field.
        field: Field,
        /// The item of its list that is wrong.
        text: String,
    },
    /// There are too few or too many fields.
    #[error(
        "the expression has {found} fields: write five (minute, hour, day of month, month, day of week) \
         or six with seconds first"
    )]
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// A name after `@` that stands for nothing.
    #[error("`{text}` stands for no expression: use {}", SHORTHANDS.map(|(name, _)| name).join(", "))]
    UnknownShorthand {
        /// The name.
        text: String,
    },
    /// It is too long.
    #[error("the expression has {bytes} bytes, and at most {EXPRESSION_BYTES_MAX} are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// No month that it names has a day that it names.
    #[error("`{text}` never fires: no such day exists; look at the day of month and the month")]
    NoSuchDay {
        /// The expression.
        text: String,
    },
}
