//! Compiles the crate that is tested to the module that would be deployed.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;

/// What modules are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// The profile of modules when `Cargo.toml` names none.
const PROFILE: &str = "release";

/// The folder below cargo's target folder. It is not the one of the tests themselves: whoever runs
/// them may hold its lock.
const FOLDER: &str = "guests";

/// What cargo sets for the build of the tests and is not meant for that of the module.
const NOT_INHERITED: [&str; 3] = ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"];

/// A compiled module.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) module: PathBuf,
    /// Where the host may keep what it compiles of it.
    pub(super) cache: PathBuf,
}

/// The crate whose tests these are.
pub(super) fn own_package() -> PathBuf {
    // `cargo test` sets the one and starts in the other.
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// The module of the crate in a folder, built once for each process.
pub(super) fn build(package: &Path) -> Result<Guest, String> {
    static BUILT: Mutex<Option<HashMap<PathBuf, Result<Guest, String>>>> = Mutex::new(None);

    let manifest = package.join("Cargo.toml");
    let manifest = manifest.canonicalize().map_err(|error| {
        format!("there is no crate in {}, as {} shows: {error}", package.display(), manifest.display())
    })?;
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    built.entry(manifest).or_insert_with_key(|manifest| compile(manifest)).clone()
}

fn compile(manifest: &Path) -> Result<Guest, String> {
    let crates: Metadata = {
        let said = cargo(&["metadata", "--no-deps", "--format-version", "1"], manifest, &[])?;
        serde_json::from_slice(&said).map_err(|error| format!("`cargo metadata` says nonsense: {error}"))?
    };
    let package = crates.packages.iter().find(|package| same(&package.manifest_path, manifest));
    let package = package.ok_or_else(|| format!("{} is no package", manifest.display()))?;
    if !package.targets.iter().any(|target| target.crate_types.iter().any(|kind| kind == "cdylib")) {
        return Err(format!(
            "`{}` cannot be a module: its Cargo.toml needs\n\n[lib]\ncrate-type = [\"cdylib\"]",
            package.name
        ));
    }
    let mut profile = [&package.metadata, &crates.metadata].into_iter();
    let profile = profile.find_map(|metadata| metadata["dormouse"]["profile"].as_str()).unwrap_or(PROFILE);
    let folder = crates.target_directory.join(FOLDER);

    let arguments = [
        "build",
        "--lib",
        "--target",
        TARGET,
        "--profile",
        profile,
        "--message-format",
        "json-render-diagnostics",
    ];
    let said = cargo(&arguments, manifest, &[OsStr::new("--target-dir"), folder.as_os_str()])?;
    // One JSON object a line; the modules of dependencies that are modules too come earlier.
    let messages = said.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let files = messages.filter_map(|message: Artifact| {
        let own = message.reason == "compiler-artifact" && same(message.manifest_path.as_ref()?, manifest);
        own.then_some(message.filenames)
    });
    let module = files.flatten().rfind(|file| file.extension() == Some(OsStr::new("wasm")));
    let module = module.ok_or_else(|| format!("cargo made no module of `{}`", package.name))?;
    Ok(Guest { module, cache: folder.join("compiled") })
}

/// What cargo writes to its standard output, or all that it says when it fails.
fn cargo(arguments: &[&str], manifest: &Path, more: &[&OsStr]) -> Result<Vec<u8>, String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(&program);
    command.args(arguments).arg("--manifest-path").arg(manifest).args(more);
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    let output = command.output();
    let output = output.map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`cargo {}` ended with {}:\n\n{said}", arguments.join(" "), output.status))
}

fn same(path: &Path, canonical: &Path) -> bool {
    path.canonicalize().is_ok_and(|path| path == canonical)
}

/// What is needed of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// What is needed of a message of `cargo build`.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}
