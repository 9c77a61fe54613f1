//! `log`: lines for people.

use dormouse_core::log::LogLevel;

use crate::runtime::bindings::imports::log::{Host, Level};
use crate::runtime::ctx::Ctx;

impl Host for Ctx {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.step()?;
        let level = match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        Ok(self.logs.write(level, &message)?)
    }
}
