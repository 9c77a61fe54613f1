//! What a guest sees of WASI: clocks, randomness, standard output and error. Its environment,
//! its folders and its network are empty.

use std::time::{Duration, Instant};

use dormouse_core::time::Timestamp;
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

use super::cap::stdio::{OutputLines, Stream};
use super::logs::Logs;
use crate::clock::Clock;

/// The monotonic clock of every first step begins here, in nanoseconds: a day, as if the machine
/// had run for a while, so that a guest may look back a little from its first reading.
pub(super) const MONOTONIC_START: u64 = 86_400_000_000_000;
/// What the wall clock says during `init`: 2025-01-01T00:00:00Z.
const FROZEN_WALL: Duration = Duration::from_secs(1_735_689_600);
/// Every random byte during `init`.
const FROZEN_BYTE: u8 = 0x2a;
/// Most random bytes that one call gives.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// WASI during `init`: every clock stands still and every random byte is the same, so that the
/// memory it leaves behind is the same every time.
pub(super) fn frozen(logs: &Logs) -> WasiCtx {
    let mut builder = common(logs);
    builder
        .wall_clock(Frozen)
        .monotonic_clock(Frozen)
        .secure_random(Deterministic::new(vec![FROZEN_BYTE]))
        .insecure_random(Deterministic::new(vec![FROZEN_BYTE]))
        .insecure_random_seed(u128::from_ne_bytes([FROZEN_BYTE; 16]));
    builder.build()
}

/// WASI while a task runs: the host's clock, a monotonic clock, fresh randomness.
pub(super) fn live(logs: &Logs, clock: &Clock, monotonic: Monotonic) -> WasiCtx {
    let mut builder = common(logs);
    builder.wall_clock(Wall(clock.clone())).monotonic_clock(monotonic);
    builder.build()
}

/// WASI's own defaults are no arguments, no environment, no folders and no addresses; sockets
/// cannot even be made.
fn common(logs: &Logs) -> WasiCtxBuilder {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(OutputLines::new(logs.clone(), Stream::Stdout))
        .stderr(OutputLines::new(logs.clone(), Stream::Stderr))
        .max_random_size(RANDOM_BYTES_MAX)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder
}

/// The guest's monotonic clock: it goes on across sleeps, whatever host it wakes on.
#[derive(Clone, Copy)]
pub(super) struct Monotonic {
    /// What it said, in nanoseconds, at `since`.
    reading: u64,
    since: Instant,
}

impl Monotonic {
    /// That of a first step.
    pub(super) fn begin(clock: &Clock) -> Self {
        Self { reading: MONOTONIC_START, since: clock.stopwatch() }
    }

    /// That of a task that slept: it said `reading` at the time `then`. If the wall clock was set
    /// back meanwhile, no time has passed.
    pub(super) fn resume(clock: &Clock, reading: u64, then: Timestamp) -> Self {
        let slept = nanos(clock.now().since(then));
        Self { reading: reading.saturating_add(slept), since: clock.stopwatch() }
    }

    /// Nanoseconds.
    pub(super) fn reading(&self) -> u64 {
        self.reading.saturating_add(nanos(self.since.elapsed()))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.reading()
    }
}

struct Wall(Clock);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now().as_millis())
    }
}

struct Frozen;

impl HostWallClock for Frozen {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        FROZEN_WALL
    }
}

impl HostMonotonicClock for Frozen {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        MONOTONIC_START
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_goes_on_across_a_sleep_and_never_back() {
        let at = Timestamp::from_millis;
        let clock = Clock::stopped_at(at(5_000));
        let asleep = Monotonic::begin(&clock).reading();
        clock.jump_to(at(7_000));
        assert!(Monotonic::resume(&clock, asleep, at(5_000)).reading() >= asleep + 2_000_000_000);
        // The wall clock was set back meanwhile.
        assert!(Monotonic::resume(&clock, asleep, at(9_000)).reading() >= asleep);
    }
}
