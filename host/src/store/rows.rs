//! The rows that go in and out of the store, as the rest of the host sees them. How they are
//! written down is in `records.rs` and `FORMAT.md`.

use std::time::Duration;

use dormouse_core::id::{
    CronId, CronName, EventId, ModuleDigest, RunId, ScheduledId, TaskIndex, Version, WaitId, WorkflowName,
};
use dormouse_core::log::LogLevel;
use dormouse_core::request::Requests;
use dormouse_core::run::{Lease, Run, RunSpec, Status, TaskTimer, Transition};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{FilterIndex, Wait, WaitCondition};
use dormouse_core::workflow::{CronSpec, Json, Metadata, Priority, Workflow};

/// An uploaded module. Its bytes are a row of their own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModuleRow {
    pub(crate) digest: ModuleDigest,
    /// Of the component as it was uploaded.
    pub(crate) size_bytes: u64,
    pub(crate) uploaded_at: Timestamp,
    /// The workflows that it declares and the version that each of them became.
    pub(crate) workflows: Vec<(WorkflowName, Version)>,
    /// Names of the interfaces that it imports.
    pub(crate) imports: Vec<String>,
    /// What the upload had to say.
    pub(crate) warnings: Vec<String>,
}

/// A workflow by its name, whatever its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkflowRow {
    pub(crate) name: WorkflowName,
    /// What new runs take. `None` once the workflow is deleted.
    pub(crate) current: Option<Version>,
    /// The highest version number given so far.
    pub(crate) latest: Version,
    pub(crate) paused: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// What one module says of one workflow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VersionRow {
    pub(crate) version: Version,
    pub(crate) module: ModuleDigest,
    pub(crate) created_at: Timestamp,
    pub(crate) definition: Workflow,
}

/// A run: what it is and how far it has come, with its outputs and errors at hand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunRow {
    pub(crate) spec: RunSpec,
    pub(crate) run: Run,
    /// What its tasks wait for, at most [`WAITS_SHOWN_MAX`] of each.
    pub(crate) waits: Vec<(TaskIndex, Wait)>,
}

/// Most open waits of a task that are read with a run.
pub(crate) const WAITS_SHOWN_MAX: usize = 1_000;

/// Names a wait: the run, its task, and the id that the guest chose.
pub(crate) type WaitKey = (RunId, TaskIndex, WaitId);

/// A wait of a task run, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WaitRow {
    /// It is open. The filter of a wait for events is only where events find it.
    Open(WaitCondition),
    /// It has settled and is in the backlog of the task run, under this number.
    InBacklog(u64),
}

/// Where a run that has ended stands among those: by workflow, by status, then oldest first.
pub(crate) type EndedRun = (WorkflowName, Status, RunId);

/// Where a scheduled run that fired or was cancelled stands among those: by status, then by the time
/// that it was scheduled for.
pub(crate) type EndedScheduled = (ScheduledStatus, Timestamp, ScheduledId);

/// Something that is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// A wait of a task run settles: its time has come.
    Wait { run: RunId, task: TaskIndex, wait: WaitId },
    /// A timer of a task run rings.
    Task { run: RunId, task: TaskIndex, timer: TaskTimer },
    /// A cron fires.
    Cron(CronId),
    /// A scheduled run fires.
    Scheduled(ScheduledId),
    /// A task run has its turn to hear of the event that has settled one of its waits.
    Event { run: RunId, task: TaskIndex, wait: WaitId },
}

impl Timer {
    /// The line that it stands in.
    pub(crate) fn line(&self) -> TimerLine {
        match self {
            Self::Wait { .. } => TimerLine::Waits,
            Self::Task { .. } => TimerLine::Tasks,
            Self::Cron(_) => TimerLine::Crons,
            Self::Scheduled(_) => TimerLine::Scheduled,
            Self::Event { .. } => TimerLine::Events,
        }
    }
}

/// A timer with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Due {
    pub(crate) at: Timestamp,
    pub(crate) timer: Timer,
}

