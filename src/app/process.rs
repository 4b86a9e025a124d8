//! What the process itself uses, read when somebody asks for the metrics: a leak shows here first.

use crate::base::{Metrics, TaskGroup};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Registers the process's own metrics; `tasks` are the groups whose tasks are counted, with those of their children,
/// `store` is the directory of the store, whose files are few.
pub(super) fn count(metrics: &Metrics, tasks: Vec<TaskGroup>, store: PathBuf) {
    metrics.collect(Process { tasks, store });
}

#[derive(Debug)]
struct Process {
    tasks: Vec<TaskGroup>,
    store: PathBuf,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut gauge = |name: &str, help: &str, value: Option<i64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let alive: u64 = self.tasks.iter().map(TaskGroup::alive).sum();
        gauge("tasks", "Tasks alive", i64::try_from(alive).ok())?;
        gauge("process_open_fds", "Open file descriptors", open_fds())?;
        gauge("process_threads", "Threads", field(&status, "Threads:"))?;
        let resident = field(&status, "VmRSS:").map(|kib| kib * 1024);
        gauge("process_resident_memory_bytes", "Resident memory", resident)?;
        gauge("store_bytes", "Of the store's files", i64::try_from(bytes_below(&self.store)).ok())?;
        let cores = std::thread::available_parallelism().ok().and_then(|n| i64::try_from(n.get()).ok());
        gauge("process_cores", "Processors that the process may use", cores)?;
        let total = fs::read_to_string("/proc/meminfo").ok();
        let total = total.and_then(|text| field(&text, "MemTotal:")).map(|kib| kib * 1024);
        gauge("host_memory_bytes", "Memory of the host", total)?;
        if let Some(seconds) = cpu_seconds() {
            let used = ConstCounter::new(seconds);
            let help = "Time of processors that was used, in user and in system mode";
            used.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, used.metric_type())?)?;
        }
        let panics = ConstCounter::new(self.tasks.iter().map(TaskGroup::panics).sum::<u64>());
        panics.encode(encoder.encode_descriptor("task_panics", "Tasks that panicked", None, panics.metric_type())?)
    }
}

/// Bytes of the files of a directory and of those in it.
fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(of).sum()
}

/// The kernel's clock tick as `/proc` counts: 100 a second on every Linux of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// None where /proc is not there to be read.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the process stands in brackets and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

/// None where /proc is not there to be read.
fn open_fds() -> Option<i64> {
    // The listing itself holds one open.
    fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as i64 - 1)
}

/// The number of a line of `/proc/self/status`; sizes are in KiB.
fn field(status: &str, name: &str) -> Option<i64> {
    status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn what_the_process_uses_is_among_the_metrics() {
        let (metrics, group) = (Metrics::default(), TaskGroup::new());
        let child = group.child();
        let stop = child.stop_token();
        child.spawn("sleeper", async move { stop.cancelled().await });
        let store = tempfile::tempdir().unwrap();
        fs::create_dir(store.path().join("inner")).unwrap();
        fs::write(store.path().join("inner/rows"), [0; 1000]).unwrap();
        fs::write(store.path().join("journal"), [0; 500]).unwrap();
        count(&metrics, vec![group.clone()], store.path().to_owned());
        let value = |name: &str| -> f64 {
            let text = metrics.render();
            let line = text.lines().find(|l| l.starts_with(&format!("skyvis_{name} ")));
            line.unwrap_or_else(|| panic!("{name}: {text}")).rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert_eq!(value("tasks"), 1.0);
        assert_eq!(value("task_panics_total"), 0.0);
        assert!(value("process_open_fds") >= 3.0 && value("process_threads") >= 1.0);
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_cores") >= 1.0 && value("host_memory_bytes") > 1e8);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert_eq!(value("store_bytes"), 1500.0);
        assert!(child.stop(Duration::from_secs(5)).await);
        assert_eq!(value("tasks"), 0.0, "a task that ended is not counted");
    }
}
