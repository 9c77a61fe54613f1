//! Runs workflows in an ordinary `cargo test`: against the real host, in the test's process, with a
//! clock that stands still until the test moves it. Three days take as long as what happens in them.
//!
//! ```toml
//! [dev-dependencies]
//! dormouse-sdk = { version = "…", features = ["testing"] }
//!
//! # The host compiles modules; without optimisation that takes seconds each time.
//! [profile.dev.package."*"]
//! opt-level = 2
//! ```
//!
//! [`Host::new`] compiles the crate that is tested for `wasm32-wasip2`, as it would be deployed, and
//! starts a host with it. So a test in `tests/` knows what a client knows: names and JSON.
//!
//! ```no_run
//! use dormouse_sdk::prelude::*;
//! use dormouse_sdk::testing::Host;
//!
//! #[test]
//! fn whoever_does_not_answer_within_a_day_is_let_go() {
//!     let host = Host::new();
//!     let run = host.start("onboarding", json!({ "email": "ada@example.com" }));
//!     assert!(run.is_sleeping(), "{:?}", run.waits());
//!     assert_eq!(run.logs(), ["welcome, ada@example.com"]);
//!
//!     host.advance(Duration::from_secs(3 * 86_400));
//!     host.advance(Duration::from_secs(86_400));
//!     assert_eq!(run.output::<String>(), "no answer");
//! }
//!
//! #[test]
//! fn whoever_answers_is_heard() {
//!     let host = Host::new();
//!     let pushed = host.push("user:create", json!({ "email": "ada@example.com" }));
//!     host.advance(Duration::from_secs(3 * 86_400));
//!     host.push("user:answered", "it is");
//!     assert_eq!(pushed.runs[0].output::<String>(), "it is");
//! }
//! # fn main() {}
//! ```
//!
//! Nothing here needs to wait: whatever looks at a run first lets the host do all that it can do
//! without time passing. What cannot be answered panics, and says why.
//!
//! # How the module is built
//!
//! With the profile `release`, or the one that `Cargo.toml` names for the package or the workspace:
//!
//! ```toml
//! [package.metadata.dormouse]
//! profile = "guest"
//! ```
//!
//! It goes to a folder of its own below the target folder, and is built once for each process.

mod api;
mod builder;
mod cron;
mod event;
mod guest;
mod host;
mod live;
mod run;
mod scheduled;

pub use api::{Answer, Api};
pub use builder::Builder;
pub use cron::{Cron, CronSource};
pub use event::Pushed;
pub use host::{Host, START};
pub use run::{Failure, LogLevel, LogLine, Run, Status, Transition, Wait};
pub use scheduled::{Scheduled, ScheduledStatus};
