//! One row of each kind, with something in every field.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use dormouse_core::id::*;
use dormouse_core::log::LogLevel;
use dormouse_core::new_run::Target;
use dormouse_core::request::*;
use dormouse_core::run::*;
use dormouse_core::time::Timestamp;
use dormouse_core::wait::*;
use dormouse_core::workflow::*;

use crate::store::Store;
use crate::store::db::Files;
use crate::store::records::Counts;
use crate::store::rows::*;
use crate::store::space::Space;

pub(super) const CACHE_BYTES: usize = 1 << 20;

/// No checkpoint comes by itself.
pub(super) const CHECKPOINT_BYTES: usize = usize::MAX;

/// A store in memory.
pub(super) fn store() -> Store {
    store_with(plenty(), CHECKPOINT_BYTES)
}

/// One on a disk with so much room.
pub(super) fn store_with(space: Space, checkpoint_bytes: usize) -> Store {
    let memory = redb::backends::InMemoryBackend::new;
    let files = Files { database: memory(), logs: [Box::new(memory()), Box::new(memory())], space };
    Store::with_files(files, "memory".as_ref(), CACHE_BYTES, checkpoint_bytes, at(0)).unwrap()
}

pub(super) fn plenty() -> Space {
    Space::Said(Arc::new(AtomicU64::new(u64::MAX)))
}

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

pub(super) fn run_id(n: u8) -> RunId {
    RunId::new(at(n.into()), [n; 10])
}

pub(super) fn event_id(n: u8) -> EventId {
    EventId::new(at(n.into()), [n; 10])
}

pub(super) fn cron_id(n: u8) -> CronId {
    CronId::new(at(n.into()), [n; 10])
}

pub(super) fn scheduled_id(n: u8) -> ScheduledId {
    ScheduledId::new(at(n.into()), [n; 10])
}

pub(super) fn digest(n: u8) -> ModuleDigest {
    ModuleDigest::from_bytes([n; 32])
}

pub(super) fn workflow_name(text: &str) -> WorkflowName {
    text.parse().unwrap()
}

pub(super) fn cron_name(text: &str) -> CronName {
    text.parse().unwrap()
}

pub(super) fn metadata() -> Metadata {
    Metadata::new([("team".to_owned(), "blue".to_owned())])
}

pub(super) fn module() -> ModuleRow {
    ModuleRow {
        digest: digest(1),
        size_bytes: 70_000,
        uploaded_at: at(5),
        workflows: vec![(workflow_name("mail"), Version(3))],
        imports: vec!["wasi:http/types@0.2.0".to_owned()],
        warnings: vec!["large".to_owned()],
    }
}

pub(super) fn workflow() -> WorkflowRow {
    WorkflowRow {
        name: workflow_name("mail"),
        current: Some(Version(3)),
        latest: Version(300),
        paused: true,
        created_at: at(1),
        updated_at: at(2),
    }
}

pub(super) fn cron_spec() -> CronSpec {
    CronSpec {
        expression: "0 9 * * MON".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        input: Json::trusted("{}"),
        metadata: metadata(),
        priority: Priority::new(2),
        catch_up: CatchUp::All { window: Duration::from_secs(60) },
        overlap: Overlap::CancelRunning,
    }
}

fn concurrency() -> Concurrency {
    Concurrency {
        key: Some("input.user".to_owned()),
        max_runs: 5,
        strategy: ConcurrencyStrategy::CancelNewest,
    }
}

