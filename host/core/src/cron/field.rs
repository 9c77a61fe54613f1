//! The fields of an expression, and what each of them says. The grammar is strict: what is not in it is
//! refused, and never read as something else.

use std::fmt;

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

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What a field says: a list of items, taken together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// It is `*`, which is no restriction. `*/1` and `0-59` are, though they name the same values.
    pub(super) is_any: bool,
    /// Values that stand by themselves.
    pub(super) single: Values,
    /// Values that wildcards, ranges and steps name, where that is more than one.
    pub(super) stepped: Values,
    /// Days that are others in each month.
    pub(super) days: Vec<Day>,
}

/// A day that depends on the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Day {
    /// `L`: the last one.
    Last,
    /// `LW`: the last one from Monday to Friday.
    LastWorkday,
    /// `15W`: the one from Monday to Friday that is nearest to the 15th, in the same month.
    NearestWorkday(u8),
    /// `FRI#2`: a day of the week, for the second time.
    Nth(u8, u8),
    /// `FRIL`: a day of the week, for the last time.
    LastOf(u8),
}

impl Field {
    /// In the order of an expression.
    pub(super) const ALL: [Self; 6] =
        [Self::Second, Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    /// Reads a list of items. The error is the item that is none.
    pub(super) fn parse(self, text: &str) -> Result<Said, String> {
        let mut said = Said { is_any: text == "*", ..Said::default() };
        for item in text.split(',') {
            let known = self.parse_item(&item.to_ascii_uppercase(), &mut said);
            known.ok_or_else(|| if item.is_empty() { text.to_owned() } else { item.to_owned() })?;
        }
        Ok(said)
    }

    fn parse_item(self, item: &str, said: &mut Said) -> Option<()> {
        if let Some(day) = self.day(item) {
            said.days.push(day);
            return Some(());
        }
        let (span, step) = match item.split_once('/') {
            Some((span, step)) => (span, Some(number(step)?)),
            None => (item, None),
        };
        let (first, last) = self.range();
        let (from, to) = match span.split_once('-') {
            _ if span == "*" => (first, last),
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            // A step from a value on means one thing to some and another to others.
            None if step.is_some() => return None,
            None => (self.value(span)?, self.value(span)?),
        };
        // A week may end on a Sunday.
        let to = if self == Self::DayOfWeek && span.ends_with("-SUN") && from > 0 { 7 } else { to };
        let step = step.unwrap_or(1);
        if from > to || step == 0 || step > last - first {
            return None;
        }
        let values = (from..=to).step_by(step.into()).map(|value| self.normal(value)).collect::<Values>();
        let set = if values.len() == 1 { &mut said.single } else { &mut said.stepped };
        set.extend(values.iter());
        Some(())
    }

    fn day(self, item: &str) -> Option<Day> {
        match (self, item) {
            (Self::DayOfMonth, "L") => Some(Day::Last),
            (Self::DayOfMonth, "LW") => Some(Day::LastWorkday),
            (Self::DayOfMonth, _) => Some(Day::NearestWorkday(self.value(item.strip_suffix('W')?)?)),
            (Self::DayOfWeek, _) => match item.split_once('#') {
                Some((weekday, nth)) => {
                    let nth = number(nth).filter(|nth| (1..=5).contains(nth))?;
                    Some(Day::Nth(self.normal(self.value(weekday)?), nth))
                }
                None => Some(Day::LastOf(self.normal(self.value(item.strip_suffix('L')?)?))),
            },
            _ => None,
        }
    }

    fn value(self, text: &str) -> Option<u8> {
        let named = |names: &[&str]| names.iter().position(|name| *name == text);
        let value = match self {
            Self::Month => named(&MONTHS).map(|month| month + 1),
            Self::DayOfWeek => named(&WEEKDAYS),
            _ => None,
        };
        let value = value.map_or_else(|| number(text), |value| u8::try_from(value).ok())?;
        // Seven is a Sunday, too.
        let last = if self == Self::DayOfWeek { 7 } else { self.range().1 };
        (self.range().0..=last).contains(&value).then_some(value)
    }

    fn normal(self, value: u8) -> u8 {
        if self == Self::DayOfWeek { value % 7 } else { value }
    }

    /// The least and the largest value.
    pub(super) fn range(self) -> (u8, u8) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 6),
        }
    }

    /// What can stand in the field.
    pub(super) fn choices(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => {
                "`*`, a value from 0 to 59, a range such as `10-20`, a step such as `*/15` or `10-40/5`, or a list of them"
            }
            Self::Hour => {
                "`*`, a value from 0 to 23, a range such as `9-17`, a step such as `*/6` or `8-18/2`, or a list of them"
            }
            Self::DayOfMonth => {
                "`*`, a value from 1 to 31, a range such as `1-7`, a step such as `*/2`, `L` (the last day), \
                 `LW` (the last weekday), `15W` (the weekday nearest to the 15th), or a list of them"
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

/// One or two digits.
fn number(text: &str) -> Option<u8> {
    let is_number = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

impl Said {
    /// All values, but for days that depend on the month.
    pub(super) fn values(&self) -> Values {
        Values(self.single.0 | self.stepped.0)
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

/// A set of values of a field, none of them above 63.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Values(u64);

impl Values {
    pub(super) fn iter(self) -> impl Iterator<Item = u8> + Clone {
        (0..64).filter(move |value| self.0 >> value & 1 == 1)
    }

    pub(super) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Extend<u8> for Values {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.0 |= 1 << value);
    }
}

impl FromIterator<u8> for Values {
    fn from_iter<I: IntoIterator<Item = u8>>(values: I) -> Self {
        let mut set = Self::default();
        set.extend(values);
        set
    }
}
