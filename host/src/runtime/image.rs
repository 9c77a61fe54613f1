//! Memories and globals as bytes: the base image of a module, and what a task changed of it.

use dormouse_core::id::BaseDigest;
use sha2::{Digest, Sha256};

use super::instrument::PATCH_BYTES_MAX;

/// Memory is compared and kept in pages of this size.
pub(super) const PAGE_BYTES: usize = 4096;
const WASM_PAGE_BYTES: usize = 65_536;
static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// All memories and globals of an instance, in the order of the instrumentation.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) memories: Vec<Vec<u8>>,
    /// 32-bit values in the low half of a word.
    pub(super) globals: Vec<u64>,
}

/// The state of an instance after `init`: what snapshots are told apart from.
#[derive(Debug)]
pub(super) struct BaseImage {
    /// Of the state.
    pub(super) digest: BaseDigest,
    pub(super) state: State,
    /// The kinds of the resources that the host holds for the instance, in the order in which `init` took them:
    /// the memory names them by their numbers.
    pub(super) handles: Vec<String>,
}

impl BaseImage {
    pub(super) fn new(state: State, handles: Vec<String>) -> Self {
        let mut hash = Sha256::new();
        for memory in &state.memories {
            hash.update((memory.len() as u64).to_le_bytes());
            hash.update(memory);
        }
        hash.update(u64::MAX.to_le_bytes());
        state.globals.iter().for_each(|word| hash.update(word.to_le_bytes()));
        Self { digest: BaseDigest::from_bytes(hash.finalize().into()), state, handles }
    }

    /// A page of a memory; zeros where the memory was shorter.
    fn page(&self, memory: usize, page: usize) -> &[u8] {
        let at = page * PAGE_BYTES;
        let memory = self.state.memories.get(memory);
        memory.and_then(|bytes| bytes.get(at..at + PAGE_BYTES)).unwrap_or(&ZEROS)
    }
}

/// What differs from the base image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) memories: Vec<MemoryChanges>,
    pub(super) globals: Vec<u64>,
    /// Every changed page in order, combined by exclusive or with that of the base image.
    pub(super) delta: Vec<u8>,
}

/// Of one memory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MemoryChanges {
    /// Its size in wasm pages of 64 KiB.
    pub(super) pages: u32,
    /// Changed pages, in order.
    pub(super) runs: Vec<Run>,
}

/// Pages of 4 KiB in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) count: u32,
}

/// Bytes for one call of `dormouse-load-memory-N`.
pub(super) struct Patch {
    /// Which memory.
    pub(super) memory: usize,
    /// Its size in wasm pages.
    pub(super) pages: u32,
    /// Records of offset, length and bytes.
    pub(super) bytes: Vec<u8>,
}

impl Changes {
    /// Takes in the memory that is next, whose bytes are now these.
    pub(super) fn add_memory(&mut self, base: &BaseImage, index: usize, bytes: &[u8]) {
        let mut runs: Vec<Run> = Vec::new();
        for (page, now) in (0_u32..).zip(bytes.chunks_exact(PAGE_BYTES)) {
            let before = base.page(index, page as usize);
            if now == before {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.first + run.count == page => run.count += 1,
                _ => runs.push(Run { first: page, count: 1 }),
            }
            self.delta.extend(now.iter().zip(before).map(|(now, before)| now ^ before));
        }
        let pages = u32::try_from(bytes.len() / WASM_PAGE_BYTES).unwrap_or(u32::MAX);
        self.memories.push(MemoryChanges { pages, runs });
    }

