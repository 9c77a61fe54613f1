//! The Dormouse host. `ARCHITECTURE.md` has the picture.

mod api;
mod check;
pub mod cli;
mod clock;
mod config;
mod engine;
mod error;
mod operations;
mod panic;
mod runtime;
mod schema;
mod server;
mod store;
mod triggers;
mod zones;

pub use check::{CheckError, check};
pub use clock::Clock;
pub use config::Config;
pub use server::{Server, ServerError};
pub use store::Problem;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        // Tests put things together as they like.
        let paths = paths.filter(|path| path.file_stem().unwrap() != "tests");
        paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn every_folder_uses_only_those_below_it_in_the_table() {
        let host = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = fs::read_to_string(host.join("ARCHITECTURE.md")).unwrap();
        let folders = page.lines().filter_map(|line| line.strip_prefix("| `host/src/")?.split('`').next());
        let folders: Vec<_> = folders.collect();
        assert!(folders.len() > 5, "{folders:?}");
        for (index, folder) in folders.iter().enumerate() {
            for file in sources(&host.join("src").join(folder)) {
                let text = fs::read_to_string(&file).unwrap();
                for above in &folders[..index] {
                    assert!(!text.contains(&format!("crate::{above}")), "{} uses {above}", file.display());
                }
            }
        }
    }
}