/// Timers of one kind, which stand in a line of their own: a flood in one line holds up no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TimerLine {
    /// Sleepers.
    Waits,
    /// Retries and schedule timeouts.
    Tasks,
    Crons,
    Scheduled,
    /// Tasks that are to be told of an event.
    Events,
}

impl TimerLine {
    /// All of them, in the order of their codes in the store.
    pub(crate) const ALL: [Self; 5] = [Self::Waits, Self::Tasks, Self::Crons, Self::Scheduled, Self::Events];
}

/// An open wait of a task run for events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventWaitRow {
    pub(crate) key_pattern: String,
    /// What the filter asks for, if an index can find that. Of waits for exactly one key only.
    pub(crate) index: Option<FilterIndex>,
    pub(crate) run: RunId,
    pub(crate) task: TaskIndex,
    pub(crate) wait: WaitId,
    pub(crate) filter: Option<String>,
    /// When it was opened. An event that was pushed earlier and is still being matched does not settle
    /// it.
    pub(crate) since: Timestamp,
    /// The event that has settled it, and the time of the timer at which the task is told, if that is
    /// still to come. No other event matches it any more.
    pub(crate) settled_by: Option<(EventId, Timestamp)>,
}

/// An open wait of a task run for the end of another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunWaitRow {
    /// The run whose end is waited for.
    pub(crate) awaited: RunId,
    pub(crate) run: RunId,
    pub(crate) task: TaskIndex,
    pub(crate) wait: WaitId,
}

/// Something that was begun and is too much for one change set: what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Tasks wait for a run that has ended, and are to be told.
    TellWaiters { awaited: RunId },
    /// A run was cancelled, and so are its children that are not detached, made later than `after`.
    CancelChildren { parent: RunId, after: Option<RunId> },
    /// A workflow was deleted, and so are scheduled runs of it that were made before.
    CancelScheduled {
        workflow: WorkflowName,
        made_before: Timestamp,
        after: Option<(Timestamp, ScheduledId)>,
    },
    /// An event is to be held against the waits behind the cursor.
    MatchEvent { event: EventId, cursor: WaitCursor },
    /// A wait is to look back further.
    LookBack(LookBack),
    /// The oldest runs under a concurrency limit are to be cancelled, of those that were there before a run which
    /// wants room, until only so many are left.
    MakeRoom { workflow: WorkflowName, index: u8, key: String, room: u32, made_before: RunId },
    /// An event is to start the runs of the subscriptions that come after this one.
    StartSubscribers { event: EventId, after: Option<SubscriptionPlace> },
    /// The host has just started: held tasks that come after this one are to be tried again.
    TryHeld { after: Option<(RunId, TaskIndex)> },
}

/// Where a subscription stands among those that an event is held against. The order of the fields is theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriptionPlace {
    /// Behind those to the very key of the event come those to patterns.
    pub(crate) is_pattern: bool,
    pub(crate) workflow: WorkflowName,
    /// Which of the workflow's, from 0.
    pub(crate) position: u32,
}

/// Things that are left take turns within their line, and the lines do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkLine {
    Work,
    LookBacks,
}

impl WorkLine {
    /// All of them, each at the place of its number.
    pub(crate) const ALL: [Self; 2] = [Self::Work, Self::LookBacks];
}

impl Work {
    /// Where it is left.
    pub(crate) fn line(&self) -> WorkLine {
        match self {
            Self::LookBack(_) => WorkLine::LookBacks,
            _ => WorkLine::Work,
        }
    }
}

/// Some of what a step asked for that ended, and that has not taken effect.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenRequests {
    /// When the step ended.
    pub(crate) at: Timestamp,
    /// Without chunks of the stream.
    pub(crate) requests: Requests,
}

/// The end of a step that completed its task, of which the run hears when all that the step asked for has
/// taken effect.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeldEnd {
    pub(crate) lease: Lease,
    /// How long the step really ran.
    pub(crate) ran: Duration,
    pub(crate) output: Json,
}

