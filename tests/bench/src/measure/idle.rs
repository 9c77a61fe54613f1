//! A host with nothing to do, while all its runs sleep: it must not even wake up.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use crate::host::Host;
use crate::process::Usage;
use crate::report::{Row, Unit};

const WATCHED: Duration = Duration::from_secs(5);

/// Below this share of a core, in percent, a host counts as one that uses no processor: the kernel
/// itself spends more on a tick.
const CPU_PERCENT_MAX: f64 = 0.01;

/// Watches the host for a while. Nothing may be asked of it meanwhile.
pub(crate) async fn idle(host: &Host) -> Result<[Row; 2]> {
    let (before, began) = (Usage::of(host.pid())?, Instant::now());
    sleep(WATCHED).await;
    let used = Usage::of(host.pid())?.since(before);
    let seconds = began.elapsed().as_secs_f64();
    let cpu = used.cpu.as_secs_f64() / seconds * 100.0;
    Ok([
        Row::new("idle: wake-ups", used.wake_ups as f64 / seconds, Unit::PerSecond)
            .at_most(0.0)
            .note(format!("{} in {seconds:.1} s, over all threads", used.wake_ups)),
        Row::new("idle: processor", cpu, Unit::Percent)
            .at_most(CPU_PERCENT_MAX)
            .note(format!("{} µs in {seconds:.1} s", used.cpu.as_micros())),
    ])
}
