//! What a suspended task run waits for, and what settles it.

use std::time::Duration;

use crate::id::{EventId, RunId, WaitId};
use crate::time::Timestamp;

/// Most waits that one task run may have: those that are open, and those that have settled and that
/// the guest has not been told of.
pub const OPEN_WAITS_MAX: usize = 10_000;

/// Most settled waits that one step is told of. They are part of the state of the run; what has settled
/// besides is in a backlog, so that the state stays small however many there are. (The tests of this
/// crate see backlogs with the few waits that they have.)
pub const SETTLED_MAX: usize = if cfg!(test) { 3 } else { 256 };

/// One open wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Chosen by the guest, unique among the open waits of its task run.
    pub id: WaitId,
    /// What settles it.
    pub condition: WaitCondition,
}

/// What settles a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitCondition {
    /// This time has come.
    Until(Timestamp),
    /// An event matches.
    Event {
        /// A key, or a pattern with `*`.
        key_pattern: String,
        /// CEL expression that must be true as well.
        filter: Option<String>,
        /// The latest event that came at most this long before the wait counts as well.
        look_back: Option<Duration>,
        /// What the filter asks for, if an index can find that: the wait is looked up, not evaluated.
        index: Option<FilterIndex>,
    },
    /// That run has ended.
    Run(RunId),
}

/// A filter of the form `path == value` as an index has it: `cel::Equality` as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterIndex {
    /// The field; never empty.
    pub path: String,
    /// What it must be.
    pub value: String,
}

/// A wait that has settled and that the guest has not been told of yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Which one.
    pub id: WaitId,
    /// What settled it.
    pub outcome: WaitOutcome,
}

/// What settled a wait. Payloads stay where they are; this names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitOutcome {
    /// Its time has come.
    Elapsed,
    /// This event matched.
    Event(EventId),
    /// This run has ended.
    Run(RunId),
}
