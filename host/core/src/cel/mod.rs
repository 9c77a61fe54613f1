//! Expressions of the Common Expression Language (CEL) that modules bring along: filters of events
//! and keys of limits. They see `input` and `metadata`, and filters see `key` as well.
//!
//! The parser is the `cel` crate's; its interpreter copies lists deeply, compiles a pattern at each
//! use and knows no bounds, so there is one here (`evaluate.rs`) that pays for each step and each byte
//! out of a budget. Semantics are those of the language, with two decisions of our own: numbers of
//! different types are compared without rounding, and the keys of a map come in order.

mod budget;
mod compile;
mod equality;
mod error;
mod evaluate;
mod expression;
mod functions;
mod node;
mod subject;
mod value;

pub use budget::{EVALUATION_BYTES_MAX, EVALUATION_STEPS_MAX};
pub use compile::EXPRESSION_BYTES_MAX;
pub use equality::{Equality, FieldPath, INDEXED_PATH_BYTES_MAX, INDEXED_VALUE_BYTES_MAX, IndexedValue};
pub use error::{EvaluationError, InvalidExpression};
pub use expression::{KeyExpression, LIMIT_KEY_BYTES_MAX, Predicate, check_condition};
pub use subject::Subject;

#[cfg(test)]
mod tests;
