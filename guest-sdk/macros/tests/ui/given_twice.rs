use dormouse_sdk::prelude::*;

#[workflow(retries = 1, retries = 2)]
async fn greet(_ctx: Context) {}

fn main() {}
