//! Calls of cargo and rustup.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What guests are compiled for.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";

/// The profile that makes guests small.
const GUEST_PROFILE: &str = "guest";

/// Why a command could not go on, for people.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    // Two folders up from this package.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Installs the guests' target unless it is there. rustup's settings may forbid that it does so by
/// itself when it reads `rust-toolchain.toml`.
pub(crate) fn install_guest_target() -> Result<(), Failed> {
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", GUEST_TARGET])
        .current_dir(root())
        .output();
    let there = libraries.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    });
    if there { Ok(()) } else { run("rustup", &["target", "add", GUEST_TARGET]) }
}

/// Builds the host and returns its binary.
pub(crate) fn build_host() -> Result<PathBuf, Failed> {
    cargo(&["build", "--package", "dormouse"])?;
    Ok(target_dir().join("debug").join("dormouse"))
}

/// Builds the examples and returns the modules, in order of their names.
pub(crate) fn build_examples() -> Result<Vec<PathBuf>, Failed> {
    let folder = root().join("examples");
    let entries =
        std::fs::read_dir(&folder).map_err(|error| Failed(format!("{}: {error}", folder.display())))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    let mut arguments = vec!["build", "--target", GUEST_TARGET, "--profile", GUEST_PROFILE];
    arguments.extend(names.iter().flat_map(|name| ["--package", name.as_str()]));
    cargo(&arguments)?;
    let modules = target_dir().join(GUEST_TARGET).join(GUEST_PROFILE);
    Ok(names.iter().map(|name| modules.join(format!("{}.wasm", name.replace('-', "_")))).collect())
}

/// Runs cargo in the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Result<(), Failed> {
    run(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), Failed> {
    let name = Path::new(program).file_stem().map_or(program.into(), |name| name.to_string_lossy());
    let line = format!("{name} {}", arguments.join(" "));
    eprintln!("$ {line}");
    let status = Command::new(program).args(arguments).current_dir(root()).stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failed(format!("`{line}` ended with {status}"))),
        Err(error) => Err(Failed(format!("`{program}` cannot be started: {error}"))),
    }
}
