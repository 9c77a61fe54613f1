//! Time zones by their IANA names.

use chrono_tz::{TZ_VARIANTS, Tz};

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

/// A time zone by its name.
pub(super) fn parse(name: &str) -> Result<Tz, UnknownZone> {
    name.parse().map_err(|_| UnknownZone {
        name: name.chars().take(NAME_BYTES_MAX).collect(),
        suggestions: suggestions(name),
    })
}

/// Names that differ by their case, their region (`Paris`) or a typo.
fn suggestions(name: &str) -> Vec<&'static str> {
    let mut near: Vec<_> = Vec::new();
    if name.len() <= NAME_BYTES_MAX {
        let name = name.trim().to_ascii_lowercase().replace(' ', "_");
        near.extend(TZ_VARIANTS.iter().filter_map(|zone| {
            let full = zone.name().to_ascii_lowercase();
            let city = full.rsplit('/').next().unwrap_or(&full);
            let distance = edits(&name, &full).min(edits(&name, city));
            (distance <= TYPOS_MAX.min(name.len() / 3)).then_some((distance, zone.name()))
        }));
    }
    near.sort_unstable();
    near.truncate(SUGGESTIONS_MAX);
    if near.is_empty() {
        return vec!["Europe/Paris"];
    }
    near.into_iter().map(|(_, name)| name).collect()
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
        assert_eq!(suggested("Middle-earth/Mordor"), ["Europe/Paris"]);
        assert_eq!(suggested(""), ["Europe/Paris"]);
        assert_eq!(suggested(&"x".repeat(1 << 20)), ["Europe/Paris"]);
    }

    #[test]
    fn the_error_says_what_to_write_instead() {
        assert_eq!(
            parse("Europe/Pariss").unwrap_err().to_string(),
            "`Europe/Pariss` is no time zone: use an IANA name such as Europe/Paris"
        );
    }
}
