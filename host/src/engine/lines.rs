//! Commands in line for the deciding thread: operations stand in one line, news of steps in another, and both have
//! the same share of its time. The end of a step can take it long, and as many steps as there are slots can end at
//! once: whoever calls meanwhile does not wait for all of them.

use std::collections::VecDeque;
use std::time::Duration;

use super::command::Command;

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Operations,
    Steps,
}

impl Command {
    pub(super) fn line(&self) -> Line {
        match self {
            Self::StepEnded { .. } | Self::Log { .. } => Line::Steps,
            _ => Line::Operations,
        }
    }

    /// Whether it stands in no line: what was committed is heard of at once.
    pub(super) fn is_of_commit(&self) -> bool {
        matches!(self, Self::Committed(_) | Self::CommitFailed)
    }
}

/// The lines, each in the order in which commands came.
#[derive(Default)]
pub(super) struct Lines {
    operations: VecDeque<Command>,
    steps: VecDeque<Command>,
    /// How much more time operations have had than steps, in nanoseconds.
    lead: i64,
}

impl Lines {
    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.steps.is_empty()
    }

    pub(super) fn push(&mut self, command: Command) {
        // A line that was empty has saved no time up.
        match command.line() {
            Line::Operations => {
                if self.operations.is_empty() {
                    self.lead = self.lead.max(0);
                }
                self.operations.push_back(command);
            }
            Line::Steps => {
                if self.steps.is_empty() {
                    self.lead = self.lead.min(0);
                }
                self.steps.push_back(command);
            }
        }
    }

    /// The first of the line that has had less time.
    pub(super) fn pop(&mut self) -> Option<Command> {
        if self.steps.is_empty() || self.lead < 0 && !self.operations.is_empty() {
            self.operations.pop_front()
        } else {
            self.steps.pop_front()
        }
    }

    /// Notes how long a command took.
    pub(super) fn charge(&mut self, line: Line, time: Duration) {
        let time = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        self.lead = match line {
            Line::Operations => self.lead.saturating_add(time),
            Line::Steps => self.lead.saturating_sub(time),
        };
    }
}

#[cfg(test)]
mod tests {
    use dormouse_core::id::{RunId, TaskIndex};
    use dormouse_core::time::Timestamp;

    use super::*;

    fn log(number: u32) -> Command {
        let run = RunId::new(Timestamp::default(), [0; 10]);
        Command::Log { run, task: TaskIndex(0), attempt: number, repeated: false, lines: Vec::new() }
    }

    /// What comes out when every command of steps takes so many times as long as one of operations.
    fn order(lines: &mut Lines, times: u32) -> String {
        let mut order = String::new();
        while let Some(command) = lines.pop() {
            let (name, time) = match command.line() {
                Line::Operations => ('o', 1),
                Line::Steps => ('s', times),
            };
            lines.charge(command.line(), Duration::from_millis(time.into()));
            order.push(name);
        }
        order
    }

    #[test]
    fn lines_share_time_and_not_turns() {
        for (times, expected) in [(1, "sosososo"), (3, "sooosoos"), (100, "sooooosss")] {
            let mut lines = Lines::default();
            let operations = expected.matches('o').count();
            (0..expected.len() - operations).for_each(|_| lines.push(log(0)));
            (0..operations).for_each(|_| lines.push(Command::ClockJumped));
            let order = order(&mut lines, times);
            assert!(order.starts_with('s') && order.len() == expected.len(), "{order}");
            if times > 1 {
                assert_eq!(order, expected);
            }
        }
    }

    #[test]
    fn a_line_keeps_its_order_and_saves_nothing_up_while_it_is_empty() {
        let mut lines = Lines::default();
        (0..3).for_each(|number| lines.push(log(number)));
        for expected in 0..3 {
            let Some(Command::Log { attempt, .. }) = lines.pop() else { panic!("it has {expected}") };
            assert_eq!(attempt, expected);
            lines.charge(Line::Steps, Duration::from_secs(1));
        }
        assert!(lines.is_empty());
        for _ in 0..4 {
            lines.push(Command::ClockJumped);
            lines.push(log(0));
        }
        assert_eq!(order(&mut lines, 1).matches("oo").count(), 0);
    }
}
