//! A guest cannot use more than it may, and dies when it tries.

use std::time::{Duration, Instant};

use dormouse_core::run::Reason;

use super::guests::Wat;
use super::harness::{Harness, failure, output, start};
use crate::runtime::step::StepRequest;

const LOOP: Wat<'static> = Wat {
    imports: "",
    items: "",
    init: "",
    start: "(loop $forever (br $forever)) (unreachable)",
    resume: "",
    definition: None,
};

#[tokio::test]
async fn an_endless_loop_dies_at_its_timeout_while_others_finish() {
    let harness = Harness::new();
    let endless = harness.module(LOOP.component()).await;
    let short = harness.module(Wat::default().component()).await;
    let request = || StepRequest { time_left: Duration::from_millis(80), ..start() };
    // More of them than there are threads for guests.
    let (one, two, three, other) = tokio::join!(
        harness.step(&endless, request()),
        harness.step(&endless, request()),
        harness.step(&endless, request()),
        harness.start(&short),
    );
    assert_eq!(output(other), "null");
    for end in [one, two, three] {
        assert!(end.ran >= Duration::from_millis(80), "{:?}", end.ran);
        let (reason, message, retryable) = failure(end);
        assert_eq!((reason, retryable), (Reason::ExecutionTimeout, true));
        assert!(message.contains("60s"), "{message}");
    }
}

/// On one thread, though there would be turns for two.
#[tokio::test]
async fn the_time_in_which_a_step_stands_in_line_for_a_processor_does_not_count() {
    let harness = Harness::new();
    let endless = harness.module(LOOP.component()).await;
    let began = Instant::now();
    let steps: Vec<_> = (0..5)
        .map(|_| {
            let (runtime, module, host) = (harness.runtime.clone(), endless.clone(), harness.host.clone());
            let request = StepRequest { time_left: Duration::from_millis(100), ..start() };
            tokio::spawn(async move { runtime.run_step(&module, request, host).await })
        })
        .collect();
    let mut ran = Vec::new();
    for step in steps {
        let end = step.await.unwrap();
        ran.push(end.ran);
        assert_eq!(failure(end).0, Reason::ExecutionTimeout);
    }
    // Of two that have a turn, one waits for the thread.
    let all = began.elapsed();
    assert!(all >= Duration::from_millis(250), "all of them were through after {all:?}");
    assert!(ran.iter().all(|ran| *ran < all * 3 / 4), "{ran:?} of {all:?}");
}

#[tokio::test]
async fn a_step_that_nobody_waits_for_any_more_makes_room() {
    let harness = Harness::new();
    let endless = harness.module(LOOP.component()).await;
    let short = harness.module(Wat::default().component()).await;
    // As many as there is room for at all.
    let steps: Vec<_> = (0..6)
        .map(|_| {
            let (runtime, module, host) = (harness.runtime.clone(), endless.clone(), harness.host.clone());
            tokio::spawn(async move { runtime.run_step(&module, start(), host).await })
        })
        .collect();
    tokio::task::yield_now().await;
    for step in &steps {
        step.abort();
    }
    assert_eq!(output(harness.start(&short).await), "null");
}

async fn breach(guest: Wat<'_>) -> (Reason, String) {
    let harness = Harness::new();
    let module = harness.module(guest.component()).await;
    let (reason, message, retryable) = failure(harness.start(&module).await);
    assert!(retryable, "{message}");
    (reason, message)
}

#[tokio::test]
async fn memory_beyond_the_limit_ends_the_step_and_names_the_limit() {
    let bomb = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)";
    let (reason, message) = breach(Wat { start: bomb, ..Wat::default() }).await;
    assert_eq!((reason, message.contains("4194304")), (Reason::Limit, true), "{message}");
}

