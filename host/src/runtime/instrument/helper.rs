//! The two core modules that are appended to a component: the scratch memory, and the helper that
//! imports all memories and globals and moves bytes between them and the scratch memory.

use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalType,
    ImportSection, InstructionSink, MemArg, MemorySection, MemoryType, Module, TypeSection, ValType,
};

use super::GLOBALS_INDEX;

/// Largest patch of one call of `dormouse-load-memory-N`.
pub(in crate::runtime) const PATCH_BYTES_MAX: usize = 1 << 20;
/// Size of the scratch memory: a patch, and a page to spare. It never grows, so that what it adds
/// to the memory of an instance is always the same.
pub(in crate::runtime) const SCRATCH_BYTES: usize = SCRATCH_PAGES as usize * 65_536;
const SCRATCH_PAGES: u32 = 17;

/// Exports of the scratch module.
pub(super) const MEMORY: &str = "memory";
pub(super) const REALLOC: &str = "realloc";

/// The name from which the helper imports everything.
pub(super) const STATE: &str = "state";
/// Exports of the helper; the load functions are numbered by memory.
pub(super) const SAVE: &str = "save";
pub(super) const LOAD_GLOBALS: &str = "load-globals";

/// The sink that is lowered with the scratch memory.
pub(super) const SCRATCH_SINK: &str = "sink-scratch";

pub(super) fn memory_import(index: usize) -> String {
    format!("memory-{index}")
}

pub(super) fn global_import(index: usize) -> String {
    format!("global-{index}")
}

pub(super) fn sink_import(index: usize) -> String {
    format!("sink-{index}")
}

pub(super) fn load_memory_export(index: usize) -> String {
    format!("load-memory-{index}")
}

/// A memory and an allocator for one argument at a time, which always lies at its beginning.
pub(super) fn scratch_module() -> Module {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut memories = MemorySection::new();
    memories.memory(memory_type(SCRATCH_PAGES, Some(SCRATCH_PAGES)));
    let mut exports = ExportSection::new();
    exports.export(MEMORY, ExportKind::Memory, 0).export(REALLOC, ExportKind::Func, 0);
    let mut realloc = Function::new([]);
    let new_size = 3;
    realloc
        .instructions()
        .local_get(new_size)
        .i32_const(SCRATCH_PAGES.cast_signed() << 16)
        .i32_gt_u()
        .if_(BlockType::Empty)
        .unreachable()
        .end()
        .i32_const(0)
        .end();
    let mut code = CodeSection::new();
    code.function(&realloc);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&exports).section(&code);
    module
}

/// Moves the state of so many memories and of globals of these types.
pub(super) fn helper_module(memories: usize, globals: &[ValType]) -> Module {
    let layout = Layout::new(memories, globals);
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([ValType::I32; 2], []);
    types.ty().function([ValType::I32; 3], []);
    let (save_type, load_globals_type, sink_type, load_memory_type) = (0, 1, 2, 2);

    let mut imports = ImportSection::new();
    for index in 0..memories {
        imports.import(STATE, &memory_import(index), EntityType::Memory(memory_type(0, None)));
    }
    imports.import(STATE, MEMORY, EntityType::Memory(memory_type(SCRATCH_PAGES, Some(SCRATCH_PAGES))));
    for (index, val_type) in globals.iter().enumerate() {
        let ty = GlobalType { val_type: *val_type, mutable: true, shared: false };
        imports.import(STATE, &global_import(index), EntityType::Global(ty));
    }
    for index in 0..memories {
        imports.import(STATE, &sink_import(index), EntityType::Function(sink_type));
    }
    imports.import(STATE, SCRATCH_SINK, EntityType::Function(sink_type));

    let mut functions = FunctionSection::new();
    let mut exports = ExportSection::new();
    let mut code = CodeSection::new();
    let mut define = |name: &str, ty: u32, body: &Function| {
        exports.export(name, ExportKind::Func, layout.sinks + functions.len());
        functions.function(ty);
        code.function(body);
    };
    define(SAVE, save_type, &layout.save());
    define(LOAD_GLOBALS, load_globals_type, &layout.load_globals());
    for memory in 0..layout.memories {
        define(&load_memory_export(memory as usize), load_memory_type, &layout.load_memory(memory));
    }

    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&exports).section(&code);
    module
}

