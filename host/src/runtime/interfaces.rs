//! Which interfaces a module may import, and the one that it must export.

use super::refusal::Refusal;

/// What a module exports.
pub(super) const GUEST: &str = "dormouse:workflow/guest@0.1.0";

const DORMOUSE: &str = "dormouse:workflow/";
const DORMOUSE_VERSION: &str = "0.1.0";
const DORMOUSE_INTERFACES: [&str; 10] =
    ["types", "definitions", "log", "clock", "random", "context", "runs", "events", "schedules", "stream"];

/// Every version 0.2 of these is linked.
const WASI_VERSION: &str = "0.2.";
const WASI_INTERFACES: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Checks what a component imports and exports, by name.
pub(super) fn check(imports: &[String], exports: &[String]) -> Result<(), Refusal> {
    if !exports.iter().any(|name| name == GUEST) {
        return Err(Refusal::MissingInterface { wanted: GUEST, exports: exports.to_vec() });
    }
    let names: Vec<_> = imports.iter().filter(|name| !is_linked(name)).cloned().collect();
    if !names.is_empty() {
        return Err(Refusal::UnknownImport { names });
    }
    Ok(())
}

fn is_linked(name: &str) -> bool {
    let Some((interface, version)) = name.split_once('@') else { return false };
    match interface.strip_prefix(DORMOUSE) {
        Some(ours) => version == DORMOUSE_VERSION && DORMOUSE_INTERFACES.contains(&ours),
        None => version.starts_with(WASI_VERSION) && WASI_INTERFACES.contains(&interface),
    }
}
