//! How long a task waits before its next attempt: arithmetic on the number of the attempt.

use std::time::Duration;

use crate::workflow::Backoff;

impl Backoff {
    /// The delay after failed attempt number `attempt` (from 1). `chance` is a random number from
    /// 0 to 1 and moves the delay by up to `jitter` of itself, down or up.
    ///
    /// By default, in seconds and without jitter: 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024,
    /// 2048, and 3600 from then on.
    #[must_use]
    pub fn delay(&self, attempt: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.initial.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        let capped = grown.min(self.max.as_secs_f64());
        let swing = self.jitter.clamp(0.0, 1.0) * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        // A number that is not finite or too large can only be the cap's own.
        Duration::try_from_secs_f64(capped * (1.0 + swing)).unwrap_or(self.max).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: Backoff, chance: f64, attempts: std::ops::RangeInclusive<u32>) -> Vec<f64> {
        attempts.map(|n| backoff.delay(n, chance).as_secs_f64()).collect()
    }

    #[test]
    fn exponential_backoff_up_to_the_cap() {
        let steady = Backoff { jitter: 0.0, ..Backoff::default() };
        assert_eq!(seconds(steady, 0.7, 1..=4), [1.0, 2.0, 4.0, 8.0]);
        assert_eq!(seconds(steady, 0.7, 12..=14), [2048.0, 3600.0, 3600.0]);
        assert_eq!(seconds(steady, 0.7, u32::MAX..=u32::MAX), [3600.0]);
    }

    #[test]
    fn jitter_swings_both_ways_and_never_beyond_the_cap() {
        let half = Backoff { jitter: 0.5, ..Backoff::default() };
        assert_eq!(seconds(half, 0.0, 1..=2), [0.5, 1.0]);
        assert_eq!(seconds(half, 1.0, 1..=2), [1.5, 3.0]);
        assert_eq!(seconds(half, 1.0, 30..=30), [3600.0]);
    }

    #[test]
    fn nonsense_numbers_give_a_delay_all_the_same() {
        let odd = Backoff { factor: f64::NAN, jitter: 9.0, ..Backoff::default() };
        assert!(odd.delay(7, f64::INFINITY) <= odd.max);
        let huge = Backoff { initial: Duration::MAX, factor: 100.0, max: Duration::MAX, jitter: 1.0 };
        assert_eq!(huge.delay(99, 1.0), Duration::MAX);
    }
}
