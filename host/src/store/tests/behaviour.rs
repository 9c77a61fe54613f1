//! What comes back of what was written.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dormouse_core::id::{RunId, TaskIndex, Version, WaitId};
use dormouse_core::run::{Part, Run, Status, TaskError, TaskRun};
use dormouse_core::wait::{FilterIndex, Settled, WaitOutcome};
use dormouse_core::workflow::Json;

use super::samples::*;
use crate::store::rows::*;
use crate::store::source::{Order, Source, Span};
use crate::store::space::Space;
use crate::store::tables;
use crate::store::{Deleted, Fence, Newer, NextWait, Read, StoreError, WorkingSet};

type Result<T = ()> = std::result::Result<T, StoreError>;

const TASK: TaskIndex = TaskIndex(0);

/// Collects what a visit shows, up to a number of answers.
fn collect<T>(limit: usize, visit: impl FnOnce(&mut dyn FnMut(T) -> ControlFlow<()>) -> Result) -> Vec<T> {
    let mut seen = Vec::new();
    visit(&mut |item| {
        seen.push(item);
        if seen.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .unwrap();
    seen
}

fn insert(tx: &mut WorkingSet, RunRow { spec, run, .. }: &RunRow) -> Result {
    tx.insert_run(spec, run)
}

fn row(n: u8, workflow: &str, status: Status) -> RunRow {
    let mut row = run_row(n);
    row.spec.workflow = workflow_name(workflow);
    row.run.status = status;
    row
}

#[test]
fn a_failed_batch_leaves_nothing() {
    let store = store();
    let result: Result = store.transact(|tx| {
        insert(tx, &run_row(1))?;
        tx.put_event(&event(1))?;
        Err(StoreError::Miscounted { workflow: "mail".to_owned() })
    });
    assert!(matches!(result, Err(StoreError::Miscounted { .. })));
    let reader = store.view();
    assert_eq!(reader.run(run_id(1)).unwrap(), None);
    assert_eq!(reader.event(event_id(1)).unwrap(), None);
    assert_eq!(reader.total_counts().unwrap(), [0; 7]);
}

#[test]
fn a_batch_sees_its_own_writes_and_readers_do_not() {
    let store = store();
    let before = store.view();
    store
        .transact(|tx| -> Result {
            insert(tx, &run_row(1))?;
            assert_eq!(tx.run(run_id(1))?, Some(run_row(1)));
            assert_eq!(tx.run_counts(&workflow_name("mail"))?, [0, 0, 1, 0, 0, 0, 0]);
            assert_eq!(tx.total_counts()?, [0, 0, 1, 0, 0, 0, 0]);
            let sleeping = |f: &mut dyn FnMut(RunId) -> ControlFlow<()>| {
                tx.visit_run_ids(None, Some(Status::Sleeping), None, f)
            };
            assert_eq!(collect(9, sleeping), [run_id(1)]);
            assert_eq!(store.view().run(run_id(1))?, None);
            Ok(())
        })
        .unwrap();
    assert_eq!(before.run(run_id(1)).unwrap(), None, "a reader stays at its commit");
    assert_eq!(store.view().run(run_id(1)).unwrap(), Some(run_row(1)));
}

#[test]
fn a_run_moves_through_index_and_counts_with_its_status() {
    let store = store();
    let mail = workflow_name("mail");
    let queued = row(1, "mail", Status::Queued);
    let write = |old, new| {
        let run = Run { status: new, ..run() };
        store.transact(|tx| tx.update_run(&queued.spec, old, &run))
    };
    let live = || store.view().live_runs(&mail, queued.spec.version).unwrap();
    store.transact(|tx| insert(tx, &queued)).unwrap();
    write(Status::Queued, Status::Running).unwrap();
    write(Status::Running, Status::Running).unwrap();
    assert_eq!(live(), 1);
    write(Status::Running, Status::Completed).unwrap();
    assert_eq!(live(), 0);
    let reader = store.view();
    assert_eq!(reader.run_counts(&mail).unwrap(), [0, 0, 0, 1, 0, 0, 0]);
    for status in Status::ALL {
        let ids = collect(9, |f| reader.visit_run_ids(Some(&mail), Some(status), None, f));
        assert_eq!(ids.len(), usize::from(status == Status::Completed), "{status:?}");
    }
    let wrong = write(Status::Queued, Status::Failed);
    assert!(matches!(wrong, Err(StoreError::Miscounted { .. })), "{wrong:?}");
    assert_eq!(store.view().run_state(run_id(1)).unwrap().unwrap().status, Status::Completed);
}

#[test]
fn every_filter_lists_runs_newest_first_from_any_cursor() {
    let store = store();
    let names = ["mail", "mail-2", "backup"];
    let rows: Vec<RunRow> =
        (0..60).map(|n| row(n, names[usize::from(n) % 3], Status::ALL[usize::from(n / 3 * 5) % 7])).collect();
    store.transact(|tx| rows.iter().try_for_each(|row| insert(tx, row))).unwrap();
    let reader = store.view();
    let workflows = names.iter().map(|name| Some(workflow_name(name))).chain([None]);
    for workflow in workflows {
        for status in Status::ALL.into_iter().map(Some).chain([None]) {
            for before in [None, Some(run_id(0)), Some(run_id(31)), Some(run_id(200))] {
                let expected: Vec<RunId> = rows
                    .iter()
                    .rev()
                    .filter(|row| workflow.as_ref().is_none_or(|w| row.spec.workflow == *w))
                    .filter(|row| status.is_none_or(|s| row.run.status == s))
                    .map(|row| row.spec.id)
                    .filter(|id| before.is_none_or(|b| *id < b))
                    .take(10)
                    .collect();
                let found = collect(10, |f| reader.visit_run_ids(workflow.as_ref(), status, before, f));
                assert_eq!(found, expected, "{workflow:?} {status:?} {before:?}");
            }
        }
    }
}

#[test]
fn a_deleted_run_leaves_no_row_anywhere_and_its_neighbours_stay() {
    let store = store();
    let fill = |tx: &mut WorkingSet, n| -> Result {
        insert(tx, &row(n, "mail", Status::Completed))?;
        tx.put_snapshot(run_id(n), TASK, b"snapshot")?;
        tx.append_journal(run_id(n), transition())?;
        tx.append_journal(run_id(n), log_line())?;
        Ok(())
    };
    store.transact(|tx| -> Result { fill(tx, 1).and(fill(tx, 3)) }).unwrap();
    let expected = super::disk::contents(&*store.view());
    store.transact(|tx| fill(tx, 2)).unwrap();
    let delete = || store.transact(|tx| tx.delete_run(run_id(2), 100)).unwrap();
    assert_eq!(delete(), Deleted::All(5));
    assert_eq!(super::disk::contents(&*store.view()), expected);
    assert_eq!(delete(), Deleted::All(0));
}

#[test]
fn children_are_listed_in_the_order_of_their_birth() {
    let store = store();
    store.transact(|tx| [4, 2, 3].into_iter().try_for_each(|n| insert(tx, &run_row(n)))).unwrap();
    let reader = store.view();
    let after = |cursor| collect(9, |f| reader.visit_children(run_id(0), cursor, f));
    assert_eq!(after(None), [run_id(2), run_id(3), run_id(4)]);
    assert_eq!(after(Some(run_id(2))), [run_id(3), run_id(4)]);
    assert_eq!(after(Some(run_id(4))), []);
    let before = |cursor| collect(2, |f| reader.visit_newest_children(run_id(0), cursor, f));
    assert_eq!(before(None), [run_id(4), run_id(3)]);
    assert_eq!(before(Some(run_id(3))), [run_id(2)]);
    assert_eq!(before(Some(run_id(2))), []);
}

#[test]
fn ended_runs_are_gone_through_by_workflow_and_status_as_far_as_they_are_old() {
    use Status::{Cancelled, Completed, Running};
    let store = store();
    let rows = [
        (1, "mail", Completed),
        (2, "mail", Completed),
        (3, "mail", Running),
        (4, "mail", Cancelled),
        (7, "mail", Completed),
        (8, "mail", Completed),
        (5, "post", Completed),
        (9, "post", Completed),
    ];
    store.transact(|tx| rows.into_iter().try_for_each(|(n, w, s)| insert(tx, &row(n, w, s)))).unwrap();
    let view = store.view();
    for limit in 1..10 {
        let (mut old, mut shown, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let go_on = view.visit_ended_runs(after.as_ref(), limit, |(.., id)| {
                shown.push(*id);
                let is_old = *id < run_id(6);
                old.extend(is_old.then_some(*id));
                if is_old { Newer::Wanted } else { Newer::Unwanted }
            });
            after = go_on.unwrap();
            if after.is_none() {
                break;
            }
        }
        assert_eq!(old, [1, 2, 4, 5].map(run_id), "{limit} at a time");
        assert_eq!(shown, [1, 2, 7, 4, 5, 9].map(run_id), "{limit} at a time");
    }
}

#[test]
fn timers_come_in_the_order_in_which_they_are_due() {
    let store = store();
    let wait = |n| Timer::Wait { run: run_id(n), task: TASK, wait: WaitId(1) };
    store
        .transact(|tx| -> Result {
            tx.put_timer(at(300), wait(1))?;
            tx.put_timer(at(100), Timer::Cron(cron_id(1)))?;
            tx.put_timer(at(100), wait(2))?;
            tx.put_timer(at(200), Timer::Scheduled(scheduled_id(1)))
        })
        .unwrap();
    let reader = store.view();
    let due = |line, now, limit| {
        let due = reader.due_timers(line, now, limit).unwrap();
        due.into_iter().map(|due| (due.at, due.timer)).collect::<Vec<_>>()
    };
    let next = |line| store.view().next_due(line).unwrap();
    assert_eq!(next(TimerLine::Waits), Some(at(100)));
    assert_eq!(due(TimerLine::Waits, at(300), 10), [(at(100), wait(2)), (at(300), wait(1))]);
    assert_eq!(due(TimerLine::Waits, at(300), 1), [(at(100), wait(2))]);
    assert_eq!(due(TimerLine::Waits, at(99), 10), []);
    assert_eq!(due(TimerLine::Crons, at(299), 10), [(at(100), Timer::Cron(cron_id(1)))]);
    assert_eq!(due(TimerLine::Scheduled, at(199), 10), []);
    let delete = |at, timer| {
        let deleted: Result = store.transact(|tx| {
            tx.delete_timer(at, timer);
            Ok(())
        });
        deleted.unwrap();
    };
    delete(at(101), wait(2));
    assert_eq!(next(TimerLine::Waits), Some(at(100)));
    delete(at(100), wait(2));
    assert_eq!(next(TimerLine::Waits), Some(at(300)));
    delete(at(300), wait(1));
    assert_eq!(next(TimerLine::Waits), None);
}

/// The first due time is remembered: it must follow what is put and what is deleted.
#[test]
fn a_working_set_knows_when_the_first_timer_of_a_line_is_due() {
    let store = store();
    let wait = |n| Timer::Wait { run: run_id(n), task: TASK, wait: WaitId(1) };
    let mut rows = WorkingSet::new(store.view());
    assert_eq!(rows.first_due(TimerLine::Waits).unwrap(), None);
    rows.put_timer(at(20), wait(1)).unwrap();
    assert_eq!(rows.first_due(TimerLine::Waits).unwrap(), Some(at(20)));
    rows.put_timer(at(10), wait(2)).unwrap();
    rows.put_timer(at(5), Timer::Cron(cron_id(1))).unwrap();
    assert_eq!(rows.first_due(TimerLine::Waits).unwrap(), Some(at(10)));
    rows.delete_timer(at(10), wait(2));
    assert_eq!(rows.first_due(TimerLine::Waits).unwrap(), Some(at(20)));
}

/// All waits that an event of a key may settle, by their runs, as they come from one cursor. `x` is what
/// the event has at the path of the samples.
fn candidates(rows: &WorkingSet, key: &str, x: Option<&str>) -> Vec<RunId> {
    let mut cursor = WaitCursor::START;
    let mut found = Vec::new();
    loop {
        let value_at = |path: &str| (path == "input[\"x\"]").then(|| x.map(str::to_owned)).flatten();
        match rows.next_event_wait(key, &mut cursor, value_at).unwrap() {
            NextWait::Candidate(row) => found.push(row.run),
            NextWait::PassedOver => {}
            NextWait::End => return found,
        }
    }
}

#[test]
fn event_waits_are_found_by_key_by_what_their_filters_ask_for_and_by_pattern() {
    let store = store();
    let wait = |pattern: &str, asks_for: Option<(&str, &str)>, n: u8| EventWaitRow {
        key_pattern: pattern.to_owned(),
        index: asks_for.map(|(path, value)| FilterIndex { path: path.to_owned(), value: value.to_owned() }),
        run: run_id(n),
        ..event_wait()
    };
    let x = |value: &'static str| Some(("input[\"x\"]", value));
    let waits = [
        wait("a", None, 1),
        wait("a", x("n5"), 2),
        wait("a", x("n5"), 3),
        wait("a", x("n6"), 4),
        wait("a", Some(("input[\"y\"]", "n5")), 5),
        wait("a.b", x("n5"), 6),
        wait("a*", None, 7),
        wait("*", None, 8),
        wait("*é", None, 9),
        wait("a.*", None, 10),
        wait("a.*", None, 11),
        wait("b*", None, 12),
    ];
    store.transact(|tx| waits.iter().try_for_each(|wait| tx.put_event_wait(wait))).unwrap();
    let rows = WorkingSet::new(store.view());
    let ids = |of: &[u8]| of.iter().map(|n| run_id(*n)).collect::<Vec<_>>();
    assert_eq!(candidates(&rows, "a", Some("n5")), ids(&[1, 2, 3, 8]));
    assert_eq!(candidates(&rows, "a", Some("n6")), ids(&[1, 4, 8]));
    assert_eq!(candidates(&rows, "a", None), ids(&[1, 8]));
    assert_eq!(candidates(&rows, "a.b", Some("n5")), ids(&[6, 8, 7, 10, 11]));
    assert_eq!(candidates(&rows, "aé", None), ids(&[8, 9, 7]));
    assert_eq!(candidates(&rows, "c", None), ids(&[8]));
    let first = rows.event_wait("a", waits[1].index.as_ref(), (run_id(2), waits[1].task, waits[1].wait));
    assert_eq!(first.unwrap(), Some(waits[1].clone()));
}

/// Ten thousand paths or patterns that do not match are passed over in portions.
#[test]
fn waits_that_do_not_match_are_passed_over_a_few_at_a_time() {
    let store = store();
    let wait = |n: u32| EventWaitRow {
        key_pattern: "a".to_owned(),
        index: Some(FilterIndex { path: format!("input[\"{n}\"]"), value: "n5".to_owned() }),
        ..event_wait()
    };
    store.transact(|tx| (0..1000).try_for_each(|n| tx.put_event_wait(&wait(n)))).unwrap();
    let rows = WorkingSet::new(store.view());
    let mut cursor = WaitCursor::START;
    let mut asked = 0;
    let mut portions = 0;
    while rows
        .next_event_wait("a", &mut cursor, |_| {
            asked += 1;
            None
        })
        .unwrap()
        != NextWait::End
    {
        portions += 1;
        assert!(asked <= portions * 64, "a portion asks for few values");
    }
    assert_eq!(asked, 1000);
}

#[test]
fn run_waits_are_found_by_the_run_that_is_waited_for() {
    let store = store();
    let wait =
        |awaited, n| RunWaitRow { awaited: run_id(awaited), run: run_id(n), task: TASK, wait: WaitId(1) };
    store
        .transact(|tx| [wait(1, 3), wait(1, 2), wait(2, 4)].into_iter().try_for_each(|w| tx.put_run_wait(w)))
        .unwrap();
    assert_eq!(store.view().run_waits(run_id(1), 9).unwrap(), [wait(1, 2), wait(1, 3)]);
    store
        .transact(|tx| -> Result {
            tx.delete_run_wait(wait(1, 2));
            Ok(())
        })
        .unwrap();
    assert_eq!(store.view().run_waits(run_id(1), 9).unwrap(), [wait(1, 3)]);
}

#[test]
fn runs_under_a_concurrency_limit_are_listed_in_the_order_of_the_limits() {
    let store = store();
    let row = |index, key: &str, n| {
        let workflow = "flow".parse().unwrap();
        ConcurrencyRow { workflow, index, key: key.to_owned(), run: run_id(n), max_runs: 3 }
    };
    let rows = [row(0, "a", 2), row(0, "b", 1), row(1, "", 1), row(1, "", 2)];
    store.transact(|tx| rows.iter().rev().try_for_each(|row| tx.put_concurrency(row))).unwrap();
    assert_eq!(store.view().concurrency().unwrap(), rows);
    store
        .transact(|tx| -> Result {
            tx.delete_concurrency(&rows[2]);
            Ok(())
        })
        .unwrap();
    assert_eq!(store.view().concurrency().unwrap().len(), 3);
}

#[test]
fn a_snapshot_comes_back_whatever_its_length_was_before() {
    let store = store();
    for length in [86_000, 2100, 0, 5000, 10] {
        let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        store.transact(|tx| tx.put_snapshot(run_id(1), TASK, &bytes)).unwrap();
        assert_eq!(store.view().snapshot(run_id(1), TASK).unwrap(), Some(bytes));
        assert_eq!(store.view().snapshot(run_id(1), TaskIndex(1)).unwrap(), None);
    }
    assert!(store.transact(|tx| tx.delete_snapshot(run_id(1), TASK)).unwrap());
    assert!(!store.transact(|tx| tx.delete_snapshot(run_id(1), TASK)).unwrap());
    assert_eq!(store.view().snapshot(run_id(1), TASK).unwrap(), None);
}

#[test]
fn modules_workflows_and_versions_come_back_in_order() {
    let store = store();
    let newer = ModuleRow { digest: digest(0), uploaded_at: at(6), ..module() };
    let tenth = VersionRow { version: Version(10), ..version() };
    let other = WorkflowRow { name: workflow_name("backup"), ..workflow() };
    store
        .transact(|tx| -> Result {
            tx.put_module(&module(), b"old")?;
            tx.put_module(&newer, b"new")?;
            tx.put_workflow(&workflow())?;
            tx.put_workflow(&other)?;
            tx.put_version(&tenth)?;
            tx.put_version(&version())
        })
        .unwrap();
    let reader = store.view();
    assert_eq!(reader.modules().unwrap(), [newer, module()]);
    assert_eq!(reader.module_bytes(digest(1)).unwrap().as_deref(), Some(b"old".as_slice()));
    assert_eq!(reader.workflows().unwrap(), [other, workflow()]);
    assert_eq!(reader.versions(&workflow_name("mail")).unwrap(), [version(), tenth.clone()]);
    assert_eq!(reader.version(&workflow_name("mail"), Version(10)).unwrap(), Some(tenth));
    assert_eq!(reader.versions(&workflow_name("mai")).unwrap(), []);

    let delete = |tx: &mut WorkingSet| -> Result {
        tx.delete_module(digest(1))?;
        Ok(())
    };
    store.transact(delete).unwrap();
    let reader = store.view();
    assert_eq!(reader.module(digest(1)).unwrap(), None);
    assert_eq!(reader.module_bytes(digest(1)).unwrap(), None);
}

#[test]
fn a_cron_is_found_by_id_and_by_its_present_name() {
    let store = store();
    let other = CronRow { id: cron_id(2), name: cron_name("aaa"), ..cron() };
    let renamed = CronRow { name: cron_name("weekly"), ..cron() };
    store.transact(|tx| tx.put_cron(&cron()).and(tx.put_cron(&other))).unwrap();
    store.transact(|tx| tx.put_cron(&renamed)).unwrap();
    let reader = store.view();
    let mail = workflow_name("mail");
    assert_eq!(reader.cron_by_name(&mail, &cron_name("daily")).unwrap(), None);
    assert_eq!(reader.cron_by_name(&mail, &cron_name("weekly")).unwrap(), Some(renamed.clone()));
    assert_eq!(reader.crons_of(&mail).unwrap(), [other.clone(), renamed.clone()]);
    assert_eq!(collect(9, |f| reader.visit_crons(None, f)), [other.clone(), renamed.clone()]);
    assert_eq!(collect(9, |f| reader.visit_crons(Some(cron_id(2)), f)), [renamed]);
    assert!(store.transact(|tx| tx.delete_cron(cron_id(1))).unwrap());
    assert_eq!(store.view().crons_of(&mail).unwrap(), [other]);
}

#[test]
fn scheduled_runs_are_listed_by_time_whatever_their_status() {
    use ScheduledStatus::{Cancelled, Fired, Pending};
    let store = store();
    let row = |n, millis, status| ScheduledRow { trigger_at: at(millis), status, ..scheduled(n) };
    let rows = [row(4, 10, Pending), row(1, 20, Fired), row(2, 20, Pending), row(3, 30, Cancelled)];
    // Each is moved from elsewhere.
    store
        .transact(|tx| rows.iter().try_for_each(|r| tx.put_scheduled(&scheduled(r.id.to_bytes()[15]))))
        .unwrap();
    store.transact(|tx| rows.iter().try_for_each(|row| tx.put_scheduled(row))).unwrap();
    let reader = store.view();
    let list = |status, after| collect(9, |f| reader.visit_scheduled(status, after, f));
    assert_eq!(list(None, None), rows);
    assert_eq!(list(None, Some((at(20), scheduled_id(1)))), rows[2..]);
    assert_eq!(list(Some(Pending), None), [rows[0].clone(), rows[2].clone()]);
    assert_eq!(list(Some(Pending), Some((at(10), scheduled_id(4)))), rows[2..3]);
    assert_eq!(collect(2, |f| reader.visit_scheduled(None, None, f)), rows[..2]);
    assert!(store.transact(|tx| tx.delete_scheduled(scheduled_id(2))).unwrap());
    assert_eq!(store.view().scheduled(scheduled_id(2)).unwrap(), None);
}

#[test]
fn events_are_listed_newest_first_and_looked_back_to_by_key() {
    let store = store();
    let other = EventRow { key: "user.created.twice".to_owned(), ..event(2) };
    store
        .transact(|tx| [event(1), other.clone(), event(3)].iter().try_for_each(|row| tx.put_event(row)))
        .unwrap();
    let reader = store.view();
    assert_eq!(collect(9, |f| reader.visit_events(None, f)), [event(3), other.clone(), event(1)]);
    assert_eq!(collect(1, |f| reader.visit_events(Some(event_id(3)), f)), [other]);
    let back = |since| collect(9, |f| reader.visit_events_by_key("user.created", since, None, f));
    assert_eq!(back(at(0)), [event(3), event(1)]);
    assert_eq!(back(at(3)), [event(3)]);
    assert_eq!(back(at(4)), []);
    let before = |id| collect(9, |f| reader.visit_events_by_key("user.created", at(0), Some(id), f));
    assert_eq!(before(event_id(3)), [event(1)]);
    assert_eq!(before(event_id(1)), []);
    assert!(store.transact(|tx| tx.delete_event(event_id(3))).unwrap());
    let reader = store.view();
    assert_eq!(collect(9, |f| reader.visit_events_by_key("user.created", at(0), None, f)), [event(1)]);
}

#[test]
fn an_idempotency_key_is_unique_within_its_scope() {
    let store = store();
    let (mail, backup) = (workflow_name("mail"), workflow_name("backup"));
    let scopes = [IdempotencyScope::Runs(&mail), IdempotencyScope::Runs(&backup), IdempotencyScope::Events];
    store.transact(|tx| tx.put_idempotency(scopes[0], "key", &idempotency())).unwrap();
    let reader = store.view();
    let found = scopes.map(|scope| reader.idempotency(scope, "key").unwrap());
    assert_eq!(found, [Some(idempotency()), None, None]);
    assert!(store.transact(|tx| tx.delete_idempotency(scopes[0], "key")).unwrap());
    assert_eq!(store.view().idempotency(scopes[0], "key").unwrap(), None);
}

#[test]
fn expired_idempotency_keys_go_and_prolonged_ones_stay() {
    let store = store();
    let until = |millis| IdempotencyRow { expires_at: at(millis), ..idempotency() };
    let events = IdempotencyScope::Events;
    store
        .transact(|tx| -> Result {
            for (key, millis) in [("a", 10), ("b", 20), ("c", 30), ("prolonged", 10), ("prolonged", 30)] {
                tx.put_idempotency(events, key, &until(millis))?;
            }
            Ok(())
        })
        .unwrap();
    let expire = |millis| store.transact(|tx| tx.delete_expired_idempotency(at(millis), 1)).unwrap();
    assert_eq!([expire(20), expire(20), expire(20)], [1, 1, 0]);
    let reader = store.view();
    let left = ["a", "b", "c", "prolonged"].map(|key| reader.idempotency(events, key).unwrap());
    assert_eq!(left, [None, None, Some(until(30)), Some(until(30))]);
}

#[test]
fn large_outputs_and_errors_of_a_run_that_goes_on_are_rows_of_their_own() {
    let store = store();
    let [small, large] = [200, 300].map(|len| Json::trusted(&format!("\"{}\"", "x".repeat(len))));
    let error = TaskError { message: "no".to_owned(), details: Some(large.clone()) };
    let mut whole = row(1, "mail", Status::Running);
    let task = |status, output: Option<&Json>, error: Option<&TaskError>| TaskRun {
        status,
        output: output.cloned().map(Part::Here),
        error: error.cloned().map(Part::Here),
        ..TaskRun::default()
    };
    whole.run.tasks = vec![
        task(Status::Completed, Some(&small), None),
        task(Status::Completed, Some(&large), None),
        task(Status::Running, None, Some(&error)),
    ];
    let mut state = whole.run.clone();
    let write = |tx: &mut WorkingSet, run: &mut Run| {
        tx.put_parts_elsewhere(whole.spec.id, run)?;
        tx.insert_run(&whole.spec, run)
    };
    store.transact(|tx| write(tx, &mut state)).unwrap();
    assert_eq!(state.tasks[0].output, Some(Part::Here(small)));
    assert_eq!(
        (&state.tasks[1].output, &state.tasks[2].error),
        (&Some(Part::Elsewhere), &Some(Part::Elsewhere))
    );
    assert_eq!(store.view().run_state(whole.spec.id).unwrap(), Some(state.clone()));
    assert_eq!(store.view().run(whole.spec.id).unwrap(), Some(whole.clone()));

    // What it ends with stays in its last state.
    state.status = Status::Completed;
    state.tasks[2] = task(Status::Completed, Some(&large), None);
    let mut last = state.clone();
    let end = |tx: &mut WorkingSet, run: &mut Run| {
        tx.put_parts_elsewhere(whole.spec.id, run)?;
        tx.delete_task_error(whole.spec.id, TaskIndex(2));
        tx.update_run(&whole.spec, Status::Running, run)
    };
    store.transact(|tx| end(tx, &mut last)).unwrap();
    assert_eq!(last, state);
    let (outputs, errors) = (tables::TASK_OUTPUTS.slot, tables::TASK_ERRORS.slot);
    let count = |slot| store.view().rows(slot, &Span::all(), Order::Ascending).unwrap().count();
    assert_eq!((count(outputs), count(errors)), (1, 0));

    store.transact(|tx| tx.delete_run(whole.spec.id, 10).map(drop)).unwrap();
    assert_eq!(count(outputs), 0);
}

#[test]
fn a_backlog_is_taken_in_the_order_in_which_waits_settled() {
    let store = store();
    let (run, task) = (run_id(1), TaskIndex(0));
    let settled = |id: u64| Settled { id: WaitId(id), outcome: WaitOutcome::Elapsed };
    let ids = |settled: Vec<Settled>| settled.into_iter().map(|settled| settled.id.0).collect::<Vec<_>>();
    let put = |tx: &mut WorkingSet| {
        let mut numbered = (0..).zip([7, 3, 5, 4]);
        numbered.try_for_each(|(number, id)| tx.put_in_backlog((run, task), number, settled(id)))
    };
    store.transact(put).unwrap();
    assert_eq!(ids(store.view().backlog(run, task, 3).unwrap()), [7, 3, 5]);
    let number = |id| match store.view().wait((run, task, WaitId(id))).unwrap() {
        Some(WaitRow::InBacklog(number)) => number,
        other => panic!("{other:?}"),
    };
    let five = number(5);
    store
        .transact(|tx| -> Result {
            tx.take_from_backlog(run, task, 1)?;
            tx.delete_from_backlog((run, task, WaitId(5)), five);
            tx.put_in_backlog((run, task), 4, settled(7))
        })
        .unwrap();
    assert_eq!(ids(store.view().backlog(run, task, 9).unwrap()), [3, 4, 7]);
    assert_eq!(store.view().wait((run, task, WaitId(5))).unwrap(), None);
    assert_eq!(store.transact(|tx| tx.delete_waits(run, task)).unwrap(), []);
    assert_eq!(ids(store.view().backlog(run, task, 9).unwrap()), [0; 0]);
}

#[test]
fn a_commit_waits_for_room_on_the_disk_and_is_whole_then() {
    let free = Arc::new(AtomicU64::new(1 << 20));
    let store = store_with(Space::Said(Arc::clone(&free)), CHECKPOINT_BYTES);
    let mut rows = WorkingSet::new(store.view());
    rows.put_event(&event(1)).unwrap();
    let changes = rows.close().unwrap().unwrap();
    let commit = || store.commit(Fence(0), Arc::clone(&changes));
    for _ in 0..2 {
        assert!(matches!(commit(), Err(StoreError::Full { free: 1_048_576 })));
        assert_eq!(store.view().event(event_id(1)).unwrap(), None);
    }
    free.store(1 << 30, Ordering::Relaxed);
    commit().unwrap();
    assert_eq!(store.view().event(event_id(1)).unwrap(), Some(event(1)));
    store.checkpoint().unwrap();
    assert_eq!(store.view().event(event_id(1)).unwrap(), Some(event(1)));
}
