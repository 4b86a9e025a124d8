//! Threads for tasks that are many and wake often: each runs its tasks in turns and sleeps between them.
//!
//! What a stream costs is wake-ups, not bytes: one read of what a fifth of a second brought costs half of what a read
//! for each frame does. A timer for each task does not do it, since arrivals wake the task all the same; the whole
//! thread must rest. So before the runtime would wait for events, its thread sleeps for what is left of the turn; what
//! came meanwhile is then found in one `epoll_wait`. While somebody watches, turns are short.
//!
//! A [`Seat`] is the place of one stream on a thread: tasks of `TaskGroup::on(&seat)` share it, and so hand each other
//! work within one turn.

use super::Clock;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, time::Instant};
use tokio_util::sync::CancellationToken;

/// From one turn to the next. A tenth of a second costs a tenth more CPU for each stream: each turn looks at each socket
/// once in vain, and wakes each task. What is recorded is listed two seconds after it was live at the latest, and where
/// one file ends and the next begins, several answers of the disk and the index are waited for one after the other, a
/// turn each: longer turns than this would not leave them the time.
pub const TURN: Duration = Duration::from_millis(200);
/// The same while somebody watches, or a session is being opened, which takes a turn for each question and answer.
const TURN_HURRIED: Duration = Duration::from_millis(20);
/// Seats of a thread before another one is begun. At 4 Mb/s each, so many take about a third of a core.
const SEATS_MAX: usize = 256;
/// Tasks that are run before the thread looks for events although it has work. Looking as often as a runtime usually
/// does would find a few sockets ready in the middle of each turn, and read them in small pieces after all.
const TASKS_BETWEEN_LOOKS: u32 = 1024;

/// The threads. Cheap to clone; they end with the last clone.
#[derive(Clone)]
pub struct Lanes(Option<Arc<Shared>>);

struct Shared {
    threads_max: usize,
    lanes: Mutex<Vec<Arc<Lane>>>,
}

/// One thread.
struct Lane {
    runtime: Handle,
    pace: Arc<Pace>,
    seats: AtomicUsize,
    stop: CancellationToken,
}

/// How long a thread's turns are.
#[derive(Default)]
struct Pace {
    hurried: AtomicUsize,
    turned: Mutex<Option<Instant>>,
}

/// A stream's place on a thread; it is free again once this is dropped.
pub struct Seat(Option<Arc<Lane>>);

/// As long as this is held, the turns of its thread are short.
#[must_use = "turns are short only as long as this is held"]
pub struct Hurry(Option<Arc<Lane>>);

impl Default for Lanes {
    /// No threads: tasks stay on the runtime that spawns them.
    fn default() -> Self {
        Self(None)
    }
}

impl Lanes {
    /// As many threads as seats need, `threads_max` at most.
    pub fn new(threads_max: usize) -> Self {
        Self(Some(Arc::new(Shared { threads_max: threads_max.max(1), lanes: Mutex::default() })))
    }

    /// A place on a thread that has one left, on a new thread, or on the emptiest where there may be no more threads.
    pub fn seat(&self) -> Seat {
        let Some(shared) = &self.0 else { return Seat(None) };
        let mut lanes = shared.lanes();
        let taken = |lane: &Arc<Lane>| lane.seats.load(Ordering::Relaxed);
        let lane = match lanes.iter().find(|lane| taken(lane) < SEATS_MAX) {
            Some(lane) => lane.clone(),
            None if lanes.len() < shared.threads_max => {
                let lane = Arc::new(Lane::start(lanes.len()));
                lanes.push(lane.clone());
                lane
            }
            None => lanes.iter().min_by_key(|lane| taken(lane)).expect("there is at least one thread").clone(),
        };
        lane.seats.fetch_add(1, Ordering::Relaxed);
        Seat(Some(lane))
    }

    /// Ends once every thread has run a task, as far as there are threads: for a watchdog.
    pub async fn answer(&self) {
        let Some(shared) = &self.0 else { return };
        let lanes = shared.lanes().clone();
        for lane in lanes {
            // A thread whose runtime is being shut down has answered.
            let _ = lane.runtime.spawn(async {}).await;
        }
    }
}

impl Shared {
    fn lanes(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Tasks hold seats, and seats their threads: without this the threads would keep each other.
        self.lanes().iter().for_each(|lane| lane.stop.cancel());
    }
}

impl Lane {
    fn start(number: usize) -> Self {
        let (pace, stop) = (Arc::new(Pace::default()), CancellationToken::new());
        let resting = pace.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS_BETWEEN_LOOKS)
            .on_thread_park(move || resting.rest(&Clock::real()))
            .build()
            .expect("a host that cannot start a thread cannot run the daemon");
        let (handle, stopped) = (runtime.handle().clone(), stop.clone());
        std::thread::Builder::new()
            .name(format!("media-{number}"))
            .spawn(move || runtime.block_on(stopped.cancelled()))
            .expect("a host that cannot start a thread cannot run the daemon");
        Self { runtime: handle, pace, seats: AtomicUsize::new(0), stop }
    }
}