pub(super) fn version() -> VersionRow {
    VersionRow {
        version: Version(3),
        module: digest(1),
        created_at: at(5),
        definition: Workflow {
            name: workflow_name("mail"),
            description: "Sends mail.".to_owned(),
            crons: vec![DeclaredCron { name: cron_name("daily"), spec: cron_spec() }],
            events: vec![EventSubscription {
                key_pattern: "user.*".to_owned(),
                filter: Some("true".to_owned()),
            }],
            tasks: vec![Task {
                name: "send".parse().unwrap(),
                description: "Sends one.".to_owned(),
                parents: vec![TaskIndex(1)],
                retries: 3,
                backoff: Backoff::default(),
                execution_timeout: Duration::from_millis(1500),
                schedule_timeout: Some(Duration::from_secs(9)),
                memory_bytes_max: Some(1 << 20),
                concurrency: vec![concurrency()],
                rate_limits: vec![RateLimit {
                    key: RateLimitKey::Dynamic("input.host".to_owned()),
                    units: 1,
                    limit: 10,
                    window: Duration::from_secs(1),
                }],
                skip_if: vec!["false".to_owned()],
                cancel_if: vec!["1 > 2".to_owned()],
            }],
            on_failure: Some(TaskIndex(0)),
            input_schema: Some(Json::trusted("true")),
            output_schema: Some(Json::trusted("false")),
            concurrency: vec![concurrency()],
            default_priority: Priority::DEFAULT,
        },
    }
}

