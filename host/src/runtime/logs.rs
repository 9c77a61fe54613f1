//! The log lines of one step on their way to the host: gathered, bounded, handed over in batches.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_core::log::LogLevel;

use super::cap::stdio::Stream;
use super::limits::LimitExceeded;
use super::step::{GuestLine, StepHost};
use crate::clock::Clock;

/// Longest line; the rest of it is cut off.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Most text that one step may log.
const STEP_BYTES_MAX: usize = 8 << 20;
/// What a line counts for besides its text: an empty one, too, takes memory, room on disk and time of the
/// deciding thread.
const LINE_BYTES: usize = 64;
/// Lines are handed over as soon as there are so many, or so many bytes of them.
const BATCH_LINES: usize = 256;
const BATCH_BYTES: usize = 64 << 10;
/// Lines wait at most this long for others to join them.
pub(super) const LINGER: Duration = Duration::from_millis(50);
/// Most lines of standard error that are kept for the error of a task that traps.
const LAST_LINES: usize = 8;

/// The log of one step. Clones share it: the streams of a guest hold one each.
#[derive(Clone)]
pub(super) struct Logs {
    clock: Clock,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// `None` until the step begins; lines are dropped until then.
    host: Option<Arc<dyn StepHost>>,
    lines: Vec<GuestLine>,
    lines_bytes: usize,
    /// When the oldest of `lines` came.
    since: Option<Instant>,
    /// All text of the step so far.
    step_bytes: usize,
    stdout: Partial,
    stderr: Partial,
    /// The latest lines of standard error.
    last_errors: Vec<String>,
}

/// A line of a stream that has not ended yet, as far as it is kept.
#[derive(Default)]
struct Partial {
    bytes: Vec<u8>,
}

impl Logs {
    /// An empty log that belongs to no step yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, shared: Arc::default() }
    }

    /// The step begins; what was written before is forgotten.
    pub(super) fn begin(&self, host: Arc<dyn StepHost>) {
        let mut shared = self.lock();
        *shared = Shared::default();
        shared.host = Some(host);
    }

    /// Takes a line, or several at once.
    ///
    /// # Errors
    ///
    /// When the step has logged more than it may.
    pub(super) fn write(&self, level: LogLevel, message: &str) -> Result<(), LimitExceeded> {
        let mut shared = self.lock();
        shared.count(message.len() + LINE_BYTES)?;
        let message = cut(message, LINE_BYTES_MAX).to_owned();
        shared.push(&self.clock, level, message);
        Ok(())
    }

    /// Takes bytes of standard output or error: every line of text becomes a log line.
    ///
    /// # Errors
    ///
    /// When the step has logged more than it may.
    pub(super) fn write_stream(&self, stream: Stream, mut bytes: &[u8]) -> Result<(), LimitExceeded> {
        let mut shared = self.lock();
        shared.count(bytes.len())?;
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            shared.count(LINE_BYTES)?;
            shared.partial(stream).extend(&bytes[..end]);
            shared.end_line(&self.clock, stream);
            bytes = &bytes[end + 1..];
        }
        shared.partial(stream).extend(bytes);
        Ok(())
    }

    /// Hands over what is there, also lines that have not ended. The step is over.
    pub(super) fn finish(&self) {
        let mut shared = self.lock();
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !shared.partial(stream).bytes.is_empty() {
                shared.end_line(&self.clock, stream);
            }
        }
        shared.flush();
    }

    /// Hands over the lines that have waited long enough. Tells when the others will have.
    pub(super) fn flush_due(&self) -> Option<Instant> {
        let mut shared = self.lock();
        let due = shared.since? + LINGER;
        if due > self.clock.stopwatch() {
            return Some(due);
        }
        shared.flush();
        None
    }

    /// The latest lines of standard error: what a guest said before it trapped.
    pub(super) fn last_errors(&self) -> Vec<String> {
        self.lock().last_errors.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn count(&mut self, bytes: usize) -> Result<(), LimitExceeded> {
        self.step_bytes = self.step_bytes.saturating_add(bytes);
        if self.step_bytes > STEP_BYTES_MAX {
            return Err(LimitExceeded(format!(
                "logs are limited to {STEP_BYTES_MAX} bytes in one step, and each line counts for {LINE_BYTES} more than its text"
            )));
        }
        Ok(())
    }

    fn partial(&mut self, stream: Stream) -> &mut Partial {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn end_line(&mut self, clock: &Clock, stream: Stream) {
        let bytes = std::mem::take(&mut self.partial(stream).bytes);
        let text = String::from_utf8_lossy(&bytes);
        // Replaced bytes may have made it longer.
        let text = cut(text.strip_suffix('\r').unwrap_or(&text), LINE_BYTES_MAX).to_owned();
        let level = match stream {
            Stream::Stdout => LogLevel::Info,
            Stream::Stderr => LogLevel::Warn,
        };
        if stream == Stream::Stderr {
            if self.last_errors.len() == LAST_LINES {
                self.last_errors.remove(0);
            }
            self.last_errors.push(text.clone());
        }
        self.push(clock, level, text);
    }

    fn push(&mut self, clock: &Clock, level: LogLevel, message: String) {
        if self.host.is_none() {
            return;
        }
        self.lines_bytes += message.len();
        self.lines.push(GuestLine { at: clock.now(), level, message });
        if self.lines.len() >= BATCH_LINES || self.lines_bytes >= BATCH_BYTES {
            self.flush();
        } else if self.since.is_none() {
            self.since = Some(clock.stopwatch());
        }
    }

    fn flush(&mut self) {
        self.since = None;
        self.lines_bytes = 0;
        let lines = std::mem::take(&mut self.lines);
        if let Some(host) = self.host.as_ref().filter(|_| !lines.is_empty()) {
            host.log(lines);
        }
    }
}

/// A step that is killed is dropped, and what it said last is kept all the same.
impl Drop for Shared {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Partial {
    fn extend(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..room]);
    }
}

