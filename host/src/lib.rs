//! The Dormouse host. `ARCHITECTURE.md` has the picture.

pub mod clock;
mod runtime;
mod store;