#[tokio::test]
async fn a_task_may_get_on_without_the_memory_that_it_is_refused() {
    let harness = Harness::new();
    let refused = "(if (i32.ne (memory.grow (i32.const 1000)) (i32.const -1)) (then (unreachable)))";
    let module =
        harness.module(Wat { start: &format!("{refused} (call $done)"), ..Wat::default() }.component());
    assert_eq!(output(harness.start(&module.await).await), "null");
    // What it fails of then may be something else, and it is told of the limit all the same.
    let (reason, message) =
        breach(Wat { start: &format!("{refused} (unreachable)"), ..Wat::default() }).await;
    assert_eq!((reason, message.contains("4194304")), (Reason::Limit, true), "{message}");
}

#[tokio::test]
async fn a_task_may_be_given_less_memory_than_the_host_allows() {
    let harness = Harness::new();
    let start = "(if (i32.eq (memory.grow (i32.const 3)) (i32.const -1)) (then (unreachable))) (call $done)";
    let guest = Wat { start, ..Wat::default() };
    let module = harness.module(guest.component()).await;
    let limited = |max| StepRequest { memory_bytes_max: Some(max), ..self::start() };
    assert_eq!(output(harness.step(&module, limited(4 * 65_536)).await), "null");
    let (reason, message, _) = failure(harness.step(&module, limited(3 * 65_536)).await);
    assert_eq!((reason, message.contains("196608")), (Reason::Limit, true), "{message}");
}

#[tokio::test]
async fn endless_recursion_ends_the_step() {
    let items = "(func $deep (param i32) (result i32) (i32.add (local.get 0) (call $deep (local.get 0))))";
    let start = "(drop (call $deep (i32.const 1))) (call $done)";
    let (reason, message) = breach(Wat { items, start, ..Wat::default() }).await;
    assert_eq!((reason, message.contains("524288")), (Reason::Limit, true), "{message}");
}

#[tokio::test]
async fn a_trap_says_what_it_was_and_where() {
    let harness = Harness::new();
    let guest =
        Wat { items: "(func $boom unreachable)", start: "(call $boom) (call $done)", ..Wat::default() };
    let module = harness.module(guest.component()).await;
    let end = harness.start(&module).await;
    let crate::runtime::step::StepOutcome::Failed { reason: Reason::Trap, error, retryable: true } =
        end.outcome
    else {
        panic!("it traps: {:?}", end.outcome)
    };
    assert!(error.message.contains("unreachable"), "{}", error.message);
    assert!(error.details.unwrap().as_str().contains(r#""boom""#));
}

/// Level, address and length of a line. From address 8192 on memory is zeros.
const LOG: &str = r#"(import "dormouse:workflow/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;

#[tokio::test]
async fn log_lines_come_in_order_and_long_ones_are_cut() {
    let harness = Harness::new();
    let start = "(call $log (i32.const 2) (i32.const 2000) (i32.const 4))
        (call $log (i32.const 4) (i32.const 8192) (i32.const 20000)) (call $done)";
    let module = harness.module(Wat { imports: LOG, start, ..Wat::default() }.component()).await;
    harness.start(&module).await;
    let messages = harness.host.messages();
    assert_eq!(messages[0], "flow");
    assert_eq!((messages.len(), messages[1].len()), (2, 16 << 10));
}

#[tokio::test]
async fn lines_of_a_busy_guest_are_handed_over_while_it_runs() {
    let harness = Harness::new();
    let start = "(call $log (i32.const 2) (i32.const 2000) (i32.const 4))
        (loop $forever (br $forever)) (unreachable)";
    let module = harness.module(Wat { imports: LOG, start, ..Wat::default() }.component()).await;
    let mut step = std::pin::pin!(harness.start(&module));
    tokio::select! {
        _ = &mut step => panic!("it never ends"),
        () = harness.host.logged.notified() => {}
    }
    assert_eq!(harness.host.messages(), ["flow"]);
}

#[tokio::test]
async fn a_flood_of_log_lines_ends_the_step() {
    let start =
        "(loop $more (call $log (i32.const 2) (i32.const 8192) (i32.const 50000)) (br $more)) (unreachable)";
    let (reason, message) = breach(Wat { imports: LOG, start, ..Wat::default() }).await;
    assert_eq!((reason, message.contains("8388608")), (Reason::Limit, true), "{message}");
}
