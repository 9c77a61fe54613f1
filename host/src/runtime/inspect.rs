//! Takes an uploaded component in and asks it what it declares.

use std::sync::Arc;

use dormouse_core::id::ModuleDigest;
use dormouse_core::workflow::Workflow;

use super::definition;
use super::engine::Inner;
use super::module::Module;
use super::prepare::{Compiled, compile, digest_of, fresh, link};
use super::refusal::{NotSnapshottable, Refusal};

/// What a component is and declares.
#[derive(Debug)]
pub(crate) struct Inspection {
    pub(crate) digest: ModuleDigest,
    pub(crate) size_bytes: u64,
    pub(crate) workflows: Vec<Workflow>,
    /// Names of the interfaces that it imports.
    pub(crate) imports: Vec<String>,
    /// What works otherwise than its author may think.
    pub(crate) warnings: Vec<String>,
    pub(crate) image: ImageSize,
}

/// What a snapshot of the module is told apart from.
#[derive(Debug)]
pub(crate) struct ImageSize {
    /// Size of each memory after `init`.
    pub(crate) memories_bytes: Vec<u64>,
    /// How many mutable globals there are.
    pub(crate) globals: usize,
}

pub(super) async fn inspect(inner: &Arc<Inner>, bytes: Vec<u8>) -> Result<Inspection, Refusal> {
    let digest = digest_of(&bytes);
    let size_bytes = bytes.len() as u64;
    let compiled = compile(inner, digest, bytes).await?;
    let is_new = compiled.is_new;
    let inspected = examine(inner, digest, size_bytes, compiled).await;
    if inspected.is_err() && is_new {
        // It was compiled to be looked at.
        inner.disk.remove(digest);
    }
    inspected
}

async fn examine(
    inner: &Arc<Inner>,
    digest: ModuleDigest,
    size_bytes: u64,
    Compiled { component, imports, .. }: Compiled,
) -> Result<Inspection, Refusal> {
    let prepared = link(inner, &component)?;
    let (base, declared) = fresh(inner, &prepared, true).await?;
    let definition::Checked { workflows, warnings } = definition::check(declared, inner.memory_bytes_max)?;
    let (again, _) = fresh(inner, &prepared, false).await?;
    if again.digest != base.digest {
        return Err(NotSnapshottable::Unstable.into());
    }
    let image = ImageSize {
        memories_bytes: base.state.memories.iter().map(|memory| memory.len() as u64).collect(),
        globals: base.state.globals.len(),
    };
    // The next step finds it ready.
    let module = Arc::new(Module::new(digest, prepared, base));
    inner.modules.pending(digest).get_or_init(|| async { module }).await;
    Ok(Inspection { digest, size_bytes, workflows, imports, warnings, image })
}
