//! A tunnel in the clear: two sockets and what is on its way between them. It is told what they have become ready for,
//! moves what can be moved, and waits for nothing.

use super::{Carried, HALF_CLOSED_IDLE_MAX};
use crate::proxy::{
    buffer::{BUFFER_BYTES, Buffer},
    deadline::Deadline,
    io::{or_not_now, reset_on_close},
    splice::Pipe,
    worker::Worker,
};
use rustix::event::epoll::EventFlags;
use std::{
    cell::{Cell, RefCell},
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Pieces that are this large are worth a pipe; once they are smaller again, they are copied.
const LARGE_BYTES: usize = BUFFER_BYTES / 2;
/// Pieces of one direction in a row, while others wait for their turn.
const PIECES_A_TURN: usize = 16;

/// The client, and then the upstream.
pub(super) type Ends = [TcpStream; 2];

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides had said all they had to say, and the other one got it.
    Whole,
    /// A connection failed.
    Broken,
}

/// One tunnel.
pub(super) struct Pair {
    ends: Ends,
    /// From the client, and to it.
    ways: RefCell<[Way; 2]>,
    carried: Rc<Carried>,
    end: Cell<Option<End>>,
    waiting: RefCell<Option<Waker>>,
}

/// One direction.
#[derive(Default)]
struct Way {
    stage: Stage,
    /// Who sends may have sent something.
    readable: bool,
    /// Who sends has ended, or failed: a read tells which, once all else is read.
    hung_up: bool,
    /// Who takes may take something.
    writable: bool,
    /// The last piece was large: so may be the next one.
    large: bool,
    /// What was read and is not taken yet, of which there is one or the other.
    rest: Option<Buffer>,
    pipe: Option<Pipe>,
    /// When a byte was last moved, in ticks, which cost no look at the clock.
    moved: u64,
}

/// How far a direction has come.
#[derive(Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// Its end was read.
    Ended,
    /// And passed on.
    Over,
}

impl Pair {
    /// `ahead` came already, from the client and from the upstream.
    pub(super) fn new(ends: Ends, ahead: [Option<Buffer>; 2], carried: Rc<Carried>, now: u64) -> Self {
        let way = |rest: Option<Buffer>| Way { rest: rest.filter(|r| !r.is_empty()), moved: now, ..Way::default() };
        let ways = RefCell::new(ahead.map(way));
        Self { ends, ways, carried, end: Cell::default(), waiting: RefCell::default() }
    }

    pub(super) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Takes up what a socket has become ready for: 0 is the client's, 1 the upstream's.
    pub(super) fn note(&self, end: usize, ready: EventFlags) {
        let failed = ready.intersects(EventFlags::ERR | EventFlags::HUP);
        let hung_up = failed || ready.contains(EventFlags::RDHUP);
        let ways = &mut *self.ways.borrow_mut();
        ways[end].readable |= hung_up || ready.contains(EventFlags::IN);
        ways[end].hung_up |= hung_up;
        ways[1 - end].writable |= failed || ready.contains(EventFlags::OUT);
    }

    /// Moves what can be moved. True: there may be more, and it is others' turn.
    pub(super) fn turn(&self, worker: &Worker) -> bool {
        if self.end.get().is_some() {
            return false;
        }
        let ways = &mut *self.ways.borrow_mut();
        let [client, upstream] = &self.ends;
        let moved = ways[0]
            .turn((client, upstream), worker, &self.carried.up)
            .and_then(|more| Ok(more | ways[1].turn((upstream, client), worker, &self.carried.down)?));
        let end = match moved {
            Err(_) => End::Broken,
            Ok(_) if ways.iter().all(|way| way.stage == Stage::Over) => End::Whole,
            Ok(more) => return more,
        };
        self.end(end);
        false
    }

    /// Nobody moves anything any more.
    pub(super) fn give_up(&self) {
        self.end(End::Broken);
    }

    /// Makes the close of both sockets a reset.
    pub(super) fn abort_on_close(&self) {
        self.ends.iter().for_each(reset_on_close);
    }

