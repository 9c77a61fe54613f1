//! One workflow, and a cron for each customer, made over the API when the customer signs up. Such
//! crons survive uploads. A name is unique in its workflow, and setting it again changes the cron.
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2 -p customer-crons
//! dormouse deploy target/wasm32-wasip2/release/customer_crons.wasm
//! dormouse cron set send-digest customer-7 '0 8 * * *' --timezone America/New_York \
//!     --input '{"customer": "7"}' --metadata customer:7
//! dormouse cron list --metadata customer:7    # with its id
//! dormouse cron delete ID
//! ```

use dormouse_sdk::prelude::*;

#[data]
struct Digest {
    customer: String,
}

/// Sends a customer the digest of the day. Never twice at once for one customer.
#[workflow(concurrency(max_runs = 1, key = "input.customer"), retries = 5)]
async fn send_digest(ctx: Context, digest: Digest) -> Result<()> {
    let due = ctx.trigger().scheduled_at.unwrap_or(ctx.now());
    println!("digest for customer {} as of {due}", digest.customer);
    Ok(())
}

module![send_digest];
