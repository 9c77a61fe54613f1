//! Regular expressions of `matches`: compiled with the expression, bounded in size, and matched in
//! time linear in the text.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

use super::budget::Budget;
use super::error::{Fault, shortened};

/// Largest compiled form of a pattern, in bytes: room for some classes of Unicode, such as `\w`, of which
/// each takes up to 60 KiB.
const COMPILED_BYTES_MAX: usize = 256 << 10;

/// Largest cache of a lazily built automaton, in bytes: it stays in memory with the expression.
const CACHE_BYTES_MAX: usize = 64 << 10;

/// How many positions of a pattern can be held against a byte of a text in the time of one step.
const POSITIONS_PER_STEP: usize = 4;

/// A pattern and what a byte of a text costs at worst.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// In how many places of the pattern a match can be at once.
    positions: usize,
}

impl Pattern {
    /// Compiles it; the error says how to mend it.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        let name = || shortened(text);
        let parsed = regex_syntax::Parser::new().parse(text);
        let parsed = parsed.map_err(|error| format!("the pattern `{}` cannot be read: {error}", name()))?;
        let positions = positions(&parsed);
        let limited =
            RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(CACHE_BYTES_MAX).build();
        match limited {
            Ok(regex) => Ok(Self { regex, positions }),
            Err(regex::Error::CompiledTooBig(_)) => Err(format!(
                "the pattern `{}` is too large: use fewer and shorter repetitions such as `{{0,40}}`, and \
                 `[a-z]` or `(?-u:\\w)` for classes of Unicode such as `\\w` and `\\pL`",
                name()
            )),
            Err(error) => Err(format!("the pattern `{}` cannot be read: {error}", name())),
        }
    }

    pub(super) fn matches(&self, text: &str, budget: &mut Budget) -> Result<bool, Fault> {
        budget.take_steps(text.len().saturating_mul(self.positions) / POSITIONS_PER_STEP)?;
        Ok(self.regex.is_match(text))
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
