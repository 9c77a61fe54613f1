//! What is wrong with a definition, and the collector that knows where in it a check is.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::PROBLEMS_MAX;
use crate::bounds::DURATION_MAX;
use crate::cel::InvalidExpression;

/// One thing that is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `workflows[0].crons[1].expression`.
    pub field: String,
    /// What kind of thing.
    pub code: ProblemCode,
    /// What is wrong and how to mend it, for people.
    pub message: String,
}

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ProblemCode {
    /// A name, a reference to one, or JSON cannot be read.
    Malformed,
    /// A cron expression is not valid or never fires.
    InvalidCron,
    /// No time zone has this name.
    InvalidTimezone,
    /// An event key pattern is not valid.
    InvalidKeyPattern,
    /// A CEL expression is not valid.
    InvalidExpression,
    /// Two things of one kind have one name.
    DuplicateName,
    /// The parents of a task are not there, or form a cycle.
    InvalidParents,
    /// The task for failures cannot have this role.
    InvalidOnFailure,
    /// A number is too small or too large.
    OutOfRange,
    /// A text is empty or too long.
    InvalidLength,
    /// There are too few or too many of something.
    InvalidCount,
}

impl ProblemCode {
    /// The stable word for it in the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::InvalidCron => "invalid_cron",
            Self::InvalidTimezone => "invalid_timezone",
            Self::InvalidKeyPattern => "invalid_key_pattern",
            Self::InvalidExpression => "invalid_expression",
            Self::DuplicateName => "duplicate_name",
            Self::InvalidParents => "invalid_parents",
            Self::InvalidOnFailure => "invalid_on_failure",
            Self::OutOfRange => "out_of_range",
            Self::InvalidLength => "invalid_length",
            Self::InvalidCount => "invalid_count",
        }
    }
}

/// Collects problems while the checks walk through a definition.
#[derive(Default)]
pub(super) struct Checker {
    /// Where the checks are.
    path: String,
    problems: Vec<Problem>,
}

impl Checker {
    /// All problems that a check finds.
    pub(super) fn collect(check: impl FnOnce(&mut Self)) -> Vec<Problem> {
        let mut checker = Self::default();
        check(&mut checker);
        checker.problems
    }

    pub(super) fn report(&mut self, field: &str, code: ProblemCode, message: impl Display) {
        let field = join(&self.path, field);
        self.problems.push(Problem { field, code, message: message.to_string() });
    }

    /// Checks a part, and says of its problems that they lie there.
    pub(super) fn within(&mut self, part: &str, check: impl FnOnce(&mut Self)) {
        let outer = self.path.clone();
        self.path = join(&outer, part);
        check(self);
        self.path = outer;
    }

    /// Checks how many items a list has, and then each of them. The surplus of a list that is too
    /// long is not looked at, and nothing once there are problems enough: the work stays bounded.
    pub(super) fn each<T>(
        &mut self,
        list: &str,
        items: &[T],
        count: RangeInclusive<usize>,
        mut check: impl FnMut(&mut Self, &T),
    ) {
        if !count.contains(&items.len()) {
            let message =
                format!("{} are too {}: {}", items.len(), few_or_many(items.len(), &count), span(&count));
            self.report(list, ProblemCode::InvalidCount, message);
        }
        for (i, item) in items.iter().enumerate().take(*count.end()) {
            if self.problems.len() >= PROBLEMS_MAX {
                return;
            }
            self.within(&format!("{list}[{i}]"), |checker| check(checker, item));
        }
    }

    /// Reports each item whose name an earlier one has.
    pub(super) fn unique<'a, T>(&mut self, list: &str, items: &'a [T], name: impl Fn(&'a T) -> &'a str) {
        let mut seen = BTreeSet::new();
        for (i, item) in items.iter().enumerate() {
            if !seen.insert(name(item)) {
                let message = format!("`{}` is there already: names are unique", name(item));
                self.report(&format!("{list}[{i}].name"), ProblemCode::DuplicateName, message);
            }
        }
    }

    pub(super) fn number<T: PartialOrd + Display>(
        &mut self,
        field: &str,
        value: T,
        range: RangeInclusive<T>,
    ) {
        if !range.contains(&value) {
            self.report(field, ProblemCode::OutOfRange, format!("{value} is out of range: {}", span(&range)));
        }
    }

    /// Checks a duration that may be as long as any other.
    pub(super) fn duration(&mut self, field: &str, value: Duration, min: Duration) {
        self.duration_in(field, value, min..=DURATION_MAX);
    }

    pub(super) fn duration_in(&mut self, field: &str, value: Duration, range: RangeInclusive<Duration>) {
        if !range.contains(&value) {
            let range = range.start().as_millis()..=range.end().as_millis();
            let message = format!("{} ms is out of range: {} ms", value.as_millis(), span(&range));
            self.report(field, ProblemCode::OutOfRange, message);
        }
    }

    /// Reports what is wrong with a CEL expression.
    pub(super) fn expression<T>(&mut self, field: &str, compiled: Result<T, InvalidExpression>) {
        if let Err(error) = compiled {
            self.report(field, ProblemCode::InvalidExpression, error);
        }
    }

    pub(super) fn bytes(&mut self, field: &str, text: &str, range: RangeInclusive<usize>) {
        if !range.contains(&text.len()) {
            let message = format!("{} bytes are out of range: {} bytes", text.len(), span(&range));
            self.report(field, ProblemCode::InvalidLength, message);
        }
    }
}

fn few_or_many(found: usize, count: &RangeInclusive<usize>) -> &'static str {
    if found < *count.start() { "few" } else { "many" }
}

fn span<T: Display>(range: &RangeInclusive<T>) -> String {
    format!("use {} to {}", range.start(), range.end())
}

fn join(outer: &str, inner: &str) -> String {
    if outer.is_empty() { inner.to_owned() } else { format!("{outer}.{inner}") }
}
