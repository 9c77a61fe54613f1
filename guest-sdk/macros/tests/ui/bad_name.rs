use dormouse_sdk::prelude::*;

#[workflow(name = "Greet_User")]
async fn greet(_ctx: Context) {}

fn main() {}
