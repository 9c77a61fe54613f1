//! How long the allocator keeps memory that was freed: a moment, which makes what is allocated next cheap. Compiling a
//! module frees so much that this is most of what the host ever takes, so meanwhile nothing is kept.

/// While it lives, memory that is freed goes back to the system at once.
pub(crate) struct Frugal(());

impl Frugal {
    pub(crate) fn begin() -> Self {
        keep_freed_for(0);
        Self(())
    }
}

impl Drop for Frugal {
    fn drop(&mut self) {
        keep_freed_for(KEPT_MILLIS);
    }
}

/// As `.cargo/config.toml` has it.
const KEPT_MILLIS: isize = 1000;

#[cfg(target_os = "linux")]
fn keep_freed_for(millis: isize) {
    // What stands there means all arenas. Where another allocator is in use it changes nothing.
    const NAME: &[u8] = b"arena.4096.dirty_decay_ms\0";
    #[expect(unsafe_code, reason = "the allocator takes the type on trust")]
    // SAFETY: the name ends in a zero byte, and the value of this setting is an `ssize_t`.
    let set = unsafe { tikv_jemalloc_ctl::raw::write(NAME, millis) };
    if let Err(error) = set {
        tracing::debug!(%error, "the allocator keeps freed memory for as long as before");
    }
}

#[cfg(not(target_os = "linux"))]
fn keep_freed_for(_: isize) {}
