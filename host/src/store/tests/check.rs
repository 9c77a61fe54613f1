//! Damage of every kind is found and named, and what is sound is not.

use dormouse_core::id::{BaseDigest, RunId, TaskIndex, Version, WaitId};
use dormouse_core::run::{Part, Run, Status, TaskRun, Trigger};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{Settled, WaitCondition, WaitOutcome};
use dormouse_core::workflow::Json;

use super::samples::*;
use crate::store::check::{Problem, check};
use crate::store::keys::{Key, NAMESPACE};
use crate::store::rows::*;
use crate::store::source::{Order, Source, Span};
use crate::store::tables::Table;
use crate::store::{Read, Store, StoreError, WorkingSet, tables};

const TASK: TaskIndex = TaskIndex(0);

pub(super) fn problems(store: &Store) -> Vec<Problem> {
    let mut found = Vec::new();
    let any_bytes_are_a_snapshot =
        |bytes: &[u8], _| if bytes.is_empty() { Err("it is empty".to_owned()) } else { Ok(()) };
    check(&store.view(), any_bytes_are_a_snapshot, &mut |problem| found.push(problem)).unwrap();
    found
}

/// The wait ids of the sleeping run.
const UNTIL: WaitId = WaitId(1);
const EVENT: WaitId = WaitId(2);
const PATTERN: WaitId = WaitId(3);
const RUN: WaitId = WaitId(4);

/// What the run that is queued has in its backlog.
const SETTLED: Settled = Settled { id: WaitId(5), outcome: WaitOutcome::Elapsed };

fn sleeper() -> (RunRow, [(WaitId, WaitCondition); 4]) {
    let event = |key: &str| WaitCondition::Event {
        key_pattern: key.to_owned(),
        filter: None,
        look_back: None,
        index: None,
    };
    let waits = [
        (UNTIL, WaitCondition::Until(at(60_000))),
        (EVENT, event("a.b")),
        (PATTERN, event("a.*")),
        (RUN, WaitCondition::Run(run_id(2))),
    ];
    let mut row = sound_run(1, Status::Sleeping);
    row.run.tasks[0].has_snapshot = true;
    row.run.tasks[0].open_waits = waits.len();
    row.run.tasks[0].error = Some(Part::Elsewhere);
    (row, waits)
}

/// A run of one task that is in this status.
fn sound_run(n: u8, status: Status) -> RunRow {
    let mut run = Run::new(1);
    run.status = status;
    let queued_at = (status == Status::Queued).then(|| at(1));
    run.tasks[0] = TaskRun { status, attempt: 1, queued_at, ..TaskRun::default() };
    if status.is_final() {
        run.finished_at = Some(at(2));
        run.tasks[0].finished_at = Some(at(2));
    }
    let mut spec = spec(n);
    spec.parent = None;
    spec.trigger = Trigger::Call;
    RunRow { spec, run, waits: Vec::new() }
}

fn insert(tx: &mut WorkingSet, row: &RunRow) -> Result<(), StoreError> {
    tx.insert_run(&row.spec, &row.run)?;
    let JournalEntry::Transition(transition) = transition() else { unreachable!() };
    let entry = dormouse_core::run::Transition { run: row.run.status, ..transition };
    tx.append_journal(row.spec.id, JournalEntry::Transition(entry))?;
    Ok(())
}

