//! Compiles the guests that the tests deploy: the examples and the programs of the tests.

#![expect(clippy::expect_used, reason = "a build script fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

fn main() {
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = package.parent().expect("the workspace is one folder up");
    for input in ["guest-sdk", "wit", "examples", "tests/programs", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    // target/debug/build/dormouse-tests-0123456789abcdef/out
    let target = out.ancestors().nth(4).expect("cargo's layout").join("guests");

    let examples = std::fs::read_dir(root.join("examples")).expect("the examples are there");
    let examples = examples.flatten().filter(|entry| entry.path().join("Cargo.toml").is_file());
    let mut packages: Vec<_> =
        examples.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    packages.push("dormouse-programs".to_owned());

    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo sets it"));
    cargo.args(["build", "--target", "wasm32-wasip2", "--profile", "guest", "--locked", "--target-dir"]);
    cargo.arg(&target).args(packages.iter().flat_map(|name| ["--package", name]));
    // What cargo sets for this build is not meant for that one.
    for variable in ["RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS"] {
        cargo.env_remove(variable);
    }
    let status = cargo.current_dir(root).status().expect("cargo can be started");
    assert!(
        status.success(),
        "the guests could not be compiled; if the target is missing, run `rustup target add wasm32-wasip2`"
    );
    println!("cargo::rustc-env=DORMOUSE_GUESTS={}", target.join("wasm32-wasip2/guest").display());
}
