//! `random`: bits fit for secrets, and ids.

use crate::runtime::bindings::imports::random::Host;
use crate::runtime::ctx::Ctx;

impl Host for Ctx {
    fn random_u64(&mut self) -> wasmtime::Result<u64> {
        self.step()?;
        Ok(u64::from_le_bytes(self.clock.random()))
    }

    fn uuid(&mut self) -> wasmtime::Result<String> {
        self.step()?;
        // All ids of the host are UUIDs of version 7; this one names nothing of its own.
        Ok(self.clock.event_id().to_string())
    }
}
