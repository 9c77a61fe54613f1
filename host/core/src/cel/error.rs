//! Why a text is no expression, and why an expression has no value.

use super::budget::{EVALUATION_BYTES_MAX, EVALUATION_STEPS_MAX};

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}` is no valid CEL expression: {problem}")]
pub struct InvalidExpression {
    expression: String,
    problem: String,
}

impl InvalidExpression {
    pub(super) fn new(expression: &str, problem: String) -> Self {
        Self { expression: shortened(expression), problem }
    }
}

/// Why an expression has no value for some input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}` has no value: {problem}")]
pub struct EvaluationError {
    expression: String,
    problem: String,
    out_of_budget: bool,
}

impl EvaluationError {
    pub(super) fn new(expression: &str, fault: Fault) -> Self {
        let out_of_budget = !matches!(fault, Fault::NoValue(_));
        Self { expression: shortened(expression), problem: fault.to_string(), out_of_budget }
    }

    /// Whether the evaluation was ended for what it took of [`EVALUATION_STEPS_MAX`] or
    /// [`EVALUATION_BYTES_MAX`].
    #[must_use]
    pub fn is_out_of_budget(&self) -> bool {
        self.out_of_budget
    }
}

/// What ends an evaluation, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// A part has no value. `&&`, `||`, `all` and `exists` may have one all the same.
    #[error("{0}")]
    NoValue(String),
    /// Ends the whole evaluation.
    #[error(
        "it takes more than {EVALUATION_STEPS_MAX} steps for this input: look at fewer elements or shorter texts"
    )]
    OutOfSteps,
    /// Ends the whole evaluation.
    #[error("it makes lists and texts of more than {EVALUATION_BYTES_MAX} bytes for this input: join less")]
    OutOfBytes,
}

impl Fault {
    pub(super) fn no_value<T>(problem: impl Into<String>) -> Result<T, Self> {
        Err(Self::NoValue(problem.into()))
    }
}

/// The text, as far as a message can hold it.
pub(super) fn shortened(text: &str) -> String {
    const CHARACTERS: usize = 120;
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
