//! Percentiles, by sorting: there are never more samples than fit easily in memory.

use std::time::Duration;

/// Measured values, in ascending order.
#[derive(Debug)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Sorts the values. `None` when there are none: nothing can be said of them.
    pub(crate) fn new(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self(values))
    }

    /// Durations, in milliseconds.
    pub(crate) fn millis(durations: &[Duration]) -> Option<Self> {
        Self::new(durations.iter().map(|duration| duration.as_secs_f64() * 1e3).collect())
    }

    /// The smallest value that at least this percentage of the values do not exceed (nearest rank).
    pub(crate) fn percentile(&self, percent: u8) -> f64 {
        let rank = (self.0.len() * usize::from(percent)).div_ceil(100).max(1);
        self.0[rank.min(self.0.len()) - 1]
    }

    /// How many there are; never 0.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    pub(crate) fn mean(&self) -> f64 {
        mean(&self.0)
    }

    pub(crate) fn max(&self) -> f64 {
        self.percentile(100)
    }
}

/// The arithmetic mean; 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: impl IntoIterator<Item = u32>) -> Samples {
        Samples::new(values.into_iter().map(f64::from).collect()).unwrap()
    }

    #[test]
    fn percentiles_are_the_nearest_rank_whatever_the_order_of_the_values() {
        let hundred = samples((1..=100).rev());
        assert_eq!([1, 50, 99, 100].map(|percent| hundred.percentile(percent)), [1.0, 50.0, 99.0, 100.0]);
        let ten = samples(1..=10);
        assert_eq!([0, 10, 11, 50, 99].map(|percent| ten.percentile(percent)), [1.0, 1.0, 2.0, 5.0, 10.0]);
    }

    #[test]
    fn one_value_is_every_percentile() {
        let one = samples([7]);
        assert_eq!((one.percentile(0), one.median(), one.max()), (7.0, 7.0, 7.0));
    }

    #[test]
    fn of_no_values_there_are_no_percentiles() {
        assert!(Samples::new(Vec::new()).is_none());
        assert_eq!(mean(&[]), 0.0);
    }

    #[test]
    fn durations_become_milliseconds() {
        let samples = Samples::millis(&[Duration::from_micros(1500), Duration::from_secs(1)]).unwrap();
        assert_eq!((samples.median(), samples.max()), (1.5, 1000.0));
    }
}