/// A store with something in every table.
fn sound() -> Store {
    let store = store();
    let digest = digest_of_wasm();
    store
        .transact(|tx| -> Result<(), StoreError> {
            tx.put_module(&ModuleRow { digest, size_bytes: 4, ..module() }, b"wasm")?;
            tx.put_base_image(digest, BaseDigest::from_bytes([3; 32]), b"image");
            tx.put_workflow(&workflow())?;
            tx.put_version(&VersionRow { module: digest, ..version() })?;
            let (mut sleeping, waits) = sleeper();
            let mut child = sound_run(2, Status::Queued);
            child.run.tasks[0].backlog = 1;
            child.run.tasks[0].held = 1;
            child.run.tasks[0].error = Some(Part::Here(task_error()));
            child.run.tasks[0].output = Some(Part::Elsewhere);
            child.spec.parent = Some(run_id(1));
            let mut ended = sound_run(3, Status::Cancelled);
            for row in [&mut sleeping, &mut child, &mut ended] {
                row.spec.module = digest;
                insert(tx, row)?;
            }
            for (id, condition) in waits {
                tx.insert_open_wait((run_id(1), TASK, id), &condition)?;
            }
            tx.put(tables::TASK_ERRORS, (run_id(1), TASK), &task_error())?;
            tx.put_in_backlog((run_id(2), TASK), 0, SETTLED)?;
            tx.put(tables::TASK_OUTPUTS, (run_id(2), TASK), &Json::trusted("1"))?;
            tx.put_held_task(run_id(2), TASK)?;
            tx.put_snapshot(run_id(1), TASK, &[7; 9000])?;
            tx.put_timer(at(60_000), Timer::Wait { run: run_id(1), task: TASK, wait: UNTIL })?;
            for (key, wait) in [("a.b", EVENT), ("a.*", PATTERN)] {
                tx.put_event_wait(&EventWaitRow {
                    key_pattern: key.to_owned(),
                    index: None,
                    run: run_id(1),
                    task: TASK,
                    wait,
                    filter: None,
                    since: at(0),
                    settled_by: None,
                })?;
            }
            tx.put_work(&Work::CancelChildren { parent: run_id(3), after: None })?;
            let (run, task, wait) = (run_id(3), TASK, UNTIL);
            let look_back = LookBack { run, task, wait, since: at(0), before: None, looked_at: 0 };
            tx.put_work(&Work::LookBack(look_back))?;
            tx.put_open_requests((run_id(3), TASK, 0), &open_requests())?;
            tx.put_held_end(run_id(3), TASK, &held_end())?;
            tx.put_run_wait(RunWaitRow { awaited: run_id(2), run: run_id(1), task: TASK, wait: RUN })?;
            tx.put_concurrency(&place(2))?;
            tx.put_cron(&CronRow { last_run: Some(run_id(2)), unfinished: vec![run_id(2)], ..cron() })?;
            tx.put_timer(at(100), Timer::Cron(cron_id(1)))?;
            tx.put_scheduled(&ScheduledRow { run: Some(run_id(3)), ..scheduled(1) })?;
            tx.put_scheduled(&ScheduledRow { status: ScheduledStatus::Pending, run: None, ..scheduled(2) })?;
            tx.put_timer(at(100), Timer::Scheduled(scheduled_id(2)))?;
            tx.put_event(&event(1))?;
            tx.put_adoption(run_id(3), run_id(2))?;
            tx.put_disabled_cron(&workflow_name("mail"), &cron_name("gone"))?;
            tx.put_idempotency(
                IdempotencyScope::Events,
                "e",
                &IdempotencyRow { id: event_id(1).to_bytes(), expires_at: at(9) },
            )?;
            tx.put_idempotency(IdempotencyScope::Runs(&workflow_name("mail")), "r", &idempotency())
        })
        .unwrap();
    store
}

#[test]
fn a_sound_store_has_no_problems() {
    assert_eq!(problems(&sound()), []);
}

/// The place of a run under the first limit of its version.
fn place(run: u8) -> ConcurrencyRow {
    let limit = &version().definition.concurrency[0];
    let workflow = workflow_name("mail");
    ConcurrencyRow { workflow, index: 0, key: "k".to_owned(), run: run_id(run), max_runs: limit.max_runs }
}

type Damage = fn(&mut WorkingSet) -> Result<(), StoreError>;

fn lose<K: Key, V>(tx: &mut WorkingSet, table: Table<K, V>, key: K) -> Result<(), StoreError> {
    tx.delete(table, key);
    Ok(())
}

fn lose_timer(tx: &mut WorkingSet, at: Timestamp, timer: Timer) -> Result<(), StoreError> {
    lose(tx, tables::TIMERS, Due { at, timer })
}

fn overwrite<K: Key, V>(
    tx: &mut WorkingSet,
    table: Table<K, V>,
    key: K,
    row: &[u8],
) -> Result<(), StoreError> {
    tx.put_bytes(table, key, row);
    Ok(())
}

fn change_run(tx: &mut WorkingSet, id: RunId, change: impl FnOnce(&mut Run)) -> Result<(), StoreError> {
    let mut row = tx.run(id)?.unwrap();
    change(&mut row.run);
    tx.put(tables::RUN_STATES, id, &row.run)
}

fn change_spec(
    tx: &mut WorkingSet,
    id: RunId,
    change: impl FnOnce(&mut dormouse_core::run::RunSpec),
) -> Result<(), StoreError> {
    let mut row = tx.run(id)?.unwrap();
    change(&mut row.spec);
    tx.put(tables::RUN_SPECS, id, &row.spec)
}

