use dormouse_sdk::prelude::*;

#[workflow(cron("@daily", time_zone = "Europe/Paris"))]
async fn greet(_ctx: Context) {}

fn main() {}
