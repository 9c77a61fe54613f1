//! How a host is started.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use super::guest::{self, Guest};
use super::host::{Host, START};
use super::live::Live;
use crate::Timestamp;

/// A host that has not started yet. Made by [`Host::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    now: Timestamp,
    slots: Option<NonZeroU32>,
    cache: Option<PathBuf>,
    own: bool,
    packages: Vec<PathBuf>,
    modules: Vec<PathBuf>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { now: START, slots: None, cache: None, own: true, packages: Vec::new(), modules: Vec::new() }
    }

    /// The time at which the clock stands, instead of [`START`].
    pub fn starting_at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// How many steps may run at once. With one slot, the order of steps shows.
    pub fn slots(mut self, slots: NonZeroU32) -> Self {
        self.slots = Some(slots);
        self
    }

    /// Keeps compiled modules in this folder, for other hosts.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Deploys a `.wasm` file as well.
    pub fn module(mut self, file: impl Into<PathBuf>) -> Self {
        self.modules.push(file.into());
        self
    }

    /// Builds and deploys the crate in another folder as well.
    pub fn package(mut self, folder: impl Into<PathBuf>) -> Self {
        self.packages.push(folder.into());
        self
    }

    /// Neither builds nor deploys the crate whose tests these are.
    pub fn without_own_module(mut self) -> Self {
        self.own = false;
        self
    }

    /// Starts the host and deploys the modules.
    ///
    /// # Panics
    ///
    /// When a module does not build (the message has what cargo said) or is refused.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Host {
        let own = self.own.then(guest::own_package);
        let mut guests = Vec::new();
        for package in own.iter().chain(&self.packages) {
            guests.push(built(package));
        }
        let cache = self.cache.or_else(|| guests.first().map(|guest| guest.cache.clone()));
        let host = Host::new_live(Live::start(self.now, self.slots, cache));
        for module in guests.iter().map(|guest| &guest.module).chain(&self.modules) {
            host.deploy(module);
        }
        host
    }
}

#[track_caller]
fn built(package: &Path) -> Guest {
    match guest::build(package) {
        Ok(guest) => guest,
        Err(problem) => panic!("the module does not build. {problem}"),
    }
}
