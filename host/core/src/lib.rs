//! The pure core of Dormouse: what a run is and how it changes, when a cron fires, what an event
//! matches. It reads no clock, no randomness and no file; it takes what it needs as arguments and
//! returns what is to be done as data. It builds for `wasm32-unknown-unknown` to prove it.

pub mod bounds;
pub mod cel;
pub mod check;
pub mod cron;
pub mod event;
pub mod id;
pub mod json;
pub mod log;
mod metadata;
pub mod new_run;
mod output;
pub mod pattern;
pub mod request;
pub mod retry;
pub mod run;
pub mod step;
pub mod time;
pub mod validate;
pub mod wait;
pub mod workflow;
