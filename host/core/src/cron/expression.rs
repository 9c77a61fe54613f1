//! A cron expression: what it may say, and the local times that it names. Time zones are not its
//! business: it sees the calendar and the clock on the wall.

use std::fmt;

use chrono::NaiveDateTime;
use croner::Cron;
use croner::parser::{CronParser, Year};

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

/// How croner lists the days of `MON-FRI`.
const WORKDAYS: &str = "Monday, Tuesday, Wednesday, Thursday, and Friday";

/// A parsed expression.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    cron: Cron,
    steps_through_hours: bool,
}

impl Expression {
    /// Reads five fields, six with seconds first, or a shorthand.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidExpression> {
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(InvalidExpression::TooLong { bytes: text.len() });
        }
        let text = expand_shorthand(text.trim())?;
        let texts: Vec<&str> = text.split_whitespace().collect();
        let Some(first) = Field::ALL.len().checked_sub(texts.len()).filter(|&first| first <= 1) else {
            return Err(InvalidExpression::FieldCount { found: texts.len() });
        };
        let fields = || Field::ALL[first..].iter().copied().zip(texts.iter().copied());

        let culprit = fields().find(|&(field, text)| !field.allows(text));
        match (culprit, parser().parse(text)) {
            (None, Ok(cron)) => Ok(Self {
                cron,
                steps_through_hours: fields()
                    .any(|(field, text)| field == Field::Hour && text.contains(['*', '-', '/'])),
            }),
            (culprit, _) => {
                let (field, text) = culprit.unwrap_or((Field::ALL[first], texts[0]));
                Err(InvalidExpression::Field { field, text: text.to_owned() })
            }
        }
    }

    /// The first local time after the given one that it names; `None` when there is none in the
    /// next few thousand years.
    pub(super) fn next_after(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_next_occurrence(&local, false).ok()
    }

    /// The same, with the given time itself.
    pub(super) fn next_from(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_next_occurrence(&local, true).ok()
    }

    /// Whether its hours are a wildcard, a range or a step rather than values.
    pub(super) fn steps_through_hours(&self) -> bool {
        self.steps_through_hours
    }

    /// What it says, in words.
    pub(super) fn describe(&self) -> String {
        let words = self.cron.describe();
        let words = words.trim_end_matches('.').replace(WORKDAYS, "Monday to Friday");
        words.strip_prefix("At every ").map_or_else(|| words.clone(), |rest| format!("Every {rest}"))
    }
}

fn parser() -> CronParser {
    CronParser::builder().year(Year::Disallowed).build()
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

/// A field of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0 to 59; only where there are six fields.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or `JAN` to `DEC`.
    Month,
    /// 0 to 7, or `SUN` to `SAT`; 0 and 7 are Sunday.
    DayOfWeek,
}

impl Field {
    /// In the order of an expression.
    const ALL: [Self; 6] =
        [Self::Second, Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    const MONTHS: [&str; 12] =
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

    /// Whether the text can stand in this field. Stricter than croner where croner reads a meaning
    /// into a slip: `JAN` as minute 1, `1,,2` as `1,2`, or `*/90` minutes as every hour.
    fn allows(self, text: &str) -> bool {
        let text = text.to_ascii_uppercase();
        let fields = Self::ALL.map(|field| if field == self { text.as_str() } else { "*" });
        text.split(',').all(|item| self.allows_words(item) && self.allows_step(item))
            && parser().parse(&fields.join(" ")).is_ok()
    }

    fn allows_words(self, item: &str) -> bool {
        let mut words = item.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
        !item.is_empty()
            && match self {
                Self::Second | Self::Minute | Self::Hour => words.next().is_none(),
                Self::DayOfMonth => words.all(|word| matches!(word, "L" | "W" | "LW")),
                Self::Month => words.all(|word| Self::MONTHS.contains(&word)),
                Self::DayOfWeek => {
                    item != "L"
                        && words.all(|word| {
                            let name = word.strip_suffix('L').unwrap_or(word);
                            name.is_empty() || Self::WEEKDAYS.contains(&name)
                        })
                }
            }
    }

    fn allows_step(self, item: &str) -> bool {
        let values = match self {
            Self::Second | Self::Minute => 60,
            Self::Hour => 24,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 7,
        };
        item.split_once('/').is_none_or(|(_, step)| step.parse::<u32>().is_ok_and(|step| step < values))
    }

    /// What can stand in the field.
    fn choices(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => {
                "`*`, a value from 0 to 59, a range such as `10-20`, a step such as `*/15`, or a list of them"
            }
            Self::Hour => {
                "`*`, a value from 0 to 23, a range such as `9-17`, a step such as `*/6`, or a list of them"
            }
            Self::DayOfMonth => {
                "`*`, a value from 1 to 31, a range such as `1-7`, a step such as `*/2`, `L` (the last day), \
                 `15W` (the weekday nearest to the 15th), or a list of them"
            }
            Self::Month => {
                "`*`, a value from 1 to 12 or JAN to DEC, a range such as `JUN-AUG`, a step such as `*/3`, \
                 or a list of them"
            }
            Self::DayOfWeek => {
                "`*`, a value from 0 to 7 (both are Sunday) or SUN to SAT, an upward range such as `MON-FRI`, \
                 a step such as `*/2`, `FRI#2` (the second Friday), `FRIL` (the last one), or a list of them"
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        })
    }
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
        /// What it says.
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
}
