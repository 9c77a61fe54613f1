//! The Dormouse host. `ARCHITECTURE.md` has the picture.

pub mod clock;
mod engine;
mod runtime;
mod store;
