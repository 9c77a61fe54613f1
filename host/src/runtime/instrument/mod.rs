//! What is added to a component at upload so that its state can be read and written.
//!
//! Every core module also exports its memories and mutable globals under reserved names
//! (`rewrite`). Two small core modules are appended (`helper`): one with a scratch memory, one
//! that imports all that state. The latter is lifted as functions of the component (`append`):
//!
//! - `dormouse-save()` hands every memory, and then the globals as 64-bit words, to the imported
//!   `dormouse-sink(index, bytes)`. Each is lowered with that very memory, so nothing is copied.
//! - `dormouse-load-memory-N(pages, patch)` grows memory N to `pages` and writes the patch: any
//!   number of records of offset (u32), length (u32) and bytes.
//! - `dormouse-load-globals(words)` sets the globals.
//!
//! Everything is appended behind what is there, so no index of the component changes.

mod append;
mod helper;
mod rewrite;
mod scan;

pub(super) use append::append;
pub(super) use helper::{PATCH_BYTES_MAX, SCRATCH_BYTES};
pub(super) use scan::scan;

/// Counts changes of what instrumenting writes; compiled modules of another version are not used.
pub(super) const VERSION: u32 = 1;

/// Names that begin with this belong to the host, in core modules and at the root of components.
const RESERVED: &str = "dormouse-";

/// Takes the state of all memories and globals.
pub(super) const SAVE: &str = "dormouse-save";
/// What `dormouse-save` calls.
pub(super) const SINK: &str = "dormouse-sink";
/// The index with which it is called for the globals.
pub(super) const GLOBALS_INDEX: u32 = u32::MAX;
/// Sets all globals.
pub(super) const LOAD_GLOBALS: &str = "dormouse-load-globals";
/// Grows and writes one memory; its index follows.
pub(super) const LOAD_MEMORY: &str = "dormouse-load-memory-";