/// How far a wait has looked back for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LookBack {
    pub(crate) run: RunId,
    pub(crate) task: TaskIndex,
    pub(crate) wait: WaitId,
    /// Events that were pushed earlier do not count.
    pub(crate) since: Timestamp,
    /// The event that it has come to; it goes on before that.
    pub(crate) before: Option<EventId>,
    pub(crate) looked_at: u32,
}

/// How far an event has been held against the waits for events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WaitCursor {
    /// Waits for exactly its key, in the order of what their filters ask for.
    Exact(Behind),
    /// Waits for patterns that begin with so many bytes of its key.
    Pattern { prefix: u16, behind: Behind },
}

/// A place in a table of waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Before all rows.
    Nothing,
    /// Behind a row, whose key it is, as bytes.
    Row(Vec<u8>),
    /// Behind all rows of a path or of a pattern.
    Group(String),
}

/// A run that has not ended, under a concurrency limit of its workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConcurrencyRow {
    pub(crate) workflow: WorkflowName,
    /// The position of the limit in the definition.
    pub(crate) index: u8,
    pub(crate) key: String,
    pub(crate) run: RunId,
    /// How many runs the limit lets run at once.
    pub(crate) max_runs: u32,
}

/// One entry of a run's journal: its history, its log and its stream share one sequence, so that
/// a client can follow all three from any point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JournalEntry {
    Transition(Transition),
    Log(LogLine),
    /// Published by the guest.
    Chunk {
        at: Timestamp,
        task: TaskIndex,
        text: String,
    },
}

/// What is bounded of a run's journal, each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JournalKind {
    Transition,
    /// Log lines and chunks.
    Output,
}

/// How much a journal has got, whatever is kept of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct JournalSize {
    /// How many transitions.
    pub(crate) transitions: u64,
    /// Bytes of log lines and chunks.
    pub(crate) output: u64,
}

/// Up to where a journal was looked through for entries of one kind that are not kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct JournalEdge {
    /// The sequence number at which to go on.
    pub(crate) sequence: u64,
    /// How much of the kind lies before that.
    pub(crate) passed: u64,
}

/// Up to where a journal was trimmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct JournalEdges {
    pub(crate) transitions: JournalEdge,
    pub(crate) output: JournalEdge,
}

/// A row of a run's journal: entries that the run got with one commit, as far as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct JournalRow {
    /// What the journal had got before.
    pub(crate) before: JournalSize,
    /// Up to where the journal was trimmed when the row was written.
    pub(crate) edges: JournalEdges,
    /// In the order of their sequence numbers, with their distance from the number in the key.
    pub(crate) entries: Vec<(u32, JournalEntry)>,
}

impl JournalEntry {
    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        const FIXED: usize = 24;
        FIXED
            + match self {
                Self::Transition(_) => 0,
                Self::Log(line) => line.message.len(),
                Self::Chunk { text, .. } => text.len(),
            }
    }

    pub(crate) fn kind(&self) -> JournalKind {
        match self {
            Self::Transition(_) => JournalKind::Transition,
            Self::Log(_) | Self::Chunk { .. } => JournalKind::Output,
        }
    }
}

impl JournalSize {
    /// Output of one row counts for so many bytes at least: a run that logs a short line with each
    /// commit is bounded in rows as well.
    pub(crate) const ROW_BYTES_MIN: u64 = 512;

    pub(crate) fn of(self, kind: JournalKind) -> u64 {
        match kind {
            JournalKind::Transition => self.transitions,
            JournalKind::Output => self.output,
        }
    }

    /// With an entry more.
    pub(crate) fn add(&mut self, entry: &JournalEntry) {
        match entry.kind() {
            JournalKind::Transition => self.transitions = self.transitions.saturating_add(1),
            JournalKind::Output => self.output = self.output.saturating_add(entry.size() as u64),
        }
    }
}

