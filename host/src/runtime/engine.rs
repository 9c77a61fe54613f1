//! The runtime as the rest of the host sees it: takes modules in, keeps them ready, runs steps.
//!
//! Guests run on threads of their own, so that busy ones cannot starve whoever serves requests.
//! All instances come from one pool, which is large enough for every module that is taken in:
//! what would not fit is refused at upload. A step waits for room in it rather than fail.

use std::path::PathBuf;
use std::sync::Arc;

use dormouse_core::id::ModuleDigest;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinHandle};
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::bindings::Module as Bindings;
use super::compiler::{Compiler, code_config};
use super::ctx::{Ctx, WholeCtx};
use super::disk::DiskCache;
use super::execute::execute;
use super::inspect::{self, Inspection};
use super::instance::link_sink;
use super::limits::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};
use super::module::{Module, Modules};
use super::prepare;
use super::processors::Processors;
use super::refusal::{LoadError, Refusal};
use super::step::{StepEnd, StepHost, StepRequest};
use super::ticker::Ticker;
use crate::clock::Clock;

/// Stack of a guest and of the host functions that it calls.
const FIBER_BYTES: usize = 2 << 20;
/// Instances besides the slots: those of uploads and of modules being loaded.
const PREPARING: u32 = 2;
/// More slots than this do not fit the address space: each reserves 8 times 4 GiB of it.
const SLOTS_MAX: u32 = 2_000;
/// A memory of 4 GiB has a length that 32 bits cannot hold.
const MEMORY_BYTES_MAX: u64 = (1 << 32) - (1 << 16);
const MEMORY_BYTES_MIN: u64 = 2 << 20;
/// Data of the engine for one instance of a component, and for one of a core module.
const COMPONENT_BYTES_MAX: usize = 4 << 20;
const CORE_INSTANCE_BYTES_MAX: usize = 1 << 20;

/// Memory and tables of an instance that stay mapped for the next one in its place: a Rust guest
/// reads all of its memory when it is compared with the base image, and a page fault for each
/// page would take longer than everything else. Pages that nobody wrote are shared.
const RESIDENT_MEMORY_BYTES: usize = 2 << 20;
const RESIDENT_TABLE_BYTES: usize = 64 << 10;

