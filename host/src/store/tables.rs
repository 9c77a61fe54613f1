//! Every table: its name in the file, its key and its row. A name once used is never used for
//! anything else; retired ones stay listed in `FORMAT.md`.

use std::marker::PhantomData;

use dormouse_core::id::{
    BaseDigest, CronId, CronName, EventId, ModuleDigest, RunId, ScheduledId, TaskIndex, Version, WaitId,
    WorkflowName,
};
use dormouse_core::run::{Run, RunSpec, Status, TaskError};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::Settled;
use dormouse_core::workflow::Json;
use redb::{TableDefinition, TableHandle};

use super::keys::Namespace;
use super::records::Counts;
use super::rows::{
    CronRow, Due, EventRow, EventWaitRow, HeldEnd, IdempotencyRow, JournalRow, ModuleRow, OpenRequests,
    ScheduledRow, ScheduledStatus, VersionRow, WaitRow, Work, WorkLine, WorkflowRow,
};

/// To the database every key and every row is just bytes.
pub(super) type RawTable = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// A table whose keys are `K` and whose rows are `V`. A row of `()` is empty: the key says it all.
pub(super) struct Table<K, V> {
    /// Its place in [`ALL`].
    pub(super) slot: usize,
    pub(super) name: &'static str,
    kinds: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<K, V> {}

macro_rules! tables {
    ($($(#[$doc:meta])* $constant:ident = $name:literal: $key:ty => $row:ty;)*) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "named after the constants")]
        enum Slot { $($constant),* }

        $(
            $(#[$doc])*
            pub(super) const $constant: Table<$key, $row> =
                Table { slot: Slot::$constant as usize, name: $name, kinds: PhantomData };
        )*

        /// All tables, each at its slot.
        pub(super) const ALL: &[RawTable] = &[$(TableDefinition::new($name)),*];
    };
}

tables! {
    /// What is said of the store itself.
    META = "meta": String => Vec<u8>;
    MODULES = "modules": ModuleDigest => ModuleRow;
    MODULE_BYTES = "module-bytes": ModuleDigest => Vec<u8>;
    /// What snapshots of the module are told apart from, as the runtime wrote it.
    BASE_IMAGES = "base-images": (ModuleDigest, BaseDigest) => Vec<u8>;
    WORKFLOWS = "workflows": (Namespace, WorkflowName) => WorkflowRow;
    VERSIONS = "versions": (Namespace, WorkflowName, Version) => VersionRow;
    /// What never changes of a run.
    RUN_SPECS = "run-specs": RunId => RunSpec;
    /// What changes of a run.
    RUN_STATES = "run-states": RunId => Run;
    RUNS_BY_STATUS = "runs-by-status": (Namespace, WorkflowName, Status, RunId) => ();
    RUN_COUNTS = "run-counts": (Namespace, WorkflowName) => Counts;
    /// Parent and child.
    RUN_CHILDREN = "run-children": (RunId, RunId) => ();
    /// A run, and another one that got it for an idempotency key as if it were its child.
    RUN_ADOPTIONS = "run-adoptions": (RunId, RunId) => ();
    /// A run, and until when an idempotency key stands for it.
    KEYED_RUNS = "keyed-runs": (RunId, Timestamp) => ();
    /// In parts, so that they fill the pages of the database; `parts.rs` says how.
    SNAPSHOTS = "snapshots": (RunId, TaskIndex, u8) => Vec<u8>;
    /// What steps asked for that have ended, by number, in the order in which it takes effect.
    OPEN_REQUESTS = "open-requests": (RunId, TaskIndex, u64) => OpenRequests;
    /// Ends of steps that wait for that.
    HELD_ENDS = "held-ends": (RunId, TaskIndex) => HeldEnd;
    /// Tasks that are held.
    HELD_TASKS = "held-tasks": (RunId, TaskIndex) => ();
    /// By their line, then by their time.
    TIMERS = "timers": Due => ();
    /// Waits for events of exactly one key.
    EVENT_WAITS = "event-waits": EventWaitKey => EventWaitRow;
    /// Waits for events whose key matches a pattern with `*`.
    EVENT_PATTERN_WAITS = "event-pattern-waits": EventPatternWaitKey => EventWaitRow;
    /// The waits of a task run that are open or in its backlog.
    WAITS = "waits": (RunId, TaskIndex, WaitId) => WaitRow;
    /// Waits of a task run that have settled and of which no step was told yet, in the order in which they
    /// did, besides those in the state of the run.
    BACKLOGS = "backlogs": (RunId, TaskIndex, u64) => Settled;
    /// Outputs and errors of tasks that are too large for the state of a run that goes on.
    TASK_OUTPUTS = "task-outputs": (RunId, TaskIndex) => Json;
    TASK_ERRORS = "task-errors": (RunId, TaskIndex) => TaskError;
    /// The run that is waited for, then who waits.
    RUN_WAITS = "run-waits": (RunId, RunId, TaskIndex, WaitId) => ();
    /// What was begun and is too much for one change set, in the order in which it was.
    WORK = "work": u64 => Work;
    /// The same of waits that look back: a task may have ten thousand of them.
    LOOK_BACKS = "look-backs": u64 => Work;
    /// The runs that a concurrency limit counts: the workflow, the position of the limit in its
    /// definition, the key, and the run, until that has ended. The row is the most that may run.
    CONCURRENCY = "concurrency": (Namespace, WorkflowName, u8, String, RunId) => u32;
    /// The entries that a run got with one commit, under the sequence number of the first of them.
    JOURNAL = "journal": (RunId, u64) => JournalRow;
    CRONS = "crons": CronId => CronRow;
    CRON_NAMES = "cron-names": (Namespace, WorkflowName, CronName) => CronId;
    /// Crons that an operator disabled and that the current version does not declare: if one comes that does, they stay so.
    DISABLED_CRONS = "disabled-crons": (Namespace, WorkflowName, CronName) => ();
    SCHEDULED = "scheduled": ScheduledId => ScheduledRow;
    SCHEDULED_BY_TIME = "scheduled-by-time": (ScheduledStatus, Timestamp, ScheduledId) => ();
    EVENTS = "events": EventId => EventRow;
    EVENTS_BY_KEY = "events-by-key": (Namespace, String, Timestamp, EventId) => ();
    /// The scope as text (the workflow's name, nothing for events), then the key.
    IDEMPOTENCY = "idempotency": (Namespace, String, String) => IdempotencyRow;
    IDEMPOTENCY_BY_EXPIRY = "idempotency-by-expiry": (Timestamp, Namespace, String, String) => ();
}

/// The event key that is waited for, the path and the value that the filter asks for (both empty if an
/// index cannot find that), and who waits.
pub(super) type EventWaitKey = (Namespace, String, String, String, RunId, TaskIndex, WaitId);

/// What the pattern begins with up to its first `*`, the pattern, and who waits.
pub(super) type EventPatternWaitKey = (Namespace, String, String, RunId, TaskIndex, WaitId);

/// Where the work of a line is left.
pub(super) fn work(line: WorkLine) -> Table<u64, Work> {
    match line {
        WorkLine::Work => WORK,
        WorkLine::LookBacks => LOOK_BACKS,
    }
}

/// The slot of the table with this name.
pub(super) fn slot(name: &str) -> Option<usize> {
    ALL.iter().position(|table| table.name() == name)
}
