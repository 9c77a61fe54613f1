//! `cargo numbers`: measures a real host over HTTP, as any user could, and puts each number beside
//! its target. Everything is bounded in count and time, and every host is killed in the end.

mod against;
mod artefacts;
mod beside;
mod client;
mod clock;
mod host;
mod load;
mod measure;
mod process;
mod programs;
mod report;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use against::{Comparison, Earlier};
use clock::ClockWatch;
use host::{ClockBack, Host, Launch};
use report::{Report, Row, Section, Unit};

/// Longest that one measurement may take, whatever it waits for. A million sleepers take most of it.
const MEASUREMENT_LIMIT: Duration = Duration::from_secs(3600);

/// The name of the row that every measurement with a host has.
const PEAK: &str = "peak resident memory of the host";

/// Measures a Dormouse host and puts each number beside its target.
#[derive(Debug, Parser)]
#[command(name = "numbers")]
struct Arguments {
    /// The host's binary [default: built by cargo, with optimisation]
    #[arg(long, value_name = "PATH")]
    host: Option<PathBuf>,
    /// The module with the test programs [default: built by cargo]
    #[arg(long, value_name = "PATH")]
    guest: Option<PathBuf>,
    /// Where the stores of the hosts lie while they are measured [default: the target folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Measure only these
    #[arg(long, value_name = "NAME", num_args = 1.., value_enum)]
    only: Vec<Measurement>,
    /// Sleepers of `sleepers` and `backlog`
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    sleepers: u32,
    /// Measure `long`, too: up to an hour, and twice as many bytes on the disk as `--long-bytes`
    #[arg(long)]
    long: bool,
    /// Size of the store at which `long` fills it no further
    #[arg(long, value_name = "BYTES", default_value_t = 10_000_000_000, requires = "long")]
    long_bytes: u64,
    /// Longest that `long` may fill the store, and then look at it, together
    #[arg(long, value_name = "MINUTES", default_value_t = 60, requires = "long", value_parser = clap::value_parser!(u32).range(1..=1440))]
    long_minutes: u32,
    /// Of `hostile`, only the loads with this text in their names
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    loads: String,
    /// A tenth of the sizes: a look at whether all works, not numbers to quote
    #[arg(long)]
    quick: bool,
    /// Compare with an earlier run, of another build for instance: its output with `--json`
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What can be measured, in the order in which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// Instance start, snapshot, restore, wake
    Instance,
    /// Trivial runs per second, one client and many
    Throughput,
    /// Sleepers due in the same instant
    LatenessBurst,
    /// Sleepers due one after the other
    LatenessSteady,
    /// One sleep after few and after many
    SleepCost,
    /// Disk, memory, idling and restart with many sleepers
    Sleepers,
    /// A cron beside sleepers that are all due at once
    Backlog,
    /// Events against 100,000 waits on one key with filters of their own
    FilteredWaits,
    /// A run that spawns and joins 10,000 children
    Join,
    /// Throughput while as many runs go, by retention, as come
    Steady,
    /// Modules and loads that mean harm, and a trivial call beside each
    Hostile,
    /// The same as `steady` in a store of 10 GB; only with `--long`
    Long,
}

/// What every measurement needs.
#[derive(Debug)]
struct Bench {
    host: PathBuf,
    guest: PathBuf,
    /// Deleted in the end.
    data: TempDir,
    /// How many sleep, in `sleepers` and `backlog`.
    sleepers: usize,
    /// Bytes at which the store is large enough, and the time for it, in `long`.
    long_bytes: u64,
    long: Duration,
    /// What the names of the loads have in them, in `hostile`.
    loads: String,
    quick: bool,
    /// Most memory that a host has had resident in this measurement.
    peak: Arc<AtomicU64>,
}

impl Bench {
    /// Builds what has to be built.
    fn new(arguments: &Arguments) -> Result<Self> {
        let host = arguments.host.clone().map_or_else(artefacts::host, Ok)?;
        let guest = arguments.guest.clone().map_or_else(artefacts::guest, Ok)?;
        for path in [&host, &guest] {
            if !path.is_file() {
                bail!("there is no file {}", path.display());
            }
        }
        let data = arguments.data.clone().map_or_else(artefacts::target, Ok)?;
        let data = tempfile::Builder::new()
            .prefix("numbers-")
            .tempdir_in(&data)
            .with_context(|| format!("cannot make a folder in {}", data.display()))?;
        // Without a slash in it, a path would be looked for where the system keeps its programs.
        let sleepers = usize::try_from(arguments.sleepers)?;
        let (host, loads, quick) = (host.canonicalize()?, arguments.loads.clone(), arguments.quick);
        let long = Duration::from_secs(60) * arguments.long_minutes;
        let (long_bytes, peak) = (arguments.long_bytes, Arc::default());
        Ok(Self { host, guest, data, sleepers, long_bytes, long, loads, quick, peak })
    }

