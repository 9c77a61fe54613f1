//! Looks through a component: what state its core modules hold, what it imports and exports, and
//! whether memories and globals are all of its state.

use std::collections::HashSet;

use wasm_encoder::ComponentSectionId;
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentTypeRef,
    FunctionBody, Instance, Operator, Parser, Payload, TypeRef, ValType, Validator, WasmFeatures,
};

use super::RESERVED;
use crate::runtime::refusal::{NotSnapshottable, Refusal};

/// Most memories and most mutable globals of one component. The pool has room for so many
/// memories; the globals fit in the scratch memory.
const MEMORIES_MAX: usize = 7;
const GLOBALS_MAX: usize = 10_000;

/// A component that can be instrumented.
pub(in crate::runtime) struct Scan<'a> {
    /// Names of the interfaces that it imports.
    pub(in crate::runtime) imports: Vec<String>,
    /// Names of what it exports.
    pub(in crate::runtime) exports: Vec<String>,
    /// Its sections in order, those of nested components and modules within their parents.
    pub(super) sections: Vec<Section<'a>>,
    /// Its core modules, by index.
    pub(super) modules: Vec<ModuleState>,
    /// Core instances that hold state: index of the instance, index of its module.
    pub(super) instances: Vec<(u32, usize)>,
    pub(super) counts: Counts,
}

pub(super) enum Section<'a> {
    Other {
        id: u8,
        data: &'a [u8],
    },
    /// The core module with the next index.
    Module(&'a [u8]),
}

/// Indices, within a core module, of what it defines and can change.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ModuleState {
    pub(super) memories: Vec<u32>,
    pub(super) globals: Vec<(u32, ValType)>,
    imported_memories: u32,
    imported_globals: u32,
}

/// How many items each index space of the component has.
pub(super) struct Counts {
    pub(super) types: u32,
    pub(super) funcs: u32,
    pub(super) core_modules: u32,
    pub(super) core_instances: u32,
    pub(super) core_funcs: u32,
    pub(super) core_memories: u32,
    pub(super) core_globals: u32,
}

/// Checks a component and collects what instrumenting needs to know.
///
/// # Errors
///
/// When it is no valid component, or has state that a snapshot would miss.
pub(in crate::runtime) fn scan(bytes: &[u8]) -> Result<Scan<'_>, Refusal> {
    if Parser::is_core_wasm(bytes) {
        return Err(Refusal::CoreModule);
    }
    if !Parser::is_component(bytes) {
        return Err(Refusal::NotWasm);
    }
    let types =
        Validator::new_with_features(WasmFeatures::default()).validate_all(bytes).map_err(malformed)?;
    let types = types.as_ref();
    let mut scan = Scan {
        imports: Vec::new(),
        exports: Vec::new(),
        sections: Vec::new(),
        modules: Vec::new(),
        instances: Vec::new(),
        counts: Counts {
            types: types.component_type_count(),
            funcs: types.component_function_count(),
            core_modules: types.module_count(),
            core_instances: types.core_instance_count(),
            core_funcs: types.function_count(),
            core_memories: types.memory_count(),
            core_globals: types.global_count(),
        },
    };
    let mut instances = InstanceScan::default();
    // How many modules and components enclose the payload.
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        match &payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                if depth > 0 {
                    return Err(NotSnapshottable::NestedModule.into());
                }
                scan.sections.push(Section::Module(&bytes[unchecked_range.clone()]));
                scan.modules.push(ModuleState::default());
                depth += 1;
                continue;
            }
            Payload::ComponentSection { unchecked_range, .. } => {
                if depth == 0 {
                    let id = ComponentSectionId::Component.into();
                    scan.sections.push(Section::Other { id, data: &bytes[unchecked_range.clone()] });
                }
                depth += 1;
                continue;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        check_component(&payload)?;
        if let Some(module) = scan.modules.last_mut().filter(|_| depth == 1) {
            scan_module(&payload, module)?;
        }
        if depth == 0 {
            scan.root(&payload)?;
            instances.take(&payload)?;
            if let Some((id, range)) = payload.as_section() {
                scan.sections.push(Section::Other { id, data: &bytes[range] });
            }
        }
    }
    scan.instances = instances.of_modules;
    scan.check_counts()?;
    Ok(scan)
}

