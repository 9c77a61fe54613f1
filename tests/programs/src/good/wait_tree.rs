//! Waits in any nesting, as the input says.

use std::pin::Pin;

use dormouse_sdk::prelude::*;

use super::parent::{ChildInput, child};

/// What to wait for.
#[data]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tree {
    /// Milliseconds of sleep.
    Sleep(u64),
    /// A time in milliseconds since the Unix epoch.
    Until(u64),
    /// An event with this key.
    Event(String),
    /// A child that sleeps for so many milliseconds.
    Child(u64),
    /// A child that sleeps for so many milliseconds, and is asked for its output only once the
    /// other has come.
    Meanwhile(u64, Box<Self>),
    /// All of them.
    Join(Vec<Self>),
    /// The first of the two.
    Select(Box<Self>, Box<Self>),
    /// One after the other.
    Then(Box<Self>, Box<Self>),
}

/// What came of it.
#[data]
pub(crate) struct Came {
    /// Of an event its payload, of a child its output, of a join a list, of a select the winner,
    /// and of two after each other the second.
    what: Value,
    /// How long after the start of the task, in milliseconds.
    after_ms: u64,
}

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Value>> + 'a>>;

/// Waits and says what came, and when.
#[workflow]
pub(crate) async fn wait_tree(ctx: Context, tree: Tree) -> Result<Came> {
    let began = ctx.now();
    let what = wait(&ctx, tree).await?;
    Ok(Came { what, after_ms: (ctx.now() - began).as_millis() as u64 })
}

fn wait(ctx: &Context, tree: Tree) -> Waiting<'_> {
    Box::pin(async move {
        Ok(match tree {
            Tree::Sleep(ms) => {
                ctx.sleep(Duration::from_millis(ms)).await;
                json!("slept")
            }
            Tree::Until(at) => {
                ctx.sleep_until(Timestamp::from_millis(at)).await;
                json!("slept")
            }
            Tree::Event(key) => ctx.wait_for_event::<Value>(&key).await?,
            Tree::Child(sleep_ms) => {
                let run = ctx.spawn(&child, &ChildInput { n: 21, sleep_ms, fail: false })?;
                json!(run.result().await?)
            }
            Tree::Meanwhile(sleep_ms, other) => {
                let run = ctx.spawn(&child, &ChildInput { n: 21, sleep_ms, fail: false })?;
                wait(ctx, *other).await?;
                json!(run.result().await?)
            }
            Tree::Join(all) => Value::Array(try_join_all(all.into_iter().map(|one| wait(ctx, one))).await?),
            Tree::Select(one, other) => select! {
                came = wait(ctx, *one) => came?,
                came = wait(ctx, *other) => came?,
            },
            Tree::Then(first, second) => {
                wait(ctx, *first).await?;
                wait(ctx, *second).await?
            }
        })
    })
}