/// How much there is for guests.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeConfig {
    /// For compiled modules; made if it is not there. Nobody else may write to it.
    pub(crate) cache_dir: PathBuf,
    pub(crate) compiler: Compiler,
    /// Most steps that run at once, from 1 to 2000.
    pub(crate) slots: u32,
    /// Memory of one instance. From 2 MiB to just below 4 GiB; 64 MiB is a good size.
    pub(crate) memory_bytes_max: u64,
    /// Threads on which guests run; at least 1.
    pub(crate) guest_threads: usize,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RuntimeError {
    #[error("the WebAssembly engine cannot start: {problem}")]
    Engine { problem: String },
    #[error("cannot start threads for guests")]
    Threads(#[source] std::io::Error),
    #[error("cannot use {} for compiled modules", path.display())]
    Cache { path: PathBuf, source: std::io::Error },
}

/// Runs guests. Clones share everything.
#[derive(Clone)]
pub(crate) struct Runtime(Arc<Inner>);

/// What all steps share.
pub(super) struct Inner {
    pub(super) clock: Clock,
    pub(super) engine: Engine,
    pub(super) linker: Linker<Ctx>,
    pub(super) memory_bytes_max: u64,
    pub(super) ticker: Ticker,
    pub(super) processors: Processors,
    pub(super) modules: Modules,
    pub(super) disk: DiskCache,
    /// Room in the pool of instances.
    pub(super) room: Semaphore,
    pub(super) compiler: Compiler,
    /// One module is compiled at a time; it takes all cores.
    pub(super) compiling: Semaphore,
    guests: Guests,
}

impl Runtime {
    /// Starts the engine and the threads for guests.
    ///
    /// # Errors
    ///
    /// When the machine has not what the configuration asks for.
    pub(crate) fn new(config: RuntimeConfig, clock: Clock) -> Result<Self, RuntimeError> {
        let slots = config.slots.clamp(1, SLOTS_MAX) + PREPARING;
        let memory_bytes_max = config.memory_bytes_max.clamp(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX);
        let engine = Engine::new(&engine_config(slots, memory_bytes_max)).map_err(engine_error)?;
        let linker = linker(&engine).map_err(engine_error)?;
        let ticker = Ticker::start(&engine).map_err(RuntimeError::Threads)?;
        let disk = DiskCache::open(config.cache_dir.clone(), &engine)
            .map_err(|source| RuntimeError::Cache { path: config.cache_dir, source })?;
        let guests = Guests::start(config.guest_threads).map_err(RuntimeError::Threads)?;
        let processors = Processors::new(config.guest_threads);
        let room = Semaphore::new(slots as usize);
        let (modules, compiling) = (Modules::default(), Semaphore::new(1));
        let inner = Inner {
            clock,
            engine,
            linker,
            memory_bytes_max,
            ticker,
            processors,
            modules,
            disk,
            room,
            compiler: config.compiler,
            compiling,
            guests,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Takes a component in: checks it, compiles it, and asks it what it declares.
    ///
    /// # Errors
    ///
    /// When it can never run here; the refusal says how to mend it.
    pub(crate) async fn inspect(&self, bytes: Vec<u8>) -> Result<Inspection, Refusal> {
        let inner = self.0.clone();
        let hop = self.0.guests.spawn(async move { inspect::inspect(&inner, bytes).await });
        hop.join().await.unwrap_or_else(|problem| Err(Refusal::Compile { problem }))
    }

    /// The module for running steps: from memory, from the disk, or compiled anew from its bytes.
    ///
    /// # Errors
    ///
    /// When the bytes are not there any more, or this host refuses them.
    pub(crate) async fn load(
        &self,
        digest: ModuleDigest,
        bytes: impl FnOnce() -> Result<Vec<u8>, String> + Send,
    ) -> Result<Arc<Module>, LoadError> {
        let Inner { modules, clock, .. } = &*self.0;
        let place = modules.pending(digest);
        let load = || async {
            let may_try = modules.may_try(digest, clock.stopwatch());
            may_try.map_err(|problem| LoadError::StillRefused { problem })?;
            let loaded = prepare::load(&self.0, digest, bytes).await;
            match &loaded {
                Ok(_) => modules.loaded(digest),
                Err(error) => modules.refused(digest, clock.stopwatch(), error.to_string()),
            }
            loaded
        };
        Ok(place.get_or_try_init(load).await?.clone())
    }

    /// Lets go of the compiled form of a module that nothing needs now.
    pub(crate) fn forget(&self, digest: ModuleDigest) {
        self.0.modules.forget(digest);
        self.0.disk.remove(digest);
    }

    /// Has work done on the threads for guests; steps belong there.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.0.guests.1.spawn(work).abort_handle()
    }

    /// Does bounded work that has no place on a thread that others wait for.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        self.0.blocking(work).await
    }

    /// Runs a step, on the threads for guests. To drop the future is to kill the guest, within
    /// 10 ms.
    pub(crate) async fn run_step(
        &self,
        module: &Module,
        request: StepRequest,
        host: Arc<dyn StepHost>,
    ) -> StepEnd {
        let _room = self.0.room.acquire().await;
        let _running = self.0.ticker.running();
        execute(&self.0, module, request, host).await
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }
}

impl Inner {
    /// Does blocking work on a thread for it.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        self.guests.spawn_blocking(work).join().await
    }

    /// Has a guest run on the threads for them.
    pub(super) async fn on_guest_threads<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        self.guests.spawn(work).join().await
    }
}

/// The threads on which guests run.
struct Guests(Option<tokio::runtime::Runtime>, tokio::runtime::Handle);

impl Guests {
    fn start(threads: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("guest")
            // Guests that begin come by the global queue, those that go on by a local one. By default the global one
            // is looked at after some sixty of the others had their turn, ten milliseconds each when they
            // compute; and if it always came first, those that go on would wait for all that begin.
            .global_queue_interval(2)
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self(Some(runtime), handle))
    }

    fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> AbortOnDrop<T> {
        AbortOnDrop(self.1.spawn(work))
    }

    fn spawn_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> AbortOnDrop<T> {
        AbortOnDrop(self.1.spawn_blocking(work))
    }
}

impl Drop for Guests {
    /// Does not wait for the guests: the last owner may be asynchronous itself.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Work on the threads for guests, which ends when its caller is gone.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    /// Its result. The error says that the host itself failed or shuts down.
    async fn join(mut self) -> Result<T, String> {
        (&mut self.0).await.map_err(|error| format!("the host failed: {error}"))
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Ctx>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Bindings::add_to_linker::<Ctx, WholeCtx>(&mut linker, |ctx| ctx)?;
    link_sink(&mut linker)?;
    Ok(linker)
}

fn engine_config(instances: u32, memory_bytes_max: u64) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES_MAX)
        .total_memories(instances * MEMORIES_MAX)
        .total_tables(instances * TABLES_MAX)
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_memories_per_module(MEMORIES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .max_component_instance_size(COMPONENT_BYTES_MAX)
        .max_core_instance_size(CORE_INSTANCE_BYTES_MAX)
        .max_memory_size(usize::try_from(memory_bytes_max).unwrap_or(usize::MAX))
        .table_elements(TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(RESIDENT_MEMORY_BYTES)
        .table_keep_resident(RESIDENT_TABLE_BYTES)
        .pagemap_scan(Enabled::Auto);
    let mut config = code_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool)).async_stack_size(FIBER_BYTES);
    config
}

fn engine_error(error: wasmtime::Error) -> RuntimeError {
    RuntimeError::Engine { problem: format!("{error:#}") }
}
