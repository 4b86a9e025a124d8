//! One client's connection: request after request, until one of us ends it.
//!
//! While nothing is asked it holds no memory but its own few hundred bytes. A head that comes in pieces is kept as the
//! pieces, so that a client that sends one byte a second costs one byte a second.

use super::{
    buffer::Buffer,
    deadline::Deadline,
    h1::{self, Client, Limits, Refusal, RequestHead, Scheme},
    h2::PREFACE,
    io::{Broken, Io, Transport},
    linger,
    pace::Pace,
    request,
    settings::Settings,
    tls::Secured,
    tunnel::Tunnel,
    worker::{LAST_WORD, Lent, Worker},
};
use rustix::net::RecvFlags;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::net::TcpStream;

/// Both ends of an accepted connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// Who connected.
    pub(super) peer: SocketAddr,
    /// To what.
    pub(super) local: SocketAddr,
}

/// A client's connection.
pub(super) struct Connection<C> {
    pub(super) worker: Rc<Worker>,
    pub(super) io: Io<C>,
    pub(super) deadline: Deadline,
    /// What came and is not consumed: the begin of a body, or of the next request. None where there is nothing.
    pub(super) input: RefCell<Option<Buffer>>,
    /// How slowly the client may send what belongs to a request.
    pub(super) gives: Pace,
    /// How slowly it may take an answer.
    pub(super) takes: Pace,
    /// The client sends nothing more.
    pub(super) half_closed: Cell<bool>,
    pub(super) settings: Arc<Settings>,
    pub(super) client: Client,
    pub(super) ends: Ends,
    /// What it is secured as; none in the clear.
    pub(super) secured: Option<Rc<Secured>>,
}

/// What comes after an answer.
pub(super) enum Next {
    /// Another request, if the client has one.
    Request,
    /// The end: everything was sent, and all that the client sent was read.
    Close,
    /// The end, while the client may still be sending: it must see the answer first.
    Linger,
    /// The end of an answer that is not whole.
    Abort,
    /// No HTTP any more.
    Tunnel(Box<Tunnel>),
}

/// What came of waiting for a request.
enum Heard {
    /// A whole head of so many bytes at the begin of the input.
    Request(Lent<RequestHead>, usize),
    /// Nothing, and nothing will.
    Gone,
    /// What nobody should answer otherwise.
    Refused(Refusal),
}

/// Where the client speaks HTTP/2: the connection, and what was read of it.
type Became<C> = Option<(C, Option<Buffer>, Ends)>;

impl<C: Transport> Connection<C> {
    /// It lies apart from its task, which would take the room for it twice.
    pub(super) fn new(
        worker: Rc<Worker>,
        transport: C,
        ends: Ends,
        secured: Option<Rc<Secured>>,
        settings: Arc<Settings>,
    ) -> Box<Self> {
        let scheme = if secured.is_some() { Scheme::Https } else { Scheme::Http };
        Box::new(Self {
            deadline: worker.deadlines.slot(),
            client: Client::new(ends.peer, scheme, &settings.trusted),
            io: Io::new(transport),
            input: RefCell::new(None),
            gives: Pace::new(settings.patience),
            takes: Pace::new(settings.patience),
            half_closed: Cell::new(false),
            worker,
            settings,
            ends,
            secured,
        })
    }

    /// Of which this came already.
    pub(super) fn behind(mut self: Box<Self>, first: Option<Buffer>) -> Box<Self> {
        *self.input.get_mut() = first;
        self
    }

    /// Serves it to its end, or to the begin of HTTP/2.
    pub(super) async fn run(self: Box<Self>) -> Became<C> {
        let mut first = true;
        loop {
            let next = match self.hear(first).await {
                Heard::Request(head, len) => request::answer(&self, head, len).await,
                Heard::Gone => return None,
                Heard::Refused(_) if first && self.begins_h2() => {
                    return Some((self.io.into_inner(), self.input.into_inner(), self.ends));
                }
                Heard::Refused(refusal) => Box::pin(super::answer::refuse(&self, refusal)).await,
            };
            first = false;
            match next {
                Next::Request => continue,
                // A plain socket closes on drop; a session says goodbye first.
                Next::Close => drop(self.deadline.within(self.io.shutdown()).await),
                Next::Linger => Box::pin(linger::linger(&self)).await,
                Next::Abort => self.io.abort_on_close(),
                Next::Tunnel(tunnel) => Box::pin(tunnel.run(self)).await,
            }
            return None;
        }
    }

    /// Waits for the next request's head.
    async fn hear(&self, first: bool) -> Heard {
        if self.input.borrow().is_none() {
            let idle = !first;
            if idle && self.half_closed.get() {
                return Heard::Gone;
            }
            // From the accept on, a head is due; later only from its first byte on.
            match (idle, self.worker.draining.get()) {
                (false, _) => self.deadline.set_fresh(self.settings.header_timeout),
                (true, false) => self.deadline.set_idle(self.settings.idle_timeout),
                // Its answer had begun before we left, and did not say so.
                (true, true) => self.deadline.set_idle(LAST_WORD),
            }
            let mut heard = self.io.next_within(&self.worker.buffers, &self.deadline).await;
            if heard.is_err() && self.worker.draining.get() && self.has_come() {
                // In the very moment in which we leave: a close over it would be a reset.
                self.deadline.set_unfinished(self.settings.header_timeout);
                heard = self.io.next_within(&self.worker.buffers, &self.deadline).await;
            }
            match heard {
                Ok(Some(buffer)) => *self.input.borrow_mut() = Some(buffer),
                // Whoever never asked anything needs no answer.
                _ => return Heard::Gone,
            }
            // It waits for nothing any more: its place is not free for others.
            self.deadline.clear();
        }
        match self.parse() {
            Some(heard) => heard,
            None => Box::pin(self.hear_rest()).await,
        }
    }

