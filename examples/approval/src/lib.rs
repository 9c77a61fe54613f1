//! Waiting for a person: an event or a time-out, whichever comes first.
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2 -p approval
//! dormouse deploy target/wasm32-wasip2/release/approval.wasm
//! dormouse run approve-expense --input '{"expense": "42", "amount": 120, "seconds": 600}'
//! dormouse event push expense:decided --payload '{"expense": "42", "approved": true, "by": "ann"}'
//! dormouse runs list
//! ```

use dormouse_sdk::prelude::*;

#[data]
struct Expense {
    expense: String,
    amount: u32,
    /// How long there is to decide.
    seconds: u64,
}

#[data]
struct Decision {
    expense: String,
    approved: bool,
    by: String,
}

#[data]
struct Outcome {
    approved: bool,
    reason: String,
}

/// Waits until somebody decides, or declines when nobody does in time.
#[workflow]
async fn approve_expense(ctx: Context, expense: Expense) -> Result<Outcome> {
    println!("expense {} of {} is to be decided", expense.expense, expense.amount);
    // Without the look-back, a decision that was quicker than this line would be missed.
    let decided = ctx
        .wait_for_event::<Decision>("expense:decided")
        .filter(format!("input.expense == {}", json!(expense.expense)))
        .look_back(Duration::from_secs(60));
    Ok(select! {
        decision = decided => {
            let decision = decision?;
            Outcome { approved: decision.approved, reason: format!("decided by {}", decision.by) }
        }
        waited = ctx.sleep(Duration::from_secs(expense.seconds)) => {
            Outcome { approved: false, reason: format!("nobody decided in {} s", waited.as_secs()) }
        }
    })
}

module![approve_expense];
