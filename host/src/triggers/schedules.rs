//! Schedules of crons, parsed. To parse one is to look for a time at which it fires, which may take
//! milliseconds, and a cron fires up to once a second.

use std::collections::HashMap;
use std::sync::Arc;

use dormouse_core::cron::{CronError, Schedule};
use dormouse_core::workflow::CronSpec;

/// Most schedules that are kept: more than a module can declare, each of a few hundred bytes.
const KEPT_MAX: usize = 8_192;

/// Parsed schedules by expression and time zone, so that a cron that is changed finds another one.
#[derive(Default)]
pub(crate) struct Schedules(HashMap<String, Arc<Schedule>>);

impl Schedules {
    /// The schedule of a cron; it is parsed if it is not kept.
    pub(crate) fn of(&mut self, spec: &CronSpec) -> Result<Arc<Schedule>, CronError> {
        if let Some(known) = self.0.get(&name(spec)) {
            return Ok(Arc::clone(known));
        }
        let parsed = Arc::new(Schedule::parse(&spec.expression, &spec.timezone)?);
        self.keep(spec, Arc::clone(&parsed));
        Ok(parsed)
    }

    /// Keeps a schedule that was parsed elsewhere.
    pub(crate) fn keep(&mut self, spec: &CronSpec, schedule: Arc<Schedule>) {
        // All of them: which one is needed last cannot be known without keeping account of each use.
        if self.0.len() >= KEPT_MAX {
            self.0.clear();
        }
        self.0.insert(name(spec), schedule);
    }
}

/// No time zone has a space in its name.
fn name(spec: &CronSpec) -> String {
    format!("{} {}", spec.timezone, spec.expression)
}

#[cfg(test)]
mod tests {
    use dormouse_core::workflow::{Json, Metadata};

    use super::*;

    fn spec(expression: &str) -> CronSpec {
        CronSpec {
            expression: expression.to_owned(),
            timezone: "Europe/Paris".to_owned(),
            input: Json::null(),
            metadata: Metadata::default(),
            priority: None,
            catch_up: Default::default(),
            overlap: Default::default(),
        }
    }

    #[test]
    fn a_schedule_is_parsed_once_and_they_do_not_pile_up() {
        let mut schedules = Schedules::default();
        let (daily, hourly) = (spec("@daily"), spec("@hourly"));
        let first = schedules.of(&daily).unwrap();
        assert!(Arc::ptr_eq(&first, &schedules.of(&daily).unwrap()));
        assert!(!Arc::ptr_eq(&first, &schedules.of(&hourly).unwrap()));
        assert!(schedules.of(&spec("0 0 31 2 *")).is_err());

        (0..2 * KEPT_MAX).for_each(|n| schedules.keep(&spec(&n.to_string()), Arc::clone(&first)));
        assert!(schedules.0.len() <= KEPT_MAX);
        assert_eq!(schedules.of(&daily).unwrap().describe(), first.describe());
    }
}
