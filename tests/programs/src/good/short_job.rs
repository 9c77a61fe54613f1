//! Workflows under concurrency limits: jobs of customers, short and long.

use std::cell::RefCell;
use std::time::Duration;

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Job {
    customer: String,
    sleep_ms: u64,
}

/// At most two of a customer at once, and five in all.
#[workflow(
    concurrency(max_runs = 2, key = "input.customer", strategy = "queue"),
    concurrency(max_runs = 5, strategy = "queue")
)]
pub(crate) async fn queued_job(ctx: Context, job: Job) -> Result<String> {
    work(ctx, job).await
}

/// The latest of a customer takes the place of the one before it.
#[workflow(concurrency(max_runs = 1, key = "input.customer", strategy = "cancel_running"))]
pub(crate) async fn latest_job(ctx: Context, job: Job) -> Result<String> {
    work(ctx, job).await
}

/// While one of a tenant, which the metadata name, is unfinished, no other begins.
#[workflow(concurrency(max_runs = 1, key = "metadata.tenant", strategy = "cancel_newest"))]
pub(crate) async fn only_job(ctx: Context, job: Job) -> Result<String> {
    work(ctx, job).await
}

/// Spawns a short job for each of these customers; gives them in the order in which the jobs ended.
#[workflow]
pub(crate) async fn job_roll_call(ctx: Context, customers: Vec<String>) -> Result<Vec<String>> {
    let spawn = |customer: String| {
        let job = Job { customer, sleep_ms: 0 };
        ctx.spawn_with(&short_job, &job, SpawnOptions::new())
    };
    let jobs: Vec<_> = customers.into_iter().map(spawn).collect::<Result<_, _>>()?;
    let ended = RefCell::new(Vec::new());
    let hear = async |job: &Child<String>| {
        let customer = job.result().await?;
        ended.borrow_mut().push(customer);
        Ok::<_, Error>(())
    };
    try_join_all(jobs.iter().map(hear)).await?;
    Ok(ended.into_inner())
}

/// One of a customer at once, all of it in one step.
#[workflow(concurrency(max_runs = 1, key = "input.customer", strategy = "queue"))]
pub(crate) async fn short_job(_ctx: Context, job: Job) -> Result<String> {
    Ok(job.customer)
}

async fn work(ctx: Context, job: Job) -> Result<String> {
    ctx.sleep(Duration::from_millis(job.sleep_ms)).await;
    Ok(job.customer)
}
