//! An expression in a time zone: the instants at which a cron fires.
//!
//! Where the clocks change, it depends on the hours of the expression:
//!
//! - Hours given as values (`30 2 * * *`, `15 1,2 * * *`) are appointments: one that the clocks
//!   skip is kept right after the gap, one that comes twice is kept the first time.
//! - Hours with a wildcard, a range or a step (`0 * * * *`, `0 9-17 * * *`) follow the time that
//!   really passes: every instant counts whose local time matches, be it the second time, and
//!   what the clocks skip did not happen.
//!
//! In a list with both (`0 2,9-17 * * *`) each follows its own rule.

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};
use jiff::tz::TimeZone;

use super::expression::{Expression, InvalidExpression, Part};
use super::local::{Instants, instants, local_of, repeated_from};
use super::zone::{self, UnknownZone};
use crate::time::Timestamp;

/// When a cron fires.
#[derive(Debug, Clone)]
pub struct Schedule {
    expression: Expression,
    zone: TimeZone,
}

impl Schedule {
    /// Reads an expression (five fields, six with seconds first, or a name such as `@hourly`) and
    /// the IANA name of a time zone.
    ///
    /// # Errors
    ///
    /// [`CronError`] says which part is wrong and how to mend it.
    pub fn parse(expression: &str, timezone: &str) -> Result<Self, CronError> {
        Ok(Self { expression: Expression::parse(expression)?, zone: zone::parse(timezone)? })
    }

    /// The first time after the given one at which it fires. `None` when there is none before the
    /// year 5000.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_chrono().trunc_subsecs(0);
        let next = self.expression.parts().iter().filter_map(|part| match part.steps_through_hours {
            true => self.next_elapsed(part, after),
            false => self.next_appointment(part, after),
        });
        next.min().map(Timestamp::from_chrono)
    }

    /// The first time at which it fires, from the given one on.
    #[must_use]
    pub(super) fn next_from(&self, from: Timestamp) -> Option<Timestamp> {
        self.next_after(Timestamp::from_millis(from.as_millis().saturating_sub(1)))
    }

    /// What it says, in words: `At 02:30, on Monday, Europe/Paris`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{}, {}", self.expression.describe(), self.zone.iana_name().unwrap_or("UTC"))
    }

    fn next_appointment(&self, part: &Part, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut local = part.next_after(local_of(&self.zone, after))?;
        loop {
            match instants(&self.zone, local)? {
                Instants::One(at) | Instants::Two(at, _) if at > after => return Some(at),
                // Kept already: only the local time comes again.
                Instants::One(_) | Instants::Two(..) => local = part.next_after(local)?,
                Instants::Gap(end, _) => return Some(end),
            }
        }
    }

    fn next_elapsed(&self, part: &Part, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let onwards = self.next_match(part, after, part.next_after(local_of(&self.zone, after)));
        // The local clock goes back before it goes on: what comes again may come earlier.
        let again = repeated_from(&self.zone, after)
            .and_then(|local| self.next_match(part, after, part.next_from(local)));
        onwards.into_iter().chain(again).min()
    }

    /// The first instant after the given one whose local time is a match, from a match on.
    fn next_match(
        &self,
        part: &Part,
        after: DateTime<Utc>,
        mut matching: Option<NaiveDateTime>,
    ) -> Option<DateTime<Utc>> {
        loop {
            let local = matching?;
            matching = match instants(&self.zone, local)? {
                Instants::One(at) | Instants::Two(at, _) if at > after => return Some(at),
                Instants::Two(_, at) if at > after => return Some(at),
                Instants::One(_) | Instants::Two(..) => part.next_after(local),
                Instants::Gap(_, local) => part.next_from(local),
            }
        }
    }
}

/// Why there is no such schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// The expression is not valid.
    #[error(transparent)]
    InvalidExpression(#[from] InvalidExpression),
    /// The time zone is not known.
    #[error(transparent)]
    UnknownZone(#[from] UnknownZone),
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transitions;