    /// A host with an empty store and the test programs.
    async fn start_host(&self) -> Result<Host> {
        Host::start(self.launch(), &self.guest, self.data.path()).await
    }

    /// How a host is started when nothing else is said.
    fn launch(&self) -> Launch {
        let (binary, peak) = (self.host.clone(), Arc::clone(&self.peak));
        Launch { binary, arguments: Vec::new(), clock: None, peak }
    }

    /// A host as [`start_host`](Self::start_host) gives, whose clock is behind by so much, or not at
    /// all, and with these arguments.
    async fn start_host_behind(&self, by: Option<Duration>, arguments: &[&str]) -> Result<Host> {
        let clock = by.map(|by| Ok::<_, anyhow::Error>(ClockBack { library: artefacts::clock_shift()?, by }));
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let launch = Launch { clock: clock.transpose()?, arguments, ..self.launch() };
        Host::start(launch, &self.guest, self.data.path()).await
    }

    /// A number of things to measure, cut down if it is to be quick.
    fn size(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(10) } else { full }
    }

    async fn measure(&self, what: Measurement) -> Section {
        let name = what.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned());
        eprintln!("measuring {name} ...");
        self.peak.store(0, Ordering::Relaxed);
        let mut rows = Vec::new();
        let watch = ClockWatch::start();
        let limit = MEASUREMENT_LIMIT + if what == Measurement::Long { self.long } else { Duration::ZERO };
        let result = timeout(limit, self.rows(what, &mut rows)).await;
        let failed = match result {
            Ok(Ok(())) => watch.jump(),
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some(format!("it did not end within {limit:?}")),
        };
        let peak = self.peak.load(Ordering::Relaxed);
        if peak > 0 {
            rows.push(Row::new(PEAK, peak as f64 / 1e6, Unit::Megabytes));
        }
        Section { name, rows, failed }
    }

    async fn rows(&self, what: Measurement, rows: &mut Vec<Row>) -> Result<()> {
        // A shared disk may change in the middle of a measurement: only with a probe on either
        // side can that be seen.
        rows.push(self.disk("before")?);
        match what {
            Measurement::Instance => measure::instance(self, rows).await,
            Measurement::Throughput => measure::throughput(self, rows).await,
            Measurement::LatenessBurst => measure::lateness_burst(self, rows).await,
            Measurement::LatenessSteady => measure::lateness_steady(self, rows).await,
            Measurement::SleepCost => measure::sleep_cost(self, rows).await,
            Measurement::Sleepers => measure::sleepers(self, rows).await,
            Measurement::Backlog => measure::backlog(self, rows).await,
            Measurement::FilteredWaits => measure::filtered_waits(self, rows).await,
            Measurement::Join => measure::join(self, rows).await,
            Measurement::Steady => measure::steady(self, rows).await,
            Measurement::Hostile => measure::hostile(self, rows).await,
            Measurement::Long => measure::long(self, rows).await,
        }?;
        rows.push(self.disk("after")?);
        Ok(())
    }

    fn disk(&self, when: &str) -> Result<Row> {
        measure::disk(self.data.path(), when).context("the disk could not be probed")
    }
}

// One thread: the host has the other cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints; whether every measurement came to its end. A missed target is a result,
/// not a failure.
async fn run(arguments: &Arguments) -> Result<bool> {
    // Before anything is measured: a report that cannot be read is found out at once.
    let before = arguments.against.as_deref().map(Earlier::read).transpose()?;
    let bench = Bench::new(arguments)?;
    ensure!(arguments.long || !arguments.only.contains(&Measurement::Long), "`long` needs `--long`");
    let chosen = |what: &Measurement| {
        (arguments.only.is_empty() || arguments.only.contains(what))
            && (*what != Measurement::Long || arguments.long)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut report = Report { quick: arguments.quick, cores, sections: Vec::new() };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    for what in Measurement::value_variants().iter().filter(|what| chosen(what)) {
        // Dropping a measurement kills its host.
        let section = tokio::select! {
            section = bench.measure(*what) => section,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        };
        report.sections.push(section);
    }
    if arguments.json {
        println!("{:#}", report.to_json(before.as_ref()));
    } else {
        print!("{report}");
        if let Some(before) = &before {
            print!("\n{}", Comparison { before, after: &report });
        }
    }
    Ok(report.is_complete())
}
