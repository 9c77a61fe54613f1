//! The `dormouse` command.

use std::process::ExitCode;

/// Many small things are allocated by one thread and freed by another, which glibc's allocator is slow at.
/// `.cargo/config.toml` says how long this one keeps what is freed.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    dormouse::cli::main()
}
