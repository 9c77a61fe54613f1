//! A run and its children.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    children: u32,
    /// How long each child sleeps.
    #[serde(default)]
    sleep_ms: u64,
    /// This one fails for good.
    failing: Option<u32>,
    #[serde(default)]
    detached: bool,
}

#[data]
pub(crate) struct ChildInput {
    pub(super) n: u32,
    pub(super) sleep_ms: u64,
    pub(super) fail: bool,
}

/// Spawns children and adds up what they give. Fails with the first that fails.
#[workflow]
pub(crate) async fn parent(ctx: Context, input: Input) -> Result<u32> {
    let spawn = |n| {
        let mut options = SpawnOptions::new().metadata("child", format!("{n}"));
        if input.detached {
            options = options.detached();
        }
        let child_input = ChildInput { n, sleep_ms: input.sleep_ms, fail: input.failing == Some(n) };
        ctx.spawn_with(&child, &child_input, options)
    };
    let children: Vec<_> = (0..input.children).map(spawn).collect::<Result<_, _>>()?;
    Ok(try_join_all(children.iter().map(Child::result)).await?.into_iter().sum())
}

/// Sleeps and gives twice its number.
#[workflow]
pub(crate) async fn child(ctx: Context, input: ChildInput) -> Result<u32> {
    if input.sleep_ms > 0 {
        ctx.sleep(Duration::from_millis(input.sleep_ms)).await;
    }
    if input.fail {
        return Err(Error::fatal(format!("child {} fails", input.n)));
    }
    Ok(input.n * 2)
}