    /// Whether these can be changes of that base image: every page lies in its memory, in order,
    /// and has its bytes.
    pub(super) fn fits(&self, base: &BaseImage) -> bool {
        let pages_of = |bytes: usize| u32::try_from(bytes / WASM_PAGE_BYTES).unwrap_or(u32::MAX);
        let mut changed: u64 = 0;
        for (memory, before) in self.memories.iter().zip(&base.state.memories) {
            let mut end = 0;
            for run in &memory.runs {
                let Some(next) = run.first.checked_add(run.count).filter(|_| run.first >= end) else {
                    return false;
                };
                end = next;
                changed += u64::from(run.count);
            }
            let size = u64::from(memory.pages) * (WASM_PAGE_BYTES / PAGE_BYTES) as u64;
            if memory.pages < pages_of(before.len()) || memory.pages >= 65_536 || u64::from(end) > size {
                return false;
            }
        }
        self.memories.len() == base.state.memories.len()
            && self.globals.len() == base.state.globals.len()
            && changed * PAGE_BYTES as u64 == self.delta.len() as u64
    }

    /// The changes that lead from another base image to the same state. They must fit the one that they are of.
    pub(super) fn rebased(&self, from: &BaseImage, to: &BaseImage) -> Self {
        let mut rebased = Self { globals: self.globals.clone(), ..Self::default() };
        let mut delta = self.delta.chunks_exact(PAGE_BYTES);
        for (index, (memory, before)) in self.memories.iter().zip(&from.state.memories).enumerate() {
            let mut bytes = before.clone();
            bytes.resize(memory.pages as usize * WASM_PAGE_BYTES, 0);
            for page in memory.runs.iter().flat_map(|run| run.first..run.first + run.count) {
                let page = page as usize * PAGE_BYTES..(page as usize + 1) * PAGE_BYTES;
                let delta = delta.next().unwrap_or(&ZEROS);
                bytes[page].iter_mut().zip(delta).for_each(|(byte, delta)| *byte ^= delta);
            }
            rebased.add_memory(to, index, &bytes);
        }
        rebased
    }

    /// What to write into a fresh instance so that its memories are as they were. They must fit
    /// the base image. A memory that neither grew nor changed has no patch.
    pub(super) fn patches(&self, base: &BaseImage) -> Vec<Patch> {
        let mut patches = Vec::new();
        let mut delta = self.delta.chunks_exact(PAGE_BYTES);
        for (index, memory) in self.memories.iter().enumerate() {
            let patch = |bytes| Patch { memory: index, pages: memory.pages, bytes };
            let mut bytes = Vec::new();
            for run in &memory.runs {
                // Each record holds as many pages of the run as still fit the patch.
                let mut page = run.first;
                let end = run.first + run.count;
                while page < end {
                    let room = (PATCH_BYTES_MAX - bytes.len()).saturating_sub(RECORD_HEADER) / PAGE_BYTES;
                    if room == 0 {
                        patches.push(patch(std::mem::take(&mut bytes)));
                        continue;
                    }
                    let count = u32::try_from(room).map_or(end - page, |room| room.min(end - page));
                    write_record(&mut bytes, base, index, page, delta.by_ref().take(count as usize));
                    page += count;
                }
            }
            let before = base.state.memories.get(index).map_or(0, Vec::len);
            if !bytes.is_empty() || memory.pages as usize * WASM_PAGE_BYTES > before {
                patches.push(patch(bytes));
            }
        }
        patches
    }
}

/// Bytes before those of a record: offset and length.
const RECORD_HEADER: usize = 8;

fn write_record<'a>(
    patch: &mut Vec<u8>,
    base: &BaseImage,
    memory: usize,
    first: u32,
    pages: impl ExactSizeIterator<Item = &'a [u8]>,
) {
    // Memories have less than 2^32 bytes, so neither product overflows.
    let length = pages.len() * PAGE_BYTES;
    patch.extend_from_slice(&(first * PAGE_BYTES as u32).to_le_bytes());
    patch.extend_from_slice(&(length as u32).to_le_bytes());
    for (page, delta) in (first as usize..).zip(pages) {
        let before = base.page(memory, page);
        patch.extend(delta.iter().zip(before).map(|(delta, before)| delta ^ before));
    }
}
