//! Writes the instrumented component: the old sections with rewritten core modules, and behind
//! them the helper with its types, aliases, lowered and lifted functions.

use wasm_encoder::{
    Alias, CanonicalFunctionSection, CanonicalOption, Component, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentImportSection, ComponentSectionId, ComponentTypeRef,
    ComponentTypeSection, ComponentValType, ExportKind, InstanceSection, ModuleArg, ModuleSection,
    PrimitiveValType, RawSection, ValType,
};

use super::helper::{self, helper_module, scratch_module};
use super::scan::{Counts, ModuleState, Scan, Section, malformed};
use super::{LOAD_GLOBALS, LOAD_MEMORY, SAVE, SINK, rewrite};
use crate::runtime::refusal::Refusal;

/// The component with the functions that read and write its state.
///
/// # Errors
///
/// None that the scan has not already reported.
pub(in crate::runtime) fn append(scan: &Scan<'_>) -> Result<Vec<u8>, Refusal> {
    let mut component = Component::new();
    let mut modules = scan.modules.iter();
    for section in &scan.sections {
        match section {
            Section::Other { id, data } => {
                component.section(&RawSection { id: *id, data });
            }
            Section::Module(bytes) => {
                let state = modules.next().map_or_else(ModuleState::default, Clone::clone);
                let bytes = rewrite::export_state(bytes, &state).map_err(malformed)?;
                // A module section is nothing but the module.
                let id = ComponentSectionId::CoreModule.into();
                component.section(&RawSection { id, data: &bytes });
            }
        }
    }
    Appended::new(scan).write(&mut component);
    Ok(component.finish())
}

/// A memory or global of a core instance.
struct Item {
    instance: u32,
    export: String,
}

/// What is appended, and the indices at which it begins.
struct Appended<'a> {
    at: &'a Counts,
    memories: Vec<Item>,
    globals: Vec<(Item, ValType)>,
}

impl<'a> Appended<'a> {
    fn new(scan: &'a Scan<'_>) -> Self {
        let mut this = Self { at: &scan.counts, memories: Vec::new(), globals: Vec::new() };
        for (instance, module) in &scan.instances {
            let Some(state) = scan.modules.get(*module) else { continue };
            let item = |export| Item { instance: *instance, export };
            this.memories.extend((0..state.memories.len()).map(|i| item(rewrite::memory_export(i))));
            this.globals.extend(
                state
                    .globals
                    .iter()
                    .enumerate()
                    .map(|(i, (_, ty))| (item(rewrite::global_export(i)), core(*ty))),
            );
        }
        this
    }

    fn write(&self, component: &mut Component) {
        let types: Vec<_> = self.globals.iter().map(|(_, ty)| *ty).collect();
        let helper = helper_module(self.memories.len(), &types);
        component.section(&self.types());
        component.section(&self.sink_import());
        component.section(&ModuleSection(&scratch_module()));
        component.section(&ModuleSection(&helper));
        component.section(&self.scratch_instance());
        component.section(&self.state_aliases());
        component.section(&self.lowered_sinks());
        component.section(&self.helper_instance());
        component.section(&self.helper_aliases());
        component.section(&self.lifted());
        component.section(&self.exports());
    }

    // Types, in order: bytes, sink, save, load-globals, load-memory.

    fn types(&self) -> ComponentTypeSection {
        let bytes = ComponentValType::Type(self.at.types);
        let word = ComponentValType::Primitive(PrimitiveValType::U32);
        let mut types = ComponentTypeSection::new();
        types.defined_type().list(PrimitiveValType::U8);
        types.function().params([("index", word), ("bytes", bytes)]).result(None);
        types.function().params::<[(&str, ComponentValType); 0], _>([]).result(None);
        types.function().params([("words", bytes)]).result(None);
        types.function().params([("pages", word), ("patch", bytes)]).result(None);
        types
    }

    fn sink_import(&self) -> ComponentImportSection {
        let mut imports = ComponentImportSection::new();
        imports.import(SINK, ComponentTypeRef::Func(self.at.types + 1));
        imports
    }

