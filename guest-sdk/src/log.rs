//! Log lines with a level. Text that a task prints becomes lines too: `println!` at `info`,
//! `eprintln!` at `warn`.
//!
//! ```no_run
//! use dormouse_sdk::prelude::*;
//!
//! log::error!("payment {} bounced", 7);
//! ```

pub use crate::bindings::dormouse::workflow::log::Level;
pub use crate::{__debug as debug, __error as error, __info as info, __trace as trace, __warn as warn};

/// Writes one line. It never waits; a line longer than 16 KiB is cut.
pub fn write(level: Level, message: &str) {
    crate::bindings::dormouse::workflow::log::write(level, message);
}

/// Writes a line at the level `trace`, formatted as by `println!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __trace {
    ($($arg:tt)+) => {
        $crate::log::write($crate::log::Level::Trace, &::std::format!($($arg)+))
    };
}

/// Writes a line at the level `debug`, formatted as by `println!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($arg:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, &::std::format!($($arg)+))
    };
}

/// Writes a line at the level `info`, formatted as by `println!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($arg:tt)+) => {
        $crate::log::write($crate::log::Level::Info, &::std::format!($($arg)+))
    };
}

/// Writes a line at the level `warn`, formatted as by `println!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($arg:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, &::std::format!($($arg)+))
    };
}

/// Writes a line at the level `error`, formatted as by `println!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($arg:tt)+) => {
        $crate::log::write($crate::log::Level::Error, &::std::format!($($arg)+))
    };
}
