//! The harness of the tests: a host in a temporary folder, over real HTTP, either in this process
//! under a virtual clock ([`TestHost`]) or as a process that can be killed ([`HostProcess`]).

#![expect(clippy::expect_used, reason = "a harness says what is wrong by panicking")]

mod client;
mod guests;
mod host;
mod process;
mod rows;
mod wait;

pub use client::Client;
pub use dormouse_sdk::testing::Answer;
pub use guests::{guest, patched};
pub use host::{START_MILLIS, TestHost};
pub use process::HostProcess;
pub use rows::column;
pub use wait::eventually;
