//! What processes cost: CPU time by the scheduler's own count, memory, pinning.

use std::{
    fs,
    process::{Child, Command},
    time::Duration,
};

/// CPU time of all threads of these processes, from `schedstat`: in nanoseconds, where `stat` counts in ticks of 10 ms,
/// which is as much as one ffmpeg uses in half a second.
pub fn cpu(pids: &[u32]) -> Duration {
    let of_thread = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0u64)
    };
    let threads = pids.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten());
    Duration::from_nanos(threads.flatten().map(|thread| of_thread(thread.path())).sum())
}

/// Resident and proportional memory of these processes together, in bytes.
pub fn memory(pids: &[u32]) -> (u64, u64) {
    let mut sums = (0, 0);
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        sums.0 += field("Rss:").unwrap_or(0) * 1024;
        sums.1 += field("Pss:").unwrap_or(0) * 1024;
    }
    sums
}

/// A command that runs on one core, where there is more than one.
pub fn on_core(core: usize, program: &str) -> Command {
    if cores() < 2 {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string(), program]);
    command
}

/// Keeps this process, and every thread that it begins later, on one core, where there is more than one.
pub fn stay_on_core(core: usize) {
    if cores() >= 2 {
        let mut set = rustix::thread::CpuSet::new();
        set.set(core);
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}

fn cores() -> usize {
    fs::read_to_string("/proc/cpuinfo").unwrap_or_default().matches("processor\t").count()
}

/// Asks a process to end, waits, and says whether it ended well.
pub fn end(child: &mut Child) -> bool {
    let pid = rustix::process::Pid::from_child(child);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    child.wait().is_ok_and(|status| status.success())
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// Has a program there, installed from the distribution where it is missing.
pub fn need(program: &str, package: &str) -> Result<(), Box<dyn std::error::Error>> {
    // Servers lie where only root looks.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let there = || path.split(':').any(|dir| std::path::Path::new(dir).join(program).is_file());
    if there() {
        return Ok(());
    }
    let script = format!(
        "as_root=; [ \"$(id -u)\" = 0 ] || as_root=sudo; $as_root apt-get update -qq && \
         DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends {package} >&2"
    );
    let installed = Command::new("sh").args(["-c", &script]).status()?.success();
    if installed && there() { Ok(()) } else { Err(format!("install {package} first").into()) }
}
