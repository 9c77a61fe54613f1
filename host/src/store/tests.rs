//! Tests of the store as a whole.

mod behaviour;
mod check;
mod crash;
pub(crate) mod disk;
mod golden;
mod journal;
mod layers;
mod log;
mod open;
mod random;
mod samples;
