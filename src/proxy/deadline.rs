//! Time limits of a worker's connections, by one timer for all of them.
//!
//! To set one is a store: no clock is read and no timer is moved. A tick each [`TICK`] looks at all that are set; twenty
//! thousand take it some microseconds. A limit so fires up to two ticks late, and never early.

use crate::base::Clock;
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// How often limits are looked at.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// Not set.
const NEVER: u64 = u64::MAX;
/// Memory for so many limits is kept when all are gone.
const SLOTS_SPARE_MAX: usize = SLOTS_A_PIECE;
/// Limits whose memory is taken in one go.
const SLOTS_A_PIECE: usize = 256;

/// The limit ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Elapsed;

/// All limits of one worker.
pub(super) struct Deadlines {
    clock: Clock,
    began: Instant,
    /// Ticks since `began`, as of the last look.
    now: Cell<u64>,
    slots: RefCell<Slots>,
    first: Notify,
}

/// In pieces, so that ten thousand more do not move ten thousand, nor take the room for twenty.
#[derive(Default)]
struct Slots {
    pieces: Vec<Box<[Slot; SLOTS_A_PIECE]>>,
    len: usize,
    free: Vec<u32>,
}

struct Slot {
    due: u64,
    waiting: Option<Waker>,
    leave: Leave,
}

/// When a task ends before its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Leave {
    /// Never.
    No,
    /// When its place is needed.
    ForOthers,
    /// Then, and at the end of a stop: nothing was asked of it yet.
    Fresh,
    /// Then, and soon after the begin of a stop: it was answered, and may ask again.
    Free,
}

impl Slot {
    const UNUSED: Self = Self { due: NEVER, waiting: None, leave: Leave::No };
}

impl Slots {
    fn at(&mut self, slot: u32) -> &mut Slot {
        let slot = slot as usize;
        &mut self.pieces[slot / SLOTS_A_PIECE][slot % SLOTS_A_PIECE]
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.pieces.iter_mut().flat_map(|piece| piece.iter_mut())
    }

    fn add(&mut self) -> u32 {
        if self.len == self.pieces.len() * SLOTS_A_PIECE {
            self.pieces.push(Box::new([const { Slot::UNUSED }; SLOTS_A_PIECE]));
        }
        self.len += 1;
        u32::try_from(self.len - 1).expect("a host has fewer connections")
    }
}

/// One task's limit.
pub(super) struct Deadline {
    of: Rc<Deadlines>,
    slot: u32,
}

impl Deadlines {
    pub(super) fn new(clock: Clock) -> Rc<Self> {
        let began = clock.now();
        Rc::new(Self { clock, began, now: Cell::new(0), slots: RefCell::default(), first: Notify::new() })
    }