/// What is done to a sound store, and the table and a part of what the check must say of it.
const DAMAGE: &[(Damage, &str, &str)] = &[
    (|tx| overwrite(tx, tables::RUN_STATES, run_id(2), &[9]), "run-states", "cannot be read"),
    (|tx| lose(tx, tables::MODULES, digest_of_wasm()), "module-bytes", "no row in `modules`"),
    (|tx| lose(tx, tables::MODULES, digest_of_wasm()), "base-images", "no row in `modules`"),
    (|tx| lose(tx, tables::MODULE_BYTES, digest_of_wasm()), "modules", "component is missing"),
    (|tx| lose(tx, tables::MODULE_BYTES, digest_of_wasm()), "run-specs", "its module"),
    (|tx| overwrite(tx, tables::MODULE_BYTES, digest_of_wasm(), b"mosh"), "module-bytes", "have the digest"),
    (|tx| overwrite(tx, tables::MODULE_BYTES, digest_of_wasm(), b"w"), "modules", "it says 4 bytes"),
    (
        |tx| lose(tx, tables::VERSIONS, (NAMESPACE, workflow_name("mail"), Version(3))),
        "modules",
        "version 3 of `mail`",
    ),
    (
        |tx| lose(tx, tables::VERSIONS, (NAMESPACE, workflow_name("mail"), Version(3))),
        "workflows",
        "current version 3 is missing",
    ),
    (
        |tx| lose(tx, tables::VERSIONS, (NAMESPACE, workflow_name("mail"), Version(3))),
        "run-specs",
        "version 3 of `mail` is missing",
    ),
    (|tx| tx.put_workflow(&WorkflowRow { latest: Version(2), ..workflow() }), "workflows", "2 is the latest"),
    (|tx| tx.put_workflow(&WorkflowRow { latest: Version(2), ..workflow() }), "versions", "go from 1 to 2"),
    (
        |tx| lose(tx, tables::WORKFLOWS, (NAMESPACE, workflow_name("mail"))),
        "versions",
        "its workflow is missing",
    ),
    (|tx| lose(tx, tables::WORKFLOWS, (NAMESPACE, workflow_name("mail"))), "crons", "deleted or not there"),
    (|tx| lose(tx, tables::RUN_STATES, run_id(2)), "run-specs", "no state"),
    (|tx| lose(tx, tables::RUN_SPECS, run_id(2)), "run-states", "no row in `run-specs`"),
    (|tx| change_spec(tx, run_id(2), |spec| spec.parent = None), "run-children", "another parent"),
    (|tx| change_spec(tx, run_id(2), |spec| spec.parent = Some(run_id(9))), "run-specs", "is missing"),
    (
        |tx| change_spec(tx, run_id(2), |spec| spec.module = digest(8)),
        "run-specs",
        "its version is of module",
    ),
    (|tx| lose(tx, tables::RUN_CHILDREN, (run_id(1), run_id(2))), "run-specs", "does not list it"),
    (|tx| tx.put(tables::RUN_CHILDREN, (run_id(1), run_id(9)), &()), "run-children", "child is not there"),
    (|tx| tx.put(tables::RUN_CHILDREN, (run_id(9), run_id(2)), &()), "run-children", "parent is not there"),
    (
        |tx| change_run(tx, run_id(2), |run| run.status = Status::Running),
        "run-states",
        "not what its tasks amount to",
    ),
    (
        |tx| change_run(tx, run_id(2), |run| run.tasks.push(TaskRun::default())),
        "run-states",
        "it has 2 tasks",
    ),
    (
        |tx| change_run(tx, run_id(2), |run| run.tasks[0].queued_at = None),
        "run-states",
        "start its next step",
    ),
    (
        |tx| change_run(tx, run_id(2), |run| run.tasks[0].schedule_deadline = Some(at(5))),
        "run-states",
        "(schedule timeout) is missing",
    ),
    (
        |tx| change_run(tx, run_id(2), |run| run.tasks[0].retry_at = Some(at(5))),
        "run-states",
        "(next attempt) is missing",
    ),
    (
        |tx| lose(tx, tables::RUNS_BY_STATUS, (NAMESPACE, workflow_name("mail"), Status::Queued, run_id(2))),
        "run-states",
        "does not list it as queued",
    ),
    (
        |tx| lose(tx, tables::RUNS_BY_STATUS, (NAMESPACE, workflow_name("mail"), Status::Queued, run_id(2))),
        "run-counts",
        "1 runs that are queued, and there are 0",
    ),
    (
        |tx| {
            tx.put(tables::RUNS_BY_STATUS, (NAMESPACE, workflow_name("mail"), Status::Failed, run_id(2)), &())
        },
        "runs-by-status",
        "the run is queued",
    ),
    (
        |tx| {
            tx.put(tables::RUNS_BY_STATUS, (NAMESPACE, workflow_name("post"), Status::Queued, run_id(2)), &())
        },
        "runs-by-status",
        "of workflow `mail`",
    ),
    (
        |tx| {
            tx.put(tables::RUNS_BY_STATUS, (NAMESPACE, workflow_name("post"), Status::Queued, run_id(2)), &())
        },
        "run-counts",
        "not counted",
    ),
    (
        |tx| {
            tx.count_live(&workflow_name("mail"), Version(3), 1);
            Ok(())
        },
        "run-counts",
        "it says 3: 3, and there are 3: 2",
    ),
    (|tx| tx.delete_snapshot(run_id(1), TASK).map(drop), "run-states", "snapshot is missing"),
    (|tx| lose(tx, tables::SNAPSHOTS, (run_id(1), TASK, 0_u8)), "snapshots", "part 0 is missing"),
    (|tx| tx.put_snapshot(run_id(2), TASK, b"x"), "snapshots", "no snapshot to go on from"),
    (|tx| tx.put_snapshot(run_id(9), TASK, b"x"), "snapshots", "a run that is not there"),
    (|tx| tx.put_snapshot(run_id(1), TASK, b""), "snapshots", "it is empty"),
    (|tx| lose(tx, tables::JOURNAL, (run_id(2), 0_u64)), "run-states", "it has no journal"),
    (|tx| tx.put(tables::JOURNAL, (run_id(2), 2_u64), &journal_row()), "journal", "entry 1 is missing"),
    (|tx| tx.append_journal(run_id(2), transition()).map(drop), "journal", "it ends with failed"),
    (|tx| tx.append_journal(run_id(9), transition()).map(drop), "journal", "a run that is not there"),
    (
        |tx| lose_timer(tx, at(60_000), Timer::Wait { run: run_id(1), task: TASK, wait: UNTIL }),
        "waits",
        "nothing would ever settle it",
    ),
    (
        |tx| tx.put_timer(at(1), Timer::Wait { run: run_id(1), task: TASK, wait: UNTIL }),
        "timers",
        "nothing waits",
    ),
    (
        |tx| {
            tx.put_timer(
                at(1),
                Timer::Task { run: run_id(1), task: TASK, timer: dormouse_core::run::TaskTimer::Retry },
            )
        },
        "timers",
        "nothing waits",
    ),
    (|tx| tx.put_timer(at(1), Timer::Cron(cron_id(1))), "timers", "nothing waits"),
    (|tx| tx.put_timer(at(1), Timer::Scheduled(scheduled_id(1))), "timers", "nothing waits"),
    (
        |tx| {
            lose(
                tx,
                tables::EVENT_WAITS,
                (NAMESPACE, "a.b".to_owned(), String::new(), String::new(), run_id(1), TASK, EVENT),
            )
        },
        "waits",
        "nothing would ever settle it",
    ),
    (
        |tx| {
            tx.put(
                tables::EVENT_WAITS,
                (NAMESPACE, "a.*".to_owned(), String::new(), String::new(), run_id(1), TASK, PATTERN),
                &event_wait(),
            )
        },
        "event-waits",
        "the other of the two",
    ),
    (
        |tx| tx.put_event_wait(&EventWaitRow { key_pattern: "b.*".to_owned(), ..event_wait() }),
        "event-pattern-waits",
        "no task has this wait",
    ),
    (
        |tx| {
            let row = tx.event_wait("a.b", None, (run_id(1), TASK, EVENT))?.unwrap();
            tx.put_event_wait(&EventWaitRow { settled_by: Some((event_id(1), at(7))), ..row })
        },
        "event-waits",
        "its timer of 2023-11-14T22:13:20.007Z is missing",
    ),
    (
        |tx| {
            let row = tx.event_wait("a.b", None, (run_id(1), TASK, EVENT))?.unwrap();
            tx.put_event_wait(&EventWaitRow { settled_by: Some((event_id(9), at(7))), ..row })
        },
        "event-waits",
        "which settled it, is not there",
    ),
    (
        |tx| tx.put_timer(at(7), Timer::Wait { run: run_id(1), task: TASK, wait: EVENT }),
        "timers",
        "nothing waits",
    ),
    (
        |tx| lose(tx, tables::RUN_WAITS, (run_id(2), run_id(1), TASK, RUN)),
        "waits",
        "nothing would ever settle it",
    ),
    (|tx| lose(tx, tables::WAITS, (run_id(1), TASK, RUN)), "run-waits", "no task has this wait"),
    (|tx| lose(tx, tables::WAITS, (run_id(1), TASK, RUN)), "run-states", "it has 3 open waits"),
    (
        |tx| tx.put(tables::WAITS, (run_id(3), TASK, RUN), &WaitRow::Open(WaitCondition::Until(at(60_000)))),
        "waits",
        "no task that goes on has this wait",
    ),
    (|tx| lose(tx, tables::BACKLOGS, (run_id(2), TASK, 0_u64)), "waits", "or its task hear of it"),
    (|tx| lose(tx, tables::WAITS, (run_id(2), TASK, SETTLED.id)), "backlogs", "does not lead to it"),
    (|tx| lose(tx, tables::TASK_ERRORS, (run_id(1), TASK)), "run-states", "its error is missing"),
    (|tx| lose(tx, tables::TASK_OUTPUTS, (run_id(2), TASK)), "run-states", "its output is missing"),
    (|tx| lose(tx, tables::HELD_TASKS, (run_id(2), TASK)), "run-states", "`held-tasks` does not list it"),
    (|tx| tx.put_held_task(run_id(1), TASK), "held-tasks", "no task run leads to it"),
    (|tx| tx.put_adoption(run_id(9), run_id(2)), "run-adoptions", "the run is not there"),
    (|tx| tx.put(tables::KEYED_RUNS, (run_id(9), at(9)), &()), "keyed-runs", "the run is not there"),
    (
        |tx| tx.put_disabled_cron(&workflow_name("none"), &cron_name("gone")),
        "disabled-crons",
        "the workflow is not there",
    ),
    (|tx| tx.put_disabled_cron(&cron().workflow, &cron().name), "disabled-crons", "the cron is there"),
    (
        |tx| tx.put(tables::TASK_ERRORS, (run_id(2), TASK), &task_error()),
        "task-errors",
        "no task run leads to it",
    ),
    (
        |tx| tx.put(tables::TASK_OUTPUTS, (run_id(9), TASK), &Json::trusted("1")),
        "task-outputs",
        "no task run leads to it",
    ),
    (|tx| tx.put(tables::RUN_WAITS, (run_id(3), run_id(1), TASK, RUN), &()), "run-waits", "has ended"),
    (|tx| tx.put(tables::RUN_WAITS, (run_id(9), run_id(1), TASK, RUN), &()), "run-waits", "is not there"),
    (
        |tx| tx.put(tables::RUN_WAITS, (run_id(2), run_id(1), TASK, UNTIL), &()),
        "run-waits",
        "no task has this wait",
    ),
    (
        |tx| lose(tx, tables::CRON_NAMES, (NAMESPACE, workflow_name("mail"), cron_name("daily"))),
        "crons",
        "`cron-names` does not lead",
    ),
    (|tx| lose(tx, tables::CRONS, cron_id(1)), "cron-names", "has not that name"),
    (|tx| lose_timer(tx, at(100), Timer::Cron(cron_id(1))), "crons", "timer of"),
    (
        |tx| tx.put_cron(&CronRow { enabled: false, last_run: Some(run_id(2)), ..cron() }),
        "crons",
        "disabled and has a next time",
    ),
    (|tx| tx.put_cron(&CronRow { last_run: None, ..cron() }), "crons", "a last run without its time"),
    (|tx| tx.put_cron(&CronRow { last_run: Some(run_id(9)), ..cron() }), "crons", "is not there"),
    (|tx| tx.put_cron(&CronRow { unfinished: Vec::new(), ..cron() }), "crons", "holds times back"),
    (|tx| tx.put_cron(&CronRow { unfinished: vec![run_id(3)], ..cron() }), "crons", "which has ended"),
    (|tx| tx.put_work(&Work::TellWaiters { awaited: run_id(9) }), "work", "what it is about is not there"),
    (
        |tx| tx.put(tables::LOOK_BACKS, 9_u64, &Work::TellWaiters { awaited: run_id(3) }),
        "look-backs",
        "no wait that looks back",
    ),
    (
        |tx| tx.put_open_requests((run_id(9), TASK, 0), &open_requests()),
        "open-requests",
        "its run is not there",
    ),
    (|tx| tx.put_held_end(run_id(9), TASK, &held_end()), "held-ends", "no request of the step is open"),
    (
        |tx| {
            tx.put_open_requests((run_id(2), TASK, 0), &open_requests())?;
            tx.put_held_end(run_id(2), TASK, &held_end())
        },
        "held-ends",
        "does not run that step",
    ),
    (|tx| tx.put_concurrency(&place(3)), "concurrency", "still takes a place"),
    (|tx| tx.put_concurrency(&place(9)), "concurrency", "is not there"),
    (|tx| tx.put_concurrency(&ConcurrencyRow { index: 7, ..place(2) }), "concurrency", "no such limit"),
    (
        |tx| lose(tx, tables::SCHEDULED_BY_TIME, (ScheduledStatus::Fired, at(100), scheduled_id(1))),
        "scheduled",
        "does not list it",
    ),
    (|tx| lose(tx, tables::SCHEDULED, scheduled_id(1)), "scheduled-by-time", "no scheduled run"),
    (|tx| lose_timer(tx, at(100), Timer::Scheduled(scheduled_id(2))), "scheduled", "timer of"),
    (|tx| tx.put_scheduled(&ScheduledRow { run: None, ..scheduled(1) }), "scheduled", "has not fired"),
    (
        |tx| tx.put_scheduled(&ScheduledRow { run: Some(run_id(9)), ..scheduled(1) }),
        "scheduled",
        "is not there",
    ),
    (
        |tx| lose(tx, tables::EVENTS_BY_KEY, (NAMESPACE, "user.created".to_owned(), at(1), event_id(1))),
        "events",
        "does not list it",
    ),
    (|tx| lose(tx, tables::EVENTS, event_id(1)), "events-by-key", "no event"),
    (|tx| lose(tx, tables::EVENTS, event_id(1)), "idempotency", "is not there"),
    (
        |tx| tx.put_event(&EventRow { runs: vec![(run_id(9), workflow_name("mail"))], ..event(1) }),
        "events",
        "which it started",
    ),
    (
        |tx| {
            tx.put_idempotency(
                IdempotencyScope::Events,
                "e",
                &IdempotencyRow { id: [9; 16], expires_at: at(9) },
            )
        },
        "idempotency",
        "is not there",
    ),
    (
        |tx| lose(tx, tables::IDEMPOTENCY, (NAMESPACE, String::new(), "e".to_owned())),
        "idempotency-by-expiry",
        "no key expires",
    ),
    (
        |tx| lose(tx, tables::IDEMPOTENCY_BY_EXPIRY, (at(9), NAMESPACE, String::new(), "e".to_owned())),
        "idempotency",
        "does not list it",
    ),
    (
        |tx| overwrite(tx, tables::TIMERS, Due { at: at(1), timer: Timer::Cron(cron_id(1)) }, b"x"),
        "timers",
        "cannot be read",
    ),
];