pub(super) fn spec(n: u8) -> RunSpec {
    RunSpec {
        id: run_id(n),
        workflow: workflow_name("mail"),
        version: Version(3),
        module: digest(1),
        input: Json::trusted(r#"{"to":"a"}"#),
        metadata: metadata(),
        priority: Priority::DEFAULT,
        trigger: Trigger::Cron { id: cron_id(1), nominal: at(0) },
        parent: Some(run_id(0)),
        detached: true,
        created_at: at(n.into()),
    }
}

pub(super) fn run() -> Run {
    Run {
        status: Status::Sleeping,
        reason: Some(Reason::Requested),
        tasks: vec![TaskRun {
            status: Status::Sleeping,
            reason: Some(Reason::Error),
            attempt: 2,
            epoch: 7,
            lost_hosts: 1,
            repeated: true,
            held: 2,
            ran: Duration::from_micros(1234),
            has_snapshot: true,
            open_waits: 3,
            settled: vec![
                Settled { id: WaitId(4), outcome: WaitOutcome::Elapsed },
                Settled { id: WaitId(5), outcome: WaitOutcome::Event(event_id(1)) },
                Settled { id: WaitId(6), outcome: WaitOutcome::Run(run_id(8)) },
            ],
            backlog: 300,
            backlog_next: 301,
            queued_at: Some(at(1)),
            retry_at: Some(at(3)),
            schedule_deadline: Some(at(2)),
            started_at: Some(at(3)),
            finished_at: Some(at(4)),
            output: Some(Part::Here(Json::trusted("1"))),
            error: Some(Part::Here(task_error())),
        }],
        started_at: Some(at(3)),
        finished_at: Some(at(4)),
    }
}

pub(super) fn task_error() -> TaskError {
    TaskError { message: "no".to_owned(), details: Some(Json::trusted("[]")) }
}

pub(super) fn run_row(n: u8) -> RunRow {
    RunRow { spec: spec(n), run: run(), waits: Vec::new() }
}

/// What waits are open for.
pub(super) fn conditions() -> [WaitCondition; 4] {
    let event = |key_pattern: &str, index| WaitCondition::Event {
        key_pattern: key_pattern.to_owned(),
        filter: None,
        look_back: Some(Duration::from_secs(2)),
        index,
    };
    let index = FilterIndex { path: "input[\"x\"]".to_owned(), value: "n5".to_owned() };
    let until = WaitCondition::Until(at(60_000));
    [until, event("a.*", None), event("a.b", Some(index)), WaitCondition::Run(run_id(9))]
}

pub(super) fn transition() -> JournalEntry {
    JournalEntry::Transition(Transition {
        at: at(7),
        task: TaskIndex(0),
        attempt: 1,
        status: Status::Failed,
        reason: Some(Reason::Trap),
        run: Status::Failed,
    })
}

pub(super) fn log_line() -> JournalEntry {
    JournalEntry::Log(LogLine {
        at: at(8),
        task: TaskIndex(1),
        attempt: 2,
        level: LogLevel::Warn,
        repeated: true,
        message: "careful".to_owned(),
    })
}

pub(super) fn chunk() -> JournalEntry {
    JournalEntry::Chunk { at: at(9), task: TaskIndex(2), text: "to".to_owned() }
}

pub(super) fn journal_row() -> JournalRow {
    let entries = (0..).zip([transition(), log_line(), chunk()]).collect();
    JournalRow { entries, ..JournalRow::default() }
}

/// The second of its entries and the three before the last are gone.
pub(super) fn trimmed_journal_row() -> JournalRow {
    let edge = |sequence, passed| JournalEdge { sequence, passed };
    JournalRow {
        before: JournalSize { transitions: 2000, output: 90_000 },
        edges: JournalEdges { transitions: edge(600, 512), output: edge(700, 70_000) },
        entries: vec![(0, transition()), (2, transition()), (6, log_line())],
    }
}

pub(super) fn counts() -> Counts {
    Counts { by_status: [1, 2, 3, 4, 5, 6, 700], live: [(Version(1), 7), (Version(9), 1)].into() }
}

pub(super) fn event_wait() -> EventWaitRow {
    EventWaitRow {
        key_pattern: "user.created".to_owned(),
        index: Some(FilterIndex { path: "input[\"x\"]".to_owned(), value: "n5".to_owned() }),
        run: run_id(1),
        task: TaskIndex(2),
        wait: WaitId(3),
        filter: Some("input.x == 5".to_owned()),
        since: at(0),
        settled_by: Some((event_id(1), at(1))),
    }
}

pub(super) fn cron() -> CronRow {
    CronRow {
        id: cron_id(1),
        workflow: workflow_name("mail"),
        name: cron_name("daily"),
        declared: true,
        spec: cron_spec(),
        enabled: true,
        seen_until: at(60),
        next_run_at: Some(at(100)),
        last_run_at: Some(at(50)),
        last_run: Some(run_id(1)),
        unfinished: vec![run_id(1)],
        held: vec![at(7)],
        created_at: at(1),
        updated_at: at(2),
    }
}

pub(super) fn scheduled(n: u8) -> ScheduledRow {
    ScheduledRow {
        id: scheduled_id(n),
        workflow: workflow_name("mail"),
        trigger_at: at(100),
        status: ScheduledStatus::Fired,
        run: Some(run_id(2)),
        made_by: Some(run_id(3)),
        input: Json::null(),
        metadata: metadata(),
        priority: Priority::new(3),
        created_at: at(1),
        updated_at: at(2),
    }
}

pub(super) fn event(n: u8) -> EventRow {
    EventRow {
        id: event_id(n),
        key: "user.created".to_owned(),
        payload: Json::trusted("7"),
        metadata: metadata(),
        priority: Priority::new(3),
        pushed_at: at(n.into()),
        runs: vec![(run_id(1), workflow_name("mail"))],
        settled_waits: 2,
    }
}

pub(super) fn idempotency() -> IdempotencyRow {
    IdempotencyRow { id: run_id(1).to_bytes(), expires_at: at(1000) }
}

pub(super) fn open_requests() -> OpenRequests {
    let spawn = Spawn {
        id: run_id(2),
        target: Target { workflow: workflow_name("mail"), version: Version(3), module: digest(1) },
        input: Json::trusted("1"),
        metadata: metadata(),
        priority: Priority::new(2),
        detached: true,
        idempotency: Some(("k".to_owned(), Duration::from_secs(60))),
    };
    let push = Push {
        id: event_id(1),
        key: "a.b".to_owned(),
        payload: Json::trusted("2"),
        metadata: metadata(),
        priority: None,
    };
    let schedule = Schedule {
        id: scheduled_id(1),
        workflow: workflow_name("mail"),
        trigger_at: at(3),
        input: Json::trusted("3"),
        metadata: Metadata::default(),
        priority: Priority::new(1),
    };
    let (spawns, events, schedules) = (vec![spawn], vec![push], vec![schedule]);
    OpenRequests { at: at(5), requests: Requests { spawns, events, schedules, ..Requests::default() } }
}

pub(super) fn held_end() -> HeldEnd {
    let (ran, output) = (Duration::from_millis(6), Json::trusted("[]"));
    HeldEnd { lease: Lease { attempt: 1, epoch: 4 }, ran, output }
}
