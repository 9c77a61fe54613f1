//! What a sleeping task is: the pages of its memories that differ from those of a fresh instance,
//! and its globals.
//!
//! A snapshot does not hold the wasm stack (nothing is on it at a suspension), tables (upload
//! refuses code that writes them), or resources of the host (a task may hold none beyond those of
//! `init`, which a fresh instance has too). It holds nothing of the engine that runs the code, so
//! a newer host reads it.
//!
//! Format, little-endian where it matters: a version byte, a `Header`, and an lz4 block. The block
//! holds a `Body` and then, for each changed page in order, its bytes combined by exclusive or with
//! those of the base image: bytes that did not change are zeros, which compress to nothing.

use std::sync::Arc;

use dormouse_core::id::{BaseDigest, ModuleDigest};
use dormouse_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::image::{BaseImage, Changes, MemoryChanges, Run, State};

const VERSION: u8 = 1;
/// An lz4 block never grows by more than this when it is read.
const EXPANSION_MAX: usize = 256;

/// Where `dormouse-save` puts what it is called with, and in which form.
#[derive(Default)]
pub(super) enum StateSink {
    /// Nobody asked.
    #[default]
    Closed,
    /// All of it.
    Whole(State),
    /// What differs from the base image.
    Changes(Arc<BaseImage>, Changes),
}

/// A snapshot that was read back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// When it was taken, and what the guest's monotonic clock said then, in nanoseconds.
    pub(super) taken_at: Timestamp,
    pub(super) monotonic: u64,
    pub(super) changes: Changes,
}

/// Why a snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error("the snapshot has format {found}; this host reads format {VERSION}")]
    Version { found: u8 },
    #[error("the snapshot is of module {found}")]
    Module { found: ModuleDigest },
    #[error(
        "the snapshot was taken of an instance that began with another memory, of which this host knows nothing"
    )]
    Base { found: BaseDigest },
    #[error(
        "the snapshot was taken of an instance that held {then} after `init`, and on this host it holds {now}"
    )]
    Handles { then: String, now: String },
    #[error("the base image that is stored for the snapshot cannot be read: {0}")]
    StoredBase(String),
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Header {
    module: [u8; 32],
    base: [u8; 32],
    taken_at_millis: u64,
    monotonic_nanos: u64,
    body_bytes: u32,
}

#[derive(Serialize, Deserialize)]
struct Body {
    memories: Vec<MemoryRecord>,
    globals: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
struct MemoryRecord {
    /// In wasm pages of 64 KiB.
    pages: u32,
    /// First page and number of pages, of 4 KiB.
    runs: Vec<(u32, u32)>,
}

impl Snapshot {
    /// The snapshot as it is stored.
    pub(super) fn encode(&self, module: ModuleDigest, base: &BaseImage) -> Result<Vec<u8>, SnapshotError> {
        let too_large = |_| SnapshotError::Damaged("it is too large");
        let memories = self.changes.memories.iter().map(MemoryRecord::from).collect();
        let body = Body { memories, globals: self.changes.globals.clone() };
        let mut body = postcard::to_extend(&body, Vec::new()).map_err(encoding)?;
        body.extend_from_slice(&self.changes.delta);
        let header = Header {
            module: module.to_bytes(),
            base: base.digest.to_bytes(),
            taken_at_millis: self.taken_at.as_millis(),
            monotonic_nanos: self.monotonic,
            body_bytes: u32::try_from(body.len()).map_err(too_large)?,
        };
        let mut bytes = postcard::to_extend(&header, vec![VERSION]).map_err(encoding)?;
        bytes.extend_from_slice(&lz4_flex::block::compress(&body));
        Ok(bytes)
    }

    /// Reads a snapshot of this module back.
    ///
    /// # Errors
    ///
    /// When it is of another module, format or base image, or damaged.
    pub(super) fn decode(
        bytes: &[u8],
        module: ModuleDigest,
        base: &BaseImage,
    ) -> Result<Self, SnapshotError> {
        let (digest, snapshot) = Self::read(bytes, module)?;
        if digest != base.digest {
            return Err(SnapshotError::Base { found: digest });
        }
        if !snapshot.changes.fits(base) {
            return Err(SnapshotError::Damaged("its pages do not fit the memory"));
        }
        Ok(snapshot)
    }