/// Indices within the helper module: memories and sinks of the guest come first, those of the
/// scratch memory last.
struct Layout<'a> {
    memories: u32,
    scratch: u32,
    globals: &'a [ValType],
    sinks: u32,
}

impl<'a> Layout<'a> {
    fn new(memories: usize, globals: &'a [ValType]) -> Self {
        // The scan bounds both far below 2^32.
        let memories = u32::try_from(memories).unwrap_or(u32::MAX - 1);
        Self { memories, scratch: memories, globals, sinks: memories + 1 }
    }

    /// `func()`: every memory to its sink, then the globals by way of the scratch memory.
    fn save(&self) -> Function {
        let mut function = Function::new([]);
        let mut code = function.instructions();
        for memory in 0..self.memories {
            // No memory has 65536 pages, whose length would not fit: the host's limit is lower.
            code.i32_const(memory.cast_signed()).i32_const(0);
            code.memory_size(memory).i32_const(16).i32_shl().call(memory);
        }
        for (global, ty) in (0..).zip(self.globals) {
            code.i32_const(0).global_get(global);
            to_word(&mut code, *ty);
            code.i64_store(self.word(global));
        }
        code.i32_const(GLOBALS_INDEX.cast_signed()).i32_const(0);
        code.i32_const(8 * i32::try_from(self.globals.len()).unwrap_or(0)).call(self.memories).end();
        function
    }

    /// `func(pointer, length)`: the words that `save` wrote, back into the globals.
    fn load_globals(&self) -> Function {
        let mut function = Function::new([]);
        let mut code = function.instructions();
        for (global, ty) in (0..).zip(self.globals) {
            code.local_get(0).i64_load(self.word(global));
            from_word(&mut code, *ty);
            code.global_set(global);
        }
        code.end();
        function
    }

    /// `func(pages, pointer, length)`: grows a memory and writes the records of a patch.
    fn load_memory(&self, memory: u32) -> Function {
        let (pages, cursor, length) = (0, 1, 2);
        let (end, bytes) = (3, 4);
        let mut function = Function::new([(2, ValType::I32)]);
        let mut code = function.instructions();
        code.local_get(pages).memory_size(memory).i32_gt_u().if_(BlockType::Empty);
        code.local_get(pages).memory_size(memory).i32_sub().memory_grow(memory);
        code.i32_const(-1).i32_eq().if_(BlockType::Empty).unreachable().end().end();

        code.local_get(cursor).local_get(length).i32_add().local_set(end);
        code.block(BlockType::Empty).loop_(BlockType::Empty);
        code.local_get(cursor).local_get(end).i32_ge_u().br_if(1);
        code.local_get(cursor).i32_load(self.half(4)).local_set(bytes);
        code.local_get(cursor).i32_load(self.half(0));
        code.local_get(cursor).i32_const(8).i32_add().local_tee(cursor);
        code.local_get(bytes).memory_copy(memory, self.scratch);
        code.local_get(cursor).local_get(bytes).i32_add().local_set(cursor);
        code.br(0).end().end().end();
        function
    }

    /// Where the word of a global lies in the scratch memory, from the beginning of the words.
    fn word(&self, global: u32) -> MemArg {
        MemArg { offset: 8 * u64::from(global), align: 0, memory_index: self.scratch }
    }

    fn half(&self, offset: u64) -> MemArg {
        MemArg { offset, align: 0, memory_index: self.scratch }
    }
}

fn to_word(code: &mut InstructionSink<'_>, ty: ValType) {
    match ty {
        ValType::I32 => code.i64_extend_i32_u(),
        ValType::F32 => code.i32_reinterpret_f32().i64_extend_i32_u(),
        ValType::F64 => code.i64_reinterpret_f64(),
        // I64; the scan refuses all other types.
        _ => code,
    };
}

fn from_word(code: &mut InstructionSink<'_>, ty: ValType) {
    match ty {
        ValType::I32 => code.i32_wrap_i64(),
        ValType::F32 => code.i32_wrap_i64().f32_reinterpret_i32(),
        ValType::F64 => code.f64_reinterpret_i64(),
        _ => code,
    };
}

fn memory_type(pages_min: u32, pages_max: Option<u32>) -> MemoryType {
    MemoryType {
        minimum: pages_min.into(),
        maximum: pages_max.map(Into::into),
        memory64: false,
        shared: false,
        page_size_log2: None,
    }
}
