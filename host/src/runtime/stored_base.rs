//! Base images as they are stored, each with the first snapshot that is told apart from it. A host on which `init`
//! leaves another memory restores from the stored one: base image and changes are the whole state.
//!
//! Format: a version byte, a `Header`, and an lz4 block with the bytes of the memories, one after the other.

use serde::{Deserialize, Serialize};

use super::image::{BaseImage, State};

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    handles: Vec<String>,
    globals: Vec<u64>,
    /// Length of each memory in bytes.
    memories: Vec<u64>,
}

/// The base image as it is stored.
pub(super) fn encode(base: &BaseImage) -> Result<Vec<u8>, postcard::Error> {
    let BaseImage { state: State { memories, globals }, handles, .. } = base;
    let header = Header {
        handles: handles.clone(),
        globals: globals.clone(),
        memories: memories.iter().map(|memory| memory.len() as u64).collect(),
    };
    let mut bytes = postcard::to_extend(&header, vec![VERSION])?;
    bytes.extend_from_slice(&lz4_flex::block::compress(&memories.concat()));
    Ok(bytes)
}

/// Reads a base image back whose memories have so many bytes at most.
///
/// # Errors
///
/// Says what is wrong with the bytes.
pub(super) fn decode(bytes: &[u8], memory_bytes_max: u64) -> Result<BaseImage, String> {
    let (version, bytes) = bytes.split_first().ok_or("it is empty")?;
    if *version != VERSION {
        return Err(format!("it has format {version}; this host reads format {VERSION}"));
    }
    let (header, block) =
        postcard::take_from_bytes::<Header>(bytes).map_err(|_| "its header is cut off".to_owned())?;
    let sum = header.memories.iter().try_fold(0_u64, |sum, length| sum.checked_add(*length));
    let sum =
        sum.filter(|sum| *sum <= memory_bytes_max).ok_or("it is larger than an instance may be here")?;
    let length = usize::try_from(sum).map_err(|error| error.to_string())?;
    let all = lz4_flex::block::decompress(block, length).map_err(|error| error.to_string())?;
    if all.len() != length {
        return Err("its memories are cut off".to_owned());
    }
    let mut rest = all.as_slice();
    let mut memories = Vec::with_capacity(header.memories.len());
    for length in header.memories {
        let (memory, behind) = rest.split_at(usize::try_from(length).unwrap_or(usize::MAX).min(rest.len()));
        memories.push(memory.to_vec());
        rest = behind;
    }
    Ok(BaseImage::new(State { memories, globals: header.globals }, header.handles))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> BaseImage {
        let memories = vec![vec![1; 65_536], vec![0; 131_072]];
        BaseImage::new(State { memories, globals: vec![7, u64::MAX] }, vec!["a pollable".to_owned()])
    }

    #[test]
    fn a_base_image_comes_back_as_it_was() {
        let (base, read) = (base(), decode(&encode(&base()).unwrap(), 1 << 20).unwrap());
        assert_eq!((read.digest, read.state, read.handles), (base.digest, base.state, base.handles));
    }

    #[test]
    fn damaged_bytes_are_an_error_or_another_image_and_never_a_panic() {
        let good = encode(&base()).unwrap();
        for length in 0..good.len() {
            assert!(decode(&good[..length], 1 << 20).is_err(), "{length}");
        }
        for at in 0..good.len() {
            for change in [1, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= change;
                drop(decode(&bad, 1 << 20));
            }
        }
        let newer = [&[VERSION + 1], &good[1..]].concat();
        assert!(decode(&newer, 1 << 20).unwrap_err().contains("format 2"));
        assert!(decode(&good, 65_536).unwrap_err().contains("larger"));
    }
}
