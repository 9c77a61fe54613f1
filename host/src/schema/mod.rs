//! JSON schemas of inputs, draft 2020-12: compiled once, checked before an input is accepted.
//!
//! Schemas come from guests and inputs from anyone, and a few lines of schema can ask for more work
//! than there is time in the world. So this is a validator of our own, which pays for every step out of
//! a budget, keeps no tree of errors, and refuses at upload what would run out of the budget anyway. It
//! knows every keyword that asserts something except `$dynamicRef`; `format` and the keywords for contents
//! are annotations, as the draft has them.

mod budget;
mod check;
mod compile;
mod equal;
mod evaluated;
mod explain;
mod node;
mod number;
mod pattern;
mod resources;
mod visits;

use dormouse_core::workflow::Json;

use budget::Budget;
use check::Check;
use node::Node;

/// A compiled JSON schema, draft 2020-12.
pub(crate) struct Schema(Vec<Node>);

impl Schema {
    /// Compiles it. References to other documents are errors: nothing is ever fetched.
    pub(crate) fn compile(schema: &Json) -> Result<Self, String> {
        compile::compile(schema).map(Self)
    }

    /// Whether the input fits; otherwise where it does not.
    pub(crate) fn check(&self, input: &Json) -> Result<(), String> {
        let value = input.value().map_err(|error| error.to_string())?;
        match Check::new(&self.0, Budget::of_check()).fits(&value) {
            Ok(true) => Ok(()),
            Ok(false) => Err(explain::explain(&self.0, &value)),
            Err(fault) => Err(fault.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
