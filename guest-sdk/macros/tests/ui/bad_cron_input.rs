use dormouse_sdk::prelude::*;

#[workflow(cron("@daily", input = "{email: 1}"))]
async fn greet(_ctx: Context) {}

fn main() {}
