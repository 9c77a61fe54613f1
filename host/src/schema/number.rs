//! Numbers of schemas and inputs, compared as the numbers that they are.

use std::cmp::Ordering;
use std::fmt;

/// A number: an integer where it is one and not too large for that, however it is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Integer(i128),
    Double(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => integer.fmt(f),
            Self::Double(double) => double.fmt(f),
        }
    }
}

/// The largest power of ten that is multiplied by to make two decimals whole.
const EXPONENT_MAX: u32 = 36;

impl Number {
    pub(super) fn of(number: &serde_json::Number) -> Self {
        if let Some(integer) = number.as_i128() {
            return Self::Integer(integer);
        }
        match number.as_f64().unwrap_or(f64::NAN) {
            // Integers of JSON end here, and all doubles below have an exact integer.
            #[expect(clippy::cast_possible_truncation, reason = "the number is whole and in range")]
            double if double.fract() == 0.0 && double.abs() < 2e19 => Self::Integer(double as i128),
            double => Self::Double(double),
        }
    }

    pub(super) fn is_integer(self) -> bool {
        match self {
            Self::Integer(_) => true,
            Self::Double(double) => double.fract() == 0.0,
        }
    }

    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(&b),
            // One of them has a fraction or is far larger than the other can be: rounding is harmless.
            (a, b) => a.to_f64().total_cmp(&b.to_f64()),
        }
    }

    /// Whether it is a multiple of a positive number, as decimals: 0.3 is one of 0.1.
    pub(super) fn is_multiple_of(self, divisor: Self) -> bool {
        if let (Self::Integer(a), Self::Integer(b)) = (self, divisor) {
            return a.checked_rem(b) == Some(0);
        }
        match (self.decimal(), divisor.decimal()) {
            (Some(a), Some(b)) => is_multiple(a, b),
            _ => (self.to_f64() / divisor.to_f64()).fract() == 0.0,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "for comparisons with doubles, where it is harmless")]
    fn to_f64(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Double(double) => double,
        }
    }

    /// Digits and a power of ten.
    fn decimal(self) -> Option<(i128, i32)> {
        let double = match self {
            Self::Integer(integer) => return Some((integer, 0)),
            Self::Double(double) => double,
        };
        let text = format!("{double:e}");
        let (digits, exponent) = text.split_once('e')?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let shift = i32::try_from(fraction.len()).ok()?;
        Some((format!("{whole}{fraction}").parse().ok()?, exponent.parse::<i32>().ok()? - shift))
    }
}

fn is_multiple((a, a_exponent): (i128, i32), (b, b_exponent): (i128, i32)) -> bool {
    let scaled = |digits: i128, by: u32| {
        (by <= EXPONENT_MAX).then(|| 10_i128.checked_pow(by)?.checked_mul(digits)).flatten()
    };
    let difference = a_exponent.saturating_sub(b_exponent);
    match (scaled(a, difference.max(0).unsigned_abs()), scaled(b, difference.min(0).unsigned_abs())) {
        (Some(a), Some(b)) => a.checked_rem(b) == Some(0),
        // A huge power of ten times anything, or something tiny: a multiple only if the divisor is the tiny one.
        _ => a == 0 || difference > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::of(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn multiples_are_those_of_decimals() {
        for (a, b, expected) in [
            ("0.3", "0.1", true),
            ("0.35", "0.1", false),
            ("4", "2", true),
            ("5", "2", false),
            ("-6", "3", true),
            ("4.5", "1.5", true),
            ("1e300", "1", true),
            ("1e-300", "1", false),
            ("0", "0.7", true),
            ("19.99", "0.01", true),
            ("1e308", "0.5", true),
        ] {
            assert_eq!(number(a).is_multiple_of(number(b)), expected, "{a} of {b}");
        }
    }

    #[test]
    fn an_integer_is_one_however_it_is_written() {
        assert!(number("1.0").is_integer() && number("1e300").is_integer() && !number("1.5").is_integer());
        assert!(number("9007199254740993").compare(number("9007199254740992.0")).is_gt());
        assert!(number("1.0").compare(number("1")).is_eq());
        assert!(number("-0.0").compare(number("0")).is_eq());
    }
}
