//! Look at modules: one, a list.

use dormouse_core::id::ModuleDigest;

use super::Result;
use super::page::{Page, Paged, paged};
use crate::engine::Host;
use crate::error::Error;
use crate::store::rows::{ModuleRow, VersionRow};
use crate::store::{Read, StoreError};

/// A module and the versions that it became.
#[derive(Debug, Clone)]
pub(crate) struct Deployed {
    pub(crate) module: ModuleRow,
    /// What it declares, as stored.
    pub(crate) versions: Vec<VersionRow>,
    /// Whether it is new with this upload; the same bytes change nothing.
    pub(crate) created: bool,
}

impl Deployed {
    /// A module that is there.
    pub(super) fn of(store: &impl Read, module: ModuleRow) -> std::result::Result<Self, StoreError> {
        let rows = module.workflows.iter().map(|(name, version)| store.version(name, *version));
        let versions = rows.filter_map(std::result::Result::transpose);
        Ok(Self { versions: versions.collect::<std::result::Result<_, _>>()?, module, created: false })
    }
}

pub(crate) fn show_module(host: &Host, digest: ModuleDigest) -> Result<Deployed> {
    let found =
        host.read(|store| store.module(digest)?.map(|module| Deployed::of(store, module)).transpose())?;
    found.ok_or_else(|| unknown_module(digest))
}

/// There is no such module.
pub(super) fn unknown_module(digest: ModuleDigest) -> Error {
    Error::not_found("unknown_module", format!("there is no module {digest}"))
}

pub(crate) fn list_modules(host: &Host, page: Page<ModuleDigest>) -> Result<Paged<Deployed, ModuleDigest>> {
    host.read(|store| {
        let modules = store.modules()?;
        let start = page.after.and_then(|after| modules.iter().position(|module| module.digest == after));
        let rows = modules.into_iter().skip(start.map_or(0, |start| start + 1));
        let rows = rows.take(page.limit + 1).map(|module| Deployed::of(store, module));
        Ok(paged(rows.collect::<std::result::Result<_, _>>()?, page.limit, |row| row.module.digest))
    })
}