/// As much of a text as fits, in whole characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use dormouse_core::id::{BaseDigest, RunId, WorkflowName};
    use dormouse_core::new_run::Target;
    use dormouse_core::time::Timestamp;
    use dormouse_core::workflow::Json;

    use super::*;
    use crate::runtime::step::TargetError;

    #[derive(Default)]
    struct Batches(Mutex<Vec<Vec<String>>>);

    impl StepHost for Batches {
        fn target(&self, workflow: &str, _: &Json) -> Result<Target, TargetError> {
            Err(TargetError::UnknownWorkflow { name: workflow.to_owned() })
        }

        fn idempotent_run(&self, _: &WorkflowName, _: &str) -> Option<RunId> {
            None
        }

        fn base_image(&self, _: BaseDigest) -> Result<Option<Vec<u8>>, String> {
            Ok(None)
        }

        fn log(&self, lines: Vec<GuestLine>) {
            self.0.lock().unwrap().push(lines.into_iter().map(|line| line.message).collect());
        }
    }

    fn logs() -> (Logs, Arc<Batches>) {
        let host = Arc::<Batches>::default();
        let logs = Logs::new(Clock::stopped_at(Timestamp::from_millis(1)));
        logs.write_stream(Stream::Stdout, b"from init\n").unwrap();
        logs.begin(host.clone());
        (logs, host)
    }

    #[test]
    fn text_becomes_a_line_for_each_of_its_lines() {
        let (logs, host) = logs();
        logs.write_stream(Stream::Stdout, b"one\ntw").unwrap();
        logs.write_stream(Stream::Stderr, b"other \xff").unwrap();
        logs.write_stream(Stream::Stdout, b"o\r\n\nthree").unwrap();
        logs.finish();
        let lines = host.0.lock().unwrap().concat();
        assert_eq!(lines, ["one", "two", "", "three", "other \u{fffd}"]);
        assert_eq!(logs.last_errors(), ["other \u{fffd}"]);
    }

    #[test]
    fn what_a_killed_step_said_is_handed_over() {
        let (logs, host) = logs();
        logs.write(LogLevel::Info, "last words").unwrap();
        assert_eq!(host.0.lock().unwrap().len(), 0);
        drop(logs);
        assert_eq!(host.0.lock().unwrap().concat(), ["last words"]);
    }

    #[test]
    fn empty_lines_count() {
        let most = STEP_BYTES_MAX / LINE_BYTES;
        let (logs, _) = self::logs();
        assert!((0..most).all(|_| logs.write(LogLevel::Info, "").is_ok()));
        assert!(logs.write(LogLevel::Info, "").is_err());
        let (logs, _) = self::logs();
        // A line end is a byte of the stream as well.
        assert!(logs.write_stream(Stream::Stdout, &vec![b'\n'; most - most / LINE_BYTES]).is_ok());
        assert!(logs.write_stream(Stream::Stdout, &vec![b'\n'; most / LINE_BYTES]).is_err());
    }

    #[test]
    fn many_lines_are_handed_over_at_once() {
        let (logs, host) = logs();
        for _ in 0..BATCH_LINES + 1 {
            logs.write(LogLevel::Info, "x").unwrap();
        }
        assert_eq!(host.0.lock().unwrap().len(), 1);
        assert!(logs.flush_due().is_some());
        logs.finish();
        assert_eq!(host.0.lock().unwrap()[1].len(), 1);
        assert!(logs.flush_due().is_none());
    }
}
