//! What an expression is about.

use super::error::Fault;
use super::node::Variable;
use super::value::{ReadValue, Value};
use crate::workflow::{Json, Metadata};

/// What an expression is about, parsed once for all expressions that look at it. It takes up to about
/// twenty times the memory of the text of the input.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The value, or why there is none: an older host took in what nobody can read.
    input: Result<Value, Fault>,
    metadata: Value,
    key: Value,
}

impl Subject {
    /// What a run is about.
    #[must_use]
    pub fn of_run(input: &Json, metadata: &Metadata) -> Self {
        Self::of_event("", input, metadata)
    }

    /// What an event is about.
    #[must_use]
    pub fn of_event(key: &str, payload: &Json, metadata: &Metadata) -> Self {
        let input = payload.read(ReadValue);
        let pairs = metadata.iter().map(|(name, value)| (Value::text(name), Value::text(value)));
        Self {
            input: input.map_err(|error| Fault::NoValue(format!("the input cannot be read: {error}"))),
            metadata: Value::map(pairs.collect()),
            key: Value::text(key),
        }
    }

    pub(super) fn variable(&self, variable: Variable) -> Result<Value, Fault> {
        match variable {
            Variable::Input => self.input.clone(),
            Variable::Metadata => Ok(self.metadata.clone()),
            Variable::Key => Ok(self.key.clone()),
            Variable::Parents => Fault::no_value("there are no `parents`"),
        }
    }
}
