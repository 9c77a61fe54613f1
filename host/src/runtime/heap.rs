//! Gives memory back that compiling a module took: the allocator would keep it for good.

/// Returns free memory to the system, where the C library can.
pub(super) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointers, and any thread may call it at any time.
    #[expect(unsafe_code, reason = "the only way to ask the C library")]
    unsafe {
        libc::malloc_trim(0);
    }
}
