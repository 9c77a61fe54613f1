//! Many child runs at once, and their results when all have ended. While it waits for them the
//! parent sleeps like any other task.
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2 -p fan-out
//! dormouse deploy target/wasm32-wasip2/release/fan_out.wasm
//! dormouse run score-all --input '{"users": ["ann", "bob", "eve"]}' --wait
//! ```

use dormouse_sdk::prelude::*;

#[data]
struct Users {
    users: Vec<String>,
}

#[data]
struct Score {
    user: String,
    score: usize,
}

#[data]
struct Ranking {
    /// Best first.
    scores: Vec<Score>,
}

/// Scores all users, each in a run of its own, and ranks them.
#[workflow]
async fn score_all(ctx: Context, input: Users) -> Result<Ranking> {
    let children: Vec<_> =
        input.users.iter().map(|user| ctx.spawn(&score_user, user)).collect::<Result<_, _>>()?;
    let mut scores = try_join_all(children.iter().map(Child::result)).await?;
    scores.sort_by_key(|score| std::cmp::Reverse(score.score));
    Ok(Ranking { scores })
}

/// Scores one user. At most four at a time, and tried again when it fails.
#[workflow(concurrency(max_runs = 4), retries = 2, backoff(initial = "500ms"))]
async fn score_user(ctx: Context, user: String) -> Result<Score> {
    ctx.sleep(Duration::from_millis(200)).await;
    Ok(Score { score: user.len(), user })
}

module![score_all, score_user];
