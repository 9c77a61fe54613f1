//! A host in this process, under a virtual clock.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse::{Clock, Config, Server};
use dormouse_core::time::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::Client;

/// When the virtual clock starts: 2026-01-05T08:00:00Z, a Monday.
pub const START_MILLIS: u64 = 1_767_600_000_000;

/// Where a host keeps its data within its folder, and its store within that.
const DATA: &str = "data";
const STORE: &str = "dormouse.redb";

/// A host whose time stands still unless a test moves it. It listens on a port of its own and keeps
/// its store in a folder of its own.
pub struct TestHost {
    server: Option<Server>,
    slots: Option<NonZeroU32>,
    cache: Cache,
    clock: Clock,
    client: Client,
    runtime: tokio::runtime::Runtime,
    folder: TempDir,
}

impl std::ops::Deref for TestHost {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl TestHost {
    /// Starts a host with these guests.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn with(guests: &[&str]) -> Self {
        Self::start(guests, None)
    }

    /// Whether it keeps the module of this digest compiled.
    #[must_use]
    pub fn keeps_compiled(&self, digest: &str) -> bool {
        let hex = digest.trim_start_matches("sha256:");
        self.cache.files().any(|name| name.starts_with(hex) && name.ends_with(".cwasm"))
    }

    /// Starts a host with these guests that runs one step at a time: the order of steps shows.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn with_one_slot(guests: &[&str]) -> Self {
        Self::start(guests, Some(NonZeroU32::MIN))
    }

    /// Starts a host at this time on a store that another one left, as [`into_store`](Self::into_store)
    /// gave it.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn on_store(store: &[u8], now: Timestamp) -> Self {
        let folder = new_folder();
        std::fs::create_dir(folder.path().join(DATA)).expect("there is room for a folder");
        std::fs::write(folder.path().join(DATA).join(STORE), store).expect("there is room for the store");
        Self::start_in(folder, None, now)
    }

    fn start(guests: &[&str], slots: Option<NonZeroU32>) -> Self {
        let host = Self::start_in(new_folder(), slots, Timestamp::from_millis(START_MILLIS));
        guests.iter().for_each(|guest| drop(host.client.deploy(guest)));
        host.cache.hand_on();
        host
    }

    fn start_in(folder: TempDir, slots: Option<NonZeroU32>, now: Timestamp) -> Self {
        let cache = Cache::new();
        let clock = Clock::stopped_at(now);
        let runtime = tokio::runtime::Runtime::new().expect("there is room for a runtime");
        let server = start(&runtime, &folder, slots, &clock, &cache);
        let client = Client::new(&server.address().to_string());
        Self { server: Some(server), slots, cache, clock, client, runtime, folder }
    }

    /// Ends the host and gives its store.
    ///
    /// # Panics
    ///
    /// When it does not end well.
    #[must_use]
    pub fn into_store(mut self) -> Vec<u8> {
        self.stop();
        std::fs::read(self.folder.path().join(DATA).join(STORE)).expect("the store is there")
    }

    /// What time it is for the host.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns once no step runs or could run: from then on only time or a call changes anything.
    /// Gives the time of the next timer.
    pub fn settle(&self) -> Option<Timestamp> {
        self.runtime.block_on(self.server().idle())
    }

    /// Sets the clock, be it back, without a look at what is due on the way.
    pub fn set_clock(&self, to: Timestamp) {
        self.clock.set_to(to);
        self.settle();
    }

    /// Lets time pass: every timer on the way rings at its time.
    pub fn advance(&self, duration: Duration) {
        let end = self.now().after(duration);
        while let Some(next) = self.settle().filter(|next| *next <= end) {
            self.clock.jump_to(next);
        }
        self.clock.jump_to(end);
        self.settle();
    }

    /// A run once it has ended, however long that takes on the virtual clock.
    ///
    /// # Panics
    ///
    /// When it waits for something that no timer brings.
    #[track_caller]
    #[must_use]
    pub fn to_end(&self, id: &str) -> Value {
        loop {
            let next = self.settle();
            let run = self.client.run(id);
            if !run["finishedAt"].is_null() {
                return run;
            }
            self.clock
                .jump_to(next.unwrap_or_else(|| panic!("nothing will ever happen to this run: {run:#}")));
        }
    }

    /// Starts a run and returns it once it has ended.
    #[track_caller]
    #[must_use]
    pub fn call(&self, workflow: &str, input: &Value) -> Value {
        let id = self.client.start(workflow, input);
        self.to_end(&id)
    }

    /// Ends the host and starts another one on the same store, after `pause` has passed.
    #[must_use]
    pub fn restart_after(self, pause: Duration) -> Self {
        let now = self.now().after(pause);
        self.restart_at(now)
    }

    /// Ends the host and starts another one on the same store, whose clock shows `now`, be it an
    /// earlier time.
    #[must_use]
    pub fn restart_at(mut self, now: Timestamp) -> Self {
        self.stop();
        self.start_again(now);
        self
    }

    /// Ends the host, has its store changed, which need not be sound before or after, and starts another one on
    /// it that has nothing compiled.
    #[must_use]
    pub fn restart_on(mut self, change: impl FnOnce(&Path)) -> Self {
        let server = self.server.take().expect("the host runs");
        self.runtime.block_on(server.stop()).expect("the host ends well");
        change(&self.folder.path().join(DATA).join(STORE));
        self.cache = Cache::empty();
        self.start_again(self.now());
        self
    }

    fn start_again(&mut self, now: Timestamp) {
        self.clock = Clock::stopped_at(now);
        let server = start(&self.runtime, &self.folder, self.slots, &self.clock, &self.cache);
        self.client = Client::new(&server.address().to_string());
        self.server = Some(server);
    }

    fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.cache.hand_on();
            self.runtime.block_on(server.stop()).expect("the host ends well");
            self.check_store();
        }
    }

    /// Every test leaves a store in which every invariant holds.
    fn check_store(&self) {
        if std::thread::panicking() {
            return;
        }
        let mut problems = Vec::new();
        let checked = dormouse::check(&self.folder.path().join("data"), &mut |problem| {
            problems.push(problem.to_string());
        });
        assert!(checked.is_ok_and(|rows| rows > 0), "the store can be read");
        assert!(problems.is_empty(), "{problems:#?}");
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the host runs")
    }
}

