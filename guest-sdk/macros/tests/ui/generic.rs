use dormouse_sdk::prelude::*;

#[workflow]
async fn greet<T>(_ctx: Context, _input: T) {}

fn main() {}
