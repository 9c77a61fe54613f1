//! Tests of the whole runtime, with guests that are written by hand.

mod asking;
mod guests;
mod harness;
mod limits;
mod refusals;
mod sleeping;
