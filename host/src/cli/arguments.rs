//! Arguments that several subcommands share, and how their texts are read.

use std::fmt::Display;
use std::time::Duration;
use std::{fs, io};

use anyhow::Context as _;
use chrono::DateTime;
use clap::Args;
use dormouse_core::time::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::clock::Clock;

/// A stretch of a list.
#[derive(Debug, Args, Serialize)]
pub(super) struct Stretch {
    /// At most this many rows, up to 200 [default: 50]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,

    /// Go on where the stretch before ended
    #[arg(long)]
    cursor: Option<String>,
}

/// JSON as it was typed, or read from a file.
pub(super) type Json = Box<RawValue>;

/// JSON, or the content of a file after `@`, or of standard input after `@-`.
pub(super) fn json(text: &str) -> Result<Json, String> {
    let text = match text.strip_prefix('@') {
        Some("-") => {
            io::read_to_string(io::stdin()).map_err(|error| format!("cannot read standard input: {error}"))?
        }
        Some(path) => fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?,
        None => text.to_owned(),
    };
    // Some editors begin a file with a mark of its byte order.
    let text = text.trim_start_matches('\u{feff}').to_owned();
    let not_json = |error| format!("not JSON: {error} (strings need quotation marks of their own)");
    RawValue::from_string(text).map_err(not_json)
}

/// A pair of metadata, as `key:value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair(String, String);

impl Pair {
    /// Reads `key:value`, in which the value may contain more colons.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, value) = text.split_once(':').context("metadata is written KEY:VALUE")?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

/// As in a filter.
impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{}", self.0, self.1))
    }
}

/// Pairs as the object that bodies have.
pub(super) fn as_object<S: Serializer>(pairs: &[Pair], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|Pair(name, value)| (name, value)))
}

/// A time: one that is given, or a span from now.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct When {
    /// At this time, such as 2030-01-31T09:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,

    /// After this span, such as 2h or "1h 30m"
    #[arg(long = "in", value_name = "SPAN", value_parser = humantime::parse_duration)]
    after: Option<Duration>,
}

impl When {
    /// The time in RFC 3339, if one was given.
    pub(super) fn text(&self) -> Option<String> {
        let after = |span| Clock::system().now().after(span);
        self.at.or_else(|| self.after.map(after)).map(|time| time.to_string())
    }
}

/// A time in RFC 3339, with any offset.
pub(super) fn time(text: &str) -> anyhow::Result<Timestamp> {
    let time = DateTime::parse_from_rfc3339(text).context("times are written 2030-01-31T09:00:00Z")?;
    Ok(Timestamp::from_chrono(time.to_utc()))
}

/// For durations in bodies.
pub(super) fn as_millis<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    span.map(|span| span.as_millis()).serialize(serializer)
}

/// For names and ids in queries.
pub(super) fn as_name<T: Display, S: Serializer>(name: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    name.as_ref().map(T::to_string).serialize(serializer)
}

/// For times in queries.
pub(super) fn as_time<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    as_name(time, serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_as_it_was_typed() {
        let text = r#"{"b": 1, "a": 12345678901234567890.10}"#;
        assert_eq!(json(text).unwrap().get(), text);
        assert!(json("hello").is_err());
    }

    #[test]
    fn json_is_read_from_a_file_after_an_at_sign() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input.json");
        fs::write(&path, "[1]\n").unwrap();
        assert_eq!(json(&format!("@{}", path.display())).unwrap().get().trim(), "[1]");
    }

    #[test]
    fn times_are_read_with_any_offset_and_spans_from_now() {
        assert_eq!(time("2030-01-31T10:00:00+01:00").unwrap().to_string(), "2030-01-31T09:00:00.000Z");
        let before = Clock::system().now();
        let when = When { at: None, after: Some(Duration::from_secs(7200)) };
        let text = when.text().unwrap();
        assert!(time(&text).unwrap() >= before.after(Duration::from_secs(7200)), "{text}");
        assert_eq!(When { at: None, after: None }.text(), None);
    }

    #[test]
    fn the_value_of_a_pair_may_contain_colons() {
        assert_eq!(Pair::parse("url:http://x").unwrap(), Pair("url".into(), "http://x".into()));
        assert!(Pair::parse("team").is_err());
    }
}
