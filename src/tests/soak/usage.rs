//! What the daemon's process uses, looked at again and again while an evening goes on.

use crate::tests::{harness::Api, heap::Heap};
use std::{fs, path::Path, time::Duration};
use tokio::time::Instant;

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What the daemon's process uses.
#[derive(Clone, Debug)]
pub(in crate::tests) struct Usage {
    pub resident_bytes: u64,
    /// What of it is memory of its own: the rest is the program's file, as far as it was run yet.
    pub own_bytes: u64,
    /// What the program has allocated and not given back.
    pub heap: Heap,
    pub open_fds: u64,
    pub tasks: u64,
    pub panics: u64,
    pub clock_steps: u64,
}

impl Usage {
    /// None while the daemon does not answer.
    pub(in crate::tests) async fn of(api: &Api, told: &Path) -> Option<Self> {
        let (status, body) = api.try_get("/metrics").await?;
        let text = String::from_utf8(body.to_vec()).ok().filter(|_| status == 200)?;
        let value = |name: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.split(' ').next());
            line.and_then(|v| v.parse::<f64>().ok()).unwrap_or_else(|| panic!("{name} is not in {text}")) as u64
        };
        let heap = Heap::told(told)?;
        Some(Self {
            resident_bytes: value("skyvis_process_resident_memory_bytes"),
            own_bytes: own_bytes(heap.process)?,
            heap,
            open_fds: value("skyvis_process_open_fds"),
            tasks: value("skyvis_tasks"),
            panics: value("skyvis_task_panics_total"),
            clock_steps: value("skyvis_clock_steps_total"),
        })
    }
}

/// Anonymous memory of a process, which is what it has allocated, its stacks and what its allocator keeps.
fn own_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib = status.lines().find_map(|l| l.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"))?;
    kib.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What was seen of one process, the latest last.
#[derive(Default)]
pub(super) struct Watch {
    begun: Option<Instant>,
    looked: Option<Instant>,
    seen: Vec<(Duration, Usage)>,
}

impl Watch {
    /// Notes what is used, unless that was just done.
    pub(super) async fn look(&mut self, api: &Api, told: &Path) {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        if let Some(usage) = Usage::of(api, told).await {
            self.looked = Some(Instant::now());
            println!("soak: after {:>5} s {usage}", begun.elapsed().as_secs());
            self.seen.push((begun.elapsed(), usage));
        }
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "heap {:.1} MiB in {} blocks, own {:.1} MiB, resident {:.1} MiB, {} tasks, {} descriptors",
            mib(self.heap.bytes),
            self.heap.blocks.iter().map(|(_, n)| n).sum::<i64>(),
            mib(self.own_bytes),
            mib(self.resident_bytes),
            self.tasks,
            self.open_fds,
        )
    }
}
