//! Random rows, keys and bytes.

use std::collections::BTreeSet;
use std::time::Duration;

use dormouse_core::id::{EventId, RunId, TaskIndex, Version, WaitId, WorkflowName};
use dormouse_core::log::LogLevel;
use dormouse_core::run::{
    Part, Reason, Run, RunSpec, Status, TaskError, TaskRun, TaskTimer, Transition, Trigger,
};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{FilterIndex, Settled, WaitCondition, WaitOutcome};
use dormouse_core::workflow::{Json, Metadata, Priority};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::samples::*;
use crate::store::keys::NAMESPACE;
use crate::store::keys::{self, Key};
use crate::store::records::Record;
use crate::store::rows::{Due, JournalEntry, JournalRow, JournalSize, LogLine, Timer, WaitRow, Work};

fn time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_millis)
}

fn run_ids() -> impl Strategy<Value = RunId> {
    any::<[u8; 16]>().prop_map(RunId::from_bytes)
}

fn statuses() -> impl Strategy<Value = Status> {
    prop::sample::select(Status::ALL.as_slice())
}

fn reasons() -> impl Strategy<Value = Option<Reason>> {
    of(prop::sample::select(Reason::ALL.as_slice()))
}

fn json() -> impl Strategy<Value = Json> {
    any::<String>().prop_map(|text| Json::trusted(&text))
}

fn workflow_names() -> impl Strategy<Value = WorkflowName> {
    "[a-z][a-z0-9-]{0,3}".prop_map(|name| name.parse().unwrap())
}

prop_compose! {
    fn specs()(
        id in run_ids(),
        workflow in workflow_names(),
        version in any::<u32>(),
        module in any::<u8>(),
        input in json(),
        metadata in vec(any::<(String, String)>(), 0..3),
        priority in 1_u8..=3,
        trigger in triggers(),
        parent in of(run_ids()),
        detached in any::<bool>(),
        created_at in time(),
    ) -> RunSpec {
        RunSpec {
            id, workflow, version: Version(version), module: digest(module), input,
            metadata: Metadata::new(metadata), priority: Priority::new(priority).unwrap(),
            trigger, parent, detached, created_at,
        }
    }
}

fn triggers() -> impl Strategy<Value = Trigger> {
    (run_ids(), time(), 0..6).prop_map(|(run, nominal, kind)| match kind {
        0 => Trigger::Call,
        1 => Trigger::Cron { id: cron_id(7), nominal },
        2 => Trigger::Scheduled { id: scheduled_id(7), nominal },
        3 => Trigger::Event(EventId::from_bytes(run.to_bytes())),
        4 => Trigger::Parent(run),
        _ => Trigger::Replay(run),
    })
}

fn parts<T: Clone + std::fmt::Debug>(part: impl Strategy<Value = T>) -> impl Strategy<Value = Part<T>> {
    of(part).prop_map(|part| part.map_or(Part::Elsewhere, Part::Here))
}

fn waits() -> impl Strategy<Value = WaitRow> {
    let index = of(("[a-z]{1,3}", any::<String>()));
    let event = (any::<String>(), of(any::<String>()), of(any::<Duration>()), index);
    let condition = prop_oneof![
        time().prop_map(WaitCondition::Until),
        event.prop_map(|(key_pattern, filter, look_back, index)| WaitCondition::Event {
            key_pattern,
            filter,
            look_back,
            index: index.map(|(path, value)| FilterIndex { path, value }),
        }),
        run_ids().prop_map(WaitCondition::Run),
    ];
    prop_oneof![condition.prop_map(WaitRow::Open), any::<u64>().prop_map(WaitRow::InBacklog)]
}

fn settled() -> impl Strategy<Value = Settled> {
    (any::<u64>(), any::<[u8; 16]>(), 0..3).prop_map(|(id, bytes, kind)| Settled {
        id: WaitId(id),
        outcome: match kind {
            0 => WaitOutcome::Elapsed,
            1 => WaitOutcome::Event(EventId::from_bytes(bytes)),
            _ => WaitOutcome::Run(RunId::from_bytes(bytes)),
        },
    })
}

