use dormouse_sdk::prelude::*;

#[workflow(on_events = "user:*")]
async fn greet(_ctx: Context) {}

fn main() {}
