//! A task goes on exactly where it stopped, in another instance.

use dormouse_core::run::Reason;

use super::guests::Wat;
use super::harness::{Harness, failure, output, snapshot};
use crate::runtime::step::StepOutcome;

#[tokio::test]
async fn a_task_that_ends_at_once_gives_its_output() {
    let harness = Harness::new();
    let module = harness.module(Wat::default().component()).await;
    assert_eq!(output(harness.start(&module).await), "null");
}

/// Counts up in a global and at an address that only exists once the memory has grown.
const COUNTER: Wat<'static> = Wat {
    imports: "",
    items: r#"
        (global $count (mut i64) (i64.const 0))
        (global $half (mut f32) (f32.const 0))
        (global $whole (mut f64) (f64.const 0))
        (func $count_up (result i32)
            (global.set $count (i64.add (global.get $count) (i64.const 1)))
            (global.set $half (f32.add (global.get $half) (f32.const 0.5)))
            (global.set $whole (f64.sub (global.get $whole) (f64.const 1)))
            (i32.store8 (i32.const 200000) (i32.add (i32.load8_u (i32.const 200000)) (i32.const 1)))
            (if (i64.ge_u (global.get $count) (i64.const 9)) (then
                ;; All must agree.
                (if (f32.ne (global.get $half) (f32.const 4.5)) (then unreachable))
                (if (f64.ne (global.get $whole) (f64.const -9)) (then unreachable))
                (if (i32.ne (memory.size) (i32.const 4)) (then unreachable))
                (return (call $digit (i32.load8_u (i32.const 200000))))))
            (call $sleep (i64.const 5)))"#,
    init: "",
    start: "(drop (memory.grow (i32.const 3))) (call $count_up)",
    resume: "(call $count_up)",
    definition: None,
};

#[tokio::test]
async fn memory_and_globals_survive_many_sleeps_and_a_restart() {
    let harness = Harness::new();
    let component = COUNTER.component();
    let module = harness.module(component).await;
    let mut end = harness.start(&module).await;
    for _ in 0..4 {
        end = harness.resume(&module, snapshot(end)).await;
    }
    let digest = module.digest;
    let restarted = harness.restarted();
    let module = restarted.load(digest, || Err("it is on disk".to_owned())).await.unwrap();
    for _ in 0..4 {
        let request = super::harness::resume(snapshot(end));
        end = restarted.run_step(&module, request, harness.host.clone()).await;
    }
    assert_eq!(output(end), "9");
}

#[tokio::test]
async fn a_compiled_module_that_was_tampered_with_is_compiled_anew() {
    let harness = Harness::new();
    let component = Wat::default().component();
    let digest = harness.module(component.clone()).await.digest;
    for entry in std::fs::read_dir(harness.folder.path().join("compiled")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let restarted = harness.restarted();
    assert!(restarted.load(digest, || Err("gone".to_owned())).await.is_err());
    let module = restarted.load(digest, || Ok(component)).await.unwrap();
    let end = restarted.run_step(&module, super::harness::start(), harness.host.clone()).await;
    assert_eq!(output(end), "null");
}

#[tokio::test]
async fn a_module_that_was_forgotten_is_gone_from_memory_and_disk() {
    let harness = Harness::new();
    let digest = harness.module(Wat::default().component()).await.digest;
    harness.runtime.forget(digest);
    assert!(harness.runtime.load(digest, || Err("gone".to_owned())).await.is_err());
    assert!(std::fs::read_dir(harness.folder.path().join("compiled")).unwrap().next().is_none());
}

#[tokio::test]
async fn bytes_of_another_module_are_not_run() {
    let harness = Harness::new();
    let digest = harness.module(Wat::default().component()).await.digest;
    harness.runtime.forget(digest);
    let error = harness.runtime.load(digest, || Ok(COUNTER.component())).await.unwrap_err();
    assert!(error.to_string().contains("are those of"), "{error}");
}

#[tokio::test]
async fn a_snapshot_of_another_module_or_damaged_fails_for_good() {
    let harness = Harness::new();
    let counter = harness.module(COUNTER.component()).await;
    let other = harness.module(Wat::default().component()).await;
    let good = snapshot(harness.start(&counter).await);
    let mut bad = good.clone();
    bad.truncate(bad.len() - 3);
    for (module, bytes) in [(&other, good), (&counter, bad)] {
        let (reason, message, retryable) = failure(harness.resume(module, bytes).await);
        assert_eq!((reason, retryable), (Reason::Unloadable, false), "{message}");
    }
}

#[tokio::test]
async fn waits_are_handed_on_and_checked() {
    let harness = Harness::new();
    let guest = Wat { start: "(call $sleep (i64.const 12))", ..Wat::default() };
    let module = harness.module(guest.component()).await;
    let StepOutcome::Suspended { waits, dropped, .. } = harness.start(&module).await.outcome else {
        panic!("it suspends")
    };
    assert_eq!(format!("{waits:?}"), "[Wait { id: WaitId(7), condition: Until(1970-01-01T00:00:00.012Z) }]");
    assert!(dropped.is_empty());

    let guest = Wat { start: "(call $sleep (i64.const 253402300800000))", ..Wat::default() };
    let module = harness.module(guest.component()).await;
    let (reason, message, retryable) = failure(harness.start(&module).await);
    assert_eq!((reason, retryable), (Reason::InvalidResult, false));
    assert!(message.contains("wait 7"), "{message}");
}

#[tokio::test]
async fn an_output_that_is_no_json_fails_for_good() {
    let harness = Harness::new();
    let guest = Wat { start: "(call $complete (i32.const 2000) (i32.const 4))", ..Wat::default() };
    let module = harness.module(guest.component()).await;
    let (reason, message, retryable) = failure(harness.start(&module).await);
    assert_eq!((reason, retryable), (Reason::InvalidResult, false), "{message}");
}
