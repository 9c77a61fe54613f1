//! Which inputs have been held against the schema of their run's version. Triggers start runs with
//! whatever there is, so an input is checked where the first step of its run starts, off the deciding
//! thread, unless the caller was told that it fits.

use std::collections::HashSet;

use dormouse_core::id::RunId;

/// Most runs that are remembered: what waits for a slot on a busy host, in two megabytes.
const CHECKED_MAX: usize = 65_536;

/// Runs whose input was checked before they were made and whose first step is still to come. It may
/// forget: then an input is checked again, which does no harm but takes time.
#[derive(Debug, Default)]
pub(super) struct CheckedInputs(HashSet<RunId>);

impl CheckedInputs {
    pub(super) fn add(&mut self, run: RunId) {
        if self.0.len() >= CHECKED_MAX {
            self.0.clear();
        }
        self.0.insert(run);
    }

    /// Whether the input of a run is known to fit, which is asked once.
    pub(super) fn take(&mut self, run: RunId) -> bool {
        self.0.remove(&run)
    }
}

#[cfg(test)]
mod tests {
    use dormouse_core::time::Timestamp;

    use super::*;

    #[test]
    fn it_forgets_rather_than_grows() {
        let run = |n: usize| RunId::new(Timestamp::from_millis(n as u64), [0; 10]);
        let mut checked = CheckedInputs::default();
        (0..CHECKED_MAX).for_each(|n| checked.add(run(n)));
        assert!(checked.take(run(0)) && !checked.take(run(0)));
        checked.add(run(CHECKED_MAX));
        checked.add(run(CHECKED_MAX + 1));
        assert!(checked.take(run(CHECKED_MAX + 1)) && !checked.take(run(1)));
    }
}
