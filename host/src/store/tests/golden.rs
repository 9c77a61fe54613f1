//! The bytes of every key and every record. A change here is a change of the format: see
//! `FORMAT.md` before changing an expectation.

use std::fmt::{Debug, Write};

use dormouse_core::id::{TaskIndex, Version, WaitId};
use dormouse_core::run::{Reason, Run, RunSpec, Status, TaskTimer, Trigger};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{FilterIndex, Settled, WaitOutcome};
use dormouse_core::workflow::Json;

use super::samples::*;
use crate::store::error::DecodeError;
use crate::store::keys::{self, Key, NAMESPACE, SCHEDULED_STATUSES, TASK_TIMERS};
use crate::store::records::{OldRun, Record};
use crate::store::rows::{Behind, LookBack, SubscriptionPlace, WaitCursor, WaitRow, Work};
use crate::store::rows::{
    CronRow, Due, EventWaitRow, IdempotencyScope, JournalRow, JournalSize, ScheduledStatus, Timer, TimerLine,
};
use crate::store::tables;

/// Collects all differences, so that one run shows them together.
#[derive(Default)]
pub(super) struct Golden(String);

impl Golden {
    fn check(&mut self, what: &str, is: &[u8], should_be: &str) {
        let is = hex(is);
        if is != should_be.split_whitespace().collect::<String>() {
            let _ = writeln!(self.0, "{what}: is\n{is}");
        }
    }

    fn key<K: Key + PartialEq + Debug>(&mut self, what: &str, key: K, should_be: &str) {
        let bytes = keys::encode(&key);
        assert_eq!(keys::decode::<K>(&bytes).unwrap(), key, "{what}");
        self.check(what, &bytes, should_be);
    }

