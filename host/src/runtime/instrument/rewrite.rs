//! Gives a core module exports for all the state that it defines.

use wasm_encoder::{ExportKind, ExportSection, Module, RawSection, SectionId};
use wasmparser::{BinaryReaderError, ExternalKind, Parser, Payload};

use super::scan::ModuleState;

/// Name under which a module exports the memory that is the given one of its `ModuleState`.
pub(super) fn memory_export(position: usize) -> String {
    format!("dormouse-memory-{position}")
}

/// Name under which a module exports the global that is the given one of its `ModuleState`.
pub(super) fn global_export(position: usize) -> String {
    format!("dormouse-global-{position}")
}

/// The same module with its state exported too. Every other section stays as it is.
pub(super) fn export_state(bytes: &[u8], state: &ModuleState) -> Result<Vec<u8>, BinaryReaderError> {
    let mut module = Module::new();
    let mut exports = Some(ExportSection::new());
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if let (Payload::ExportSection(reader), Some(section)) = (&payload, &mut exports) {
            for export in reader.clone() {
                let export = export?;
                section.export(export.name, export_kind(export.kind), export.index);
            }
            continue;
        }
        let Some((id, range)) = payload.as_section() else { continue };
        if comes_after_exports(id)
            && let Some(section) = exports.take()
        {
            module.section(&with_state(section, state));
        }
        module.section(&RawSection { id, data: &bytes[range] });
    }
    if let Some(section) = exports {
        module.section(&with_state(section, state));
    }
    Ok(module.finish())
}

fn with_state(mut exports: ExportSection, state: &ModuleState) -> ExportSection {
    for (position, index) in state.memories.iter().enumerate() {
        exports.export(&memory_export(position), ExportKind::Memory, *index);
    }
    for (position, (index, _)) in state.globals.iter().enumerate() {
        exports.export(&global_export(position), ExportKind::Global, *index);
    }
    exports
}

fn comes_after_exports(section: u8) -> bool {
    [SectionId::Start, SectionId::Element, SectionId::DataCount, SectionId::Code, SectionId::Data]
        .into_iter()
        .any(|id| id as u8 == section)
}

fn export_kind(kind: ExternalKind) -> ExportKind {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        ExternalKind::Tag => ExportKind::Tag,
    }
}
