//! The Dormouse host. `ARCHITECTURE.md` has the picture.

mod clock;
mod engine;
mod runtime;
mod store;
mod triggers;
