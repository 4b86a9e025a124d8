//! All tunnels in the clear of one worker, by an epoll of their own: what has become ready is told in one go, and moved
//! right then. A message costs no turn of a task, and the runtime knows nothing of it.

use super::{
    Carried,
    pair::{End, Ends, Pair},
};
use crate::proxy::{buffer::Buffer, deadline::Deadline, worker::Worker};
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{io::Interest, io::unix::AsyncFd};

/// What is told at once at most, as nginx has it.
const EVENTS_MAX: usize = 512;
/// How often it is looked whether a tunnel's time is over, unless that is sooner: nothing has to be set for each byte.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The tunnels of one worker.
pub(in crate::proxy) struct Carrier {
    epoll: AsyncFd<OwnedFd>,
    /// A tunnel's place is in its events, with the end that they are of as the lowest bit.
    places: RefCell<Places>,
    /// Whose turn ended before all was moved.
    again: RefCell<Vec<usize>>,
    events: RefCell<Vec<Event>>,
    runs: Cell<bool>,
    /// The task that runs, while it waits.
    waiting: RefCell<Option<Waker>>,
}

#[derive(Default)]
struct Places {
    pairs: Vec<Option<Rc<Pair>>>,
    free: Vec<usize>,
}

/// A tunnel's place, free on drop. Nobody else holds on to its sockets, so that they are closed then.
struct Placed<'a> {
    of: &'a Carrier,
    at: usize,
    pair: Rc<Pair>,
}

impl<'a> Placed<'a> {
    fn new(of: &'a Carrier, pair: Pair) -> Self {
        let pair = Rc::new(pair);
        let places = &mut *of.places.borrow_mut();
        let at = places.free.pop().unwrap_or_else(|| {
            places.pairs.push(None);
            places.pairs.len() - 1
        });
        places.pairs[at] = Some(pair.clone());
        Self { of, at, pair }
    }
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        let places = &mut *self.of.places.borrow_mut();
        places.pairs[self.at] = None;
        places.free.push(self.at);
        if places.free.len() == places.pairs.len() {
            *places = Places::default();
            // It is not needed any more.
            self.of.waiting.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// The task that carries. No tunnel is left at its end; should there be one, it will not be carried any more.
struct Running(Rc<Worker>);

impl Drop for Running {
    fn drop(&mut self) {
        let carrier = &self.0.carrier;
        carrier.runs.set(false);
        carrier.places.borrow().pairs.iter().flatten().for_each(|pair| pair.give_up());
    }
}

impl Carrier {
    /// For the thread's runtime, within which it must be called. Fails where the host gives no descriptor.
    #[expect(unsafe_code, reason = "the runtime watches no descriptor of this kind but on trust")]
    pub(in crate::proxy) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // SAFETY: it is owned, so it is open and the same one until it is dropped, and nobody takes it out before.
        let epoll = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE) }.map_err(io::Error::from)?;
        let (places, again) = (RefCell::default(), RefCell::default());
        let events = RefCell::new(Vec::with_capacity(EVENTS_MAX));
        Ok(Self { epoll, places, again, events, runs: Cell::default(), waiting: RefCell::default() })
    }

    /// Carries between two sockets that do not block, until both have ended; `ahead` came from them already. Where one of
    /// them fails, or nothing comes for too long, what was carried is not whole, and both are told.
    pub(super) async fn carry(
        worker: &Rc<Worker>,
        ends: Ends,
        ahead: [Option<Buffer>; 2],
        (deadline, idle): (&Deadline, Duration),
        carried: Rc<Carried>,
    ) {
        let carrier = &worker.carrier;
        let placed = Placed::new(carrier, Pair::new(ends, ahead, carried, deadline.now()));
        if carrier.watch(&placed).is_err() {
            return placed.pair.abort_on_close();
        }
        if !carrier.runs.replace(true) {
            let running = Running(worker.clone());
            worker.tasks.spawn("tunnels", poll_fn(move |cx| running.0.carrier.poll(&running.0, cx)));
        }
        deadline.set(LOOK_EVERY.min(idle));
        let end = poll_fn(|cx| {
            if let Poll::Ready(end) = placed.pair.poll_end(cx) {
                return Poll::Ready(end);
            }
            while deadline.poll(cx).is_ready() {
                match placed.pair.time_left(idle, deadline) {
                    Some(left) => deadline.set(LOOK_EVERY.min(left)),
                    None => return Poll::Ready(End::Broken),
                }
            }
            Poll::Pending
        });
        if end.await == End::Broken {
            placed.pair.abort_on_close();
        }
    }

    fn watch(&self, placed: &Placed<'_>) -> io::Result<()> {
        let wanted = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        for (end, socket) in placed.pair.ends().iter().enumerate() {
            let data = EventData::new_u64((placed.at << 1 | end) as u64);
            epoll::add(self.epoll.get_ref(), socket.as_fd(), data, wanted)?;
        }
        Ok(())
    }

    /// Moves whatever can be moved, for as long as there is a tunnel.
    fn poll(&self, worker: &Worker, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.places.borrow().pairs.is_empty() {
                return Poll::Ready(());
            }
            let again = self.again.take();
            let mut others_first = !again.is_empty();
            again.into_iter().for_each(|at| self.turn(at, None, worker));
            match self.poll_events(cx) {
                Poll::Ready(Ok(())) => others_first |= self.answer(worker),
                // It is ours alone and open: this is the end of the thread.
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "tunnels are not watched any more");
                    return Poll::Ready(());
                }
                Poll::Pending if others_first => {}
                Poll::Pending => {
                    self.waiting.replace(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
            }
            if others_first || !self.again.borrow().is_empty() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Ready with what is told, which may be nothing.
    fn poll_events(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut told = ready!(self.epoll.poll_read_ready(cx))?;
        let events = &mut *self.events.borrow_mut();
        events.clear();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if epoll::wait(self.epoll.get_ref(), spare_capacity(events), Some(&now))? < EVENTS_MAX {
            told.clear_ready();
        }
        Poll::Ready(Ok(()))
    }

    /// Gives each tunnel of which something was told its turn. True: there may be more to be told.
    fn answer(&self, worker: &Worker) -> bool {
        let events = self.events.borrow();
        for Event { flags, data } in events.iter().copied() {
            let key = data.u64() as usize;
            self.turn(key >> 1, Some((key & 1, flags)), worker);
        }
        events.len() == EVENTS_MAX
    }

    fn turn(&self, at: usize, told: Option<(usize, EventFlags)>, worker: &Worker) {
        // It may be gone since that was told.
        let places = self.places.borrow();
        let Some(Some(pair)) = places.pairs.get(at) else { return };
        if let Some((end, flags)) = told {
            pair.note(end, flags);
        }
        if pair.turn(worker) {
            self.again.borrow_mut().push(at);
        }
    }
}
