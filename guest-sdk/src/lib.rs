//! Write Dormouse workflows in Rust: ordinary async functions that sleep for a second or a year.
//!
//! ```
//! use dormouse_sdk::prelude::*;
//!
//! #[data]
//! struct User {
//!     email: String,
//! }
//!
//! /// Welcomes a user, and asks after three days whether all is well.
//! #[workflow(on_event = "user:create", retries = 3)]
//! async fn onboarding(ctx: Context, user: User) -> Result<String> {
//!     println!("welcome, {}", user.email);
//!     ctx.sleep(Duration::from_secs(3 * 86_400)).await;
//!     let answer = select! {
//!         answer = ctx.wait_for_event::<String>("user:answered") => answer?,
//!         _ = ctx.sleep(Duration::from_secs(86_400)) => "no answer".to_owned(),
//!     };
//!     Ok(answer)
//! }
//!
//! dormouse_sdk::module![onboarding];
//! ```
//!
//! While a task waits, the host keeps its memory in the store, and it goes on where it stopped:
//! local variables, maps and counters are as they were. There are no rules about determinism.
//! What must not be open at a wait are resources of the system, such as a connection: close it
//! before. Nothing else can be awaited than futures of this crate and combinations of them.
//!
//! The crate of a module needs `crate-type = ["cdylib"]`, is built with
//! `cargo build --release --target wasm32-wasip2`, and its `.wasm` file is deployed as it is.
//!
//! # Input and output
//!
//! Input is any type with `Deserialize`, `Serialize` and `JsonSchema`, output the same. [`data`]
//! derives all three with nothing but this crate in `Cargo.toml`. A derive by hand needs `serde`
//! and `schemars` 1 there, as their derives name these crates.
//!
//! # Tests
//!
//! With the feature `testing` there is `dormouse_sdk::testing`: a host in the test's process, with a
//! clock that the test moves.

pub use dormouse_sdk_macros::{data, workflow};

pub use crate::child::{Child, ChildResult, RunError};
pub use crate::context::{Context, Trigger, TriggerKind};
pub use crate::error::{CallError, DecodeError, Error, Fatal, Refusal, Result};
pub use crate::event::{Event, EventWait, WholeEventWait};
pub use crate::id::{EventId, RunId, ScheduledId};
pub use crate::options::{EventOptions, ScheduleOptions, SpawnOptions};
pub use crate::sleep::Sleep;
pub use crate::time::{InvalidTimestamp, Timestamp};
pub use crate::workflow::{Named, Target, TaskResult, Workflow};

pub mod log;
pub mod prelude;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
#[expect(clippy::expect_used, reason = "a test says what is wrong by panicking")]
pub mod testing;

#[doc(hidden)]
pub mod bindings;
mod child;
mod context;
mod error;
mod event;
mod executor;
mod host;
mod id;
mod module;
mod options;
mod schema;
mod sleep;
#[cfg(target_family = "wasm")]
mod stdio;
mod time;
mod wait;
mod workflow;

/// What the macros expand to. Not for use by hand, and not stable.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::bindings::dormouse::workflow::definitions;
    pub use crate::executor::Root;
    pub use crate::module::{Exports, Module, root};
    pub use crate::schema::{Body, Describe, Fields, Named, PickPlain, PickSchemars, Probe, Schema};
    pub use {schemars, serde};
}

// The doctests and unit tests name this crate as its users do.
extern crate self as dormouse_sdk;
