//! `stream`: chunks that clients of the run follow, appended when the step is committed.

use crate::runtime::bindings::imports::stream::Host;
use crate::runtime::bindings::types::HostError;
use crate::runtime::ctx::Ctx;

impl Host for Ctx {
    fn publish(&mut self, chunk: String) -> wasmtime::Result<Result<(), HostError>> {
        let step = self.step()?;
        Ok(step.budget.take_chunk(chunk.len()).map(|()| step.requests.chunks.push(chunk)))
    }
}
