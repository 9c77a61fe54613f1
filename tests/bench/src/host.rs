//! A host as a process of its own, with its own store, in its default configuration.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::client::Client;
use crate::process::{forget_peak_bytes, peak_bytes};

/// Longest that a host may take to answer once it is started.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How often a host that starts is asked whether it answers: what a start time is uncertain by.
const PROBE_INTERVAL: Duration = Duration::from_millis(1);

/// How much of the host's log an error shows.
const LOG_TAIL_BYTES: usize = 2000;

/// How a host is started.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) binary: PathBuf,
    /// Of `serve`, beside the folder and the address.
    pub(crate) arguments: Vec<String>,
    pub(crate) clock: Option<ClockBack>,
    /// Most memory, in bytes, that any host so launched has had resident by the time it ended.
    pub(crate) peak: Arc<AtomicU64>,
}

/// The wall clock of a host, moved back.
#[derive(Debug, Clone)]
pub(crate) struct ClockBack {
    /// The library that does it; it reads the seconds from the variable.
    pub(crate) library: PathBuf,
    pub(crate) by: Duration,
}

/// The variable of [`ClockBack`].
const CLOCK_VARIABLE: &str = "NUMBERS_CLOCK_BACK_SECONDS";

/// A running host; it is killed, and its store deleted, when this value is dropped.
#[derive(Debug)]
pub(crate) struct Host {
    launch: Launch,
    /// Holds the store and the log.
    folder: TempDir,
    child: Child,
    address: SocketAddr,
}

impl Host {
    /// Starts a host on a new store in a folder within `data`, and uploads a module to it.
    pub(crate) async fn start(launch: Launch, module: &Path, data: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("host-").tempdir_in(data)?;
        let (child, address) = spawn(&launch, folder.path())?;
        let mut host = Self { launch, folder, child, address };
        host.answers().await?;
        let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
        host.connect().await?.upload(bytes).await.context("the host refused the test programs")?;
        // Compiling the programs takes more memory than all that is measured.
        forget_peak_bytes(host.pid());
        Ok(host)
    }

    /// Ends the host with SIGKILL and starts another on its store. Gives the time from the start
    /// of the process; the host may not yet answer.
    pub(crate) fn kill_and_restart(&mut self) -> Result<Instant> {
        self.kill();
        let began = Instant::now();
        (self.child, self.address) = spawn(&self.launch, self.folder.path())?;
        Ok(began)
    }

    /// As [`kill_and_restart`](Self::kill_and_restart), with the clock as it is.
    pub(crate) fn kill_and_restart_now(&mut self) -> Result<Instant> {
        self.launch.clock = None;
        self.kill_and_restart()
    }

    /// Returns once `/healthz` answers.
    pub(crate) async fn answers(&mut self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                bail!("the host ended with {status} and said:\n{}", self.log_tail());
            }
            if let Ok(mut client) = self.connect().await
                && client.get("/healthz").await.is_ok()
            {
                return Ok(());
            }
            sleep(PROBE_INTERVAL).await;
        }
        bail!("the host did not answer within {START_LIMIT:?} and said:\n{}", self.log_tail())
    }

    pub(crate) async fn connect(&self) -> Result<Client> {
        Client::connect(self.address).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn store(&self) -> PathBuf {
        store(self.folder.path())
    }

    /// The end of what the host has said.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(log(self.folder.path())).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
    }

    /// Lets [`peak_bytes`](Self::peak_bytes) begin anew; what it was goes into the measurement's.
    pub(crate) fn forget_peak(&self) {
        self.launch.peak.fetch_max(self.peak_bytes().unwrap_or_default(), Ordering::Relaxed);
        forget_peak_bytes(self.pid());
    }

    /// Most memory that the host has had resident since it has the test programs.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        peak_bytes(self.pid())
    }

    fn kill(&mut self) {
        // A host that has ended of its own accord has no memory any more.
        self.launch.peak.fetch_max(self.peak_bytes().unwrap_or_default(), Ordering::Relaxed);
        // Either fails only when the process has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

fn store(folder: &Path) -> PathBuf {
    folder.join("store")
}

fn log(folder: &Path) -> PathBuf {
    folder.join("host.log")
}

fn spawn(launch: &Launch, folder: &Path) -> Result<(Child, SocketAddr)> {
    let address = free_address()?;
    let log = File::options().create(true).append(true).open(log(folder))?;
    let mut command = Command::new(&launch.binary);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"DORMOUSE_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.arg("serve").arg("--data").arg(store(folder)).args(["--listen", &address.to_string()]);
    command.args(&launch.arguments);
    if let Some(clock) = &launch.clock {
        command.env("LD_PRELOAD", &clock.library).env(CLOCK_VARIABLE, clock.by.as_secs().to_string());
    }
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let child = command.spawn().with_context(|| format!("cannot start {}", launch.binary.display()))?;
    Ok((child, address))
}

/// An address that nobody listened on a moment ago. It is chosen here so that nothing has to be
/// read from the host's log to learn it, which would count as part of its start.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
