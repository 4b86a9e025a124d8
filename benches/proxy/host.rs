//! What the host adds: its own threads for interrupts, and how many files may be open.

use crate::process;
use std::{fs, time::Duration};

/// What the kernel's own thread for interrupts of a core has used: where a program is busy, part of its network work is
/// done there.
pub fn softirqs(core: usize) -> Duration {
    let name = format!("ksoftirqd/{core}\n");
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        (fs::read_to_string(entry.path().join("comm")).ok()? == name).then_some(pid)
    });
    process::cpu(&pids.collect::<Vec<_>>())
}

/// Lets this process and those that it begins have so many files open, as far as it may.
pub fn may_open(files: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.map_or(files, |most| most.min(files)).max(limit.current.unwrap_or(files));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), ..limit });
}
