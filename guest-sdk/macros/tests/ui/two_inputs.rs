use dormouse_sdk::prelude::*;

#[workflow]
async fn greet(_ctx: Context, _name: String, _age: u8) {}

fn main() {}
