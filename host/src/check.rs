//! A store that no host has open, held against every invariant.

use std::path::{Path, PathBuf};

use crate::clock::Clock;
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
}

/// Checks the store in the data folder of a host that does not run: the checksums of the file,
/// then every row and every index. Tells `found` of each problem, and returns the number of rows
/// that were looked at.
///
/// # Errors
///
/// When there is no store, a host has it open, or it cannot be read at all.
pub fn check(data: &Path, found: &mut dyn FnMut(Problem)) -> Result<u64, CheckError> {
    Ok(look_through(data, found)?)
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
    let store = Store::open(&path, STORE_CACHE_BYTES, Clock::system().now()).map_err(failed)?;
    let (store, is_sound) = store.verify_file(&path).map_err(failed)?;
    if !is_sound {
        found(Problem::of_file(
            "its checksums did not agree with its contents; the last sound state was kept",
        ));
    }
    let view = store.view();
    crate::store::check(&view, check_snapshot, found)?;
    Ok(crate::store::size(&view)?)
}
