//! What makes a definition valid: the ranges of `wit/types.wit`, and that its parts fit together
//! (`tasks.rs`). What types rule out, such as a malformed name, never gets here; CEL expressions
//! and JSON schemas are for those who evaluate them to check.

mod problems;
mod tasks;
mod workflow;

pub use problems::{Problem, ProblemCode};
pub use workflow::{validate_cron, validate_module};

/// Most workflows of a module, tasks of a workflow, crons and event subscriptions of each.
pub const ITEMS_MAX: usize = 64;

/// Most limits of one kind on one workflow or task.
pub const LIMITS_MAX: usize = 4;

/// Most conditions of one kind on one task.
pub const CONDITIONS_MAX: usize = 16;

/// Longest description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 16 << 10;

/// Longest name of a rate limit, in bytes.
pub const RATE_LIMIT_NAME_BYTES_MAX: usize = 256;

/// Most problems that are looked for: an author mends no more at once, and some, such as a time zone
/// that is not known, take milliseconds to find.
pub const PROBLEMS_MAX: usize = 100;

/// Most attempts after the first.
pub const RETRIES_MAX: u32 = 1000;

#[cfg(test)]
mod tests;
