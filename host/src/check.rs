//! A store that no host has open, held against every invariant.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::clock::Clock;
use crate::panic;
use crate::runtime::check_snapshot;
use crate::server::{STORE_CACHE_BYTES, STORE_FILE};
use crate::store::{OpenError, Problem, Store, StoreError};

/// Why a store could not be checked.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CheckError(#[from] Cause);

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("there is no store in {}: name the data folder of a host with --data", data.display())]
    Missing { data: PathBuf },
    #[error(
        "a host has the store in {} open: stop it first; what it is writing cannot be checked",
        data.display()
    )]
    InUse { data: PathBuf },
    #[error("cannot open the store")]
    Open(#[source] OpenError),
    #[error("cannot read the store")]
    Store(#[from] StoreError),
    #[error("the store is damaged in a way that its database does not expect: {0}")]
    Damaged(String),
}

/// Checks the store in the data folder of a host that does not run: the checksums of the file,
/// then every row and every index. Tells `found` of each problem, and returns the number of rows
/// that were looked at. Nothing on the disk is changed: what a migration would write stays in memory.
///
/// # Errors
///
/// When there is no store, a host has it open, or it cannot be read at all.
pub fn check(data: &Path, found: &mut dyn FnMut(Problem)) -> Result<u64, CheckError> {
    let looked = catch_unwind(AssertUnwindSafe(|| look_through(data, found)));
    Ok(looked.unwrap_or_else(|panic| Err(Cause::Damaged(panic::message(&*panic).to_owned())))?)
}

fn look_through(data: &Path, found: &mut dyn FnMut(Problem)) -> Result<u64, Cause> {
    let path = data.join(STORE_FILE);
    if !path.is_file() {
        return Err(Cause::Missing { data: data.to_owned() });
    }
    let failed = |error| match error {
        OpenError::Locked { .. } => Cause::InUse { data: data.to_owned() },
        error => Cause::Open(error),
    };
    let (store, has_log) =
        Store::open_to_look(&path, STORE_CACHE_BYTES, Clock::system().now()).map_err(failed)?;
    if !has_log {
        found(Problem::of_file("files of its log are missing: what was committed last may be gone"));
    }
    let (store, is_sound) = store.verify_file(&path).map_err(failed)?;
    if !is_sound {
        found(Problem::of_file(
            "its checksums do not agree with its contents; what follows is about its last sound state",
        ));
    }
    let view = store.view();
    crate::store::check(&view, check_snapshot, found)?;
    Ok(crate::store::size(&view)?)
}
