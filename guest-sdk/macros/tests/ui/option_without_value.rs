use dormouse_sdk::prelude::*;

#[workflow(retries)]
async fn greet(_ctx: Context) {}

fn main() {}
