//! Filters and keys: expressions whose value is a `bool` or a text.

use std::sync::Arc;

use super::compile::compile;
use super::error::{EvaluationError, Fault, InvalidExpression};
use super::evaluate::Evaluation;
use super::functions::text_of;
use super::node::{Node, Variable};
use super::subject::Subject;
use super::value::Value;

/// Longest key, in bytes.
pub const LIMIT_KEY_BYTES_MAX: usize = 256;

/// A condition over `input`, `metadata` and `key`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Predicate(Arc<Expression>);

/// A text over `input` and `metadata`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct KeyExpression(Arc<Expression>);

impl Predicate {
    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it, and where.
    pub fn compile(text: &str) -> Result<Self, InvalidExpression> {
        let variables = &[Variable::Input, Variable::Metadata, Variable::Key];
        Expression::compile(text, variables).map(|expression| Self(Arc::new(expression)))
    }

    /// Whether it holds.
    ///
    /// # Errors
    ///
    /// When it has no value, as of a field that is not there, or one that is not a `bool`; and when it
    /// takes more than its budget.
    pub fn holds(&self, subject: &Subject) -> Result<bool, EvaluationError> {
        match self.0.evaluate(subject)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(self.0.error(format!("it is {}, not a bool", other.kind()))),
        }
    }

    pub(super) fn root(&self) -> &Node {
        &self.0.root
    }

    /// How many steps an evaluation takes.
    #[cfg(test)]
    pub(super) fn steps(&self, subject: &Subject) -> u32 {
        let variable = |variable| subject.variable(variable);
        let mut evaluation = Evaluation::new(&variable);
        drop(evaluation.value(&self.0.root));
        evaluation.steps_taken()
    }
}

/// Checks a condition of a task, which sees the outputs of its parents as well.
///
/// # Errors
///
/// Says what is wrong with it, and where.
pub fn check_condition(text: &str) -> Result<(), InvalidExpression> {
    let variables = &[Variable::Input, Variable::Metadata, Variable::Parents];
    Expression::compile(text, variables).map(drop)
}

impl KeyExpression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it, and where.
    pub fn compile(text: &str) -> Result<Self, InvalidExpression> {
        let variables = &[Variable::Input, Variable::Metadata];
        Expression::compile(text, variables).map(|expression| Self(Arc::new(expression)))
    }

    /// The key: a string as it is, a number or a `bool` as text.
    ///
    /// # Errors
    ///
    /// When it has no value, as of a field that is not there, one of another type, or one longer
    /// than [`LIMIT_KEY_BYTES_MAX`]; and when it takes more than its budget.
    pub fn evaluate(&self, subject: &Subject) -> Result<String, EvaluationError> {
        let value = self.0.evaluate(subject)?;
        let too_long = |bytes| format!("it has {bytes} bytes, and at most {LIMIT_KEY_BYTES_MAX} are allowed");
        match (&value, text_of(&value)) {
            (_, Some(key)) if key.len() > LIMIT_KEY_BYTES_MAX => Err(self.0.error(too_long(key.len()))),
            (_, Some(key)) => Ok(key),
            (other, None) => Err(self.0.error(format!("it is {}, not a string", other.kind()))),
        }
    }
}

/// A compiled expression.
#[derive(Debug)]
struct Expression {
    text: String,
    root: Node,
}

impl Expression {
    fn compile(text: &str, variables: &[Variable]) -> Result<Self, InvalidExpression> {
        let root = compile(text, variables).map_err(|problem| InvalidExpression::new(text, problem))?;
        Ok(Self { text: text.to_owned(), root })
    }

    fn evaluate(&self, subject: &Subject) -> Result<Value, EvaluationError> {
        let variable = |variable| subject.variable(variable);
        let value = Evaluation::new(&variable).value(&self.root);
        value.map_err(|fault| EvaluationError::new(&self.text, fault))
    }

    fn error(&self, problem: String) -> EvaluationError {
        EvaluationError::new(&self.text, Fault::NoValue(problem))
    }
}
