//! `clock`: the time of day.

use crate::runtime::bindings::imports::clock::Host;
use crate::runtime::ctx::Ctx;

impl Host for Ctx {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.step()?;
        Ok(self.clock.now().as_millis())
    }
}