impl JournalEdges {
    pub(crate) fn of(&mut self, kind: JournalKind) -> &mut JournalEdge {
        match kind {
            JournalKind::Transition => &mut self.transitions,
            JournalKind::Output => &mut self.output,
        }
    }
}

impl JournalRow {
    /// What the journal has got with this row, of a kind that nothing was taken out of.
    pub(crate) fn after(&self) -> JournalSize {
        let mut size = self.before;
        self.entries.iter().for_each(|(_, entry)| size.add(entry));
        if size.output > self.before.output {
            size.output = size.output.max(self.before.output.saturating_add(JournalSize::ROW_BYTES_MIN));
        }
        size
    }

    /// The sequence number after that of its last entry, of the row at `first`.
    pub(crate) fn next(&self, first: u64) -> u64 {
        let last = self.entries.last();
        last.map_or(first, |(distance, _)| first.saturating_add(u64::from(*distance)).saturating_add(1))
    }

    /// The entries with their sequence numbers, of the row at `first`.
    pub(crate) fn numbered(self, first: u64) -> impl Iterator<Item = (u64, JournalEntry)> {
        let entries = self.entries.into_iter();
        entries.map(move |(distance, entry)| (first.saturating_add(u64::from(distance)), entry))
    }
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) at: Timestamp,
    pub(crate) task: TaskIndex,
    pub(crate) attempt: u32,
    pub(crate) level: LogLevel,
    /// Whether the step that wrote it had run before and left nothing.
    pub(crate) repeated: bool,
    pub(crate) message: String,
}

/// A cron, declared or made over the API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CronRow {
    pub(crate) id: CronId,
    pub(crate) workflow: WorkflowName,
    pub(crate) name: CronName,
    /// Whether a module declares it; otherwise it was made over the API.
    pub(crate) declared: bool,
    pub(crate) spec: CronSpec,
    pub(crate) enabled: bool,
    /// All nominal times up to here are done with: each has fired, or was left out.
    pub(crate) seen_until: Timestamp,
    /// The first nominal time after that, which its timer is set to. `None` while it is disabled, when its workflow
    /// has no current version, or when this host cannot read its expression or its zone.
    pub(crate) next_run_at: Option<Timestamp>,
    pub(crate) last_run_at: Option<Timestamp>,
    pub(crate) last_run: Option<RunId>,
    /// Runs of the cron that have not ended, oldest first, those triggered by hand among them. With
    /// `Overlap::Allow`, where nothing depends on them, none.
    pub(crate) unfinished: Vec<RunId>,
    /// Nominal times that wait for those runs to end, oldest first (`Overlap::Queue`).
    pub(crate) held: Vec<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// One run at a set time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScheduledRow {
    pub(crate) id: ScheduledId,
    pub(crate) workflow: WorkflowName,
    pub(crate) trigger_at: Timestamp,
    pub(crate) status: ScheduledStatus,
    /// The run that it became.
    pub(crate) run: Option<RunId>,
    /// The run whose task made it; otherwise it was made over the API.
    pub(crate) made_by: Option<RunId>,
    pub(crate) input: Json,
    pub(crate) metadata: Metadata,
    pub(crate) priority: Option<Priority>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ScheduledStatus {
    Pending,
    Fired,
    Cancelled,
}

/// An event and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EventRow {
    pub(crate) id: EventId,
    pub(crate) key: String,
    pub(crate) payload: Json,
    pub(crate) metadata: Metadata,
    pub(crate) priority: Option<Priority>,
    pub(crate) pushed_at: Timestamp,
    /// The runs that it started.
    pub(crate) runs: Vec<(RunId, WorkflowName)>,
    /// How many waits it settled.
    pub(crate) settled_waits: u32,
}

/// What an idempotency key stands for, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdempotencyRow {
    /// A run or an event: the 16 bytes of its id.
    pub(crate) id: [u8; 16],
    pub(crate) expires_at: Timestamp,
}

/// In what an idempotency key is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdempotencyScope<'a> {
    /// Calls and spawns of one workflow.
    Runs(&'a WorkflowName),
    /// All events.
    Events,
}
