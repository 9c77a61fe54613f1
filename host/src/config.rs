//! The settings of the host: one struct, checked before anything starts.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_core::bounds::MEMORY_BYTES_MIN;
use serde::Deserialize;

use crate::runtime::Compiler;

/// Enough steps at once to fill a batch while the one before it syncs.
const SLOTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// Most memory of one instance.
const MEMORY_BYTES: u64 = 64 << 20;

/// How long what has ended is kept.
const RETENTION_DAYS: u32 = 30;

/// What the host runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Folder of the store; made if it is not there.
    pub data: PathBuf,
    /// Folder of the cache of compiled modules, to which nobody else may write.
    pub cache: PathBuf,
    /// The program that compiles modules, in a process for each: `dormouse` itself, or one with its `cli::main`. Without
    /// it they are compiled in this process, which then takes what that takes.
    pub compiler: Option<PathBuf>,
    /// Where the API is served: a loopback address.
    pub listen: SocketAddr,
    /// Names by which clients know the host, besides its addresses and `localhost`.
    pub host_names: Vec<String>,
    /// Steps that run at once.
    pub slots: NonZeroU32,
    /// Most memory that one instance of a guest may have.
    pub memory_bytes_max: u64,
    /// How long ended runs with their logs, events and fired schedules are kept; for ever if `None`.
    pub retention: Option<Duration>,
}

/// Settings as flags or in a file, where each may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Folder of the store [default: ./dormouse-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Where to serve the API [default: 127.0.0.1:7666]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// A name by which clients reach the host, besides its addresses and `localhost`; repeatable
    #[arg(long = "host-name", value_name = "NAME")]
    #[serde(default)]
    host_names: Vec<String>,

    /// Steps that run at once [default: 256]
    #[arg(long, value_name = "N")]
    slots: Option<NonZeroU32>,

    /// Most memory of one instance of a guest, in bytes [default: 67108864]
    #[arg(long, value_name = "BYTES")]
    memory_bytes_max: Option<u64>,

    /// Days that ended runs, their logs, events and fired schedules are kept; 0 means for ever [default: 30]
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<u32>,
}

/// Why the host cannot run with its settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot tell which program this is, to compile modules with it")]
    Program(#[source] io::Error),
    #[error("{} does not hold settings", path.display())]
    Malformed { path: PathBuf, source: toml::de::Error },
    #[error(
        "refused to listen on {listen}: without tokens, which this version does not know yet, anyone who reaches \
         the port commands the host; listen on a loopback address such as 127.0.0.1:7666"
    )]
    NotLoopback { listen: SocketAddr },
    #[error(
        "memory_bytes_max is {bytes}: it goes from {MEMORY_BYTES_MIN}, one page, to 4294967296, all of them"
    )]
    Memory { bytes: u64 },
}

impl Config {
    /// The defaults, with everything in one folder and on a port that is free.
    #[must_use]
    pub fn in_folder(data: PathBuf) -> Self {
        Self {
            cache: data.join("cache"),
            data,
            compiler: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            host_names: Vec::new(),
            slots: SLOTS,
            memory_bytes_max: MEMORY_BYTES,
            retention: days(RETENTION_DAYS),
        }
    }

    /// The settings of the flags over those of the file over the defaults.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has unknown keys, or a setting makes no sense.
    pub(crate) fn load(file: Option<&Path>, flags: Settings) -> Result<Self, ConfigError> {
        let file = file.map_or(Ok(Settings::default()), Settings::read)?;
        let data = flags.data.or(file.data).unwrap_or_else(|| PathBuf::from("./dormouse-data"));
        let config = Self {
            cache: data.join("cache"),
            data,
            compiler: Some(Compiler::own_program().map_err(ConfigError::Program)?),
            listen: flags.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7666))),
            host_names: [flags.host_names, file.host_names].concat(),
            slots: flags.slots.or(file.slots).unwrap_or(SLOTS),
            memory_bytes_max: flags.memory_bytes_max.or(file.memory_bytes_max).unwrap_or(MEMORY_BYTES),
            retention: days(flags.retention_days.or(file.retention_days).unwrap_or(RETENTION_DAYS)),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() {
            return Err(ConfigError::NotLoopback { listen: self.listen });
        }
        if !(MEMORY_BYTES_MIN..=1 << 32).contains(&self.memory_bytes_max) {
            return Err(ConfigError::Memory { bytes: self.memory_bytes_max });
        }
        Ok(())
    }
}

/// A retention of so many days; none keeps for ever.
fn days(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
}

impl Settings {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let malformed = |source| ConfigError::Malformed { path: path.to_owned(), source };
        toml::from_str(&fs::read_to_string(path).map_err(unreadable)?).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, flags: Settings) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dormouse.toml");
        fs::write(&path, file).unwrap();
        Config::load(Some(&path), flags)
    }

    #[test]
    fn flags_go_over_the_file_and_the_file_over_the_defaults() {
        let flags = Settings { slots: NonZeroU32::new(7), ..Settings::default() };
        let config = load("slots = 3\nlisten = \"[::1]:1\"\nretention_days = 7", flags).unwrap();
        assert_eq!(config.retention, Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(config.slots.get(), 7);
        assert_eq!(config.listen.to_string(), "[::1]:1");
        assert_eq!(config.data, Path::new("./dormouse-data"));
    }

    #[test]
    fn unknown_keys_and_senseless_values_are_errors() {
        for file in ["slot = 3", "slots = 0", "memory_bytes_max = 1", "["] {
            assert!(load(file, Settings::default()).is_err(), "{file}");
        }
        assert!(Config::load(Some(Path::new("/no/such/file")), Settings::default()).is_err());
    }

    #[test]
    fn only_loopback_addresses_are_listened_on() {
        for listen in ["0.0.0.0:7666", "192.168.0.1:7666", "[::]:7666"] {
            let flags = Settings { listen: listen.parse().ok(), ..Settings::default() };
            let refused = Config::load(None, flags);
            assert!(matches!(refused, Err(ConfigError::NotLoopback { .. })), "{listen}");
        }
    }
}
