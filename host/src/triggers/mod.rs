//! What starts runs, as data: what becomes of a cron, a scheduled run or an event, and which runs they
//! start. The engine has the rows and the timers, makes the runs, and says when something has happened.

pub(crate) mod crons;
pub(crate) mod events;
mod matching;
pub(crate) mod scheduled;
mod schedules;

pub(crate) use matching::Matching;
pub(crate) use schedules::Schedules;
