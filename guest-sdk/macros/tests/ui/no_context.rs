use dormouse_sdk::prelude::*;

#[workflow]
async fn greet() {}

fn main() {}
