//! Waiting for what a host does in real time.

use std::thread;
use std::time::{Duration, Instant};

/// Far longer than anything takes that tests wait for, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until it sees something.
///
/// # Panics
///
/// When that takes longer than a minute.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "it did not happen within {PATIENCE:?} that {what}");
        thread::sleep(PAUSE);
    }
}