fn digest_of_wasm() -> dormouse_core::id::ModuleDigest {
    dormouse_core::id::ModuleDigest::from_bytes(<sha2::Sha256 as sha2::Digest>::digest(b"wasm").into())
}

#[test]
fn every_kind_of_damage_is_found_and_named() {
    for (damage, table, problem) in DAMAGE {
        let store = sound();
        store.transact(damage).unwrap();
        let found = problems(&store);
        assert!(
            found.iter().any(|found| found.table == *table && found.problem.contains(problem)),
            "nothing said `{problem}` of {table}, but {found:#?}"
        );
    }
}

#[test]
fn every_table_but_meta_has_rows_in_the_sound_store_and_is_read() {
    let store = sound();
    for (slot, table) in tables::ALL.iter().enumerate().skip(1) {
        let view = store.view();
        let first = view.rows(slot, &Span::all(), Order::Ascending).unwrap().next();
        let first = first.map(|row| row.unwrap().0.to_vec());
        let key = first.unwrap_or_else(|| panic!("{table} is empty"));
        assert!(!key.is_empty());
    }
}

#[test]
fn what_retention_took_is_no_damage() {
    let store = sound();
    store
        .transact(|tx| -> Result<(), StoreError> {
            tx.put_event(&EventRow { runs: vec![(run_id(9), workflow_name("mail"))], ..event(1) })?;
            tx.put_kept_since(at(10))
        })
        .unwrap();
    assert_eq!(problems(&store), []);
}
