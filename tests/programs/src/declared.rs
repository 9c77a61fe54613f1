//! Workflows that the benchmarks declare without compiling anything: they write the definitions,
//! as JSON, over a room in the compiled module. Each gives its input back.

use std::hint::black_box;

use dormouse_sdk::__private::bindings::exports::dormouse::workflow::guest::StepResult;
use dormouse_sdk::__private::definitions::{self, Concurrency, ConcurrencyStrategy, Cron, EventSubscription};
use dormouse_sdk::prelude::*;

use crate::hostile::nonsense;

/// What the room begins with. The benchmarks know it, too.
const MARK: &[u8] = b"the benchmarks write definitions over this room";

/// What the names of the workflows in the room begin with, and no other's.
pub(crate) const PREFIX: &str = "declared-";

/// Enough for the largest schema that they declare.
const ROOM_BYTES: usize = 32 << 10;

/// JSON with spaces behind it, once it is written over. Nothing in it is zero as it is compiled,
/// because what is zero has no place in the module's file.
static ROOM: [u8; ROOM_BYTES] = {
    let mut room = [b' '; ROOM_BYTES];
    let mut at = 0;
    while at < MARK.len() {
        room[at] = MARK[at];
        at += 1;
    }
    room
};

/// One workflow of the room.
#[data]
struct Declared {
    name: String,
    schema: Option<Value>,
    /// The key pattern and the filter of a subscription.
    event: Option<(String, Option<String>)>,
    /// How many of these subscriptions it has; one when it is left out.
    subscriptions: Option<usize>,
    /// The expression and the input of a cron.
    cron: Option<(String, Value)>,
    /// The key of a concurrency limit.
    concurrency_key: Option<String>,
    /// That limit lets one run live and cancels the others; a million when it is left out.
    #[serde(default)]
    displaces: bool,
}

/// The workflows of the room: none, as it is compiled.
pub(crate) fn definitions() -> Vec<definitions::Workflow> {
    // The compiler must not read the room before the benchmarks write to it.
    let room = black_box(&ROOM).as_slice();
    let json: Option<Value> = str::from_utf8(room).ok().and_then(|text| text.parse().ok());
    let declared = json.and_then(|json| Vec::<Declared>::deserialize(json).ok()).unwrap_or_default();
    declared.into_iter().map(Declared::definition).collect()
}

/// The one task of each.
pub(crate) fn start(input: String) -> StepResult {
    StepResult::Completed(input)
}

impl Declared {
    fn definition(self) -> definitions::Workflow {
        let event = |(key_pattern, filter)| EventSubscription { key_pattern, filter };
        let cron = |(expression, input): (String, Value)| Cron {
            name: self.name.clone(),
            expression,
            timezone: None,
            input: Some(input.to_string()),
            metadata: vec![],
            priority: None,
            catch_up: None,
            overlap: None,
        };
        let (max_runs, strategy) = match self.displaces {
            true => (1, ConcurrencyStrategy::CancelRunning),
            false => (1_000_000, ConcurrencyStrategy::Queue),
        };
        let concurrency = |key| Concurrency { key: Some(key), max_runs, strategy };
        definitions::Workflow {
            crons: self.cron.map(cron).into_iter().collect(),
            events: vec![self.event.map(event); self.subscriptions.unwrap_or(1)]
                .into_iter()
                .flatten()
                .collect(),
            input_schema: self.schema.map(|schema| schema.to_string()),
            concurrency: self.concurrency_key.map(concurrency).into_iter().collect(),
            description: "Declared by the benchmarks.".to_owned(),
            name: self.name,
            ..nonsense::definition()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_declares_nothing_as_it_is_compiled() {
        assert!(ROOM.starts_with(MARK));
        assert!(definitions().is_empty());
    }
}
