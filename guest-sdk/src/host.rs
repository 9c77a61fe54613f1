//! The one thing that futures ask of the host, so that tests can stand in for it.

/// The host's clock.
#[cfg(not(all(test, not(target_family = "wasm"))))]
pub(crate) fn now() -> crate::Timestamp {
    crate::Timestamp::from_millis(crate::bindings::dormouse::workflow::clock::now())
}

#[cfg(all(test, not(target_family = "wasm")))]
pub(crate) use test::now;

#[cfg(all(test, not(target_family = "wasm")))]
pub(crate) mod test {
    use std::cell::Cell;

    use crate::time::Timestamp;

    thread_local! {
        static NOW: Cell<Timestamp> = const { Cell::new(Timestamp::MAX) };
    }

    pub(crate) fn now() -> Timestamp {
        NOW.get()
    }

    /// Moves the clock of this thread.
    pub(crate) fn set_now(millis: u64) {
        NOW.set(Timestamp::from_millis(millis));
    }
}
