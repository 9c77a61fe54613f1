//! Does what its input says, as often as it says: the benchmarks bring load on a host with it.

use dormouse_sdk::prelude::*;

/// One thing after the other.
#[data]
#[serde(rename_all = "camelCase")]
pub(crate) enum Act {
    Spawn(Spawn),
    Schedule(Schedule),
    Push(Push),
    Wait(Waits),
    /// Milliseconds.
    Sleep(u64),
    /// Waits for all that was spawned so far.
    Join,
}

/// Spawns runs of a workflow.
#[data]
pub(crate) struct Spawn {
    workflow: String,
    input: Value,
    times: u32,
    #[serde(default)]
    detached: bool,
    /// All runs that name the same key share one child. `{n}` in it stands for the number of the child,
    /// from 0.
    key: Option<String>,
}

/// Schedules runs of a workflow.
#[data]
pub(crate) struct Schedule {
    workflow: String,
    times: u32,
    /// In milliseconds since the Unix epoch.
    at: u64,
}

/// Pushes events of one key.
#[data]
pub(crate) struct Push {
    key: String,
    payload: Value,
    times: u32,
}

/// Waits for events, many at once.
#[data]
pub(crate) struct Waits {
    /// `{n}` in it and in the filter stands for the number of the wait, from 0.
    pattern: String,
    filter: Option<String>,
    look_back_ms: Option<u64>,
    times: u32,
    /// Drops them all after so many milliseconds.
    drop_after_ms: Option<u64>,
}

/// Does all of it, one after the other.
#[workflow]
pub(crate) async fn script(ctx: Context, acts: Vec<Act>) -> Result<()> {
    let mut children = Vec::new();
    for act in acts {
        match act {
            Act::Spawn(spawn) => {
                let workflow = Named::any(spawn.workflow);
                for number in 0..spawn.times {
                    let mut options = SpawnOptions::new();
                    if spawn.detached {
                        options = options.detached();
                    }
                    if let Some(key) = &spawn.key {
                        options = options.idempotency_key(numbered(key, number));
                    }
                    children.push(ctx.spawn_with(&workflow, &spawn.input, options)?);
                }
            }
            Act::Schedule(schedule) => {
                let (workflow, at) = (Named::any(schedule.workflow), Timestamp::from_millis(schedule.at));
                for _ in 0..schedule.times {
                    ctx.schedule(&workflow, at, &Value::Null)?;
                }
            }
            Act::Push(push) => {
                for _ in 0..push.times {
                    ctx.push_event(&push.key, &push.payload)?;
                }
            }
            Act::Wait(waits) => wait(ctx, &waits).await?,
            Act::Sleep(ms) => drop(ctx.sleep(Duration::from_millis(ms)).await),
            Act::Join => drop(join_all(children.iter().map(Child::result)).await),
        }
    }
    Ok(())
}

async fn wait(ctx: Context, waits: &Waits) -> Result<()> {
    let open = |number: u32| {
        let mut wait = ctx.wait_for_event::<Value>(&numbered(&waits.pattern, number));
        if let Some(filter) = &waits.filter {
            wait = wait.filter(numbered(filter, number));
        }
        if let Some(ms) = waits.look_back_ms {
            wait = wait.look_back(Duration::from_millis(ms));
        }
        wait
    };
    let all = join_all((0..waits.times).map(open));
    let Some(ms) = waits.drop_after_ms else {
        all.await;
        return Ok(());
    };
    select! {
        _ = all => {}
        _ = ctx.sleep(Duration::from_millis(ms)) => {}
    }
    Ok(())
}

fn numbered(text: &str, number: u32) -> String {
    text.replace("{n}", &number.to_string())
}
