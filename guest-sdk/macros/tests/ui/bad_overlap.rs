use dormouse_sdk::prelude::*;

#[workflow(cron("@daily", overlap = "cancel"))]
async fn greet(_ctx: Context) {}

fn main() {}
