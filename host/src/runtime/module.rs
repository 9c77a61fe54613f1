//! A module that is ready to run, and those that are kept in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dormouse_core::id::ModuleDigest;
use tokio::sync::OnceCell;

use super::image::BaseImage;
use super::instance::Prepared;

/// Most modules that stay in memory. Each holds its base image, which is as large as the memory
/// of an instance; its code is mapped from the cache on disk.
const KEPT_MAX: usize = 64;

/// A module that is ready to run.
pub(crate) struct Module {
    pub(super) digest: ModuleDigest,
    pub(super) prepared: Prepared,
    pub(super) base: Arc<BaseImage>,
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
    /// With the use that was the last.
    modules: HashMap<ModuleDigest, (Pending, u64)>,
}

impl Modules {
    /// A module that its caller makes ready if it is not. The one used the longest ago makes room for it;
    /// steps that still run it keep it.
    pub(super) fn pending(&self, digest: ModuleDigest) -> Pending {
        let mut kept = self.lock();
        kept.uses += 1;
        let uses = kept.uses;
        if !kept.modules.contains_key(&digest) && kept.modules.len() >= KEPT_MAX {
            let oldest = kept.modules.iter().min_by_key(|(_, (_, used))| *used).map(|(digest, _)| *digest);
            oldest.and_then(|digest| kept.modules.remove(&digest));
        }
        let (module, used) = kept.modules.entry(digest).or_default();
        *used = uses;
        module.clone()
    }

    /// Lets a module go.
    pub(super) fn forget(&self, digest: ModuleDigest) {
        self.lock().modules.remove(&digest);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
