//! A module that is ready to run, and those that are kept in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
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

/// How long a module that this host refuses is not tried again, at first and at most: to compile it takes all
/// processors, and all of its tasks ask for it.
const REFUSED_MIN: Duration = Duration::from_secs(10);
const REFUSED_MAX: Duration = Duration::from_secs(600);

/// Longest that one caller tries it again, while others are refused.
const RETRY_MAX: Duration = Duration::from_secs(150);

/// A module that is ready to run.
pub(crate) struct Module {
    pub(super) digest: ModuleDigest,
    pub(super) prepared: Prepared,
    pub(super) base: Arc<BaseImage>,
    /// Whether the store has the base image, or is about to.
    base_is_stored: OnceLock<()>,
    /// Another base image, from which snapshots were taken that were restored: the latest one.
    stored_base: Mutex<Option<Arc<BaseImage>>>,
}

impl Module {
    pub(super) fn new(digest: ModuleDigest, prepared: Prepared, base: BaseImage) -> Self {
        Self {
            digest,
            prepared,
            base: Arc::new(base),
            base_is_stored: OnceLock::new(),
            stored_base: Mutex::default(),
        }
    }

    /// Which module it is.
    pub(crate) fn digest(&self) -> ModuleDigest {
        self.digest
    }

    /// Has the base image stored, unless it is. Whoever asks meanwhile waits, so that no snapshot comes before it.
    pub(crate) fn keep_base(
        &self,
        is_stored: impl FnOnce(BaseDigest) -> bool,
        store: impl FnOnce(BaseDigest, Vec<u8>),
    ) {
        let base = &self.base;
        self.base_is_stored.get_or_init(|| {
            if is_stored(base.digest) {
                return;
            }
            // Writing into a `Vec` does not fail.
            match stored_base::encode(base) {
                Ok(image) => store(base.digest, image),
                Err(error) => tracing::error!(module.digest = %self.digest, %error, "no base image"),
            }
        });
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
    refused: Option<Refused>,
}

/// A module that this host has refused.
struct Refused {
    problem: String,
    /// Nobody tries it again before.
    until: Instant,
    /// How long that was from the time when it was refused.
    pause: Duration,
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
    pub(super) fn refused(&self, digest: ModuleDigest, now: Instant, problem: String) {
        if let Some(place) = self.lock().modules.get_mut(&digest) {
            let before = place.refused.as_ref().map(|refused| refused.pause);
            let pause = before.map_or(REFUSED_MIN, |pause| (2 * pause).min(REFUSED_MAX));
            place.refused = Some(Refused { problem, until: now + pause, pause });
        }
    }

    /// Whether to try a module, or why this host refused it not long ago. Of one that was refused one caller tries at
    /// a time.
    pub(super) fn may_try(&self, digest: ModuleDigest, now: Instant) -> Result<(), String> {
        let mut kept = self.lock();
        let refused = kept.modules.get_mut(&digest).and_then(|place| place.refused.as_mut());
        match refused {
            Some(refused) if now < refused.until => Err(refused.problem.clone()),
            Some(refused) => {
                refused.until = now + RETRY_MAX;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Notes that a module could be made ready.
    pub(super) fn loaded(&self, digest: ModuleDigest) {
        if let Some(place) = self.lock().modules.get_mut(&digest) {
            place.refused = None;
        }
    }

    /// Lets a module go.
    pub(super) fn forget(&self, digest: ModuleDigest) {
        self.lock().modules.remove(&digest);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_refused_is_tried_less_and_less_often_by_one_caller_at_a_time() {
        let modules = Modules::default();
        let digest = ModuleDigest::from_bytes([1; 32]);
        drop(modules.pending(digest));
        let mut now = Instant::now();
        assert_eq!(modules.may_try(digest, now), Ok(()));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            modules.refused(digest, now, "no".to_owned());
            let begun = now;
            while modules.may_try(digest, now).is_err() {
                now += Duration::from_secs(1);
            }
            pauses.push((now - begun).as_secs());
            assert_eq!(modules.may_try(digest, now), Err("no".to_owned()), "somebody tries");
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        // Whoever tried has gone without a word.
        assert_eq!(modules.may_try(digest, now + RETRY_MAX), Ok(()));
        modules.loaded(digest);
        assert_eq!([modules.may_try(digest, now), modules.may_try(digest, now)], [Ok(()), Ok(())]);
    }
}
