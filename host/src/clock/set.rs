//! Hears of it when the machine's clock was set, or stood still while the machine was suspended: whoever waits for a
//! time waits by a clock that knows of neither.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, thread};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// When the timer is due, in seconds since the epoch: in the year 2242, as it is there to be cancelled.
const NEVER: i64 = 1 << 33;

/// Has `tell` called, on a thread of its own that sleeps meanwhile, until it says that it has heard enough. In the end
/// `is_watched` is false.
pub(super) fn watch(tell: impl Fn() -> bool + Send + 'static, is_watched: Arc<AtomicBool>) -> io::Result<()> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?;
    arm(&timer)?;
    is_watched.store(true, Ordering::Relaxed);
    let watching = Arc::clone(&is_watched);
    let thread = thread::Builder::new().name("dormouse-clock".to_owned()).spawn(move || {
        let mut goes_on = true;
        while goes_on && watching.load(Ordering::Relaxed) {
            if let Err(error) = wait(&timer) {
                tracing::error!(%error, "the machine does not tell any more when its clock is set");
                watching.store(false, Ordering::Relaxed);
            }
            goes_on = tell();
        }
    });
    if thread.is_err() {
        is_watched.store(false, Ordering::Relaxed);
    }
    thread.map(drop)
}

fn arm(timer: &OwnedFd) -> io::Result<()> {
    let never = Timespec { tv_sec: NEVER, tv_nsec: 0 };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    match timerfd_settime(timer, flags, &once) {
        // It is armed; the clock was set just before, which `tell` has yet to look at.
        Ok(_) | Err(Errno::CANCELED) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns when the clock was set. The timer is armed again before anybody looks at the clock, so that the next time
/// that it is set is not missed.
fn wait(timer: &OwnedFd) -> io::Result<()> {
    let mut expirations = [0; 8];
    loop {
        match rustix::io::read(timer, &mut expirations) {
            Err(Errno::INTR) => {}
            Err(Errno::CANCELED) => return arm(timer),
            Ok(_) => return Err(io::Error::other("its clock shows a year that it cannot have")),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn nobody_is_told_while_the_clock_goes_on() {
        let (sender, told) = channel();
        let is_watched = Arc::<AtomicBool>::default();
        watch(move || sender.send(()).is_ok(), Arc::clone(&is_watched)).unwrap();
        assert!(is_watched.load(Ordering::Relaxed));
        assert!(told.recv_timeout(Duration::from_millis(20)).is_err());
    }
}
