use dormouse_sdk::prelude::*;

fn greet() {}

#[workflow]
async fn parent(ctx: Context) -> Result<()> {
    ctx.spawn(&greet, &())?;
    Ok(())
}

fn main() {}
