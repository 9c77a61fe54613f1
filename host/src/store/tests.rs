//! Tests of the store as a whole.

mod behaviour;
mod check;
mod crash;
mod golden;
mod open;
mod random;
mod samples;
