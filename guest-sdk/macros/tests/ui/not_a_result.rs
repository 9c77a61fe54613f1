use dormouse_sdk::prelude::*;

#[workflow]
async fn greet(_ctx: Context) -> String {
    String::new()
}

fn main() {}
