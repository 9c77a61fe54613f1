//! What starts runs: crons, one-time schedules and events, each with the commands that change it
//! and the moment at which it fires.

mod crons;
mod events;
mod matching;
mod scheduled;
mod schedules;

pub(crate) use crons::{CheckedCron, EarlierRuns, changed_spec, new_spec};
pub(crate) use events::{Matched, Pushed};
pub(crate) use matching::Matching;
pub(crate) use schedules::Schedules;
