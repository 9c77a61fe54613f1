//! The Dormouse host. `ARCHITECTURE.md` has the picture.

mod api;
mod check;
pub mod cli;
mod clock;
mod config;
mod engine;
mod error;
mod operations;
mod runtime;
mod schema;
mod server;
mod store;
mod triggers;

pub use check::{CheckError, check};
pub use clock::Clock;
pub use config::Config;
pub use server::{Server, ServerError};
pub use store::Problem;
