//! The host end to end: real guests over real HTTP. One file per feature.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod api_rows;
mod bulk;
mod children;
mod cli;
mod compiling;
mod concurrency;
mod crash;
mod cron_policies;
mod crons;
mod errors;
mod events;
mod examples;
mod golden;
mod held;
mod hostile;
mod idle;
mod journal;
mod lists;
mod metrics;
mod modules;
mod openapi;
mod retention;
mod runs;
mod scheduled;
mod size;
mod sleeping;
mod stop;
mod versions;
mod waits;
