//! Everything that is refused at upload, each with its code.

use dormouse_core::bounds::MODULE_BYTES_MAX;

use super::guests::{TASK, WORKFLOW, Wat};
use super::harness::Harness;
use crate::runtime::refusal::Refusal;

/// Why a component is refused; nothing of it stays on the disk.
async fn refusal(bytes: Vec<u8>) -> Refusal {
    let harness = Harness::new();
    let refusal = harness.runtime.inspect(bytes).await.unwrap_err();
    assert_eq!(std::fs::read_dir(harness.folder.path().join("compiled")).unwrap().count(), 0, "{refusal}");
    refusal
}

async fn assert_refused(bytes: Vec<u8>, code: &str, words: &str) {
    let refusal = refusal(bytes).await;
    assert_eq!(refusal.code(), code, "{refusal}");
    assert!(refusal.to_string().contains(words), "{refusal}");
}

fn text(component: &str) -> Vec<u8> {
    wat::parse_str(component).unwrap()
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    assert_refused(b"hello".to_vec(), "not_wasm", "`.wasm` file").await;
    assert_refused(Vec::new(), "not_wasm", "`.wasm` file").await;
    assert_refused(text("(module)"), "core_module", "wasm32-wasip2").await;
    let mut cut_off = Wat::default().component();
    cut_off.truncate(cut_off.len() / 2);
    assert_refused(cut_off, "malformed", "").await;
    assert_refused(vec![0; MODULE_BYTES_MAX + 1], "too_large", "67108864").await;
}

#[tokio::test]
async fn a_component_of_another_world_is_refused() {
    assert_refused(text("(component)"), "missing_interface", "exports nothing").await;
    let other = r#"(component (component $c) (instance $i (instantiate $c)) (export "a:b/c" (instance $i)))"#;
    assert_refused(text(other), "missing_interface", "`a:b/c`").await;
}

#[tokio::test]
async fn an_interface_that_nobody_links_is_named() {
    let imports = r#"(import "test:odd/api" "f" (func)) (import "wasi:http/types@0.2.0" "f" (func))"#;
    let component = Wat { imports, ..Wat::default() }.component_of(
        "package test:odd;
        interface api { f: func(); }
        world odd { import api; import wasi:http/types@0.2.0; include dormouse:workflow/module@0.1.0; }
        package wasi:http@0.2.0 { interface types { f: func(); } }",
        "odd",
    );
    assert_refused(component, "unknown_import", "`test:odd/api`, `wasi:http/types@0.2.0`").await;
}

#[tokio::test]
async fn state_that_a_snapshot_would_miss_is_refused() {
    let cases = [
        ("(table 1 funcref) (func (table.set (i32.const 0) (ref.null func)))", "table.set"),
        ("(table 1 funcref) (func (drop (table.grow (ref.null func) (i32.const 1))))", "table.grow"),
        ("(table 1 funcref) (func (table.fill (i32.const 0) (ref.null func) (i32.const 1)))", "table.fill"),
        ("(table 1 funcref) (func (table.copy (i32.const 0) (i32.const 0) (i32.const 1)))", "table.copy"),
        (
            "(table 1 funcref) (elem $e func) (func (table.init $e (i32.const 0) (i32.const 0) (i32.const 0)))",
            "table.init",
        ),
        ("(elem $e func) (func (elem.drop $e))", "elem.drop"),
        (r#"(data $d "x") (func (data.drop $d))"#, "data.drop"),
        ("(global (mut funcref) (ref.null func))", "funcref"),
        ("(global (mut v128) (v128.const i64x2 0 0))", "v128"),
        (r#"(func (export "dormouse-memory-0"))"#, "dormouse-memory-0"),
    ];
    for (items, words) in cases {
        assert_refused(Wat { items, ..Wat::default() }.component(), "not_snapshottable", words).await;
    }
    let components = [
        ("(component (core module (memory 1 1 shared)))", "shared"),
        ("(component (core module (memory i64 1)))", "64-bit"),
        (
            "(component (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)))",
            "twice",
        ),
        ("(component (component (core module)))", "nested"),
        ("(component (import \"m\" (core module)))", "outside"),
        (
            "(component (type $r (resource (rep i32))) (core func (canon resource.new $r)))",
            "resources of its own",
        ),
        (r#"(component (import "dormouse-sink" (func)))"#, "reserved"),
    ];
    for (component, words) in components {
        assert_refused(text(component), "not_snapshottable", words).await;
    }
}

#[tokio::test]
async fn an_init_that_fails_is_refused() {
    assert_refused(Wat { init: "unreachable", ..Wat::default() }.component(), "init_failed", "unreachable")
        .await;
    let imports = r#"(import "dormouse:workflow/clock@0.1.0" "now" (func $now (result i64)))"#;
    let guest = Wat { imports, init: "(drop (call $now))", ..Wat::default() };
    assert_refused(guest.component(), "init_failed", "cannot call the host").await;
}

#[tokio::test]
async fn a_definition_out_of_range_is_refused_with_its_field() {
    let none = Wat { definition: Some([WORKFLOW, 0]), ..Wat::default() };
    assert_refused(none.component(), "invalid_definition", "workflows").await;
    // A task with these retries: an option at offset 24 of its record.
    let retries = format!(r#"(data (i32.const {}) "\01\00\00\00\e9\03\00\00")"#, TASK + 24);
    let guest = Wat { items: &retries, ..Wat::default() };
    assert_refused(guest.component(), "invalid_definition", "workflows[0].tasks[0].retries").await;
}
