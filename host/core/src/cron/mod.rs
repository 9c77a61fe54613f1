//! When a cron fires: its expression and time zone (`schedule.rs` with `expression.rs` and
//! `zone.rs`), the local time on either side of a change of clocks (`local.rs`), and what to do
//! about times that are due (`firing.rs`).

mod expression;
mod firing;
mod local;
mod schedule;
mod zone;

pub use expression::{EXPRESSION_BYTES_MAX, Field, InvalidExpression};
pub use firing::{FIRINGS_MAX, Firing, LATE_AFTER, OverlapAction, due, overlap};
pub use schedule::{CronError, Schedule};
pub use zone::UnknownZone;