prop_compose! {
    fn task_runs()(
        (status, reason, has_snapshot) in (statuses(), reasons(), any::<bool>()),
        (attempt, epoch, lost_hosts, repeated, ran) in any::<(u32, u64, u8, bool, Duration)>(),
        (open_waits, backlog, backlog_next, held) in any::<(u32, u32, u64, u32)>(),
        settled in vec(settled(), 0..3),
        [queued_at, retry_at, schedule_deadline] in [of(time()), of(time()), of(time())],
        [started_at, finished_at] in [of(time()), of(time())],
        output in of(parts(json())),
        error in of(parts((any::<String>(), of(json())).prop_map(|(message, details)| TaskError { message, details }))),
    ) -> TaskRun {
        TaskRun {
            status, reason, attempt, epoch, lost_hosts, repeated, held, ran, has_snapshot, settled,
            open_waits: open_waits as usize, backlog: backlog as usize, backlog_next, queued_at, retry_at,
            schedule_deadline, started_at, finished_at, output, error,
        }
    }
}

prop_compose! {
    fn runs()(
        status in statuses(),
        reason in reasons(),
        tasks in vec(task_runs(), 0..4),
        started_at in of(time()),
        finished_at in of(time()),
    ) -> Run {
        Run { status, reason, tasks, started_at, finished_at }
    }
}

fn entries() -> impl Strategy<Value = JournalEntry> {
    let levels = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
    let level = prop::sample::select(levels.to_vec());
    let rest = (statuses(), reasons(), level, any::<String>());
    (time(), any::<(u8, u32, bool)>(), rest, 0..3).prop_map(|(at, (task, attempt, flag), rest, kind)| {
        let (status, reason, level, text) = rest;
        let task = TaskIndex(task);
        match kind {
            0 => JournalEntry::Transition(Transition { at, task, attempt, status, reason, run: status }),
            1 => JournalEntry::Log(LogLine { at, task, attempt, level, repeated: flag, message: text }),
            _ => JournalEntry::Chunk { at, task, text },
        }
    })
}

fn timers() -> impl Strategy<Value = Timer> {
    (run_ids(), any::<u8>(), any::<u64>(), any::<u8>(), 0..6).prop_map(|(run, task, wait, id, kind)| {
        let task = TaskIndex(task);
        match kind {
            5 => Timer::Event { run, task, wait: WaitId(wait) },
            0 => Timer::Wait { run, task, wait: WaitId(wait) },
            1 => Timer::Task { run, task, timer: TaskTimer::Retry },
            2 => Timer::Task { run, task, timer: TaskTimer::ScheduleTimeout },
            3 => Timer::Cron(cron_id(id)),
            _ => Timer::Scheduled(scheduled_id(id)),
        }
    })
}

fn same_order<K: Key + Ord + std::fmt::Debug>(a: &K, b: &K) {
    let (a_bytes, b_bytes) = (keys::encode(a), keys::encode(b));
    assert_eq!(a_bytes.cmp(&b_bytes), a.cmp(b));
    assert_eq!(keys::decode::<K>(&a_bytes).unwrap(), *a);
}

/// Timers of one line sort by their times.
fn same_line_order(a: &Due, b: &Due) {
    let in_line = |due: &Due| (due.timer.line(), *due);
    assert_eq!(keys::encode(a).cmp(&keys::encode(b)), in_line(a).cmp(&in_line(b)));
    assert_eq!(keys::decode::<Due>(&keys::encode(a)).unwrap(), *a);
}

