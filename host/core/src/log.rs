//! The log of a run, as far as the core has words for it.

/// How much a line of a log matters to its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every detail.
    Trace,
    /// For whoever looks for a mistake.
    Debug,
    /// What happens.
    Info,
    /// Something is odd.
    Warn,
    /// Something went wrong.
    Error,
}