    /// A limit that is not set.
    pub(super) fn slot(self: &Rc<Self>) -> Deadline {
        let mut slots = self.slots.borrow_mut();
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None => slots.add(),
        };
        if slots.free.len() + 1 == slots.len {
            // The first one after a rest: time went on meanwhile.
            self.now.set(self.ticks());
            self.first.notify_one();
        }
        Deadline { of: self.clone(), slot }
    }

    /// Ends all that wait for a next request.
    pub(super) fn expire_idle(&self) -> usize {
        self.expire(usize::MAX, Leave::Free)
    }

    /// Ends those, too, that wait for their first one.
    pub(super) fn expire_fresh(&self) -> usize {
        self.expire(usize::MAX, Leave::Fresh)
    }

    /// Whether any waits for a request, its first or a next one.
    pub(super) fn any_waits(&self) -> bool {
        self.slots.borrow_mut().all().any(|slot| slot.leave >= Leave::Fresh && slot.due > 0)
    }

    /// Ends some of those that wait for a request, or for the rest of its head, the least patient first.
    pub(super) fn make_room(&self, most: usize) -> usize {
        self.expire(most, Leave::ForOthers)
    }

    fn expire(&self, most: usize, those: Leave) -> usize {
        let mut slots = self.slots.borrow_mut();
        let mut idle: Vec<_> = slots.all().filter(|slot| slot.leave >= those && slot.due > 0).collect();
        if idle.len() > most {
            idle.select_nth_unstable_by_key(most, |slot| slot.due);
            idle.truncate(most);
        }
        let expired = idle.len();
        let mut woken = Vec::new();
        for slot in idle {
            slot.due = 0;
            woken.extend(slot.waiting.take());
        }
        drop(slots);
        woken.into_iter().for_each(Waker::wake);
        expired
    }

    /// The ticks of now, for [`Deadline::passed`].
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Ends once there is a limit to look at.
    pub(super) async fn used(&self) {
        while self.is_unused() {
            self.first.notified().await;
        }
    }

    /// Whether there is no limit at all.
    pub(super) fn is_unused(&self) -> bool {
        let slots = self.slots.borrow();
        slots.free.len() == slots.len
    }

    fn ticks(&self) -> u64 {
        let passed = self.clock.now().saturating_duration_since(self.began);
        u64::try_from(passed.as_millis() / TICK.as_millis()).unwrap_or(NEVER - 1)
    }

    /// Wakes those whose limit ran out. Called every [`TICK`].
    pub(super) fn look(&self) {
        let now = self.ticks();
        self.now.set(now);
        let mut woken = Vec::new();
        let mut slots = self.slots.borrow_mut();
        for slot in slots.all().filter(|slot| slot.due <= now) {
            woken.extend(slot.waiting.take());
        }
        if slots.free.len() == slots.len && slots.len > SLOTS_SPARE_MAX {
            *slots = Slots::default();
        }
        drop(slots);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Deadline {
    /// From now on, `limit` is left.
    pub(super) fn set(&self, limit: Duration) {
        self.put(limit, Leave::No);
    }

    /// The same; but when the worker needs the place or stops, it ends at once.
    pub(super) fn set_idle(&self, limit: Duration) {
        self.put(limit, Leave::Free);
    }

    /// The same, of one that was not asked anything yet.
    pub(super) fn set_fresh(&self, limit: Duration) {
        self.put(limit, Leave::Fresh);
    }

    /// The same; but when the worker needs the place, it ends at once.
    pub(super) fn set_unfinished(&self, limit: Duration) {
        self.put(limit, Leave::ForOthers);
    }

    /// No limit.
    pub(super) fn clear(&self) {
        let mut slots = self.of.slots.borrow_mut();
        let slot = slots.at(self.slot);
        (slot.due, slot.leave) = (NEVER, Leave::No);
    }

    /// It did not run out: the place was needed.
    pub(super) fn is_sent_away(&self) -> bool {
        self.of.slots.borrow_mut().at(self.slot).due == 0
    }

    /// See [`Deadlines::now`].
    pub(super) fn now(&self) -> u64 {
        self.of.now()
    }

    /// The time since then, in whole ticks: right on the average of many waits.
    pub(super) fn passed(&self, since: u64) -> Duration {
        TICK * u32::try_from(self.now().saturating_sub(since)).unwrap_or(u32::MAX)
    }

    fn put(&self, limit: Duration, leave: Leave) {
        let ticks = u64::try_from(limit.as_millis().div_ceil(TICK.as_millis())).unwrap_or(NEVER / 2);
        let mut slots = self.of.slots.borrow_mut();
        // One more, since the current tick is partly over.
        let due = self.of.now.get().saturating_add(ticks).saturating_add(1);
        let slot = slots.at(self.slot);
        (slot.due, slot.leave) = (due, leave);
    }

    /// Whether it ran out. If not, the task is woken when it does.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Elapsed> {
        let mut slots = self.of.slots.borrow_mut();
        let slot = slots.at(self.slot);
        if slot.due <= self.of.now.get() {
            return Poll::Ready(Elapsed);
        }
        match &mut slot.waiting {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waiting => *waiting = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// What the future gives, unless the limit runs out before.
    pub(super) async fn within<T>(&self, future: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll(cx).map(Err),
        })
        .await
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut slots = self.of.slots.borrow_mut();
        *slots.at(self.slot) = Slot::UNUSED;
        slots.free.push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Wall;
    use tokio::task::LocalSet;

    async fn with<T>(test: impl AsyncFnOnce(Rc<Deadlines>) -> T) -> T {
        let local = LocalSet::new();
        let deadlines = Deadlines::new(Clock::simulated(Wall::from_millis(0)));
        let running = deadlines.clone();
        local.spawn_local(async move {
            loop {
                running.used().await;
                running.clock.sleep(TICK).await;
                running.look();
            }
        });
        local.run_until(test(deadlines)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_fires_within_two_ticks_and_never_early() {
        with(async |deadlines| {
            let clock = deadlines.clock.clone();
            for millis in [0, 1, 99, 100, 101, 250, 10_000] {
                let deadline = deadlines.slot();
                let began = clock.now();
                deadline.set(Duration::from_millis(millis));
                assert_eq!(deadline.within(std::future::pending::<()>()).await, Err(Elapsed));
                let took = clock.now() - began;
                assert!(took >= Duration::from_millis(millis), "{took:?} for {millis}");
                assert!(took <= Duration::from_millis(millis) + 3 * TICK, "{took:?} for {millis}");
                clock.sleep(Duration::from_millis(37)).await;
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_set_anew_counts_anew_and_after_a_rest_of_all() {
        with(async |deadlines| {
            let clock = deadlines.clock.clone();
            let deadline = deadlines.slot();
            for _ in 0..20 {
                deadline.set(Duration::from_millis(500));
                assert!(deadline.within(clock.sleep(Duration::from_millis(400))).await.is_ok());
            }
            drop(deadline);
            clock.sleep(Duration::from_secs(1000)).await;
            let deadline = deadlines.slot();
            deadline.set(Duration::from_millis(500));
            assert!(deadline.within(clock.sleep(Duration::from_millis(400))).await.is_ok(), "time had stood still");
            assert!(deadline.within(clock.sleep(Duration::from_millis(1000))).await.is_err());
            deadline.clear();
            assert!(deadline.within(clock.sleep(Duration::from_secs(1000))).await.is_ok());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn idle_ones_make_room_the_least_patient_first_and_busy_ones_do_not() {
        with(async |deadlines| {
            let slots: Vec<_> = (0..4).map(|_| deadlines.slot()).collect();
            for (n, slot) in slots.iter().enumerate() {
                match n {
                    0 => slot.set(Duration::from_secs(1)),
                    n => slot.set_idle(Duration::from_secs(100 - n as u64)),
                }
            }
            assert_eq!(deadlines.make_room(1), 1);
            let ended = |n: usize| {
                let cx = Context::from_waker(Waker::noop());
                slots[n].poll(&cx).is_ready()
            };
            assert_eq!([ended(0), ended(1), ended(2), ended(3)], [false, false, false, true]);
            slots[1].set_unfinished(Duration::from_secs(1));
            let fresh = deadlines.slot();
            fresh.set_fresh(Duration::from_secs(1));
            assert!(deadlines.any_waits());
            assert_eq!(deadlines.expire_idle(), 1);
            assert_eq!([ended(0), ended(1), ended(2), ended(3)], [false, false, true, true]);
            assert!(deadlines.any_waits(), "who was not asked yet is not idle");
            assert_eq!(deadlines.expire_fresh(), 1);
            assert!(!deadlines.any_waits());
            assert_eq!(deadlines.make_room(usize::MAX), 1);
            assert_eq!([ended(0), ended(1), ended(2), ended(3)], [false, true, true, true]);
        })
        .await;
    }
}