impl Scan<'_> {
    /// Takes in a section of the root component.
    fn root(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::ComponentImportSection(reader) => {
                for import in reader.clone() {
                    let import = import.map_err(malformed)?;
                    self.imports.push(unreserved(import.name.name)?.to_owned());
                }
            }
            Payload::ComponentExportSection(reader) => {
                for export in reader.clone() {
                    let export = export.map_err(malformed)?;
                    self.exports.push(unreserved(export.name.name)?.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), NotSnapshottable> {
        let held = || self.instances.iter().filter_map(|(_, module)| self.modules.get(*module));
        let memories = held().map(|module| module.memories.len()).sum();
        let globals = held().map(|module| module.globals.len()).sum();
        for (what, count, max) in
            [("memories", memories, MEMORIES_MAX), ("mutable globals", globals, GLOBALS_MAX)]
        {
            if count > max {
                return Err(NotSnapshottable::TooMany { what, count, max });
            }
        }
        Ok(())
    }
}

/// Core instances of the root component as their sections come by.
#[derive(Default)]
struct InstanceScan {
    count: u32,
    of_modules: Vec<(u32, usize)>,
    instantiated: HashSet<u32>,
}

impl InstanceScan {
    fn take(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        let Payload::InstanceSection(reader) = payload else { return Ok(()) };
        for instance in reader.clone() {
            if let Instance::Instantiate { module_index: index, .. } = instance.map_err(malformed)? {
                if !self.instantiated.insert(index) {
                    return Err(NotSnapshottable::InstantiatedTwice { index }.into());
                }
                self.of_modules.push((self.count, index as usize));
            }
            self.count += 1;
        }
        Ok(())
    }
}

/// What no component may do, at the root or nested.
fn check_component(payload: &Payload<'_>) -> Result<(), Refusal> {
    match payload {
        Payload::ComponentImportSection(reader) => {
            for import in reader.clone() {
                if let ComponentTypeRef::Module(_) = import.map_err(malformed)?.ty {
                    return Err(NotSnapshottable::ForeignModule.into());
                }
            }
        }
        Payload::ComponentAliasSection(reader) => {
            for alias in reader.clone() {
                if let ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. }
                | ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. } =
                    alias.map_err(malformed)?
                {
                    return Err(NotSnapshottable::ForeignModule.into());
                }
            }
        }
        Payload::ComponentCanonicalSection(reader) => {
            for function in reader.clone() {
                if let CanonicalFunction::ResourceNew { .. } = function.map_err(malformed)? {
                    return Err(NotSnapshottable::OwnResources.into());
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Takes in a section of a core module.
fn scan_module(payload: &Payload<'_>, module: &mut ModuleState) -> Result<(), Refusal> {
    match payload {
        Payload::ImportSection(reader) => {
            // Imported items come first in their index spaces and are another module's state.
            for import in reader.clone().into_imports() {
                match import.map_err(malformed)?.ty {
                    TypeRef::Memory(_) => module.imported_memories += 1,
                    TypeRef::Global(_) => module.imported_globals += 1,
                    _ => {}
                }
            }
        }
        Payload::MemorySection(reader) => {
            for (index, memory) in (module.imported_memories..).zip(reader.clone()) {
                let memory = memory.map_err(malformed)?;
                if memory.shared {
                    return Err(NotSnapshottable::SharedMemory.into());
                }
                if memory.memory64 {
                    return Err(NotSnapshottable::Memory64.into());
                }
                module.memories.push(index);
            }
        }
        Payload::GlobalSection(reader) => {
            for (index, global) in (module.imported_globals..).zip(reader.clone()) {
                let ty = global.map_err(malformed)?.ty;
                match ty.content_type {
                    _ if !ty.mutable => {}
                    ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 => {
                        module.globals.push((index, ty.content_type));
                    }
                    other => {
                        return Err(NotSnapshottable::GlobalType { ty: other.to_string() }.into());
                    }
                }
            }
        }
        Payload::ExportSection(reader) => {
            for export in reader.clone() {
                unreserved(export.map_err(malformed)?.name)?;
            }
        }
        Payload::CodeSectionEntry(body) => check_code(body)?,
        _ => {}
    }
    Ok(())
}

/// Refuses instructions that change state which is neither memory nor global.
fn check_code(body: &FunctionBody<'_>) -> Result<(), Refusal> {
    let mut operators = body.get_operators_reader().map_err(malformed)?;
    while !operators.eof() {
        let table = |instruction| NotSnapshottable::TableWrite { instruction };
        let segment = |instruction| NotSnapshottable::SegmentDrop { instruction };
        let refused = match operators.read().map_err(malformed)? {
            Operator::TableSet { .. } => table("table.set"),
            Operator::TableGrow { .. } => table("table.grow"),
            Operator::TableFill { .. } => table("table.fill"),
            Operator::TableCopy { .. } => table("table.copy"),
            Operator::TableInit { .. } => table("table.init"),
            Operator::DataDrop { .. } => segment("data.drop"),
            Operator::ElemDrop { .. } => segment("elem.drop"),
            _ => continue,
        };
        return Err(refused.into());
    }
    Ok(())
}

fn unreserved(name: &str) -> Result<&str, NotSnapshottable> {
    if name.starts_with(RESERVED) {
        return Err(NotSnapshottable::ReservedName { name: name.to_owned() });
    }
    Ok(name)
}

pub(super) fn malformed(error: wasmparser::BinaryReaderError) -> Refusal {
    Refusal::Malformed { problem: error.to_string() }
}