impl Drop for TestHost {
    /// A host that is not stopped would keep its threads and its address space.
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(
    runtime: &tokio::runtime::Runtime,
    folder: &TempDir,
    slots: Option<NonZeroU32>,
    clock: &Clock,
    cache: &Cache,
) -> Server {
    let defaults = Config::in_folder(folder.path().join(DATA));
    let config =
        Config { cache: cache.0.path().to_owned(), slots: slots.unwrap_or(defaults.slots), ..defaults };
    runtime.block_on(Server::start(config, clock.clone())).expect("the host starts")
}

fn new_folder() -> TempDir {
    tempfile::tempdir().expect("there is room for a folder")
}

/// The folder of compiled modules of a host. Hosts hand on what they have compiled, so that each
/// module is compiled once, and none notices what another one lets go of.
struct Cache(TempDir);

impl Cache {
    /// With all that was handed on so far.
    fn new() -> Self {
        let own = Self::empty();
        link_all(&Self::shared(), own.0.path());
        own
    }

    fn empty() -> Self {
        let shared = Self::shared();
        std::fs::create_dir_all(&shared).expect("there is room for a folder");
        Self(tempfile::tempdir_in(shared.with_file_name("")).expect("there is room for a folder"))
    }

    fn hand_on(&self) {
        link_all(self.0.path(), &Self::shared());
    }

    fn files(&self) -> impl Iterator<Item = String> {
        let entries = std::fs::read_dir(self.0.path()).expect("the folder is there").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
    }

    fn shared() -> PathBuf {
        Path::new(env!("DORMOUSE_GUESTS")).join("compiled")
    }
}

/// Files that are written or go meanwhile are left out, as are those that are there already.
fn link_all(from: &Path, to: &Path) {
    let entries = std::fs::read_dir(from).expect("the folder is there").flatten();
    for entry in entries.filter(|entry| !entry.file_name().to_string_lossy().ends_with(".tmp")) {
        drop(std::fs::hard_link(entry.path(), to.join(entry.file_name())));
    }
}
