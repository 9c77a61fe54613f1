//! Hears of it when the machine's clock was set, or stood still while the machine was suspended: whoever waits for a
//! time waits by a clock that knows of neither.

use std::os::fd::OwnedFd;
use std::{io, thread};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// When the timer is due, in seconds since the epoch: in the year 2242, as it is there to be cancelled.
const NEVER: i64 = 1 << 33;

/// Has `tell` called, on a thread of its own that sleeps meanwhile, until it says that it has heard enough.
pub(super) fn watch(tell: impl Fn() -> bool + Send + 'static) -> io::Result<()> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?;
    arm(&timer)?;
    let thread = thread::Builder::new().name("dormouse-clock".to_owned());
    thread.spawn(move || {
        while wait(&timer).is_ok() {
            if !tell() {
                return;
            }
        }
        tracing::error!("the machine does not tell any more when its clock is set");
    })?;
    Ok(())
}

fn arm(timer: &OwnedFd) -> io::Result<()> {
    let never = Timespec { tv_sec: NEVER, tv_nsec: 0 };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(timer, flags, &once)?;
    Ok(())
}

/// Returns when the clock was set. The timer is armed again before anybody looks at the clock, so that the next time
/// that it is set is not missed.
fn wait(timer: &OwnedFd) -> io::Result<()> {
    let mut expirations = [0; 8];
    loop {
        match rustix::io::read(timer, &mut expirations) {
            Err(Errno::INTR) => {}
            Ok(_) | Err(Errno::CANCELED) => return arm(timer),
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
        watch(move || sender.send(()).is_ok()).unwrap();
        assert!(told.recv_timeout(Duration::from_millis(20)).is_err());
    }
}
