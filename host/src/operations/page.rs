//! Lists, a stretch at a time.

use std::ops::ControlFlow;
use std::time::Duration;

/// A stretch of a list: at most `limit` rows behind the row `after`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<C> {
    pub(crate) limit: usize,
    pub(crate) after: Option<C>,
}

/// Rows of a list and where to go on, if there is more.
#[derive(Debug, Clone)]
pub(crate) struct Paged<T, C> {
    pub(crate) rows: Vec<T>,
    pub(crate) next: Option<C>,
}

/// The time in an id is at most so much later than that of the row, which is the moment at which the
/// deciding thread took its commands. Mostly it is earlier: a task has asked for the run, or it is a
/// cron's nominal time. Ids never go back, so it can be more after the clock was set back.
pub(super) const ID_LEAD_MAX: Duration = Duration::from_secs(60);

/// The earlier of two places of a list that goes back in time, as far as they are given.
pub(super) fn earlier<C: Ord>(one: Option<C>, other: Option<C>) -> Option<C> {
    one.into_iter().chain(other).min()
}

/// Rows that one request for a list looks at: a filter that few rows pass does not hold up the others,
/// nor a view of the store. The answer has what was found, and the next request goes on from there.
const LOOKED_AT_MAX: usize = 10_000;

/// A stretch of a list that is being read.
pub(super) struct Stretch<T, C> {
    limit: usize,
    looked_at: usize,
    rows: Vec<T>,
    /// The last row that is in the stretch or was passed over.
    last: Option<C>,
    next: Option<C>,
}

impl<T, C> Stretch<T, C> {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, looked_at: 0, rows: Vec::new(), last: None, next: None }
    }

    /// Takes the row at a place of the list, unless the filter has refused it.
    pub(super) fn look(&mut self, at: C, wanted: Option<T>) -> ControlFlow<()> {
        let is_full = self.rows.len() >= self.limit && wanted.is_some();
        if is_full || self.looked_at >= LOOKED_AT_MAX {
            self.next = self.last.take();
            return ControlFlow::Break(());
        }
        self.rows.extend(wanted);
        self.looked_at += 1;
        self.last = Some(at);
        ControlFlow::Continue(())
    }

    pub(super) fn paged(self) -> Paged<T, C> {
        Paged { rows: self.rows, next: self.next }
    }
}

/// Cuts off the row that was read to see whether there is more.
pub(super) fn paged<T, C>(mut rows: Vec<T>, limit: usize, cursor: impl Fn(&T) -> C) -> Paged<T, C> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(cursor);
    Paged { rows, next }
}
