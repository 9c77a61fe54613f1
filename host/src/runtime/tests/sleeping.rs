//! A task goes on exactly where it stopped, in another instance.

use dormouse_core::run::Reason;

use super::guests::Wat;
use super::harness::{Harness, failure, output, resume, snapshot};
use crate::runtime::image::{BaseImage, State};
use crate::runtime::module::Module;
use crate::runtime::snapshot::Snapshot;
use crate::runtime::step::{StepEnd, StepOutcome, StepRequest};
use crate::runtime::stored_base;

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
    assert!(harness.restarted().load(digest, || Err("gone".to_owned())).await.is_err());
    let restarted = harness.restarted();
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
async fn a_snapshot_of_another_module_or_damaged_holds_the_task() {
    let harness = Harness::new();
    let counter = harness.module(COUNTER.component()).await;
    let other = harness.module(Wat::default().component()).await;
    let good = snapshot(harness.start(&counter).await);
    let mut bad = good.clone();
    bad.truncate(bad.len() - 3);
    for (module, bytes) in [(&other, good), (&counter, bad)] {
        let end = harness.resume(module, bytes).await;
        assert!(matches!(end.outcome, StepOutcome::Held { .. }), "{end:?}");
    }
}

/// Why a step could not begin.
fn held(end: StepEnd) -> String {
    match end.outcome {
        StepOutcome::Held { error } => error.message,
        other => panic!("held: {other:?}"),
    }
}

/// The snapshot as a host would have taken it on which `init` left this memory.
fn taken_from(bytes: &[u8], module: &Module, old: &BaseImage) -> Vec<u8> {
    let snapshot = Snapshot::decode(bytes, module.digest, &module.base).unwrap();
    let changes = snapshot.changes.rebased(&module.base, old);
    Snapshot { changes, ..snapshot }.encode(module.digest, old).unwrap()
}

#[tokio::test]
async fn a_task_goes_on_where_init_leaves_another_memory_than_on_the_host_before() {
    let harness = Harness::new();
    let module = harness.module(COUNTER.component()).await;
    let mut state = module.base.state.clone();
    state.memories[0].iter_mut().step_by(999).for_each(|byte| *byte ^= 0x55);
    state.globals[0] ^= 1;
    let old = BaseImage::new(state, module.base.handles.clone());
    let mut end = harness.start(&module).await;
    for _ in 0..7 {
        end = harness.resume(&module, snapshot(end)).await;
    }
    let bytes = taken_from(&snapshot(end), &module, &old);
    let problem = held(harness.resume(&module, bytes.clone()).await);
    assert!(problem.contains("another memory"), "{problem}");

    harness.host.base_images.lock().unwrap().insert(old.digest, stored_base::encode(&old).unwrap());
    assert_eq!(output(harness.resume(&module, bytes).await), "9");
}

#[tokio::test]
async fn a_task_is_held_where_the_stored_base_image_is_of_no_use() {
    let harness = Harness::new();
    let module = harness.module(COUNTER.component()).await;
    let state = State { globals: vec![7; module.base.state.globals.len()], ..module.base.state.clone() };
    let old = BaseImage::new(state.clone(), vec!["a pollable".to_owned()]);
    let bytes = taken_from(&snapshot(harness.start(&module).await), &module, &old);
    let good = stored_base::encode(&old).unwrap();
    let other = stored_base::encode(&module.base).unwrap();
    for (stored, problem) in
        [(&good[..9], "cannot be read"), (&other, "another digest"), (&good, "held a pollable after `init`")]
    {
        harness.host.base_images.lock().unwrap().insert(old.digest, stored.to_vec());
        let found = held(harness.resume(&module, bytes.clone()).await);
        assert!(found.contains(problem), "{problem}: {found}");
    }
}

#[tokio::test]
async fn the_base_image_is_given_once_to_be_stored() {
    let harness = Harness::new();
    let module = harness.module(COUNTER.component()).await;
    let mut given = Vec::new();
    (0..2).for_each(|_| module.keep_base(|_| false, |base, image| given.push((base, image))));
    let [(base, image)] = given.try_into().expect("it is given once");
    assert_eq!(base, module.base.digest);
    let read = stored_base::decode(&image, 1 << 20).unwrap();
    assert_eq!((read.state, read.handles), (module.base.state.clone(), module.base.handles.clone()));
    let other = harness.module(Wat::default().component()).await;
    other.keep_base(|base| base == other.base.digest, |_, _| panic!("it is stored"));
}

#[tokio::test]
async fn a_task_whose_memory_is_too_large_for_this_host_is_held() {
    let harness = Harness::new();
    let module = harness.module(COUNTER.component()).await;
    let bytes = snapshot(harness.start(&module).await);
    let small = StepRequest { memory_bytes_max: Some(65_536), ..resume(bytes) };
    let problem = held(harness.step(&module, small).await);
    assert!(problem.contains("cannot be restored"), "{problem}");
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