    // Core instances, in order: scratch, what the helper imports, the helper.

    fn scratch_instance(&self) -> InstanceSection {
        let mut instances = InstanceSection::new();
        instances.instantiate::<_, &str>(self.at.core_modules, []);
        instances
    }

    /// Core memories: scratch, then the guest's. Core functions: realloc. Core globals.
    fn state_aliases(&self) -> ComponentAliasSection {
        let mut aliases = ComponentAliasSection::new();
        let scratch = self.at.core_instances;
        let mut alias = |instance, kind, name: &str| {
            aliases.alias(Alias::CoreInstanceExport { instance, kind, name });
        };
        alias(scratch, ExportKind::Memory, helper::MEMORY);
        alias(scratch, ExportKind::Func, helper::REALLOC);
        for memory in &self.memories {
            alias(memory.instance, ExportKind::Memory, &memory.export);
        }
        for (global, _) in &self.globals {
            alias(global.instance, ExportKind::Global, &global.export);
        }
        aliases
    }

    /// Core functions: a sink for the scratch memory, then one for each of the guest's.
    fn lowered_sinks(&self) -> CanonicalFunctionSection {
        let mut functions = CanonicalFunctionSection::new();
        for memory in 0..=count(&self.memories) {
            functions.lower(self.at.funcs, [CanonicalOption::Memory(self.at.core_memories + memory)]);
        }
        functions
    }

    fn helper_instance(&self) -> InstanceSection {
        let at = self.at;
        let mut items = vec![
            (helper::MEMORY.to_owned(), ExportKind::Memory, at.core_memories),
            (helper::SCRATCH_SINK.to_owned(), ExportKind::Func, at.core_funcs + 1),
        ];
        for (offset, i) in (0..).zip(0..self.memories.len()) {
            items.push((helper::memory_import(i), ExportKind::Memory, at.core_memories + 1 + offset));
            items.push((helper::sink_import(i), ExportKind::Func, at.core_funcs + 2 + offset));
        }
        for (offset, i) in (0..).zip(0..self.globals.len()) {
            items.push((helper::global_import(i), ExportKind::Global, at.core_globals + offset));
        }
        let mut instances = InstanceSection::new();
        instances.export_items(items);
        let state = ModuleArg::Instance(at.core_instances + 1);
        instances.instantiate(at.core_modules + 1, [(helper::STATE, state)]);
        instances
    }

    /// Core functions: save, load-globals, and a load for each memory.
    fn helper_aliases(&self) -> ComponentAliasSection {
        let mut aliases = ComponentAliasSection::new();
        let instance = self.at.core_instances + 2;
        let mut alias = |name: &str| {
            aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name });
        };
        alias(helper::SAVE);
        alias(helper::LOAD_GLOBALS);
        (0..self.memories.len()).for_each(|i| alias(&helper::load_memory_export(i)));
        aliases
    }

    /// Functions of the component, in the same order.
    fn lifted(&self) -> CanonicalFunctionSection {
        let at = self.at;
        let first = at.core_funcs + 2 + count(&self.memories);
        let options = [CanonicalOption::Memory(at.core_memories), CanonicalOption::Realloc(at.core_funcs)];
        let mut functions = CanonicalFunctionSection::new();
        functions.lift(first, at.types + 2, []);
        functions.lift(first + 1, at.types + 3, options);
        for memory in 0..count(&self.memories) {
            functions.lift(first + 2 + memory, at.types + 4, options);
        }
        functions
    }

    fn exports(&self) -> ComponentExportSection {
        let mut exports = ComponentExportSection::new();
        let mut index = self.at.funcs;
        let mut export = |name: &str| {
            index += 1;
            exports.export(name, ComponentExportKind::Func, index, None);
        };
        export(SAVE);
        export(LOAD_GLOBALS);
        (0..self.memories.len()).for_each(|i| export(&format!("{LOAD_MEMORY}{i}")));
        exports
    }
}

/// Lengths here are bounded by the scan.
fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// The scan lets no other types through.
fn core(ty: wasmparser::ValType) -> ValType {
    match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        _ => ValType::I64,
    }
}
