//! Why a guest was ended, from what wasmtime says.

use dormouse_core::run::{Reason, TaskError};
use dormouse_core::workflow::Json;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::limits::{LimitExceeded, RESOURCES_MAX, Refused, STACK_BYTES_MAX};
use super::step::StepOutcome;

/// Most functions of a backtrace that are told.
const FRAMES_MAX: usize = 16;

/// The failure of a step in which a call of the guest ended with this error. Another attempt may
/// fare better: traps and limits use one up.
pub(super) fn of_guest(error: &wasmtime::Error, refused: &Refused, last_errors: &[String]) -> StepOutcome {
    let (reason, message) = match (explain(error), refused.limit()) {
        // It may have got no further without.
        ((Reason::Trap, message), Some(limit)) => (Reason::Limit, format!("{limit}; then: {message}")),
        (explained, _) => explained,
    };
    let details = details(error, last_errors);
    StepOutcome::Failed { reason, error: TaskError { message, details }, retryable: true }
}

/// What happened, in a sentence.
pub(super) fn explain(error: &wasmtime::Error) -> (Reason, String) {
    if let Some(limit) = error.downcast_ref::<LimitExceeded>() {
        return (Reason::Limit, limit.to_string());
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return (Reason::Limit, format!("host resources are limited to {RESOURCES_MAX} at once"));
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return (Reason::Limit, format!("the pool of instances is used up: {error:#}"));
    }
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return (Reason::Trap, format!("the task called exit({status})"));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => {
            (Reason::Limit, format!("the call stack is limited to {STACK_BYTES_MAX} bytes"))
        }
        Some(trap) => (Reason::Trap, trap.to_string()),
        None => (Reason::Trap, error.root_cause().to_string()),
    }
}

/// The functions that were on the stack, innermost first, and the last words of the guest.
fn details(error: &wasmtime::Error, last_errors: &[String]) -> Option<Json> {
    let backtrace: Vec<_> = error
        .downcast_ref::<WasmBacktrace>()
        .into_iter()
        .flat_map(WasmBacktrace::frames)
        .filter_map(|frame| frame.func_name())
        .take(FRAMES_MAX)
        .collect();
    if backtrace.is_empty() && last_errors.is_empty() {
        return None;
    }
    let details = serde_json::json!({ "backtrace": backtrace, "stderr": last_errors });
    Some(Json::trusted(&details.to_string()))
}
