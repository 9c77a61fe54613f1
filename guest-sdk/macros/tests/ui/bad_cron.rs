use dormouse_sdk::prelude::*;

#[workflow(cron("every morning"))]
async fn greet(_ctx: Context) {}

fn main() {}
