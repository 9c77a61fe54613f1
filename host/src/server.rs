//! A host as a whole: the store, the runtime, the engine and the API, started and stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use std::{io, thread};

use dormouse_core::time::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api;
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::{EngineError, Host, StartError};
use crate::runtime::{Compiler, Runtime, RuntimeConfig, RuntimeError};
use crate::store::{OpenError, Store};

/// Name of the store within the data folder.
pub(crate) const STORE_FILE: &str = "dormouse.redb";

/// Memory for pages of the store. It keeps what is hot; the rest is a read away.
pub(crate) const STORE_CACHE_BYTES: usize = 64 << 20;

/// How long requests and steps that were cut off may hold the store once the host has stopped.
const CLOSING: Duration = Duration::from_secs(10);

/// A host that serves its API. One that is dropped stops in the background.
pub struct Server {
    host: Host,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    /// Serves, then stops the host and waits until its store is closed.
    serving: JoinHandle<Result<(), Cause>>,
}

/// Why a host did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ServerError(#[from] Cause);

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("cannot use {} for data", path.display())]
    Data { path: PathBuf, source: io::Error },
    #[error("cannot open the store")]
    Open(#[from] OpenError),
    #[error("cannot start the runtime")]
    Runtime(#[from] RuntimeError),
    #[error("cannot start the engine")]
    Start(#[from] StartError),
    #[error("cannot listen on {address}; is another host running there?")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the API failed")]
    Serve(#[from] io::Error),
    #[error("the engine failed")]
    Engine(#[from] EngineError),
}

impl Server {
    /// Opens or makes the store, goes on with what it holds, and serves the API.
    ///
    /// # Errors
    ///
    /// When a folder, the store or the address cannot be used.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, ServerError> {
        Ok(Self::begin(config, clock).await?)
    }

    async fn begin(config: Config, clock: Clock) -> Result<Self, Cause> {
        let unusable = |source| Cause::Data { path: config.data.clone(), source };
        std::fs::create_dir_all(&config.data).map_err(unusable)?;
        let store = Store::open(&config.data.join(STORE_FILE), STORE_CACHE_BYTES, clock.now())?;
        let closed = store.closed();
        let runtime = Runtime::new(
            RuntimeConfig {
                cache_dir: config.cache,
                compiler: config.compiler.map_or(Compiler::Here, Compiler::Program),
                slots: config.slots.get(),
                memory_bytes_max: config.memory_bytes_max,
                guest_threads: thread::available_parallelism().map_or(1, usize::from),
            },
            clock.clone(),
        )?;
        let host = Host::start(store, runtime, clock, config.slots.get() as usize, config.retention)?;
        let taken = |source| Cause::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(taken)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        // Whoever lets go of the server stops it as well.
        let shutdown = async { drop(stopped.await) };
        let serving = tokio::spawn(serve(host.clone(), listener, config.host_names, shutdown, closed));
        Ok(Self { host, address, stop, serving })
    }

    /// Where the API is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resolves once no step runs or could run, with the time of the next timer: from then on only
    /// time or a call changes anything. For tests on a virtual clock.
    pub async fn idle(&self) -> Option<Timestamp> {
        self.host.idle().await
    }

    /// Serves until `signal` resolves, then stops in order.
    ///
    /// # Errors
    ///
    /// When the store or the API has failed meanwhile.
    pub async fn run_until(self, signal: impl Future<Output = ()>) -> Result<(), ServerError> {
        tokio::select! {
            () = signal => {}
            () = self.host.ended() => {}
        }
        self.stop().await
    }

    /// Answers the requests that are under way and stops. Steps that run are given back; the next
    /// host repeats them.
    ///
    /// # Errors
    ///
    /// When the store or the API has failed.
    pub async fn stop(self) -> Result<(), ServerError> {
        let Self { host, stop, serving, .. } = self;
        drop(host);
        // It may have ended by itself.
        let _ = stop.send(());
        Ok(serving.await.unwrap_or_else(|error| Err(io::Error::other(error).into()))?)
    }
}

/// Serves the API until `shutdown`, then stops the host. Returns when nobody has the store any more:
/// the next host can open it.
async fn serve(
    host: Host,
    listener: TcpListener,
    names: Vec<String>,
    shutdown: impl Future<Output = ()> + Send + 'static,
    closed: impl Future<Output = ()>,
) -> Result<(), Cause> {
    api::serve(host.clone(), listener, names, shutdown).await;
    let stopped = tokio::task::spawn_blocking(move || host.stop()).await;
    if tokio::time::timeout(CLOSING, closed).await.is_err() {
        tracing::warn!("a request or a step still holds the store");
    }
    Ok(stopped.map_err(io::Error::other)??)
}
