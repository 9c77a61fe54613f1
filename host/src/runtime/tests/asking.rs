//! What a step asks of the host takes effect with its result, or not at all.

use std::time::Duration;

use dormouse_core::id::{RunId, Version};
use dormouse_core::run::Reason;
use dormouse_core::workflow::Priority;

use super::guests::Wat;
use super::harness::{END, Harness, failure, output};
use crate::runtime::step::StepOutcome;

/// `stream.publish`, with a function that publishes `flow` and gives 0 if that went well.
const STREAM: &str =
    r#"(import "dormouse:workflow/stream@0.1.0" "publish" (func $publish (param i32 i32 i32)))"#;
const PUBLISH: &str = r"
    (func $say (param i32) (result i32)
        (call $publish (i32.const 2000) (local.get 0) (i32.const 1600))
        (i32.load8_u (i32.const 1600)))";

#[tokio::test]
async fn what_a_step_published_comes_with_its_result() {
    let harness = Harness::new();
    let start = "(call $digit (i32.add (call $say (i32.const 4)) (call $say (i32.const 8))))";
    let guest = Wat { imports: STREAM, items: PUBLISH, start, ..Wat::default() };
    let module = harness.module(guest.component()).await;
    let end = harness.start(&module).await;
    assert_eq!(end.requests.chunks, ["flow", "flowtask"]);
    assert_eq!(output(end), "0");
}

#[tokio::test]
async fn a_step_that_fails_has_asked_for_nothing() {
    let harness = Harness::new();
    let start = "(drop (call $say (i32.const 4))) (unreachable)";
    let guest = Wat { imports: STREAM, items: PUBLISH, start, ..Wat::default() };
    let module = harness.module(guest.component()).await;
    let end = harness.start(&module).await;
    assert!(end.requests.chunks.is_empty());
    assert_eq!(failure(end).0, Reason::Trap);
}

#[tokio::test]
async fn a_guest_that_publishes_too_much_is_told_so() {
    let harness = Harness::new();
    // 65537 bytes are too many; the address is moved so that they are text.
    let items = r"
        (func $say (result i32)
            (call $publish (i32.const 8192) (i32.const 65537) (i32.const 1600))
            (i32.load8_u (i32.const 1600)))";
    let start = "(drop (memory.grow (i32.const 1))) (call $digit (call $say))";
    let guest = Wat { imports: STREAM, items, start, ..Wat::default() };
    let module = harness.module(guest.component()).await;
    let end = harness.start(&module).await;
    assert!(end.requests.chunks.is_empty());
    assert_eq!(output(end), "1");
}

#[tokio::test]
async fn schedules_are_checked_against_the_current_version_and_inherit_metadata() {
    let harness = Harness::new();
    let imports = r#"(import "dormouse:workflow/schedules@0.1.0" "create"
        (func $create (param i32 i32 i64 i32 i32 i32 i32 i32 i32 i32)))"#;
    // Workflow, time, input, no metadata, no priority.
    let items = r"
        (func $schedule (param i32 i32 i64 i32) (result i32)
            (call $create (local.get 0) (local.get 1) (local.get 2) (i32.const 2008) (local.get 3)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1600))
            ;; The code of the error, or 9.
            (if (result i32) (i32.load8_u (i32.const 1600))
                (then (i32.load8_u (i32.const 1604)))
                (else (i32.const 9))))";
    let start = "
        ;; `flow` now, `task` is unknown, the year 10000, an input that is no JSON
        (if (i32.ne (call $schedule (i32.const 2000) (i32.const 4) (i64.const 5) (i32.const 4)) (i32.const 9))
            (then unreachable))
        (if (i32.ne (call $schedule (i32.const 2004) (i32.const 4) (i64.const 5) (i32.const 4)) (i32.const 1))
            (then unreachable))
        (if (call $schedule (i32.const 2000) (i32.const 4) (i64.const 253402300800000) (i32.const 4))
            (then unreachable))
        (if (call $schedule (i32.const 2000) (i32.const 4) (i64.const 5) (i32.const 3))
            (then unreachable))
        (call $sleep (i64.const 253402300799999))";
    let module = harness.module(Wat { imports, items, start, ..Wat::default() }.component()).await;
    let end = harness.start(&module).await;
    let [schedule] = end.requests.schedules.as_slice() else { panic!("one schedule: {end:?}") };
    assert_eq!(schedule.workflow.as_str(), "flow");
    assert_eq!(schedule.metadata.iter().collect::<Vec<_>>(), [("customer", "7")]);
    let StepOutcome::Suspended { waits, .. } = end.outcome else { panic!("it suspends") };
    assert!(format!("{waits:?}").contains(&format!("{END:?}")));
}

#[tokio::test]
async fn a_key_gives_the_run_that_was_spawned_with_it() {
    let harness = Harness::new();
    let known = RunId::new(END, [9; 10]);
    harness.host.known.lock().unwrap().push(("task".to_owned(), known));
    let imports = r#"(import "dormouse:workflow/runs@0.1.0" "spawn"
        (func $spawn (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32)))"#;
    // With this key and otherwise always the same; leaves the address of the id.
    let items = r"
        (func $child (param i32 i32) (result i32)
            (call $spawn (i32.const 2000) (i32.const 4) (i32.const 2008) (i32.const 4)
                (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 3) (i32.const 1)
                (i32.const 1) (local.get 0) (local.get 1) (i32.const 0) (i64.const 0) (i32.const 1600))
            (if (i32.load8_u (i32.const 1600)) (then unreachable))
            (i32.load (i32.const 1604)))";
    let start = "
        ;; Different ids end differently: both came in the same millisecond.
        (if (i64.ne
            (i64.load offset=28 align=1 (call $child (i32.const 2000) (i32.const 4)))
            (i64.load offset=28 align=1 (call $child (i32.const 2000) (i32.const 4))))
            (then unreachable))
        (drop (call $child (i32.const 2004) (i32.const 4)))
        (call $done)";
    let module = harness.module(Wat { imports, items, start, ..Wat::default() }.component()).await;
    let end = harness.start(&module).await;
    let [spawn] = end.requests.spawns.as_slice() else { panic!("one child: {end:?}") };
    assert_eq!((spawn.target.version, spawn.detached), (Version(3), true));
    assert_eq!(spawn.priority, Priority::new(3));
    assert_eq!(spawn.idempotency, Some(("flow".to_owned(), Duration::from_secs(86_400))));
}

#[tokio::test]
async fn a_stream_that_is_open_at_a_suspension_fails_the_task_for_good() {
    let harness = Harness::new();
    let imports = r#"(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))"#;
    let component = |init, start| {
        Wat { imports, init, start, ..Wat::default() }.component_of(
            "package test:out;
            world out { import wasi:cli/stdout@0.2.0; include dormouse:workflow/module@0.1.0; }
            package wasi:io@0.2.0 { interface streams { resource output-stream; } }
            package wasi:cli@0.2.0 {
                interface stdout {
                    use wasi:io/streams@0.2.0.{output-stream};
                    get-stdout: func() -> output-stream;
                }
            }",
            "out",
        )
    };
    let open = "(drop (call $stdout))";
    let module = harness.module(component("", "(drop (call $stdout)) (call $sleep (i64.const 1))")).await;
    let (reason, message, retryable) = failure(harness.start(&module).await);
    assert_eq!((reason, retryable), (Reason::HandleHeld, false));
    assert!(message.contains("an output stream; close it before you sleep"), "{message}");

    let module = harness.module(component(open, "(call $sleep (i64.const 1))")).await;
    assert!(matches!(harness.start(&module).await.outcome, StepOutcome::Suspended { .. }));
}
