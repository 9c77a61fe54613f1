//! One file per measurement. Each has a host of its own.

mod ageing;
mod backlog;
mod disk;
mod filtered_waits;
mod hostile;
mod idle;
mod instance;
mod join;
mod lateness;
mod restart;
mod sleep_cost;
mod sleepers;
mod throughput;

pub(crate) use ageing::{long, steady};
pub(crate) use backlog::backlog;
pub(crate) use disk::disk;
pub(crate) use filtered_waits::filtered_waits;
pub(crate) use hostile::hostile;
pub(crate) use instance::instance;
pub(crate) use join::join;
pub(crate) use lateness::{lateness_burst, lateness_steady};
pub(crate) use sleep_cost::sleep_cost;
pub(crate) use sleepers::sleepers;
pub(crate) use throughput::throughput;
