//! The only place that reads a clock or a source of randomness.

#[cfg(target_os = "linux")]
mod set;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dormouse_core::id::{CronId, EventId, RunId, ScheduledId};
use dormouse_core::time::Timestamp;

/// Longest that anybody waits who would not hear of it if the machine's clock was set meanwhile, or the machine
/// suspended.
const UNWATCHED_WAIT_MAX: Duration = Duration::from_secs(60);

/// While the clock is behind by less than this, ids go on from the latest one.
const SET_BACK_MIN: Duration = Duration::from_secs(60);

/// What time it is, and random bits.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    /// The time and the number of the latest id.
    latest_id: Arc<Mutex<(Timestamp, u32)>>,
}

#[derive(Clone)]
enum Source {
    System {
        /// Whether callers of [`Clock::on_jump`] hear of it when the clock was set.
        is_watched: Arc<AtomicBool>,
    },
    Virtual(Arc<Mutex<VirtualTime>>),
}

struct VirtualTime {
    now: Timestamp,
    on_jump: Vec<Box<dyn Fn() -> bool + Send>>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { source: Source::System { is_watched: Arc::default() }, latest_id: Arc::default() }
    }

    /// A clock that stands still until [`Self::jump_to`] moves it.
    #[must_use]
    pub fn stopped_at(now: Timestamp) -> Self {
        let time = VirtualTime { now, on_jump: Vec::new() };
        Self { source: Source::Virtual(Arc::new(Mutex::new(time))), latest_id: Arc::default() }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.source {
            #[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
            Source::System { .. } => {
                let since_epoch =
                    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
            }
            Source::Virtual(time) => time.lock().unwrap_or_else(PoisonError::into_inner).now,
        }
    }

    /// How long to wait in real time before it is worth looking whether the given moment has come. `None` on a
    /// virtual clock: only a jump gets there, and whoever waits hears of it through [`Self::on_jump`].
    #[must_use]
    pub fn wait_until(&self, at: Timestamp) -> Option<Duration> {
        match &self.source {
            Source::System { is_watched } if is_watched.load(Ordering::Relaxed) => Some(at.since(self.now())),
            Source::System { .. } => Some(at.since(self.now()).min(UNWATCHED_WAIT_MAX)),
            Source::Virtual(_) => None,
        }
    }

    /// Moves a virtual clock forward. Nothing happens on the system's clock, nor if the time has passed.
    pub fn jump_to(&self, to: Timestamp) {
        self.set_to(to.max(self.now()));
    }

    /// Sets a virtual clock, be it back. Nothing happens on the system's clock.
    pub fn set_to(&self, to: Timestamp) {
        if let Source::Virtual(time) = &self.source {
            let mut time = time.lock().unwrap_or_else(PoisonError::into_inner);
            time.now = to;
            time.on_jump.retain(|tell| tell());
        }
    }

    /// Has `tell` called after every jump: when a virtual clock is moved, when the machine's clock is set, and when the
    /// machine wakes from a suspend. It tells whether it still wants to hear of the next one.
    pub fn on_jump(&self, tell: impl Fn() -> bool + Send + 'static) {
        match &self.source {
            Source::Virtual(time) => {
                time.lock().unwrap_or_else(PoisonError::into_inner).on_jump.push(Box::new(tell));
            }
            #[cfg(target_os = "linux")]
            Source::System { is_watched } => {
                if let Err(error) = set::watch(tell, Arc::clone(is_watched)) {
                    tracing::warn!(
                        %error,
                        "the machine does not tell when its clock is set; timers may then be {UNWATCHED_WAIT_MAX:?} late"
                    );
                }
            }
            #[cfg(not(target_os = "linux"))]
            Source::System { .. } => drop(tell),
        }
    }

    /// A point for measuring how long something really takes, whatever the clock says.
    #[must_use]
    pub fn stopwatch(&self) -> Instant {
        Instant::now()
    }

    /// A fresh id of a run.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        let (time, random) = self.id_parts();
        RunId::new(time, random)
    }

    /// A fresh id of an event.
    #[must_use]
    pub fn event_id(&self) -> EventId {
        let (time, random) = self.id_parts();
        EventId::new(time, random)
    }

    /// A fresh id of a cron.
    #[must_use]
    pub fn cron_id(&self) -> CronId {
        let (time, random) = self.id_parts();
        CronId::new(time, random)
    }

    /// A fresh id of a scheduled run.
    #[must_use]
    pub fn scheduled_id(&self) -> ScheduledId {
        let (time, random) = self.id_parts();
        ScheduledId::new(time, random)
    }

    /// The time and the other bits of a fresh id. Ids of one millisecond count up behind it from a
    /// random start, so that the keys that they become are in order and fill whole pages.
    fn id_parts(&self) -> (Timestamp, [u8; 10]) {
        let mut random: [u8; 10] = self.random();
        let mut latest = self.latest_id.lock().unwrap_or_else(PoisonError::into_inner);
        let (time, number) = *latest;
        let now = self.now();
        // The top one of the 26 bits is clear, which leaves room to count up.
        let start = u32::from_be_bytes([random[0], random[1], random[2], random[3]]) >> 7;
        // Ids of a time that a clock showed which was ahead would be taken for newer than they are.
        let is_set_back = now < time.before(SET_BACK_MIN);
        *latest = if now > time || is_set_back { (now, start) } else { (time, number + 1) };
        let number = latest.1;
        // What the id takes of these bytes: 4, 8, 6 and 8 bits.
        random[..4]
            .copy_from_slice(&[number >> 22, number >> 14, number >> 8, number].map(|bits| bits as u8));
        (latest.0, random)
    }

    /// A random number from 0 to 1.
    #[must_use]
    pub fn chance(&self) -> f64 {
        f64::from(u32::from_le_bytes(self.random())) / f64::from(u32::MAX)
    }

    /// Random bytes from the operating system.
    ///
    /// # Panics
    ///
    /// When the operating system has none, which does not happen once it has booted.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        #[expect(clippy::disallowed_methods, reason = "this is the place that reads randomness")]
        #[expect(clippy::expect_used, reason = "the host cannot run without it")]
        getrandom::fill(&mut bytes).expect("the operating system has a source of randomness");
        bytes
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_moment_count_up_and_differ() {
        let clock = Clock::stopped_at(Timestamp::from_millis(1_700_000_000_000));
        let ids: Vec<_> = std::iter::repeat_with(|| clock.run_id()).take(5000).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert_eq!(ids[4999].time(), clock.now());
        clock.jump_to(Timestamp::from_millis(1_700_000_000_001));
        assert!(clock.run_id() > ids[4999]);
        assert_ne!(clock.run_id().to_bytes()[10..], clock.run_id().to_bytes()[10..]);
    }
}
