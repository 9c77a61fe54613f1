//! The compiled guests.

use std::path::Path;

/// The bytes of a guest by the name of its package, such as `durable-sleep`.
///
/// # Panics
///
/// When no guest of that name was compiled.
#[must_use]
pub fn guest(package: &str) -> Vec<u8> {
    let path = Path::new(env!("DORMOUSE_GUESTS")).join(format!("{}.wasm", package.replace('-', "_")));
    std::fs::read(&path).unwrap_or_else(|error| panic!("guest {package} at {}: {error}", path.display()))
}

/// A guest in which one text of its data stands for another of the same length: another module
/// that does nearly the same.
///
/// # Panics
///
/// When the text is not in the guest, or its replacement is longer or shorter.
#[must_use]
pub fn patched(package: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "nothing may move");
    let mut bytes = guest(package);
    let at: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(from.as_bytes())).collect();
    assert!(!at.is_empty(), "{package} does not say {from}");
    at.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to.as_bytes()));
    bytes
}
