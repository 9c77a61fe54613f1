//! The system's time zone data, which take the place of the program's own where they are newer: a government
//! that changes its clocks needs no new host.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use dormouse_core::cron::{ZoneData, own_zone_data_version, use_zone_data};

/// Where systems keep them.
const FOLDERS: [&str; 3] = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo"];

/// Files that say which release it is: by their first line, behind these words.
const VERSIONS: [(&str, &str); 2] = [("tzdata.zi", "# version "), ("+VERSION", "")];

/// Copies of all others, with and without leap seconds, and files that are no zone of a name of its own.
const COPIES: [&str; 5] = ["posix", "right", "localtime", "posixrules", "Factory"];

/// What a file of a zone begins with, and how large one and the number of them can be: they are a few kilobytes each,
/// and some 600.
const MAGIC: &[u8] = b"TZif";
const ZONE_BYTES_MAX: u64 = 64 << 10;
const ZONES_MAX: usize = 4_096;

/// Looks for newer data than the program's own, and has them used. For a program to do once, before anything else.
pub(crate) fn use_newest() {
    let newest =
        FOLDERS.iter().filter_map(|folder| Some((version(Path::new(folder))?, Path::new(folder)))).max();
    if let Some((version, folder)) = newest.filter(|(version, _)| version.as_str() > own_zone_data_version())
    {
        let mut zones = BTreeMap::new();
        read(folder, "", &mut zones);
        // Those that came first are as new.
        drop(use_zone_data(ZoneData { version, zones }));
    }
}

/// The release, such as `2026f`.
fn version(folder: &Path) -> Option<String> {
    VERSIONS.iter().find_map(|(name, words)| {
        let mut line = String::new();
        let file = File::open(folder.join(name)).ok()?;
        BufReader::new(file.take(256)).read_line(&mut line).ok()?;
        let version = line.strip_prefix(words)?.trim();
        is_version(version).then(|| version.to_owned())
    })
}

/// A year, and a letter for each release in it.
fn is_version(text: &str) -> bool {
    let (year, letters) = text.split_at_checked(4).unwrap_or_default();
    year.bytes().all(|byte| byte.is_ascii_digit())
        && !year.is_empty()
        && !letters.is_empty()
        && letters.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Every zone in a folder and those in it, by the path from the first one.
fn read(folder: &Path, prefix: &str, zones: &mut BTreeMap<String, Vec<u8>>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let Ok(file) = entry.file_name().into_string() else { continue };
        let name = format!("{prefix}{file}");
        if COPIES.contains(&name.as_str()) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            let is_deep = prefix.matches('/').count() > 2;
            if !is_deep {
                read(&path, &format!("{name}/"), zones);
            }
        } else if zones.len() < ZONES_MAX
            && let Some(data) = zone(&path)
        {
            zones.insert(name, data);
        }
    }
}

fn zone(path: &Path) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    let file = File::open(path).ok()?;
    file.take(ZONE_BYTES_MAX).read_to_end(&mut data).ok()?;
    data.starts_with(MAGIC).then_some(data)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn zones_of_a_folder_are_found_with_their_release() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(version(folder.path()), None);
        put("tzdata.zi", b"# version 2026f\n# more\n");
        put("zone.tab", b"FR Paris");
        for name in
            ["UTC", "Europe/Paris", "America/Indiana/Knox", "posix/UTC", "right/Europe/Paris", "localtime"]
        {
            put(name, b"TZif2");
        }
        assert_eq!(version(folder.path()).as_deref(), Some("2026f"));
        let mut zones = BTreeMap::new();
        read(folder.path(), "", &mut zones);
        assert_eq!(zones.into_keys().collect::<Vec<_>>(), ["America/Indiana/Knox", "Europe/Paris", "UTC"]);
    }

    #[test]
    fn what_is_no_release_is_not_taken_for_one() {
        for text in ["", "2026", "unknown", "20a", "2026F", "2026f-dirty", "\u{e4}\u{e4}\u{e4}"] {
            assert!(!is_version(text), "{text}");
        }
        assert!(["2026f", "1996aa"].into_iter().all(is_version));
    }
}
