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
