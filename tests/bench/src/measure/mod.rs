//! One file per measurement. Each has a host of its own.

mod disk;
mod idle;
mod instance;
mod lateness;
mod restart;
mod sleep_cost;
mod sleepers;
mod throughput;

pub(crate) use disk::disk;
pub(crate) use instance::instance;
pub(crate) use lateness::{lateness_burst, lateness_steady};
pub(crate) use sleep_cost::sleep_cost;
pub(crate) use sleepers::sleepers;
pub(crate) use throughput::throughput;
