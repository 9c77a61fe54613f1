//! The disk: how long it takes to append 4 KiB and have them durable. Every durable number of a
//! host has to be read beside this one.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::report::{Row, Unit};
use crate::stats::Samples;

/// How much is probed at most, whichever comes first.
const APPENDS_MAX: usize = 1000;
const TIME_MAX: Duration = Duration::from_secs(1);

/// Probes the disk under a folder; `when` is for the name of the row.
pub(crate) fn disk(folder: &Path, when: &str) -> Result<Row> {
    let path = folder.join("disk-probe");
    let mut file = File::create_new(&path)?;
    let appended = append(&mut file);
    std::fs::remove_file(path)?;
    let micros = appended?.iter().map(|taken| taken.as_secs_f64() * 1e6).collect();
    let samples = Samples::new(micros).context("nothing was appended in time")?;
    let note = format!("p99 {:.0} µs, {:.0} in a second", samples.percentile(99), 1e6 / samples.mean());
    let name = format!("disk {when}: append 4 KiB + fdatasync, p50");
    Ok(Row::probe(name, samples.median(), Unit::Micros).note(note))
}

fn append(file: &mut File) -> Result<Vec<Duration>> {
    let block = [0x5a; 4096];
    let began = Instant::now();
    let mut taken = Vec::with_capacity(APPENDS_MAX);
    while taken.len() < APPENDS_MAX && began.elapsed() < TIME_MAX {
        let before = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        taken.push(before.elapsed());
    }
    Ok(taken)
}
