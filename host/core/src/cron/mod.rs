//! When a cron fires: its expression and time zone (`schedule.rs` with `expression.rs`,
//! `field.rs`, `words.rs` and `zone.rs`), the local time on either side of a change of clocks (`local.rs`), and what to do
//! about times that are due (`firing.rs`).

mod expression;
mod field;
mod firing;
mod local;
mod schedule;
mod words;
mod zone;

pub use expression::{EXPRESSION_BYTES_MAX, InvalidExpression};
pub use field::Field;
pub use firing::{FIRINGS_MAX, Firing, LATE_AFTER, OverlapAction, due, overlap};
pub use schedule::{CronError, Schedule};
pub use zone::{UnknownZone, ZoneData, own_zone_data_version, use_zone_data, zone_data_version};
