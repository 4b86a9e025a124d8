//! What the process itself uses, read when somebody asks for the metrics: a leak shows here first.

use crate::base::{Metrics, TaskGroup};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::fs;

/// Registers the process's own metrics; `tasks` are the groups whose tasks are counted, with those of their children.
pub(super) fn count(metrics: &Metrics, tasks: Vec<TaskGroup>) {
    metrics.collect(Process { tasks });
}

#[derive(Debug)]
struct Process {
    tasks: Vec<TaskGroup>,
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
        let panics = ConstCounter::new(self.tasks.iter().map(TaskGroup::panics).sum::<u64>());
        panics.encode(encoder.encode_descriptor("task_panics", "Tasks that panicked", None, panics.metric_type())?)
    }
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
        count(&metrics, vec![group.clone()]);
        let value = |name: &str| -> f64 {
            let text = metrics.render();
            let line = text.lines().find(|l| l.starts_with(&format!("skyvis_{name} ")));
            line.unwrap_or_else(|| panic!("{name}: {text}")).rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert_eq!(value("tasks"), 1.0);
        assert_eq!(value("task_panics_total"), 0.0);
        assert!(value("process_open_fds") >= 3.0 && value("process_threads") >= 1.0);
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(child.stop(Duration::from_secs(5)).await);
        assert_eq!(value("tasks"), 0.0, "a task that ended is not counted");
    }
}
