//! A module that is ready to run, and those that are kept in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_core::id::{BaseDigest, ModuleDigest};
use tokio::sync::OnceCell;

use super::image::BaseImage;
use super::instance::Prepared;
use super::snapshot::SnapshotError;
use super::stored_base;

/// Most modules that stay in memory. Each holds its base image, which is as large as the memory
/// of an instance; its code is mapped from the cache on disk.
const KEPT_MAX: usize = 64;

/// How long a module that this host refuses is not tried again: to compile it takes all processors, and
/// all of its tasks ask for it.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// A module that is ready to run.
pub(crate) struct Module {
    pub(super) digest: ModuleDigest,
    pub(super) prepared: Prepared,
    pub(super) base: Arc<BaseImage>,
    /// Whether the store has the base image.
    base_is_stored: AtomicBool,
    /// Another base image, from which snapshots were taken that were restored: the latest one.
    stored_base: Mutex<Option<Arc<BaseImage>>>,
}

impl Module {
    pub(super) fn new(digest: ModuleDigest, prepared: Prepared, base: BaseImage) -> Self {
        Self {
            digest,
            prepared,
            base: Arc::new(base),
            base_is_stored: AtomicBool::new(false),
            stored_base: Mutex::default(),
        }
    }

    /// The base image as it is stored, unless the store has it.
    pub(super) fn base_to_store(&self, is_stored: impl FnOnce(BaseDigest) -> bool) -> Option<Vec<u8>> {
        if self.base_is_stored.load(Ordering::Relaxed) {
            return None;
        }
        if is_stored(self.base.digest) {
            self.base_is_stored.store(true, Ordering::Relaxed);
            return None;
        }
        // Writing into a `Vec` does not fail.
        stored_base::encode(&self.base).ok()
    }

    /// Another base image than that of this host, as the store has it.
    pub(super) fn stored_base(
        &self,
        digest: BaseDigest,
        find: impl FnOnce() -> Result<Option<Vec<u8>>, String>,
        memory_bytes_max: u64,
    ) -> Result<Arc<BaseImage>, SnapshotError> {
        let known = || self.stored_base.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = known().as_ref().filter(|base| base.digest == digest) {
            return Ok(Arc::clone(base));
        }
        let bytes =
            find().map_err(SnapshotError::StoredBase)?.ok_or(SnapshotError::Base { found: digest })?;
        let base = stored_base::decode(&bytes, memory_bytes_max).map_err(SnapshotError::StoredBase)?;
        if base.digest != digest {
            return Err(SnapshotError::StoredBase("it has another digest".to_owned()));
        }
        let base = Arc::new(base);
        *known() = Some(Arc::clone(&base));
        Ok(base)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({})", self.digest)
    }
}

/// Modules in memory. Each is made ready by the caller that asks first; others wait for it.
#[derive(Default)]
pub(super) struct Modules(Mutex<Kept>);

/// A module that is ready or is being made so.
type Pending = Arc<OnceCell<Arc<Module>>>;

#[derive(Default)]
struct Kept {
    /// Counts uses, to tell which is the longest ago.
    uses: u64,
    modules: HashMap<ModuleDigest, Place>,
}

#[derive(Default)]
struct Place {
    module: Pending,
    /// The use that was the last.
    used: u64,
    /// When and why this host refused it.
    refused: Option<(Instant, String)>,
}

impl Modules {
    /// A module that its caller makes ready if it is not. The one used the longest ago makes room for it;
    /// steps that still run it keep it.
    pub(super) fn pending(&self, digest: ModuleDigest) -> Pending {
        let mut kept = self.lock();
        kept.uses += 1;
        let uses = kept.uses;
        if !kept.modules.contains_key(&digest) && kept.modules.len() >= KEPT_MAX {
            let oldest = kept.modules.iter().min_by_key(|(_, place)| place.used).map(|(digest, _)| *digest);
            oldest.and_then(|digest| kept.modules.remove(&digest));
        }
        let place = kept.modules.entry(digest).or_default();
        place.used = uses;
        place.module.clone()
    }

    /// Notes that this host refuses a module.
    pub(super) fn refused(&self, digest: ModuleDigest, at: Instant, problem: String) {
        if let Some(place) = self.lock().modules.get_mut(&digest) {
            place.refused = Some((at, problem));
        }
    }

    /// Why this host refused a module, if that was a moment ago.
    pub(super) fn refusal(&self, digest: ModuleDigest, now: Instant) -> Option<String> {
        let kept = self.lock();
        let (at, problem) = kept.modules.get(&digest)?.refused.as_ref()?;
        (now.duration_since(*at) < REFUSED_FOR).then(|| problem.clone())
    }

    /// Lets a module go.
    pub(super) fn forget(&self, digest: ModuleDigest) {
        self.lock().modules.remove(&digest);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
