//! The order in which a daemon stops, the time that each phase is given (all together under 20 s), and the watch over
//! rooms' own tasks until then.

use crate::base::TaskGroup;
use std::{future::Future, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What a phase may take before the next begins without it.
const LISTENERS_STOP: Duration = Duration::from_secs(3);
/// RTSP TEARDOWN is awaited in here.
const CAMERAS_STOP: Duration = Duration::from_secs(6);
/// The last fragments are written and synced in here.
const RECORDER_STOP: Duration = Duration::from_secs(6);
const KEEPING_STOP: Duration = Duration::from_secs(2);
/// The store closes behind all phases; on a disk that hangs it never would.
pub(super) const STORE_CLOSE: Duration = Duration::from_secs(2);
/// What is promised of a stop.
const STOP_MAX: Duration = Duration::from_secs(20);
const _: () = {
    let phases = LISTENERS_STOP.as_secs() + CAMERAS_STOP.as_secs() + RECORDER_STOP.as_secs() + KEEPING_STOP.as_secs();
    assert!(phases + STORE_CLOSE.as_secs() < STOP_MAX.as_secs());
};

/// The groups of tasks, named for the phase in which they end.
#[derive(Clone, Default)]
pub struct Phases {
    /// What takes requests.
    pub listeners: TaskGroup,
    /// What takes frames from cameras.
    pub cameras: TaskGroup,
    /// What makes footage of frames.
    pub recorder: TaskGroup,
    /// What keeps footage, events and itself in order.
    pub keeping: TaskGroup,
}

impl Phases {
    /// Tells all tasks to end when it is dropped. Held through a start, behind the rooms' handles and so dropped before
    /// them: a task that ends because its handles are gone is not taken for one that failed.
    pub(super) fn cancel_on_drop(&self) -> [DropGuard; 4] {
        [&self.listeners, &self.cameras, &self.recorder, &self.keeping].map(|group| group.stop_token().drop_guard())
    }

    /// All of them.
    pub(super) fn groups(&self) -> Vec<TaskGroup> {
        vec![self.listeners.clone(), self.cameras.clone(), self.recorder.clone(), self.keeping.clone()]
    }

    /// Stops from the outside in: nothing new comes, then what is under way is finished, then it is kept.
    /// True where every phase ended in its time.
    pub async fn stop(&self) -> bool {
        let phases = [
            ("listeners", &self.listeners, LISTENERS_STOP),
            ("cameras", &self.cameras, CAMERAS_STOP),
            ("recorder", &self.recorder, RECORDER_STOP),
            ("keeping", &self.keeping, KEEPING_STOP),
        ];
        let mut in_time = true;
        for (phase, group, deadline) in phases {
            let ended = group.stop(deadline).await;
            if !ended {
                tracing::error!(phase, deadline_s = deadline.as_secs(), "did not stop in time, going on without it");
            }
            in_time &= ended;
        }
        in_time
    }
}

/// Runs a room's own task: its end before the stop is a bug that ends the process.
pub(super) fn run_room(
    group: &TaskGroup,
    room: &'static str,
    ended: &mpsc::Sender<&'static str>,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let (stop, ended): (CancellationToken, _) = (group.stop_token(), ended.clone());
    let child = group.spawn(room, task);
    group.spawn("room watch", async move {
        let end = child.await;
        if !stop.is_cancelled() {
            tracing::error!(room, ?end, "the task of a room ended by itself");
            // One report is enough to stop the process.
            let _ = ended.try_send(room);
        }
    });
}
