//! A machine for one engine: a disk that forgets, a clock that is moved, and steps that are taken down
//! instead of run.

use std::cell::RefCell;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, RwLock};

use dormouse_core::time::Timestamp;

use crate::clock::Clock;
use crate::engine::Shared;
use crate::engine::catalog::Catalog;
use crate::engine::metrics::Metrics;
use crate::engine::node::StepHandle;
use crate::engine::shard::Shard;
use crate::engine::steps::Start;
use crate::engine::watch::Watchers;
use crate::runtime::{Compiler, Runtime, RuntimeConfig};
use crate::store::Store;
use crate::store::tests::disk::{Dice, Disk, Platter, open};

/// Steps that run at once.
const SLOTS: usize = 3;

thread_local! {
    /// Steps that were started on this thread and that nobody has taken yet.
    static STARTED: RefCell<Vec<Start>> = const { RefCell::new(Vec::new()) };
}

/// In the place of `Start::spawn`.
fn take_down(start: Start, _: &Arc<Shared>, _: &StepHandle) {
    STARTED.with_borrow_mut(|started| started.push(start));
}

/// The steps that were started since it was asked last.
pub(super) fn started() -> Vec<Start> {
    STARTED.take()
}

pub(super) struct Machine {
    pub(super) clock: Clock,
    disk: Disk,
    platter: Platter,
    runtime: Runtime,
    _cache: tempfile::TempDir,
}

impl Machine {
    pub(super) fn new(now: Timestamp) -> Self {
        let clock = Clock::stopped_at(now);
        let cache = tempfile::tempdir().unwrap();
        // No step runs, but a shard has one.
        let config = RuntimeConfig {
            cache_dir: cache.path().to_owned(),
            compiler: Compiler::Here,
            slots: 1,
            memory_bytes_max: 2 << 20,
            guest_threads: 1,
        };
        let runtime = Runtime::new(config, clock.clone()).unwrap();
        Self { clock, disk: Disk::default(), platter: Platter::default(), runtime, _cache: cache }
    }

    /// Lets what was done to the disk be done.
    pub(super) fn write(&mut self) {
        self.write_until(|_| usize::MAX);
    }

    /// Lets only the first of the operations be done to the disk, as many as `cut` says when it hears how
    /// many there are. Tells whether all of them were.
    pub(super) fn write_until(&mut self, cut: impl FnOnce(usize) -> usize) -> bool {
        let ops = self.disk.take_ops();
        let cut = cut(ops.len());
        ops.iter().take(cut).for_each(|(file, op)| self.platter.perform(*file, op));
        cut >= ops.len()
    }

    /// Loses power, and opens the store on what the disk holds then; now and then it loses power once more
    /// while it does.
    pub(super) fn restart(&mut self, dice: &mut Dice) -> Store {
        loop {
            started();
            let kept = dice.roll(3);
            let image = self.platter.after_power_cut(|| kept == 0 || kept == 1 && dice.roll(2) == 0);
            self.platter = Platter::with(image.clone());
            self.disk = Disk::with(image);
            let store = open(&self.disk);
            let is_cut = dice.roll(4) == 0;
            if self.write_until(|ops| if is_cut { below(dice, ops + 1) } else { ops }) && !is_cut {
                return store;
            }
        }
    }

    /// An engine over a store, before it looks at what it finds there.
    pub(super) fn shard(&self, store: Store) -> Shard {
        let catalog = Arc::new(Catalog::load(&*store.view()).unwrap());
        let shared = Shared {
            store,
            runtime: self.runtime.clone(),
            clock: self.clock.clone(),
            catalog: RwLock::new(Arc::clone(&catalog)),
            metrics: Metrics::default(),
            queue: Mutex::default(),
            disk_is_full: AtomicBool::default(),
            is_stopping: AtomicBool::default(),
            watchers: Arc::new(Watchers::default()),
            // Commands are for the deciding thread, which is not there.
            commands: channel().0,
            start_step: take_down,
        };
        Shard::new(Arc::new(shared), catalog, SLOTS)
    }
}

/// A number below `count`, which is not 0.
pub(super) fn below(dice: &mut Dice, count: usize) -> usize {
    usize::try_from(dice.roll(count as u64)).unwrap()
}