    fn record<K, V: Record<K> + PartialEq + Debug>(&mut self, what: &str, key: K, row: V, should_be: &str) {
        let bytes = row.encode().unwrap();
        assert_eq!(V::decode(&key, &bytes).unwrap(), row, "{what}");
        for end in 0..bytes.len() {
            assert!(V::decode(&key, &bytes[..end]).is_err(), "{what} cut off after {end} bytes");
        }
        if !bytes.is_empty() {
            let longer = [bytes.as_slice(), &[0]].concat();
            assert!(matches!(V::decode(&key, &longer), Err(DecodeError::Trailing { count: 1 })), "{what}");
            let newer = [&[bytes[0] + 1], &bytes[1..]].concat();
            let refused = V::decode(&key, &newer);
            let expected = matches!(refused, Err(DecodeError::UnknownVersion { found, known })
                if (found, known) == (bytes[0] + 1, bytes[0]));
            assert!(expected, "{what}");
        }
        self.check(what, &bytes, should_be);
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
    pairs.map(|pair| u8::from_str_radix(&pair, 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn keys_are_written_as_they_always_were() {
    let mut golden = Golden::default();
    let wait = (run_id(1), TaskIndex(2), WaitId(3));
    let (run, task, wait_id) = wait;
    golden.key("module", digest(1), "0101010101010101010101010101010101010101010101010101010101010101");
    golden.key("workflow", (NAMESPACE, workflow_name("mail")), "000000006d61696c00");
    golden.key("version", (NAMESPACE, workflow_name("mail"), Version(3)), "000000006d61696c0000000003");
    golden.key("run", run, "018bcfe5680171018101010101010101");
    golden.key(
        "run by status",
        (NAMESPACE, workflow_name("mail"), Status::Sleeping, run),
        "000000006d61696c0002018bcfe5680171018101010101010101",
    );
    golden.key("child", (run_id(0), run), "018bcfe5680070008000000000000000018bcfe5680171018101010101010101");
    golden.key("task", (run, task), "018bcfe568017101810101010101010102");
    golden.key("part of a snapshot", (run, task, 3_u8), "018bcfe56801710181010101010101010203");
    golden.key(
        "timer of a wait",
        Due { at: at(1), timer: Timer::Wait { run, task, wait: wait_id } },
        "000000018bcfe56801018bcfe5680171018101010101010101020000000000000003",
    );
    let retry = Timer::Task { run, task, timer: TaskTimer::Retry };
    golden.key(
        "timer of a retry",
        Due { at: at(1), timer: retry },
        "010000018bcfe56801018bcfe56801710181010101010101010200",
    );
    let timeout = Timer::Task { run, task, timer: TaskTimer::ScheduleTimeout };
    golden.key(
        "timer of a schedule timeout",
        Due { at: at(1), timer: timeout },
        "010000018bcfe56801018bcfe56801710181010101010101010201",
    );
    golden.key(
        "timer of a cron",
        Due { at: at(1), timer: Timer::Cron(cron_id(1)) },
        "020000018bcfe56801018bcfe5680171018101010101010101",
    );
    golden.key(
        "timer of a scheduled run",
        Due { at: at(1), timer: Timer::Scheduled(scheduled_id(1)) },
        "030000018bcfe56801018bcfe5680171018101010101010101",
    );
    golden.key(
        "timer of a turn to hear of an event",
        Due { at: at(1), timer: Timer::Event { run, task, wait: wait_id } },
        "040000018bcfe56801018bcfe5680171018101010101010101020000000000000003",
    );
    golden.key(
        "event wait",
        (NAMESPACE, "a.b".to_owned(), "p".to_owned(), "v".to_owned(), run, task, wait_id),
        "0000000000000003612e6200000001700000000176018bcfe5680171018101010101010101020000000000000003",
    );
    golden.key(
        "event pattern wait",
        (NAMESPACE, "a.".to_owned(), "a.*".to_owned(), run, task, wait_id),
        "0000000000000002612e00000003612e2a018bcfe5680171018101010101010101020000000000000003",
    );
    golden.key("work", 258_u64, "0000000000000102");
    golden.key(
        "run wait",
        (run_id(9), run, task, wait_id),
        "\
         018bcfe5680979098909090909090909018bcfe56801710181010101010101010200000000000000 \
         03",
    );
    golden.key("journal", (run, 258_u64), "018bcfe56801710181010101010101010000000000000102");
    golden.key("wait", wait, "018bcfe5680171018101010101010101020000000000000003");
    golden.key("backlog", (run, task, 258_u64), "018bcfe5680171018101010101010101020000000000000102");
    golden.key("cron", cron_id(1), "018bcfe5680171018101010101010101");
    golden.key(
        "cron name",
        (NAMESPACE, workflow_name("mail"), cron_name("daily")),
        "000000006d61696c006461696c7900",
    );
    golden.key("scheduled run", scheduled_id(1), "018bcfe5680171018101010101010101");
    golden.key(
        "scheduled by time",
        (ScheduledStatus::Cancelled, at(1), scheduled_id(1)),
        "020000018bcfe56801018bcfe5680171018101010101010101",
    );
    golden.key("event", event_id(1), "018bcfe5680171018101010101010101");
    golden.key(
        "event by key",
        (NAMESPACE, "a.b".to_owned(), at(1), event_id(1)),
        "0000000000000003612e620000018bcfe56801018bcfe5680171018101010101010101",
    );
    let mail = workflow_name("mail");
    let of_runs = keys::scope(IdempotencyScope::Runs(&mail)).to_owned();
    golden.key(
        "idempotency of runs",
        (NAMESPACE, of_runs, "k".to_owned()),
        "00000000000000046d61696c000000016b",
    );
    let of_events = keys::scope(IdempotencyScope::Events).to_owned();
    golden.key("idempotency of events", (NAMESPACE, of_events, "k".to_owned()), "0000000000000000000000016b");
    let by_expiry = (at(1), NAMESPACE, String::new(), "k".to_owned());
    golden.key("idempotency by expiry", by_expiry, "0000018bcfe568010000000000000000000000016b");
    assert_eq!(golden.0, "");
}

#[test]
fn records_are_written_as_they_always_were() {
    let mut golden = Golden::default();
    golden.record(
        "module",
        digest(1),
        module(),
        "\
         01f0a20485d095ffbc3101046d61696c030115776173693a687474702f747970657340302e322e30 \
         01056c61726765",
    );
    golden.record(
        "workflow",
        (NAMESPACE, workflow_name("mail")),
        workflow(),
        "010103ac020181d095ffbc3182d095ffbc31",
    );
    golden.record(
        "version",
        (NAMESPACE, workflow_name("mail"), Version(3)),
        version(),
        "\
         01010101010101010101010101010101010101010101010101010101010101010185d095ffbc310b \
         53656e6473206d61696c2e01056461696c790b302039202a202a204d4f4e0d4575726f70652f4265 \
         726c696e027b7d01047465616d04626c75650102023c00030106757365722e2a0104747275650104 \
         73656e640a53656e6473206f6e652e01010301000000000000000040901c009a9999999999b93f01 \
         80cab5ee010109000180804001010a696e7075742e75736572050201010a696e7075742e686f7374 \
         010a0100010566616c7365010531203e20320100010474727565010566616c736501010a696e7075 \
         742e75736572050201",
    );
    golden.record(
        "run spec",
        run_id(1),
        spec(1),
        "\
         01046d61696c0301010101010101010101010101010101010101010101010101010101010101010a \
         7b22746f223a2261227d01047465616d04626c75650101018bcfe568017101810101010101010180 \
         d095ffbc3101018bcfe56800700080000000000000000181d095ffbc31",
    );
    let triggers = [
        (
            "call",
            Trigger::Call,
            "\
         01046d61696c0301010101010101010101010101010101010101010101010101010101010101010a \
         7b22746f223a2261227d01047465616d04626c7565010001018bcfe5680070008000000000000000 \
         0181d095ffbc31",
        ),
        (
            "scheduled",
            Trigger::Scheduled { id: scheduled_id(1), nominal: at(0) },
            "\
         01046d61696c0301010101010101010101010101010101010101010101010101010101010101010a \
         7b22746f223a2261227d01047465616d04626c75650102018bcfe568017101810101010101010180 \
         d095ffbc3101018bcfe56800700080000000000000000181d095ffbc31",
        ),
        (
            "event",
            Trigger::Event(event_id(1)),
            "\
         01046d61696c0301010101010101010101010101010101010101010101010101010101010101010a \
         7b22746f223a2261227d01047465616d04626c75650103018bcfe568017101810101010101010101 \
         018bcfe56800700080000000000000000181d095ffbc31",
        ),
        (
            "parent",
            Trigger::Parent(run_id(2)),
            "\
         01046d61696c0301010101010101010101010101010101010101010101010101010101010101010a \
         7b22746f223a2261227d01047465616d04626c75650104018bcfe568027202820202020202020201 \
         018bcfe56800700080000000000000000181d095ffbc31",
        ),
        (
            "replay",
            Trigger::Replay(run_id(3)),
            "\
         01046d61696c0301010101010101010101010101010101010101010101010101010101010101010a \
         7b22746f223a2261227d01047465616d04626c75650105018bcfe568037303830303030303030301 \
         018bcfe56800700080000000000000000181d095ffbc31",
        ),
    ];
    for (what, trigger, bytes) in triggers {
        golden.record(what, run_id(1), RunSpec { trigger, ..spec(1) }, bytes);
    }
    golden.record(
        "run state",
        run_id(1),
        run(),
        "\
         03020109010201000207010100d0a84b01030304000501018bcfe568017101810101010101010106 \
         02018bcfe5680878088808080808080808ac02ad020181d095ffbc310183d095ffbc310182d095ff \
         bc310183d095ffbc310184d095ffbc31010001310100026e6f01025b5d020183d095ffbc310184d0 \
         95ffbc31",
    );
    let version_2 = "\
         02020109010201000207010100d0a84b01030304000501018bcfe568017101810101010101010106 \
         02018bcfe5680878088808080808080808ac02ad020181d095ffbc310183d095ffbc310182d095ff \
         bc310183d095ffbc310184d095ffbc31010001310100026e6f01025b5d0183d095ffbc310184d095 \
         ffbc31";
    let mut state = run();
    state.tasks[0].held = 0;
    assert_eq!(Run::decode(&run_id(1), &bytes(version_2)).unwrap(), state);
    let version_1 = "\
         01020109010201000207010100d0a84b01030100e0a499ffbc31020103612e2a0104747275650102 \
         000302018bcfe56809790989090909090909090304000501018bcfe5680171018101010101010101 \
         0602018bcfe5680878088808080808080808010181d095ffbc310183d095ffbc310182d095ffbc31 \
         0183d095ffbc310184d095ffbc3101013101026e6f01025b5d0183d095ffbc310184d095ffbc31";
    (state.tasks[0].backlog, state.tasks[0].backlog_next) = (0, 0);
    let old = OldRun::decode(&bytes(version_1)).unwrap();
    assert_eq!((old.run, old.backlogs), (state.clone(), vec![Vec::new()]));
    assert_eq!(old.waits[0].iter().map(|wait| wait.id.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(Run::decode(&run_id(1), &bytes(version_1)).unwrap(), state);
    for (condition, should_be) in conditions().into_iter().zip([
        "010000e0a499ffbc31",
        "01000103612e2a00010200",
        "01000303612e62000102000a696e7075745b2278225d026e35",
        "010002018bcfe5680979098909090909090909",
    ]) {
        golden.record("wait", (run_id(1), TaskIndex(2), WaitId(3)), WaitRow::Open(condition), should_be);
    }
    golden.record(
        "wait in backlog",
        (run_id(1), TaskIndex(2), WaitId(3)),
        WaitRow::InBacklog(300),
        "0101ac02",
    );
    let settled = Settled { id: WaitId(3), outcome: WaitOutcome::Run(run_id(1)) };
    golden.record(
        "backlog",
        (run_id(1), TaskIndex(2), 300),
        settled,
        "010302018bcfe5680171018101010101010101",
    );
    golden.record("output", (run_id(1), TaskIndex(2)), Json::trusted("[]"), "01025b5d");
    golden.record("error", (run_id(1), TaskIndex(2)), task_error(), "01026e6f01025b5d");
    golden.record("counts", workflow_name("mail"), counts(), "02010203040506bc050201070901");
    let (transition, log_line, chunk) = (transition(), log_line(), chunk());
    let journal = JournalRow { before: JournalSize { transitions: 8, output: 900 }, ..journal_row() };
    golden.record(
        "journal",
        (run_id(1), 9),
        journal,
        "\
         0308840700030087d095ffbc310001040101040188d095ffbc3101020301076361726566756c0289d095ffbc \
         310202746f",
    );
    golden.record(
        "trimmed journal",
        (run_id(1), 9),
        trimmed_journal_row(),
        "\
         03d00f90bf0501d8048004bc05f0a204050087d095ffbc3100010401010403010087d095ffbc31000104 \
         01010403030188d095ffbc3101020301076361726566756c",
    );
    for (entries, older) in [
        (vec![transition.clone()], "010087d095ffbc31000104010104"),
        (vec![log_line.clone()], "010188d095ffbc3101020301076361726566756c"),
        (vec![chunk.clone()], "010289d095ffbc310202746f"),
        (
            vec![transition, log_line, chunk],
            "02030087d095ffbc310001040101040188d095ffbc3101020301076361726566756c0289d095ffbc310202746f",
        ),
    ] {
        let row = JournalRow::decode(&(run_id(1), 5), &bytes(older)).unwrap();
        let before = JournalSize { transitions: 5, output: 5 * 64 };
        let entries = (0..).zip(entries).collect();
        assert_eq!(row, JournalRow { before, entries, ..JournalRow::default() });
    }
    let wait = event_wait();
    let FilterIndex { path, value } = wait.index.clone().unwrap();
    let key = (NAMESPACE, wait.key_pattern.clone(), path, value, wait.run, wait.task, wait.wait);
    golden.record(
        "event wait",
        key,
        wait,
        "03010c696e7075742e78203d3d203580d095ffbc3101018bcfe568017101810101010101010181d095ffbc31",
    );
    let wait = EventWaitRow { index: None, since: Timestamp::from_millis(0), ..event_wait() };
    let [path, value] = [String::new(), String::new()];
    let key = (NAMESPACE, wait.key_pattern.clone(), path, value, wait.run, wait.task, wait.wait);
    let version_1 = EventWaitRow::decode(&key, b"\x01\x01\x0cinput.x == 5");
    assert_eq!(version_1.unwrap(), EventWaitRow { settled_by: None, ..wait.clone() });
    let version_2 = "02010c696e7075742e78203d3d203501018bcfe568017101810101010101010181d095ffbc31";
    assert_eq!(EventWaitRow::decode(&key, &bytes(version_2)).unwrap(), wait);
    let behind = |key: &[u8]| Behind::Row(key.to_vec());
    for (what, work, should_be) in [
        ("work: waiters", Work::TellWaiters { awaited: run_id(1) }, "0100018bcfe5680171018101010101010101"),
        (
            "work: children",
            Work::CancelChildren { parent: run_id(1), after: Some(run_id(2)) },
            "0101018bcfe568017101810101010101010101018bcfe5680272028202020202020202",
        ),
        (
            "work: scheduled",
            Work::CancelScheduled {
                workflow: workflow_name("mail"),
                made_before: at(1),
                after: Some((at(2), scheduled_id(1))),
            },
            "0102046d61696c81d095ffbc310182d095ffbc31018bcfe5680171018101010101010101",
        ),
        (
            "work: event",
            Work::MatchEvent { event: event_id(1), cursor: WaitCursor::Exact(behind(b"key")) },
            "0103018bcfe56801710181010101010101010001036b6579",
        ),
        (
            "work: event against patterns",
            Work::MatchEvent {
                event: event_id(1),
                cursor: WaitCursor::Pattern { prefix: 300, behind: Behind::Group("a*".to_owned()) },
            },
            "0103018bcfe568017101810101010101010101ac020202612a",
        ),
        (
            "work: look-back",
            Work::LookBack(LookBack {
                run: run_id(1),
                task: TaskIndex(2),
                wait: WaitId(3),
                since: at(1),
                before: Some(event_id(2)),
                looked_at: 7,
            }),
            "0104018bcfe5680171018101010101010101020381d095ffbc3101018bcfe568027202820202020202020207",
        ),
        (
            "work: room under a limit",
            Work::MakeRoom {
                workflow: workflow_name("mail"),
                index: 1,
                key: "k".to_owned(),
                room: 2,
                made_before: run_id(1),
            },
            "0105046d61696c01016b02018bcfe5680171018101010101010101",
        ),
        (
            "work: subscribers",
            Work::StartSubscribers {
                event: event_id(1),
                after: Some(SubscriptionPlace {
                    is_pattern: true,
                    workflow: workflow_name("mail"),
                    position: 3,
                }),
            },
            "0106018bcfe56801710181010101010101010101046d61696c03",
        ),
        (
            "work: held tasks",
            Work::TryHeld { after: Some((run_id(1), TaskIndex(2))) },
            "010701018bcfe568017101810101010101010102",
        ),
    ] {
        golden.record(what, 0, work, should_be);
    }
    golden.record(
        "open requests",
        (run_id(1), TaskIndex(2), 3),
        open_requests(),
        "\
         0185d095ffbc3101018bcfe5680272028202020202020202046d61696c03010101010101010101010101 \
         0101010101010101010101010101010101010101013101047465616d04626c756501020101016b3c0001 \
         018bcfe568017101810101010101010103612e62013201047465616d04626c75650001018bcfe5680171 \
         018101010101010101046d61696c83d095ffbc3101330001 01",
    );
    golden.record("held end", (run_id(1), TaskIndex(2)), held_end(), "0101040 0809bee02025b5d");
    golden.record(
        "cron",
        cron_id(1),
        cron(),
        "\
         03046d61696c056461696c79010b302039202a202a204d4f4e0d4575726f70652f4265726c696e02 \
         7b7d01047465616d04626c75650102023c00030101e4d095ffbc3101b2d095ffbc3101018bcfe568 \
         017101810101010101010101018bcfe56801710181010101010101010187d095ffbc3181d095ffbc \
         3182d095ffbc31bcd095ffbc31",
    );
    let version_2 = "02046d61696c056461696c79010b302039202a202a204d4f4e0d4575726f70652f4265726c696e02 \
         7b7d01047465616d04626c75650102023c00030101e4d095ffbc3101b2d095ffbc3101018bcfe568 \
         017101810101010101010101018bcfe56801710181010101010101010187d095ffbc3181d095ffbc \
         3182d095ffbc31";
    let row = CronRow { seen_until: at(99), ..cron() };
    assert_eq!(CronRow::decode(&cron_id(1), &bytes(version_2)).unwrap(), row);
    let version_1 = "01046d61696c056461696c79010b302039202a202a204d4f4e0d4575726f70652f4265726c696e02 \
         7b7d01047465616d04626c75650102023c00030101e4d095ffbc3101b2d095ffbc3101018bcfe568 \
         01710181010101010101010187d095ffbc3181d095ffbc3182d095ffbc31";
    let row = CronRow { unfinished: Vec::new(), ..row };
    assert_eq!(CronRow::decode(&cron_id(1), &bytes(version_1)).unwrap(), row);
    golden.record(
        "cron name",
        (workflow_name("mail"), cron_name("daily")),
        cron_id(1),
        "01018bcfe5680171018101010101010101",
    );
    golden.record(
        "scheduled run",
        scheduled_id(1),
        scheduled(1),
        "\
         01046d61696ce4d095ffbc310101018bcfe568027202820202020202020201018bcfe56803730383 \
         03030303030303046e756c6c01047465616d04626c7565010381d095ffbc3182d095ffbc31",
    );
    golden.record(
        "event",
        event_id(1),
        event(1),
        "\
         010c757365722e63726561746564013701047465616d04626c7565010381d095ffbc3101018bcfe5 \
         680171018101010101010101046d61696c02",
    );
    golden.record(
        "idempotency",
        (NAMESPACE, String::new(), "k".to_owned()),
        idempotency(),
        "01018bcfe5680171018101010101010101e8d795ffbc31",
    );
    golden.record("index", run_id(1), (), "");
    assert_eq!(golden.0, "");
}

#[test]
fn codes_are_positions_in_the_lists() {
    for (i, status) in Status::ALL.into_iter().enumerate() {
        assert_eq!(status as usize, i);
    }
    for (i, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, i);
    }
    for (i, status) in SCHEDULED_STATUSES.into_iter().enumerate() {
        assert_eq!(status as usize, i);
    }
    for (i, line) in TimerLine::ALL.into_iter().enumerate() {
        assert_eq!(line as usize, i);
    }
    for (i, timer) in TASK_TIMERS.into_iter().enumerate() {
        assert_eq!(timer as usize, i);
    }
}

#[test]
fn every_table_and_no_other_is_described() {
    let described: Vec<&str> = include_str!("../FORMAT.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let names: Vec<String> = tables::ALL.iter().map(|t| redb::TableHandle::name(t).to_owned()).collect();
    assert_eq!(described, names);
}
