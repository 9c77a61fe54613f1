//! What the kernel says of a process and of a folder: memory, processor time, wake-ups, disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// What a process has used since it began, over all its threads. Threads that have ended are not
/// in it, which is right for the difference over a short time.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Usage {
    /// On a processor.
    pub(crate) cpu: Duration,
    /// Times that a thread was taken up after it had waited of its own accord.
    pub(crate) wake_ups: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let threads = format!("/proc/{pid}/task");
        let mut usage = Self::default();
        for thread in fs::read_dir(&threads).with_context(|| format!("no {threads}"))? {
            let folder = thread?.path();
            // A thread may end between the listing and the reading.
            let Ok(status) = fs::read_to_string(folder.join("status")) else { continue };
            let Ok(schedule) = fs::read_to_string(folder.join("schedstat")) else { continue };
            let nanos = schedule.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
            usage.cpu += Duration::from_nanos(nanos.context("schedstat begins with nanoseconds")?);
            usage.wake_ups += field(&status, "voluntary_ctxt_switches:")?;
        }
        Ok(usage)
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            wake_ups: self.wake_ups.saturating_sub(earlier.wake_ups),
        }
    }
}

/// The memory of a process that is in RAM, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has no status")?;
    Ok(field(&status, "VmRSS:")? * 1024)
}

/// The most memory that a process has had in RAM, in bytes.
pub(crate) fn peak_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has no status")?;
    Ok(field(&status, "VmHWM:")? * 1024)
}

/// Lets [`peak_bytes`] begin anew. Where the kernel does not allow that, the peak stays.
pub(crate) fn forget_peak_bytes(pid: u32) {
    drop(fs::write(format!("/proc/{pid}/clear_refs"), "5"));
}

/// What the files in a folder take on the disk; holes in them take nothing.
pub(crate) fn allocated_bytes(folder: &Path) -> Result<u64> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        let metadata = entry.metadata()?;
        // The unit is 512 bytes on every file system.
        bytes += if metadata.is_dir() { allocated_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// A number of a `status` file, which has one field a line.
fn field(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.with_context(|| format!("the status of the process has no `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "Name:\thost\nVmRSS:\t   51200 kB\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t99\n";
        assert_eq!(field(status, "VmRSS:").unwrap(), 51200);
        assert_eq!(field(status, "voluntary_ctxt_switches:").unwrap(), 12);
        assert!(field(status, "VmSwap:").is_err());
    }

    #[test]
    fn files_in_folders_within_count_and_holes_do_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/file"), [1; 8192]).unwrap();
        fs::File::create(folder.path().join("hole")).unwrap().set_len(1 << 30).unwrap();
        fs::File::open(folder.path().join("inner/file")).unwrap().sync_all().unwrap();
        let bytes = allocated_bytes(folder.path()).unwrap();
        assert!((8192..1 << 20).contains(&bytes), "{bytes}");
    }

    #[test]
    fn this_process_has_memory_and_has_used_the_processor() {
        let pid = std::process::id();
        let resident = resident_bytes(pid).unwrap();
        assert!(resident > 100 << 10 && peak_bytes(pid).unwrap() >= resident);
        assert!(Usage::of(pid).unwrap().cpu > Duration::ZERO);
    }
}
