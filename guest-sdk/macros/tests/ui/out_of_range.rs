use dormouse_sdk::prelude::*;

#[workflow(retries = 1001)]
async fn greet(_ctx: Context) {}

#[workflow(priority = 4)]
async fn greet_first(_ctx: Context) {}

#[workflow(execution_timeout = "2d")]
async fn greet_slowly(_ctx: Context) {}

fn main() {}
