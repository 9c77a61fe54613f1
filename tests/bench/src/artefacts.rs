//! What is measured, when it is not given: built by cargo and found beside this program.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::programs;

/// What guests are compiled for, and the profile that makes them small.
const GUEST_TARGET: &str = "wasm32-wasip2";
const GUEST_PROFILE: &str = "guest";

/// Where cargo puts what it builds: two folders above this program, `target/release/…`.
pub(crate) fn target() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors().nth(2).map(Path::to_path_buf).context("this program lies in no target folder")
}

/// The host, with optimisation.
pub(crate) fn host() -> Result<PathBuf> {
    build(&["--release", "--package", "dormouse"])?;
    Ok(target()?.join("release").join("dormouse"))
}

/// The module with the test programs.
pub(crate) fn guest() -> Result<PathBuf> {
    build(&["--package", programs::PACKAGE, "--target", GUEST_TARGET, "--profile", GUEST_PROFILE])?;
    let file = format!("{}.wasm", programs::PACKAGE.replace('-', "_"));
    Ok(target()?.join(GUEST_TARGET).join(GUEST_PROFILE).join(file))
}

/// The library that moves the clock of a host.
pub(crate) fn clock_shift() -> Result<PathBuf> {
    build(&["--release", "--package", env!("CARGO_PKG_NAME"), "--lib"])?;
    let library = target()?.join("release").join("libdormouse_bench_shift.so");
    ensure!(library.is_file(), "there is no file {}", library.display());
    Ok(library)
}

/// Builds a package when this program was started by cargo; otherwise what is there is measured.
fn build(arguments: &[&str]) -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    let mut command = Command::new(cargo);
    command.arg("build").args(arguments).arg("--target-dir").arg(target()?);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    let status = command.status().context("cargo cannot be started")?;
    ensure!(status.success(), "`cargo build {}` ended with {status}", arguments.join(" "));
    Ok(())
}
