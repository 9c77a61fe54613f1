//! The command line: one file per subcommand. All but `serve`, `check`, `inspect` and what is hidden are
//! clients of the API; they print and never decide.
//!
//! Data goes to standard output, as a table or with `--json` as the API's own JSON; everything
//! else goes to standard error.

mod app;
mod arguments;
mod check;
mod client;
mod compile;
mod cron;
mod deploy;
mod event;
mod event_stream;
mod follow;
mod inspect;
mod modules;
mod print;
mod probe;
mod run;
mod runs;
mod schedule;
mod serve;
mod version;
mod workflows;

pub use app::main;
