use dormouse_sdk::prelude::*;

#[workflow]
fn greet(_ctx: Context) {}

fn main() {}
