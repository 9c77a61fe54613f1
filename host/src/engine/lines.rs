//! Commands in line for the deciding thread: operations, news of steps, and ends of steps that ask for much. Each
//! line has the same share of its time. As many steps as there are slots can end at once, each with ten thousand
//! waits to open, and whoever calls meanwhile waits for a few of them and not for all.

use std::collections::VecDeque;
use std::time::Duration;

use super::command::Command;
use super::queue::TaskKey;
use crate::runtime::{StepEnd, StepOutcome};

/// Waits and requests beyond which the end of a step stands in the line of those that ask for much.
const SMALL_MAX: usize = 256;

/// Bytes of a snapshot beyond which it does.
const SMALL_BYTES_MAX: usize = 1 << 20;

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Steps,
    Operations,
    Bulk,
}

impl Line {
    const ALL: [Self; 3] = [Self::Steps, Self::Operations, Self::Bulk];
}

impl Command {
    pub(super) fn line(&self) -> Line {
        match self {
            Self::StepEnded { end, .. } if asks_for_much(end) => Line::Bulk,
            Self::StepEnded { .. } | Self::Log { .. } | Self::BaseImage { .. } => Line::Steps,
            _ => Line::Operations,
        }
    }

    /// Whether it stands in no line: what was committed is heard of at once.
    pub(super) fn is_of_commit(&self) -> bool {
        matches!(self, Self::Committed(_) | Self::CommitFailed)
    }

    /// The task whose lines it logs.
    fn logs_of(&self) -> Option<TaskKey> {
        match self {
            Self::Log { run, task, .. } => Some((*run, *task)),
            _ => None,
        }
    }
}

fn asks_for_much(end: &StepEnd) -> bool {
    let (waits, bytes) = match &end.outcome {
        StepOutcome::Suspended { waits, dropped, snapshot } => (waits.len() + dropped.len(), snapshot.len()),
        _ => (0, 0),
    };
    waits + end.requests.count() > SMALL_MAX || bytes > SMALL_BYTES_MAX
}

/// The lines, each in the order in which commands came.
#[derive(Default)]
pub(super) struct Lines {
    lines: [VecDeque<Command>; Line::ALL.len()],
    /// How much time each has had, as far as they compare.
    had: [Duration; Line::ALL.len()],
    /// How much time the line had had that came last to its turn.
    turn: Duration,
}

impl Lines {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(VecDeque::is_empty)
    }

    pub(super) fn push(&mut self, command: Command) {
        let line = command.line() as usize;
        if self.lines[line].is_empty() {
            // It has saved no time up.
            self.had[line] = self.had[line].max(self.turn);
        }
        self.lines[line].push_back(command);
    }

    /// The first command of the line that has had the least time; with those that ask for much, or without.
    pub(super) fn pop(&mut self, with_bulk: bool) -> Option<Command> {
        let is_wanted =
            |line: &Line| !self.lines[*line as usize].is_empty() && (with_bulk || *line != Line::Bulk);
        let mut line = Line::ALL.into_iter().filter(is_wanted).min_by_key(|line| self.had[*line as usize])?;
        if line == Line::Bulk
            && let Some(Command::StepEnded { run, task, .. }) = self.lines[line as usize].front()
            && self.lines[Line::Steps as usize].iter().any(|news| news.logs_of() == Some((*run, *task)))
        {
            // What a step has logged comes before its end.
            line = Line::Steps;
        }
        self.turn = self.turn.max(self.had[line as usize]);
        self.lines[line as usize].pop_front()
    }

    /// Notes how long a command took.
    pub(super) fn charge(&mut self, line: Line, time: Duration) {
        self.had[line as usize] = self.had[line as usize].saturating_add(time);
    }
}

#[cfg(test)]
mod tests {
    use dormouse_core::id::{RunId, TaskIndex};
    use dormouse_core::request::{Requests, Schedule};
    use dormouse_core::run::Lease;
    use dormouse_core::time::Timestamp;
    use dormouse_core::workflow::{Json, Metadata};

    use super::*;

    fn run() -> RunId {
        RunId::new(Timestamp::default(), [0; 10])
    }

    fn log(number: u32) -> Command {
        Command::Log { run: run(), task: TaskIndex(0), attempt: number, repeated: false, lines: Vec::new() }
    }

    /// The end of a step with so many requests.
    fn end(task: u8, requests: usize) -> Command {
        let schedule = Schedule {
            id: dormouse_core::id::ScheduledId::new(Timestamp::default(), [0; 10]),
            workflow: "w".parse().unwrap(),
            trigger_at: Timestamp::default(),
            input: Json::null(),
            metadata: Metadata::default(),
            priority: None,
        };
        let end = StepEnd {
            ran: Duration::ZERO,
            outcome: StepOutcome::Completed { output: Json::null() },
            requests: Requests { schedules: vec![schedule; requests], ..Requests::default() },
            taken: 0,
        };
        let lease = Lease { attempt: 1, epoch: 1 };
        Command::StepEnded {
            run: run(),
            task: TaskIndex(task),
            lease,
            end: Box::new(end),
            matched: Vec::new(),
        }
    }

    /// What comes out when a command takes so many milliseconds, by its line.
    fn order(lines: &mut Lines, times: [u64; 3]) -> String {
        let mut order = String::new();
        while let Some(command) = lines.pop(true) {
            let line = command.line();
            lines.charge(line, Duration::from_millis(times[line as usize]));
            order.push(['s', 'o', 'b'][line as usize]);
        }
        order
    }

    #[test]
    fn lines_share_time_and_not_turns() {
        let mut lines = Lines::default();
        for _ in 0..4 {
            lines.push(log(0));
            lines.push(Command::ClockJumped);
        }
        (0..3).for_each(|_| lines.push(end(1, SMALL_MAX + 1)));
        assert_eq!(order(&mut lines, [1, 1, 3]), "sobsososobb");
    }

    #[test]
    fn those_that_ask_for_much_stand_behind_what_their_step_has_logged() {
        let mut lines = Lines::default();
        lines.charge(Line::Steps, Duration::from_secs(1));
        lines.push(log(0));
        lines.push(log(1));
        lines.push(end(0, SMALL_MAX + 1));
        lines.push(end(1, SMALL_MAX + 1));
        lines.had = [Duration::from_secs(1), Duration::ZERO, Duration::ZERO];
        assert_eq!(order(&mut lines, [0, 0, 0]), "ssbb");
    }

    #[test]
    fn a_line_keeps_its_order_and_saves_nothing_up_while_it_is_empty() {
        let mut lines = Lines::default();
        (0..3).for_each(|number| lines.push(log(number)));
        for expected in 0..3 {
            let Some(Command::Log { attempt, .. }) = lines.pop(true) else { panic!("it has {expected}") };
            assert_eq!(attempt, expected);
            lines.charge(Line::Steps, Duration::from_secs(1));
        }
        assert!(lines.is_empty());
        for _ in 0..4 {
            lines.push(Command::ClockJumped);
            lines.push(log(0));
        }
        // What the last of the three took is all that steps are behind by.
        assert_eq!(order(&mut lines, [1000; 3]), "osososos");
    }

    #[test]
    fn those_that_ask_for_much_can_be_left_out() {
        let mut lines = Lines::default();
        lines.push(end(0, SMALL_MAX + 1));
        assert!(lines.pop(false).is_none() && !lines.is_empty());
        lines.push(end(0, SMALL_MAX));
        assert!(lines.pop(false).is_some() && lines.pop(false).is_none());
        assert!(lines.pop(true).is_some() && lines.is_empty());
    }
}
