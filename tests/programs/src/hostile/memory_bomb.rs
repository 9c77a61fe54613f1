//! Takes all the memory there is.

use std::hint::black_box;

use dormouse_sdk::prelude::*;

/// Allocates a mebibyte at a time, and writes to it, until there is no more.
#[workflow]
pub(crate) async fn memory_bomb(_ctx: Context) {
    hoard_forever()
}

pub(super) fn hoard_forever() -> ! {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 20]));
    }
}
