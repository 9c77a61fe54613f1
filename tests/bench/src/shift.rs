//! A library for `LD_PRELOAD` that moves the wall clock of one process back. What a host keeps for a
//! day, the shortest that its retention can be set to, is measured with it in minutes. The monotonic
//! clock stays, and so do all durations.

#![expect(unsafe_code, reason = "it stands in for a function of the C library")]

use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicI64, Ordering};

/// By how many seconds; `host.rs` sets it.
const VARIABLE: &CStr = c"NUMBERS_CLOCK_BACK_SECONDS";

/// Those seconds; negative until they are read.
static BACK_SECONDS: AtomicI64 = AtomicI64::new(-1);

/// What the C library's function of this name does, with the wall clock moved.
///
/// # Safety
///
/// `time` points to room for a time, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    // The system call: whoever looks for the hidden function may ask for the time while doing so.
    // SAFETY: the kernel checks the clock and the pointer.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    let is_wall = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    // SAFETY: the caller answers for the pointer.
    if let Some(time) = unsafe { time.as_mut() }
        && is_wall
        && result == 0
    {
        time.tv_sec -= back_seconds();
    }
    // 0 or -1.
    result as c_int
}

fn back_seconds() -> i64 {
    let known = BACK_SECONDS.load(Ordering::Relaxed);
    if known >= 0 {
        return known;
    }
    // SAFETY: the name ends with a zero; nobody changes the environment while a host runs, and its
    // texts end with zeros.
    let text = unsafe { libc::getenv(VARIABLE.as_ptr()).as_ref().map(|text| CStr::from_ptr(text)) };
    let seconds = text.and_then(|text| text.to_str().ok()?.parse().ok()).unwrap_or(0).max(0);
    BACK_SECONDS.store(seconds, Ordering::Relaxed);
    seconds
}
