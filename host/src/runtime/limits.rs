//! What one instance may use. A breach ends the step with an error that names the limit; but a task that asks for too much
//! memory is answered that there is none, which its language may make something of.

use std::sync::{Arc, OnceLock};

use wasmtime::ResourceLimiter;

use super::instrument::SCRATCH_BYTES;

/// Most elements of all tables of an instance together.
pub(super) const TABLE_ELEMENTS_MAX: usize = 32_768;
/// Most core instances, tables and memories of one component: what the pool has room for.
pub(super) const CORE_INSTANCES_MAX: u32 = 100;
pub(super) const TABLES_MAX: u32 = 4;
/// The guest's and the scratch memory.
pub(super) const MEMORIES_MAX: u32 = 8;
/// Stack of the guest's own calls, in bytes.
pub(super) const STACK_BYTES_MAX: usize = 512 << 10;
/// Most bytes that a guest may pass to the host in one call; a longer argument traps. Large enough
/// that a payload somewhat too long still gets a proper answer.
pub(super) const CALL_BYTES_MAX: usize = 8 << 20;
/// Most host resources (streams, pollables) that an instance may hold at once.
pub(super) const RESOURCES_MAX: usize = 1_000;

/// A limit was exceeded: the message names it and its size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct LimitExceeded(pub(super) String);

/// Counts what an instance takes.
pub(super) struct Limits {
    memory_bytes_max: u64,
    memory_bytes: u64,
    /// By how much it was allowed to grow last.
    growing_bytes: u64,
    table_elements: usize,
    /// Whether it is the task that asks for memory.
    is_task: bool,
    refused: Refused,
}

/// What a task was refused. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Refused(Arc<OnceLock<LimitExceeded>>);

impl Refused {
    /// The limit that a task has met, be it that it got on without.
    pub(super) fn limit(&self) -> Option<&LimitExceeded> {
        self.0.get()
    }
}

impl Limits {
    /// At most so many bytes of memory. What the host adds to an instance does not count.
    pub(super) fn new(memory_bytes_max: u64) -> Self {
        Self {
            memory_bytes_max,
            memory_bytes: 0,
            growing_bytes: 0,
            table_elements: 0,
            is_task: false,
            refused: Refused::default(),
        }
    }

    /// From now on it is the task that asks for memory.
    pub(super) fn begin(&mut self) -> Refused {
        self.is_task = true;
        self.refused.clone()
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = self.memory_bytes.saturating_add(desired.saturating_sub(current) as u64);
        if grown > self.memory_bytes_max.saturating_add(SCRATCH_BYTES as u64) {
            let max = self.memory_bytes_max;
            let limit = LimitExceeded(format!("memory is limited to {max} bytes; the task needs more"));
            if !self.is_task {
                return Err(limit.into());
            }
            self.refused.0.get_or_init(|| limit);
            return Ok(false);
        }
        self.growing_bytes = grown - self.memory_bytes;
        self.memory_bytes = grown;
        Ok(true)
    }

    /// What was allowed did not come to be: a memory may have a limit of its own.
    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes = self.memory_bytes.saturating_sub(std::mem::take(&mut self.growing_bytes));
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = self.table_elements.saturating_add(desired.saturating_sub(current));
        if grown > TABLE_ELEMENTS_MAX {
            return Err(LimitExceeded(format!("tables are limited to {TABLE_ELEMENTS_MAX} elements")).into());
        }
        self.table_elements = grown;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}