    /// The same with any base image, whose digest comes with it.
    fn read(bytes: &[u8], module: ModuleDigest) -> Result<(BaseDigest, Self), SnapshotError> {
        let damaged = SnapshotError::Damaged;
        let (version, bytes) = bytes.split_first().ok_or(damaged("it is empty"))?;
        if *version != VERSION {
            return Err(SnapshotError::Version { found: *version });
        }
        let (header, block) =
            postcard::take_from_bytes::<Header>(bytes).map_err(|_| damaged("its header is cut off"))?;
        if header.module != module.to_bytes() {
            return Err(SnapshotError::Module { found: ModuleDigest::from_bytes(header.module) });
        }
        let body_bytes = header.body_bytes as usize;
        if body_bytes > block.len().saturating_mul(EXPANSION_MAX) {
            return Err(damaged("its length cannot be"));
        }
        let body = lz4_flex::block::decompress(block, body_bytes)
            .map_err(|_| damaged("its pages do not decompress"))?;
        let (body, delta) =
            postcard::take_from_bytes::<Body>(&body).map_err(|_| damaged("its list of pages is cut off"))?;
        let changes = Changes {
            memories: body.memories.iter().map(MemoryChanges::from).collect(),
            globals: body.globals,
            delta: delta.to_vec(),
        };
        let taken_at = Timestamp::from_millis(header.taken_at_millis);
        Ok((
            BaseDigest::from_bytes(header.base),
            Self { taken_at, monotonic: header.monotonic_nanos, changes },
        ))
    }
}

/// Checks that bytes are a snapshot of this module, as far as that can be told without its code.
///
/// # Errors
///
/// Says what is wrong with them.
pub(crate) fn check_snapshot(bytes: &[u8], module: ModuleDigest) -> Result<(), String> {
    Snapshot::read(bytes, module).map(drop).map_err(|error| error.to_string())
}

/// Writing into a `Vec` does not fail.
fn encoding(_: postcard::Error) -> SnapshotError {
    SnapshotError::Damaged("it cannot be written")
}

impl From<&MemoryChanges> for MemoryRecord {
    fn from(memory: &MemoryChanges) -> Self {
        Self { pages: memory.pages, runs: memory.runs.iter().map(|run| (run.first, run.count)).collect() }
    }
}

impl From<&MemoryRecord> for MemoryChanges {
    fn from(memory: &MemoryRecord) -> Self {
        let runs = memory.runs.iter().map(|(first, count)| Run { first: *first, count: *count }).collect();
        Self { pages: memory.pages, runs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module() -> ModuleDigest {
        ModuleDigest::from_bytes([7; 32])
    }

    /// Numbers that look random and are the same every time.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self, below: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % below
        }
    }

    fn base(numbers: &mut Numbers) -> BaseImage {
        let memory = |numbers: &mut Numbers| {
            let mut bytes = vec![0; 65_536 * (1 + numbers.next(3))];
            for _ in 0..numbers.next(200) {
                let at = numbers.next(bytes.len());
                bytes[at] = 1;
            }
            bytes
        };
        let memories = (0..1 + numbers.next(2)).map(|_| memory(numbers)).collect();
        BaseImage::new(State { memories, globals: vec![5, u64::MAX] }, Vec::new())
    }

    fn changed(base: &BaseImage, numbers: &mut Numbers) -> State {
        let mut memories = base.state.memories.clone();
        for memory in &mut memories {
            memory.resize(memory.len() + 65_536 * numbers.next(3), 0);
            for _ in 0..numbers.next(40) {
                let at = numbers.next(memory.len());
                memory[at] ^= 0x55;
            }
        }
        State { memories, globals: vec![numbers.next(9) as u64, 3] }
    }

    fn snapshot(base: &BaseImage, state: &State) -> Snapshot {
        let mut changes = Changes::default();
        for (index, memory) in state.memories.iter().enumerate() {
            changes.add_memory(base, index, memory);
        }
        changes.globals.clone_from(&state.globals);
        Snapshot { taken_at: Timestamp::from_millis(12), monotonic: 34, changes }
    }

