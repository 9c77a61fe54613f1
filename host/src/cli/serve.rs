//! `dormouse serve`: runs the host in this process.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use dormouse_core::cron::zone_data_version;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::app::Outcome;
use crate::clock::Clock;
use crate::config::{Config, Settings};
use crate::server::Server;
use crate::zones;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Read settings from a TOML file; flags go over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,

    /// What to log, such as `info` or `dormouse=debug`
    #[arg(long, env = "DORMOUSE_LOG", default_value = "info", value_parser = filter, value_name = "FILTER")]
    log: EnvFilter,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let config = Config::load(self.config.as_deref(), self.settings)?;
        tracing_subscriber::fmt()
            .with_env_filter(self.log)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .init();
        let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
        runtime.block_on(serve(config))?;
        Ok(Outcome::Done)
    }
}

/// Of a host that was told twice to stop: what was committed is there, as after a kill.
const EXIT_AT_ONCE: i32 = 130;

async fn serve(config: Config) -> anyhow::Result<()> {
    zones::use_newest();
    tracing::info!("time zones of {}", zone_data_version());
    let data = config.data.display().to_string();
    let server = Server::start(config, Clock::system()).await?;
    tracing::info!(%data, "listening on http://{}", server.address());
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut signal = async move || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let signalled = async move {
        signal().await;
        tracing::info!("stopping; another signal ends it at once");
        tokio::spawn(async move {
            signal().await;
            tracing::warn!("ended without a stop");
            std::process::exit(EXIT_AT_ONCE);
        });
    };
    Ok(server.run_until(signalled).await?)
}

/// Reads a filter; the conversion that clap would choose takes anything.
fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(text)
}
