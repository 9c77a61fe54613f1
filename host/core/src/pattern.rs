//! Regular expressions that modules bring along, in filters and in schemas: bounded in size when they are
//! compiled, and matched in time linear in the text.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Largest compiled form of a pattern, in bytes: room for some classes of Unicode, such as `\w`, of which
/// each takes up to 60 KiB.
const COMPILED_BYTES_MAX: usize = 256 << 10;

/// Largest cache of a lazily built automaton, in bytes: it stays in memory with the pattern.
const CACHE_BYTES_MAX: usize = 64 << 10;

/// Most of a pattern that a message shows, in characters.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// A compiled pattern, which knows what a text costs at worst.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    /// In how many places of the pattern a match can be at once.
    positions: usize,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPattern {
    /// It is no regular expression, or one with look-around or back-references, which take more than
    /// linear time.
    #[error("the pattern `{pattern}` cannot be read: {problem}")]
    Malformed {
        /// The pattern, as far as a message can hold it.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It has too many places.
    #[error(
        "the pattern `{pattern}` is too large: use fewer and shorter repetitions such as `{{0,40}}`, and \
         `[a-z]` for classes of Unicode such as `\\w` and `\\pL`"
    )]
    TooLarge {
        /// The pattern, as far as a message can hold it.
        pattern: String,
    },
}

impl Pattern {
    /// Compiles a pattern, within bounds.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it, and how to mend it.
    pub fn compile(text: &str) -> Result<Self, InvalidPattern> {
        let malformed = |problem| InvalidPattern::Malformed { pattern: shortened(text), problem };
        let parsed = regex_syntax::Parser::new().parse(text).map_err(|error| malformed(error.to_string()))?;
        let limited =
            RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(CACHE_BYTES_MAX).build();
        match limited {
            Ok(regex) => Ok(Self { regex, positions: positions(&parsed) }),
            Err(regex::Error::CompiledTooBig(_)) => {
                Err(InvalidPattern::TooLarge { pattern: shortened(text) })
            }
            Err(error) => Err(malformed(error.to_string())),
        }
    }

    /// What matching a text takes at worst, in steps of about ten nanoseconds: for whoever has a budget to
    /// pay out of before.
    #[must_use]
    pub fn steps(&self, text: &str) -> usize {
        text.len().saturating_mul(self.positions)
    }

    /// Whether it matches a part of a text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// In how many places of a pattern a match can be at once: its characters and classes, repeated ones as
/// often as they may be repeated.
fn positions(pattern: &Hir) -> usize {
    match pattern.kind() {
        HirKind::Empty => 0,
        HirKind::Literal(literal) => literal.0.len(),
        // A character of more than one byte is in one of several places.
        HirKind::Class(Class::Unicode(class)) if !class.is_ascii() => 3,
        HirKind::Class(_) | HirKind::Look(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.max(1));
            positions(&repetition.sub).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => positions(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(positions).fold(1, usize::saturating_add)
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_costs_by_its_places() {
        for (pattern, positions) in
            [("abc", 3), ("[ab]{200}c", 202), ("a*", 1), ("(?:a?){60}", 60), (r"\w", 3)]
        {
            let compiled = Pattern::compile(pattern).unwrap();
            assert_eq!(compiled.steps("a"), positions, "{pattern}");
        }
    }

    #[test]
    fn what_takes_more_than_linear_time_or_much_room_is_refused() {
        for pattern in [r"(a)\1", "(?=a)", "("] {
            let error = Pattern::compile(pattern).unwrap_err();
            assert!(matches!(error, InvalidPattern::Malformed { .. }), "{error}");
        }
        for pattern in [r"\pL{0,40}b", "a{0,100000000}", "((a{0,100}){0,100}){0,100}"] {
            let error = Pattern::compile(pattern).unwrap_err();
            assert_eq!(error, InvalidPattern::TooLarge { pattern: pattern.to_owned() });
        }
    }
}
