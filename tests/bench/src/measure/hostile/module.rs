//! Modules that are made of the test programs without a compiler: with definitions written into
//! their room, or with code that takes long to compile behind them.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What the room of the test programs begins with, and its size: see `declared.rs` there.
const MARK: &[u8] = b"the benchmarks write definitions over this room";
const ROOM_BYTES: usize = 32 << 10;

/// What the names of declared workflows must begin with.
pub(super) const PREFIX: &str = "declared-";

/// Additions of the function that takes long to compile: 7.5 MB of code.
const ADDITIONS: usize = 2_500_000;

/// Of the section that says nothing: under the 64 MiB of an upload.
const FILL_BYTES: usize = 60 << 20;

/// Writes definitions into the test programs.
///
/// # Errors
///
/// When the programs have no room, or too little of it.
pub(super) fn declare(guest: &[u8], workflows: &Value) -> Result<Vec<u8>> {
    let json = workflows.to_string();
    ensure!(json.len() <= ROOM_BYTES, "{} bytes of definitions do not fit the room", json.len());
    let at = guest.windows(MARK.len()).position(|window| window == MARK);
    let at = at.context("the test programs have no room for definitions")?;
    let mut module = guest.to_vec();
    let room = module.get_mut(at..at + ROOM_BYTES).context("the room ends with the module")?;
    room.fill(b' ');
    room[..json.len()].copy_from_slice(json.as_bytes());
    Ok(module)
}

/// The test programs with another core module behind them, whose one function is huge.
pub(super) fn slow_to_compile(guest: &[u8]) -> Vec<u8> {
    // No locals; 1, and 1 added to it many times; drop, end.
    let mut body = vec![0, 0x41, 1];
    body.extend([0x41, 1, 0x6a].repeat(ADDITIONS));
    body.extend([0x1a, 0x0b]);
    let mut code = vec![1];
    code.extend(sized(&body));
    let mut core = b"\0asm\x01\0\0\0".to_vec();
    // One type, of a function without parameters and results; one function of that type.
    for (id, content) in [(1, vec![1, 0x60, 0, 0]), (3, vec![1, 0]), (10, code)] {
        core.push(id);
        core.extend(sized(&content));
    }
    let mut module = guest.to_vec();
    module.push(1);
    module.extend(sized(&core));
    module
}

/// The test programs with a large section behind them that nobody reads.
pub(super) fn large(guest: &[u8]) -> Vec<u8> {
    let mut content = vec![4];
    content.extend(b"fill");
    content.resize(FILL_BYTES, b' ');
    let mut module = guest.to_vec();
    module.push(0);
    module.extend(sized(&content));
    module
}

/// Bytes with their number before them, as WebAssembly writes it (LEB128).
fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut sized = Vec::with_capacity(bytes.len() + 5);
    let mut left = bytes.len();
    while left >= 0x80 {
        sized.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    sized.push(left as u8);
    sized.extend(bytes);
    sized
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn definitions_are_written_over_the_room_and_the_size_stays() {
        let mut guest = vec![1, 2, 3];
        guest.extend(MARK);
        guest.resize(3 + ROOM_BYTES, b' ');
        guest.extend([4, 5]);
        let module = declare(&guest, &json!([{"name": "declared-w"}])).unwrap();
        assert_eq!(module.len(), guest.len());
        assert!(
            module.starts_with(b"\x01\x02\x03[{\"name\":\"declared-w\"}]  ")
                && module.ends_with(b" \x04\x05")
        );
        assert!(declare(&[0; 100], &json!([])).is_err());
        assert!(declare(&guest, &json!("x".repeat(ROOM_BYTES))).is_err());
    }

    #[test]
    fn the_room_is_the_one_of_the_test_programs() {
        let source = include_str!("../../../../programs/src/declared.rs");
        let mark = str::from_utf8(MARK).unwrap();
        for line in [
            format!("const MARK: &[u8] = b\"{mark}\";"),
            format!("const ROOM_BYTES: usize = {} << 10;", ROOM_BYTES >> 10),
            format!("const PREFIX: &str = \"{PREFIX}\";"),
        ] {
            assert!(source.contains(&line), "the test programs lack `{line}`");
        }
    }

    #[test]
    fn sizes_are_written_in_groups_of_seven_bits() {
        assert_eq!(sized(&[7])[..], [1, 7]);
        assert_eq!(sized(&[0; 300])[..2], [0xac, 2]);
    }
}
