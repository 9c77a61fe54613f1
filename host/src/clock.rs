//! The only place that reads a clock or a source of randomness.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dormouse_core::id::{CronId, EventId, RunId, ScheduledId};
use dormouse_core::time::Timestamp;

/// What time it is, and random bits.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Virtual(Arc<Mutex<VirtualTime>>),
}

struct VirtualTime {
    now: Timestamp,
    on_jump: Vec<Box<dyn Fn() + Send>>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Self::jump_to`] moves it.
    #[must_use]
    pub fn stopped_at(now: Timestamp) -> Self {
        Self(Source::Virtual(Arc::new(Mutex::new(VirtualTime { now, on_jump: Vec::new() }))))
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
            Source::System => {
                let since_epoch =
                    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
            }
            Source::Virtual(time) => time.lock().unwrap_or_else(PoisonError::into_inner).now,
        }
    }

    /// How long to wait in real time until the given moment. `None` on a virtual clock: only a
    /// jump gets there, and whoever waits hears of it through [`Self::on_jump`].
    #[must_use]
    pub fn wait_until(&self, at: Timestamp) -> Option<Duration> {
        match &self.0 {
            Source::System => Some(at.since(self.now())),
            Source::Virtual(_) => None,
        }
    }

    /// Moves a virtual clock forward; it never goes back. Nothing happens on the system's clock.
    pub fn jump_to(&self, to: Timestamp) {
        if let Source::Virtual(time) = &self.0 {
            let mut time = time.lock().unwrap_or_else(PoisonError::into_inner);
            time.now = time.now.max(to);
            time.on_jump.iter().for_each(|tell| tell());
        }
    }

    /// Has `tell` called after every jump.
    pub fn on_jump(&self, tell: impl Fn() + Send + 'static) {
        if let Source::Virtual(time) = &self.0 {
            time.lock().unwrap_or_else(PoisonError::into_inner).on_jump.push(Box::new(tell));
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
        RunId::new(self.now(), self.random())
    }

    /// A fresh id of an event.
    #[must_use]
    pub fn event_id(&self) -> EventId {
        EventId::new(self.now(), self.random())
    }

    /// A fresh id of a cron.
    #[must_use]
    pub fn cron_id(&self) -> CronId {
        CronId::new(self.now(), self.random())
    }

    /// A fresh id of a scheduled run.
    #[must_use]
    pub fn scheduled_id(&self) -> ScheduledId {
        ScheduledId::new(self.now(), self.random())
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