    fn end(&self, end: End) {
        self.end.set(Some(end));
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Ready at its end.
    pub(super) fn poll_end(&self, cx: &Context<'_>) -> Poll<End> {
        if let Some(end) = self.end.get() {
            return Poll::Ready(end);
        }
        match &mut *self.waiting.borrow_mut() {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waiting => *waiting = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// How long it may stay as it is; none where that is over. `idle`: the longest that nothing may come in either
    /// direction. Who takes nothing of what there is for it has less time, as has one side once the other has ended.
    pub(super) fn time_left(&self, idle: Duration, deadline: &Deadline) -> Option<Duration> {
        let ways = self.ways.borrow();
        let half = ways.iter().any(|way| way.stage != Stage::Open);
        let limit = if half { HALF_CLOSED_IDLE_MAX.min(idle) } else { idle };
        let last = ways.iter().map(|way| way.moved).max().unwrap_or(0);
        let stuck = ways.iter().filter(|way| way.holds()).map(|way| (HALF_CLOSED_IDLE_MAX, way.moved));
        let left = |(limit, since): (Duration, u64)| limit.saturating_sub(deadline.passed(since));
        stuck.chain([(limit, last)]).map(left).min().filter(|left| !left.is_zero())
    }
}

impl Way {
    fn holds(&self) -> bool {
        self.rest.is_some() || self.pipe.is_some()
    }

    /// Moves what can be moved; what is held goes first. True: there may be more.
    fn turn(&mut self, (from, to): (&TcpStream, &TcpStream), worker: &Worker, carried: &Cell<u64>) -> io::Result<bool> {
        for _ in 0..PIECES_A_TURN {
            if self.holds() && !self.give(to, worker, carried)? {
                return Ok(false);
            }
            match self.stage {
                Stage::Open if self.readable => self.take((from, to), worker, carried)?,
                Stage::Open | Stage::Over => return Ok(false),
                Stage::Ended => {
                    to.shutdown(Shutdown::Write)?;
                    self.stage = Stage::Over;
                }
            }
        }
        Ok(true)
    }

    /// Gives what is held; false where not all of it is taken.
    fn give(&mut self, to: &TcpStream, worker: &Worker, carried: &Cell<u64>) -> io::Result<bool> {
        while self.writable {
            let given = match (&self.rest, &mut self.pipe) {
                (Some(rest), _) => (&*to).write(rest.filled()),
                (None, Some(pipe)) => pipe.give_to(to, false),
                (None, None) => return Ok(true),
            };
            let Some(given) = or_not_now(given)? else {
                self.writable = false;
                break;
            };
            self.moved(given, worker, carried);
            self.rest = self.rest.take().and_then(|mut rest| {
                rest.consume(given);
                (!rest.is_empty()).then_some(rest)
            });
            // An empty one is for whoever needs it next.
            self.pipe = self.pipe.take().filter(Pipe::holds);
        }
        Ok(!self.holds())
    }

    /// Takes the next piece, and gives it on where that takes no pipe. A message costs a read, a write, and little else:
    /// no memory is leased for it, and no limit is set.
    fn take(&mut self, (from, to): (&TcpStream, &TcpStream), worker: &Worker, carried: &Cell<u64>) -> io::Result<()> {
        if let Some(mut pipe) = self.large.then(|| worker.pipes.lease()).flatten() {
            let got = or_not_now(pipe.take_from(from, u64::MAX))?;
            self.took(got);
            self.large = got.is_none_or(|got| got >= LARGE_BYTES);
            self.pipe = Some(pipe).filter(Pipe::holds);
            return Ok(());
        }
        let scratch = &mut **worker.scratch.borrow_mut();
        let got = or_not_now((&*from).read(scratch))?;
        self.took(got);
        let Some(piece) = got.map(|got| &scratch[..got]).filter(|piece| !piece.is_empty()) else { return Ok(()) };
        // All there was, unless the end is behind it: what comes later is told.
        self.readable = self.hung_up || piece.len() == scratch.len();
        self.large = piece.len() >= LARGE_BYTES;
        let given = if self.writable { or_not_now((&*to).write(piece))? } else { None };
        self.writable = given.is_some();
        let given = given.unwrap_or(0);
        self.moved(given, worker, carried);
        self.rest = (given < piece.len()).then(|| worker.buffers.holding(&piece[given..]));
        Ok(())
    }

    /// What a read said: none, that there is nothing now, and 0, that there will not be.
    fn took(&mut self, got: Option<usize>) {
        match got {
            None => self.readable = false,
            Some(0) => self.stage = Stage::Ended,
            Some(_) => {}
        }
    }

    fn moved(&mut self, n: usize, worker: &Worker, carried: &Cell<u64>) {
        carried.set(carried.get() + n as u64);
        self.moved = worker.deadlines.now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Clock, Wall, metrics::Gauge},
        proxy::{
            buffer::Buffers,
            deadline::{Deadlines, TICK},
        },
    };

    const IDLE: Duration = Duration::from_secs(600);

    fn pair() -> Pair {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ends = [(); 2].map(|()| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        Pair::new(ends, [None, None], Rc::default(), 0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_tunnel_has_long_one_that_is_stuck_or_half_over_has_not() {
        let clock = Clock::simulated(Wall::from_millis(0));
        let deadlines = Deadlines::new(clock.clone());
        let deadline = deadlines.slot();
        let after = async |time: Duration| {
            clock.sleep(time).await;
            deadlines.look();
        };
        let quiet = pair();
        let stuck = pair();
        stuck.ways.borrow_mut()[1].rest = Some(Rc::new(Buffers::new(Gauge::default())).holding(b"not taken"));
        let half = pair();
        half.ways.borrow_mut()[0].stage = Stage::Over;
        assert_eq!(quiet.time_left(IDLE, &deadline), Some(IDLE));
        for pair in [&stuck, &half] {
            assert_eq!(pair.time_left(IDLE, &deadline), Some(HALF_CLOSED_IDLE_MAX));
            assert_eq!(pair.time_left(TICK, &deadline), Some(TICK), "never more than the route gives");
        }
        after(HALF_CLOSED_IDLE_MAX / 2).await;
        half.ways.borrow_mut()[1].moved = deadline.now();
        // What goes the other way does not make a client take what it does not take.
        stuck.ways.borrow_mut()[0].moved = deadline.now();
        after(HALF_CLOSED_IDLE_MAX / 2).await;
        assert_eq!(quiet.time_left(IDLE, &deadline), Some(IDLE - HALF_CLOSED_IDLE_MAX));
        assert_eq!(half.time_left(IDLE, &deadline), Some(HALF_CLOSED_IDLE_MAX / 2));
        assert_eq!(stuck.time_left(IDLE, &deadline), None);
        after(IDLE).await;
        assert_eq!(quiet.time_left(IDLE, &deadline), None);
    }
}
