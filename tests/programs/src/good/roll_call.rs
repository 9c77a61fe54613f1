//! The order in which children end. With one slot and the highest priority for the parent, it hears
//! of each before the next one runs, and so sees in which order the host runs them.

use std::cell::RefCell;

use dormouse_sdk::prelude::*;

use super::parent::{ChildInput, child};

#[data]
pub(crate) struct Plan {
    sleep_ms: u64,
    priority: u8,
}

/// Gives the children's places in the input, the first that ended first.
#[workflow]
pub(crate) async fn roll_call(ctx: Context, plans: Vec<Plan>) -> Result<Vec<u32>> {
    let spawn = |(n, plan): (u32, Plan)| {
        let input = ChildInput { n, sleep_ms: plan.sleep_ms, fail: false };
        ctx.spawn_with(&child, &input, SpawnOptions::new().priority(plan.priority))
    };
    let children: Vec<_> = (0..).zip(plans).map(spawn).collect::<Result<_, _>>()?;
    let ended = RefCell::new(Vec::new());
    let hear = async |n, run: &Child<u32>| {
        run.result().await?;
        ended.borrow_mut().push(n);
        Ok::<_, Error>(())
    };
    try_join_all((0..).zip(&children).map(|(n, run)| hear(n, run))).await?;
    Ok(ended.into_inner())
}
