//! Guests written by hand: a core module in text around the functions of interest, made a
//! component of the world in `wit/`.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What is special about a guest; the rest does as little as possible.
#[derive(Default)]
pub(super) struct Wat<'a> {
    /// Imports, and anything else that comes before the memory.
    pub(super) imports: &'a str,
    /// Globals, functions, tables and data of its own.
    pub(super) items: &'a str,
    pub(super) init: &'a str,
    /// Each leaves the address of a step result on the stack; `(call $done)` by default.
    pub(super) start: &'a str,
    pub(super) resume: &'a str,
    /// First bytes of the result of `definition`: where the list is, and its length. The one
    /// workflow `flow` with the task `task` by default.
    pub(super) definition: Option<[u32; 2]>,
}

/// Address of the record of the workflow, and of its task.
pub(super) const WORKFLOW: u32 = 1040;
pub(super) const TASK: u32 = 1136;

impl Wat<'_> {
    /// The component.
    pub(super) fn component(&self) -> Vec<u8> {
        self.component_of("package test:none;", "dormouse:workflow/module")
    }

    /// The component of another world, which this text defines.
    pub(super) fn component_of(&self, wit: &str, world: &str) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        let mut resolve = Resolve::default();
        resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap();
        let package = resolve.push_str("test.wit", wit).unwrap();
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
    }

    fn text(&self) -> String {
        let Self { imports, items, init, .. } = self;
        let or_done = |body: &str| if body.is_empty() { "(call $done)".to_owned() } else { body.to_owned() };
        let (start, resume) = (or_done(self.start), or_done(self.resume));
        let definition = words(&self.definition.unwrap_or([WORKFLOW, 1]));
        // name, description, crons, events, tasks; options are empty.
        let workflow = words(&[2000, 4, 0, 0, 0, 0, 0, 0, TASK, 1]);
        let task = words(&[2004, 4]);
        format!(
            r#"(module
            {imports}
            (memory (export "memory") 1)
            (global $heap (mut i32) (i32.const 4096))
            (data (i32.const 1024) "{definition}")
            (data (i32.const {WORKFLOW}) "{workflow}")
            (data (i32.const {TASK}) "{task}")
            (data (i32.const 2000) "flowtasknull")
            {items}
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                (global.set $heap (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            ;; Completed with this JSON.
            (func $complete (param i32 i32) (result i32)
                (i32.store8 (i32.const 1400) (i32.const 0))
                (i32.store (i32.const 1404) (local.get 0))
                (i32.store (i32.const 1408) (local.get 1))
                (i32.const 1400))
            ;; Completed with `null`.
            (func $done (result i32) (call $complete (i32.const 2008) (i32.const 4)))
            ;; Completed with the digit of this number.
            (func $digit (param i32) (result i32)
                (i32.store8 (i32.const 1500) (i32.add (i32.const 48) (local.get 0)))
                (call $complete (i32.const 1500) (i32.const 1)))
            ;; Suspended until this time, with wait 7.
            (func $sleep (param i64) (result i32)
                (i64.store (i32.const 1440) (i64.const 7))
                (i32.store8 (i32.const 1448) (i32.const 0))
                (i64.store (i32.const 1456) (local.get 0))
                (i32.store8 (i32.const 1400) (i32.const 2))
                (i32.store (i32.const 1404) (i32.const 1440))
                (i32.store (i32.const 1408) (i32.const 1))
                (i32.store (i32.const 1412) (i32.const 0))
                (i32.store (i32.const 1416) (i32.const 0))
                (i32.const 1400))
            (func (export "dormouse:workflow/guest@0.1.0#init") {init})
            (func (export "dormouse:workflow/guest@0.1.0#definition") (result i32) (i32.const 1024))
            (func (export "dormouse:workflow/guest@0.1.0#start")
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {start})
            (func (export "dormouse:workflow/guest@0.1.0#resume") (param i32 i32) (result i32) {resume})
            )"#
        )
    }
}

/// 32-bit words as the text of a data segment.
fn words(words: &[u32]) -> String {
    words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect()
}
