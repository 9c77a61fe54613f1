//! Compiled modules on disk. Only what this host wrote itself is ever loaded: the folder is its
//! own, and a digest beside each file tells whether it is whole.

use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dormouse_core::id::ModuleDigest;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::instrument;

/// How the names of files end while they are written.
const TEMPORARY: &str = ".tmp";

/// A folder of compiled modules.
pub(super) struct DiskCache {
    folder: PathBuf,
    /// Of the engine and the instrumentation: what another one compiled is of no use.
    compatibility: String,
}

impl DiskCache {
    /// Makes the folder, readable for nobody else, unless it is there.
    pub(super) fn open(folder: PathBuf, engine: &Engine) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut hash = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hash);
        instrument::VERSION.hash(&mut hash);
        let cache = Self { folder, compatibility: format!("{:016x}", hash.finish()) };
        cache.sweep();
        Ok(cache)
    }

    /// Removes what another engine compiled, and what was only half written.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let of_use = |name: &str| name.contains(&self.compatibility) && !name.ends_with(TEMPORARY);
            if name.to_str().is_some_and(|name| !of_use(name)) {
                remove(&entry.path());
            }
        }
    }

    /// The compiled module, if it is there and whole.
    pub(super) fn load(&self, digest: ModuleDigest, engine: &Engine) -> Option<Component> {
        let path = self.path(digest);
        let bytes = fs::read(&path).ok()?;
        let expected = fs::read(checksum_path(&path)).ok()?;
        if Sha256::digest(&bytes).as_slice() != expected {
            tracing::warn!(module.digest = %digest, "a compiled module is damaged and is compiled anew");
            return None;
        }
        self.map(digest, engine)
    }

    /// The compiled module of a file that is whole.
    fn map(&self, digest: ModuleDigest, engine: &Engine) -> Option<Component> {
        #[expect(unsafe_code, reason = "the file is this host's own work, as its checksum confirms")]
        // SAFETY: `keep` wrote the file, from what the compiler gave; the folder is the host's own.
        let component = unsafe { Component::deserialize_file(engine, self.path(digest)) };
        component
            .inspect_err(
                |error| tracing::warn!(module.digest = %digest, %error, "cannot load a compiled module"),
            )
            .ok()
    }

    /// Keeps a compiled module and gives it, mapped from its file. When it cannot be kept it is only compiled again
    /// another time.
    ///
    /// # Errors
    ///
    /// When the bytes are no component that was compiled for this engine.
    pub(super) fn keep(
        &self,
        digest: ModuleDigest,
        compiled: &[u8],
        engine: &Engine,
    ) -> wasmtime::Result<Component> {
        let path = self.path(digest);
        // The checksum comes last: without it the file does not count.
        let written = write_whole(&path, compiled)
            .and_then(|()| write_whole(&checksum_path(&path), &Sha256::digest(compiled)));
        match written {
            Ok(()) => {
                if let Some(component) = self.map(digest, engine) {
                    return Ok(component);
                }
            }
            Err(error) => tracing::warn!(module.digest = %digest, %error, "cannot keep a compiled module"),
        }
        #[expect(unsafe_code, reason = "the bytes are the compiler's, which is this host's own program")]
        // SAFETY: they are what `Engine::precompile_component` gave; the engine looks whether it fits.
        unsafe {
            Component::deserialize(engine, compiled)
        }
    }

    /// Removes what is kept of a module, if anything is.
    pub(super) fn remove(&self, digest: ModuleDigest) {
        let path = self.path(digest);
        remove(&checksum_path(&path));
        remove(&path);
    }

    fn path(&self, digest: ModuleDigest) -> PathBuf {
        self.folder.join(format!("{}-{}.cwasm", hex(digest), self.compatibility))
    }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "cannot remove a compiled module");
        }
        _ => {}
    }
}

fn checksum_path(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

/// Writes a file that is there either whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}{TEMPORARY}", WRITES.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(name);
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let written =
        written.and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // On a full disk it is the room that others wait for.
        remove(&temporary);
    }
    written
}

fn hex(digest: ModuleDigest) -> String {
    digest.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
