//! The only folder that knows wasmtime: what a guest can do, and how its state is kept.
//!
//! - `engine`: the surface. `prepare`, `compiler`, `inspect`, `module`, `disk`: from bytes to a ready module.
//! - `instrument`: what is added to a component so that its state can be read and written.
//! - `execute`: one step. `instance`, `image`, `snapshot`, `stored_base`: its instance and state.
//! - `probe`: how long all that takes.
//! - `ctx`, `cap`, `wasi`, `limits`, `budget`, `logs`: what a guest may touch and use up.

mod bindings;
mod budget;
mod cap;
mod compiler;
mod convert;
mod ctx;
mod definition;
mod disk;
mod engine;
mod execute;
mod failure;
mod image;
mod inspect;
mod instance;
mod instrument;
mod interfaces;
mod limits;
mod logs;
mod module;
mod prepare;
mod probe;
mod processors;
mod refusal;
mod snapshot;
mod step;
mod stored_base;
mod supervise;
mod ticker;
mod wasi;

#[cfg(test)]
mod tests;

pub(crate) use compiler::{Compiler, compile_input};
pub(crate) use engine::{Runtime, RuntimeConfig, RuntimeError};
pub(crate) use inspect::Inspection;
pub(crate) use module::Module;
pub(crate) use probe::Timings;
pub(crate) use refusal::Refusal;
pub(crate) use snapshot::check_snapshot;
pub(crate) use step::{
    GuestLine, SettledOutcome, SettledWait, StepEnd, StepEntry, StepHost, StepOutcome, StepRequest,
    TargetError,
};
