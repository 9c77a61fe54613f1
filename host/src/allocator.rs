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
    use tikv_jemalloc_ctl::raw;
    // Where another allocator is in use it changes nothing.
    #[expect(unsafe_code, reason = "the allocator takes the types on trust")]
    // SAFETY: the names end in a zero byte; the number of arenas is an `unsigned`, the times are `ssize_t`s.
    unsafe {
        let arenas: u32 = raw::read(b"arenas.narenas\0").unwrap_or(0);
        // For those that begin meanwhile, and those that have begun; others have none yet.
        let _ = raw::write(b"arenas.dirty_decay_ms\0", millis);
        for arena in 0..arenas {
            let _ = raw::write(format!("arena.{arena}.dirty_decay_ms\0").as_bytes(), millis);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn keep_freed_for(_: isize) {}
