use dormouse_sdk::prelude::*;

#[workflow]
async fn greet(_ctx: Context, _name: String) {}

#[workflow]
async fn parent(ctx: Context) -> Result<()> {
    ctx.spawn(&greet, &7)?;
    Ok(())
}

fn main() {}
