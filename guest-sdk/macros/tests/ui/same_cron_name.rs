use dormouse_sdk::prelude::*;

#[workflow(cron("@daily", name = "a"), cron("@hourly", name = "a"))]
async fn greet(_ctx: Context) {}

fn main() {}