    /// Whether the socket has something of which the runtime does not know yet.
    fn has_come(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peek = |socket: &TcpStream| rustix::net::recv(socket, &mut [0; 1][..], flags).is_ok_and(|(_, n)| n > 0);
        self.io.with(|io| io.socket().is_some_and(peek))
    }

    /// None: there is more of the head to come.
    fn parse(&self) -> Option<Heard> {
        let input = self.input.borrow();
        let buffer = input.as_ref()?;
        let mut head = self.worker.request_head();
        head.clear();
        match h1::parse_request(buffer.filled(), &Limits::default(), &mut head) {
            Ok(None) => None,
            Ok(Some(len)) => Some(Heard::Request(head, len)),
            // It may become what HTTP/2 begins with.
            Err(_) if PREFACE.starts_with(buffer.filled()) && buffer.len() < PREFACE.len() => None,
            Err(refusal) => Some(Heard::Refused(refusal)),
        }
    }

    /// Whether what came is what HTTP/2 begins with. Over TLS it is chosen in the handshake, and not so.
    fn begins_h2(&self) -> bool {
        let input = self.input.borrow();
        self.io.is_plain() && input.as_ref().is_some_and(|buffer| buffer.filled().starts_with(PREFACE))
    }

    /// The rest of a head that came in pieces, within its time.
    async fn hear_rest(&self) -> Heard {
        self.deadline.set_unfinished(self.settings.header_timeout);
        let input_len = || self.input.borrow().as_ref().map_or(0, Buffer::len);
        let mut parsed = input_len();
        loop {
            let before = input_len();
            match self.deadline.within(poll_fn(|cx| self.poll_more(cx))).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Heard::Gone,
                // Somebody waits for its place: there is no time for goodbyes.
                Err(_) if self.deadline.is_sent_away() => return Heard::Gone,
                Err(_) => return Heard::Refused(Refusal::TooSlow),
            }
            // What ends no line is looked at in ever larger pieces: else a head that comes byte by byte would be read as
            // often as it has bytes.
            let ends_a_line =
                |b: &Buffer| b.filled()[before..].contains(&b'\n') || b.len() >= 2 * parsed || b.is_full();
            if !self.input.borrow().as_ref().is_some_and(ends_a_line) {
                continue;
            }
            parsed = input_len();
            if let Some(heard) = self.parse() {
                return heard;
            }
        }
    }

    /// More bytes behind those that are kept. While it waits, they take no more memory than they must.
    fn poll_more(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut input = self.input.borrow_mut();
        let polled = match self.io.poll_readable(cx) {
            Poll::Ready(Ok(())) => {
                let buffer = input.get_or_insert_with(|| self.worker.buffers.lease());
                self.io.poll_fill(cx, buffer)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        if let (Poll::Pending, Some(buffer)) = (&polled, &mut *input) {
            buffer.pack();
        }
        polled
    }

    /// Sends to the client, as slowly as it may take it.
    pub(super) async fn send(&self, bytes: &[u8]) -> Result<(), Broken> {
        self.io.write_all(bytes, &self.deadline, &self.takes).await
    }

    /// Before a wait for somebody else: what the client sent ahead is kept in no more memory than it takes.
    pub(super) fn pack_input(&self) {
        if let Some(buffer) = &mut *self.input.borrow_mut() {
            buffer.pack();
        }
    }

    /// Drops `n` bytes of the input.
    pub(super) fn consume(&self, n: usize) {
        let mut input = self.input.borrow_mut();
        if let Some(buffer) = &mut *input {
            buffer.consume(n);
            if buffer.is_empty() {
                *input = None;
            }
        }
    }

    /// Ready where the client's connection is broken. One that only sends nothing more is noted; what it sends is kept.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.half_closed.get() || self.input.borrow().is_some() {
            return Poll::Pending;
        }
        match self.io.poll_next(cx, &self.worker.buffers) {
            Poll::Ready(Ok(Some(buffer))) => *self.input.borrow_mut() = Some(buffer),
            Poll::Ready(Ok(None)) => self.half_closed.set(true),
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => {}
        }
        Poll::Pending
    }

    /// Whether a request is for another host than this connection was secured for. From a proxy that is trusted it may
    /// be: that one speaks for all of its clients by one name.
    pub(super) fn is_misdirected(&self, head: &RequestHead, bytes: &[u8]) -> bool {
        let secured = self.secured.as_ref().filter(|_| !self.client.is_trusted());
        secured.is_some_and(|secured| !secured.serves(head.host_name(bytes)))
    }

    /// Whether the client can be asked to go on after this answer.
    pub(super) fn may_stay(&self) -> bool {
        !self.worker.draining.get() && !self.half_closed.get()
    }
}