proptest! {
    #[test]
    fn rows_of_runs_come_back_as_they_went(
        spec in specs(), run in runs(), wait in waits(), entry in entries(),
        (transitions, first, between) in (any::<u64>(), 0..u32::MAX / 2, 0..u32::MAX / 2),
    ) {
        prop_assert_eq!(RunSpec::decode(&spec.id, &spec.encode().unwrap()).unwrap(), spec);
        prop_assert_eq!(Run::decode(&run_id(1), &run.encode().unwrap()).unwrap(), run);
        let key = (run_id(1), TaskIndex(0), WaitId(1));
        prop_assert_eq!(WaitRow::decode(&key, &wait.encode().unwrap()).unwrap(), wait);
        let distances = [first, first.saturating_add(between)].into_iter().collect::<BTreeSet<_>>();
        let entries = distances.into_iter().map(|distance| (distance, entry.clone())).collect();
        let row = JournalRow { before: JournalSize { transitions, output: 7 }, entries, ..journal_row() };
        prop_assert_eq!(JournalRow::decode(&(run_id(1), 0), &row.encode().unwrap()).unwrap(), row);
    }

    #[test]
    fn keys_sort_as_bytes_as_they_sort_as_values(
        timers in [(time(), timers()), (time(), timers())],
        indexes in [(workflow_names(), statuses(), run_ids()), (workflow_names(), statuses(), run_ids())],
        sequences in any::<[(u8, u64); 2]>(),
    ) {
        let [a, b] = timers.map(|(at, timer)| Due { at, timer });
        same_line_order(&a, &b);
        same_line_order(&a, &Due { at: a.at, ..b });
        same_order(&indexes[0], &indexes[1]);
        let [a, b] = sequences.map(|(run, sequence)| (run_id(run % 2), sequence));
        same_order(&a, &b);
    }

    #[test]
    fn random_bytes_are_an_error_or_a_row_and_never_a_panic(
        bytes in vec(any::<u8>(), 0..200),
        edits in vec(any::<(prop::sample::Index, u8)>(), 1..4),
        length in any::<prop::sample::Index>(),
    ) {
        let damage = Damage { bytes, edits, length };
        damage.record(digest(1), &module());
        damage.record((NAMESPACE, workflow_name("mail")), &workflow());
        damage.record((NAMESPACE, workflow_name("mail"), Version(3)), &version());
        damage.record(run_id(1), &spec(1));
        damage.record(run_id(1), &run());
        damage.record(workflow_name("mail"), &counts());
        let [condition, ..] = conditions();
        damage.record((run_id(1), TaskIndex(0), WaitId(1)), &WaitRow::Open(condition));
        let settled = Settled { id: WaitId(1), outcome: WaitOutcome::Run(run_id(1)) };
        damage.record((run_id(1), TaskIndex(0), 0_u64), &settled);
        damage.record((run_id(1), TaskIndex(0)), &task_error());
        damage.record((run_id(1), 0), &journal_row());
        damage.record((run_id(1), 0), &trimmed_journal_row());
        let wait = event_wait();
        let [path, value] = [String::new(), String::new()];
        damage.record((NAMESPACE, wait.key_pattern.clone(), path, value, wait.run, wait.task, wait.wait), &wait);
        damage.record(0, &Work::TellWaiters { awaited: run_id(1) });
        damage.record((run_id(1), TaskIndex(0), 0), &open_requests());
        damage.record((run_id(1), TaskIndex(0)), &held_end());
        damage.record(cron_id(1), &cron());
        damage.record((workflow_name("mail"), cron_name("daily")), &cron_id(1));
        damage.record(scheduled_id(1), &scheduled(1));
        damage.record(event_id(1), &event(1));
        damage.record((NAMESPACE, String::new(), "k".to_owned()), &idempotency());

        damage.key(workflow_name("mail"));
        damage.key((workflow_name("mail"), Version(3)));
        damage.key((workflow_name("mail"), Status::Failed, run_id(1)));
        let timer = Timer::Wait { run: run_id(1), task: TaskIndex(0), wait: WaitId(1) };
        damage.key(Due { at: at(1), timer });
        damage.key(Due { at: at(1), timer: Timer::Cron(cron_id(1)) });
        damage.key(("a.b".to_owned(), run_id(1), TaskIndex(0), WaitId(1)));
        damage.key((String::new(), "k".to_owned()));
    }
}

/// What can become of bytes: others altogether, some of them changed, the end cut off.
#[derive(Debug)]
struct Damage {
    bytes: Vec<u8>,
    edits: Vec<(prop::sample::Index, u8)>,
    length: prop::sample::Index,
}

impl Damage {
    fn of(&self, bytes: &[u8]) -> [Vec<u8>; 4] {
        let mut edited = bytes.to_vec();
        for (place, byte) in &self.edits {
            *place.get_mut(&mut edited) = *byte;
        }
        let versioned = [&bytes[..1], &self.bytes].concat();
        [self.bytes.clone(), versioned, bytes[..self.length.index(bytes.len())].to_vec(), edited]
    }

    /// What can still be read is a row like any other.
    fn record<K, V: Record<K>>(&self, key: K, row: &V) {
        for damaged in self.of(&row.encode().unwrap()) {
            if let Ok(row) = V::decode(&key, &damaged) {
                // Bytes are compared, since a float can be unequal to itself.
                let bytes = row.encode().unwrap();
                assert_eq!(V::decode(&key, &bytes).unwrap().encode().unwrap(), bytes);
            }
        }
    }

    fn key<K: Key>(&self, key: K) {
        for damaged in self.of(&keys::encode(&key)) {
            if let Ok(key) = keys::decode::<K>(&damaged) {
                let bytes = keys::encode(&key);
                assert_eq!(keys::encode(&keys::decode::<K>(&bytes).unwrap()), bytes);
            }
        }
    }
}
