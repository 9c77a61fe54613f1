//! What a guest can call, a file for each capability. Host functions decode, call and encode; an
//! error that the guest may handle is a `host-error`, anything else ends the step.

mod clock;
mod context;
mod events;
mod log;
mod random;
mod runs;
mod schedules;
pub(super) mod stdio;
mod stream;
