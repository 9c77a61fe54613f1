//! What goes into a step and comes out of it, between the words of `wit/` and those of the host.

use std::collections::{HashMap, HashSet};

use dormouse_core::cel::{Equality, Predicate};
use dormouse_core::event::KeyPattern;
use dormouse_core::id::{TaskName, WaitId};
use dormouse_core::run::TaskError;
use dormouse_core::wait::{FilterIndex, OPEN_WAITS_MAX, Wait, WaitCondition};
use dormouse_core::workflow::{Json, Metadata};
use tokio::task::yield_now;

use super::bindings::{guest, types};
use super::budget::{duration, json, timestamp};
use super::logs::cut;
use super::step::{SettledOutcome, SettledWait, StepRequest};

/// Longest message of a task's error; the rest is cut off.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// What a guest returned, checked.
pub(super) enum Returned {
    Completed(Json),
    Failed { error: TaskError, retryable: bool },
    Suspended { waits: Vec<Wait>, dropped: Vec<WaitId> },
}

/// Checks what a guest returned; the error says what makes no sense in it. Reading the filters of many
/// waits can take seconds, so others get their turn after each.
pub(super) async fn returned(result: guest::StepResult) -> Result<Returned, String> {
    match result {
        guest::StepResult::Completed(output) => {
            let output = json(&output).map_err(|problem| format!("the output cannot be kept: {problem}"))?;
            Ok(Returned::Completed(output))
        }
        guest::StepResult::Failed(error) => {
            let retryable = error.retryable;
            Ok(Returned::Failed { error: task_error(error), retryable })
        }
        guest::StepResult::Suspended(guest::Suspension { waits, dropped }) => {
            for (what, count) in [("waits", waits.len()), ("dropped waits", dropped.len())] {
                if count > OPEN_WAITS_MAX {
                    return Err(format!("{count} {what}; at most {OPEN_WAITS_MAX} can be open"));
                }
            }
            let mut ids = HashSet::new();
            if let Some(twice) = waits.iter().find(|wait| !ids.insert(wait.id)) {
                return Err(format!("two waits have the id {}", twice.id));
            }
            let mut filters = HashMap::new();
            for (id, text) in waits.iter().filter_map(filter_of) {
                if !filters.contains_key(text) {
                    let filter =
                        Predicate::compile(text).map_err(|error| format!("wait {id}: filter: {error}"))?;
                    filters.insert(text.to_owned(), filter.equality().map(index));
                    yield_now().await;
                }
            }
            let waits = waits.into_iter().map(|of| wait(of, &filters)).collect::<Result<_, _>>()?;
            Ok(Returned::Suspended { waits, dropped: dropped.into_iter().map(WaitId).collect() })
        }
    }
}

fn filter_of(wait: &guest::Wait) -> Option<(u64, &str)> {
    match &wait.condition {
        guest::WaitCondition::Event(event) => Some((wait.id, event.filter.as_deref()?)),
        _ => None,
    }
}

fn index(equality: Equality) -> FilterIndex {
    let Equality { path, value } = equality;
    FilterIndex { path: path.as_str().to_owned(), value: value.as_str().to_owned() }
}

/// What an index can find of each filter, by its text.
type Indexes = HashMap<String, Option<FilterIndex>>;

/// Checks a wait, whose filter has been checked.
fn wait(wait: guest::Wait, filters: &Indexes) -> Result<Wait, String> {
    let condition =
        condition(wait.condition, filters).map_err(|problem| format!("wait {}: {problem}", wait.id))?;
    Ok(Wait { id: WaitId(wait.id), condition })
}

fn condition(condition: guest::WaitCondition, filters: &Indexes) -> Result<WaitCondition, String> {
    match condition {
        guest::WaitCondition::Until(at) => timestamp(at).map(WaitCondition::Until),
        guest::WaitCondition::Event(event) => {
            KeyPattern::parse(&event.key_pattern).map_err(|error| format!("key pattern: {error}"))?;
            let look_back = event.look_back.map(duration).transpose()?;
            let index = event.filter.as_ref().and_then(|filter| filters.get(filter)?.clone());
            let guest::EventWait { key_pattern, filter, .. } = event;
            Ok(WaitCondition::Event { key_pattern, filter, look_back, index })
        }
        guest::WaitCondition::Run(id) => {
            id.parse().map(WaitCondition::Run).map_err(|error| format!("{error}"))
        }
    }
}

/// The task has failed all the same when its details are no JSON; then they are left out.
fn task_error(error: types::TaskError) -> TaskError {
    let mut message = cut(&error.message, MESSAGE_BYTES_MAX).to_owned();
    let details = error.details.and_then(|details| {
        json(&details).inspect_err(|problem| message += &format!(" (details left out: {problem})")).ok()
    });
    TaskError { message, details }
}

/// What a task starts on.
pub(super) fn task_context(
    request: &StepRequest,
    parents: Vec<(TaskName, Json)>,
    failure: Option<TaskError>,
) -> guest::TaskContext {
    guest::TaskContext {
        workflow: request.run.workflow.to_string(),
        task: request.task_name.to_string(),
        input: request.run.input.as_str().to_owned(),
        parents: parents.into_iter().map(|(name, output)| (name.to_string(), text(&output))).collect(),
        failure: failure.map(error_of_another),
    }
}

/// What a guest gets to see of its settled waits.
pub(super) fn settled(waits: Vec<SettledWait>) -> Vec<guest::SettledWait> {
    let settled = |wait: SettledWait| guest::SettledWait { id: wait.id.0, outcome: outcome(wait.outcome) };
    waits.into_iter().map(settled).collect()
}

fn outcome(outcome: SettledOutcome) -> guest::WaitOutcome {
    use guest::{ReceivedEvent, RunOutcome, WaitOutcome};
    match outcome {
        SettledOutcome::Elapsed => WaitOutcome::Elapsed,
        SettledOutcome::Event { id, key, payload, metadata, pushed_at } => {
            WaitOutcome::Event(ReceivedEvent {
                id: id.to_string(),
                key,
                payload: text(&payload),
                metadata: pairs(&metadata),
                pushed_at: pushed_at.as_millis(),
            })
        }
        SettledOutcome::RunCompleted { output } => WaitOutcome::Run(RunOutcome::Completed(text(&output))),
        SettledOutcome::RunFailed { error } => WaitOutcome::Run(RunOutcome::Failed(error_of_another(error))),
        SettledOutcome::RunCancelled { reason } => WaitOutcome::Run(RunOutcome::Cancelled(reason)),
    }
}

/// The error of a task that has ended: nothing retries it any more.
fn error_of_another(error: TaskError) -> types::TaskError {
    let details = error.details.as_ref().map(text);
    types::TaskError { message: error.message, retryable: false, details }
}

/// Metadata as a guest sees it.
pub(super) fn pairs(metadata: &Metadata) -> Vec<(String, String)> {
    metadata.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn text(json: &Json) -> String {
    json.as_str().to_owned()
}