    /// What `dormouse-load-memory-N` does.
    fn restore(base: &BaseImage, snapshot: &Snapshot) -> State {
        let mut memories = base.state.memories.clone();
        for (index, memory) in memories.iter_mut().enumerate() {
            memory.resize(snapshot.changes.memories[index].pages as usize * 65_536, 0);
        }
        for patch in snapshot.changes.patches(base) {
            let mut bytes = patch.bytes.as_slice();
            while !bytes.is_empty() {
                let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
                let (offset, length) = (word(0), word(4));
                memories[patch.memory][offset..offset + length].copy_from_slice(&bytes[8..8 + length]);
                bytes = &bytes[8 + length..];
            }
        }
        State { memories, globals: snapshot.changes.globals.clone() }
    }

    #[test]
    fn any_state_comes_back_as_it_was() {
        let mut numbers = Numbers(1);
        for _ in 0..60 {
            let base = base(&mut numbers);
            let state = changed(&base, &mut numbers);
            let taken = snapshot(&base, &state);
            let bytes = taken.encode(module(), &base).unwrap();
            let read = Snapshot::decode(&bytes, module(), &base).unwrap();
            assert_eq!(read, taken);
            assert!(restore(&base, &read) == state);
        }
    }

    #[test]
    fn a_state_comes_back_from_another_base_image() {
        let mut numbers = Numbers(3);
        for _ in 0..60 {
            let (from, to) = (base(&mut numbers), base(&mut numbers));
            let state = changed(&from, &mut numbers);
            let taken = snapshot(&from, &state);
            let changes = taken.changes.rebased(&from, &to);
            // An instance has its memories, and each is never smaller than it begins.
            let pairs = state.memories.iter().zip(&to.state.memories);
            let is_one = state.memories.len() == to.state.memories.len()
                && pairs.into_iter().all(|(now, fresh)| now.len() >= fresh.len());
            assert_eq!(changes.fits(&to), is_one);
            if is_one {
                assert!(restore(&to, &Snapshot { changes, ..taken }) == state);
            }
        }
    }

    #[test]
    fn one_changed_byte_costs_a_few() {
        let base = BaseImage::new(State { memories: vec![vec![3; 1 << 20]], globals: vec![] }, Vec::new());
        let mut state = State { memories: base.state.memories.clone(), globals: vec![] };
        state.memories[0][70_000] = 4;
        assert!(snapshot(&base, &state).encode(module(), &base).unwrap().len() < 150);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_another_state_but_never_a_panic() {
        let mut numbers = Numbers(2);
        let base = base(&mut numbers);
        let state = changed(&base, &mut numbers);
        let good = snapshot(&base, &state).encode(module(), &base).unwrap();
        for length in 0..good.len() {
            assert!(Snapshot::decode(&good[..length], module(), &base).is_err(), "{length}");
        }
        for _ in 0..3_000 {
            let mut bad = good.clone();
            for _ in 0..=numbers.next(3) {
                let at = numbers.next(bad.len());
                bad[at] = numbers.next(256) as u8;
            }
            if let Ok(read) = Snapshot::decode(&bad, module(), &base) {
                restore(&base, &read);
            }
        }
    }

    #[test]
    fn a_snapshot_is_only_for_its_own_module_and_base_image() {
        let base = BaseImage::new(State { memories: vec![vec![0; 65_536]], globals: vec![1] }, Vec::new());
        let other = BaseImage::new(State { memories: vec![vec![0; 65_536]], globals: vec![2] }, Vec::new());
        let state = State { memories: base.state.memories.clone(), globals: vec![1] };
        let bytes = snapshot(&base, &state).encode(module(), &base).unwrap();
        let stranger = ModuleDigest::from_bytes([8; 32]);
        assert_eq!(Snapshot::decode(&bytes, stranger, &base), Err(SnapshotError::Module { found: module() }));
        assert_eq!(
            Snapshot::decode(&bytes, module(), &other),
            Err(SnapshotError::Base { found: base.digest })
        );
        let newer = [&[VERSION + 1], &bytes[1..]].concat();
        assert_eq!(
            Snapshot::decode(&newer, module(), &base),
            Err(SnapshotError::Version { found: VERSION + 1 })
        );
    }
}
