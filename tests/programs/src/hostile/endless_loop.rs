//! Never gives the processor back.

use std::hint::black_box;

use dormouse_sdk::prelude::*;

/// Loops until it is killed, after half a second.
#[workflow(execution_timeout = "500ms")]
pub(crate) async fn endless_loop(_ctx: Context) {
    run_forever()
}

/// Loops for as long as it may: the default time-out is a minute.
#[workflow]
pub(crate) async fn patient_loop(_ctx: Context) {
    run_forever()
}

pub(super) fn run_forever() -> ! {
    let mut rounds = 0u64;
    loop {
        rounds = black_box(rounds.wrapping_add(1));
    }
}
