use dormouse_sdk::prelude::*;

#[workflow(execution_timeout = "3 weeks")]
async fn greet(_ctx: Context) {}

fn main() {}