impl Pace {
    /// Sleeps for what is left of the turn. Blocks: it is what the thread does instead of waiting for events.
    fn rest(&self, clock: &Clock) {
        let mut turned = self.turned.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.now();
        let turn = if self.hurried.load(Ordering::Relaxed) == 0 { TURN } else { TURN_HURRIED };
        let left = turned.map_or(turn, |turned| turn.saturating_sub(now - turned));
        if !left.is_zero() {
            std::thread::sleep(left);
        }
        *turned = Some(now + left);
    }
}

impl Seat {
    /// The runtime that tasks of this seat run on; None: the one that spawns them.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.0.as_ref().map(|lane| &lane.runtime)
    }

    /// Makes turns short for as long as the answer is held.
    pub fn hurry(&self) -> Hurry {
        if let Some(lane) = &self.0 {
            lane.pace.hurried.fetch_add(1, Ordering::Relaxed);
        }
        Hurry(self.0.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(lane) = &self.0 {
            lane.seats.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Hurry {
    fn drop(&mut self) {
        if let Some(lane) = &self.0 {
            lane.pace.hurried.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{TaskGroup, task::End};

    #[tokio::test]
    async fn threads_are_begun_as_seats_are_taken_and_tasks_of_a_seat_share_one() {
        let lanes = Lanes::new(2);
        let seats: Vec<_> = (0..2 * SEATS_MAX + 3).map(|_| lanes.seat()).collect();
        let group = TaskGroup::new();
        let mut names = Vec::new();
        for n in [0, 0, SEATS_MAX - 1, SEATS_MAX, 2 * SEATS_MAX, 2 * SEATS_MAX + 1] {
            let named = async { std::thread::current().name().map(str::to_owned) };
            names.push(group.on(&seats[n]).spawn("named", named).await.unwrap());
        }
        let on = |n| End::Done(Some(format!("media-{n}")));
        assert_eq!(names, [on(0), on(0), on(0), on(1), on(0), on(1)]);
        drop(seats);
        assert!(lanes.0.as_ref().unwrap().lanes().iter().all(|lane| lane.seats.load(Ordering::Relaxed) == 0));
        lanes.answer().await;
    }

    #[tokio::test]
    async fn a_panic_on_a_thread_harms_no_neighbour_and_a_group_waits_for_tasks_elsewhere() {
        let lanes = Lanes::new(1);
        let (group, seat) = (TaskGroup::new(), lanes.seat());
        let stop = group.stop_token();
        let neighbour = group.on(&seat).spawn("neighbour", async move { stop.cancelled().await });
        let bad = group.child().on(&seat).spawn("bad", async { panic!("camera 3") });
        assert_eq!(bad.await.unwrap(), End::Panicked("camera 3".into()));
        assert_eq!((group.panics(), neighbour.is_finished()), (1, false));
        assert!(group.stop(Duration::from_secs(5)).await);
        assert_eq!(neighbour.await.unwrap(), End::Done(()));
    }

    #[tokio::test]
    async fn a_wedged_thread_does_not_answer() {
        let lanes = Lanes::new(1);
        let (group, seat) = (TaskGroup::new(), lanes.seat());
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let wedged = group.on(&seat).spawn("wedged", async move { held.recv().is_err() });
        let answer = lanes.answer();
        tokio::pin!(answer);
        assert!(tokio::time::timeout(TURN * 3, answer.as_mut()).await.is_err(), "it cannot");
        drop(hold);
        assert_eq!(wedged.await.unwrap(), End::Done(true));
        answer.await;
    }

    #[tokio::test]
    async fn threads_end_with_the_last_handle_although_a_task_still_holds_a_seat() {
        let lanes = Lanes::new(1);
        let seat = lanes.seat();
        let (alive, gone) = tokio::sync::oneshot::channel::<()>();
        let group = TaskGroup::new().on(&seat);
        group.spawn("endless", async move {
            let _held = (alive, seat);
            std::future::pending::<()>().await;
        });
        lanes.answer().await;
        drop(lanes);
        assert!(gone.await.is_err(), "its runtime dropped it");
    }

    #[test]
    fn a_turn_rests_for_what_is_left_of_it_and_hurry_makes_it_short() {
        let (pace, clock) = (Arc::new(Pace::default()), Clock::real());
        let lane = Lane { pace: pace.clone(), ..Lane::start(0) };
        let seat = Seat(Some(Arc::new(lane)));
        let turned = |pace: &Pace| pace.turned.lock().unwrap().unwrap();
        pace.rest(&clock);
        let first = turned(&pace);
        pace.rest(&clock);
        let second = turned(&pace);
        assert!(second - first >= TURN, "{:?}", second - first);
        let (one, other) = (seat.hurry(), seat.hurry());
        drop(one);
        pace.rest(&clock);
        let third = turned(&pace);
        assert!(third - second >= TURN_HURRIED, "{:?}", third - second);
        drop(other);
        assert_eq!(pace.hurried.load(Ordering::Relaxed), 0);
        seat.0.as_ref().unwrap().stop.cancel();
    }
}
