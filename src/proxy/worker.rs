//! One thread of the proxy: its listeners, its connections, and what they share without locks.

use super::{
    Error,
    access_log::Lines,
    ahead::Ahead,
    buffer::{BUFFER_BYTES, Buffer, Buffers},
    connection::{Connection, Ends},
    deadline::{Deadlines, TICK},
    h1::{self, RequestHead, ResponseHead},
    h2,
    io::Io,
    listener::{Bound, Serves},
    places::{Full, Place},
    plane::{DRAIN_TIMEOUT, Shared},
    prelude, refused,
    retry::Budget,
    secure,
    settings::Settings,
    splice::Pipes,
    table::{PARTS, Pickers, RouteTable},
    tcp,
    tunnel::Carrier,
    upstream::{Upstreams, is_exhausted},
};
use crate::base::LocalTasks;
use futures_util::FutureExt;
use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Ticks of a second.
const TICKS_A_SECOND: u64 = Duration::from_secs(1).as_millis() as u64 / TICK.as_millis() as u64;
/// How long accepting rests after the host refused a new descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Idle connections that are closed at once where there is no place for a new one.
const MAKE_ROOM: usize = 32;
/// Connections that wait for a place of those at once, how often they look for one, and how long they wait before each.
const WAITING_MAX: usize = 64;
const PLACE_TRIES: usize = 10;
const PLACE_PAUSE: Duration = Duration::from_millis(20);
/// How long those that were answered may ask once more while we leave: what is on its way is there by then.
pub(super) const LAST_WORD: Duration = Duration::from_millis(250);
/// How long we go on taking connections while those before them end, where a successor will take them from the same
/// sockets: what is asked meanwhile need not wait for it.
const LEAVE_MAX: Duration = Duration::from_millis(1_500);
/// How often it is looked whether they have.
const LEAVE_LOOK: Duration = Duration::from_millis(10);
const _: () = assert!(LAST_WORD.as_millis() + LEAVE_MAX.as_millis() < DRAIN_TIMEOUT.as_millis());
/// Parsed heads that are kept to be used again.
const SPARE_HEADS_MAX: usize = 64;

/// A listener that this worker accepts from.
struct Socket {
    listener: TcpListener,
    serves: Serves,
    /// See [`Bound::outlives`].
    outlives: bool,
}

/// What all connections of a thread share.
pub(super) struct Worker {
    pub(super) id: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) tasks: LocalTasks,
    pub(super) deadlines: Rc<Deadlines>,
    pub(super) buffers: Rc<Buffers>,
    pub(super) pipes: Rc<Pipes>,
    /// Where pieces of tunnels pass through: nothing is in it from one poll to the next.
    pub(super) scratch: RefCell<Box<[u8]>>,
    pub(super) carrier: Carrier,
    pub(super) upstreams: Upstreams,
    pub(super) pickers: RefCell<Pickers>,
    pub(super) budget: RefCell<Budget>,
    pub(super) lines: Lines,
    pub(super) draining: Cell<bool>,
    /// Held by each connection that was there before the stop.
    before: RefCell<Rc<()>>,
    /// Connections without a place yet.
    waiting: Cell<usize>,
    /// Handshakes under way.
    pub(super) handshakes: Cell<usize>,
    date: Cell<[u8; 29]>,
    ids: Cell<[u64; 2]>,
    #[expect(clippy::vec_box, reason = "a head is lent for each request: a pointer moves, not its kilobyte")]
    requests: RefCell<Vec<Box<RequestHead>>>,
    #[expect(clippy::vec_box, reason = "the same")]
    responses: RefCell<Vec<Box<ResponseHead>>>,
}

/// A parsed request's head, lent by the worker.
pub(super) struct Lent<T: 'static> {
    of: Rc<Worker>,
    spare: fn(&Worker) -> &RefCell<Vec<Box<T>>>,
    head: Option<Box<T>>,
}

impl<T> std::ops::Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.head.as_ref().expect("it is taken on drop alone")
    }
}

impl<T> std::ops::DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.head.as_mut().expect("it is taken on drop alone")
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        let mut spare = (self.spare)(&self.of).borrow_mut();
        if let Some(head) = self.head.take().filter(|_| spare.len() < SPARE_HEADS_MAX) {
            spare.push(head);
        }
    }
}

impl Worker {
    fn new(id: usize, shared: Arc<Shared>, tasks: LocalTasks) -> io::Result<Rc<Self>> {
        let lines = Lines::new(&shared);
        let worker = Self {
            id,
            tasks,
            deadlines: Deadlines::new(shared.clock.clone()),
            buffers: Rc::new(Buffers::new(shared.meters.buffer_bytes.clone())),
            pipes: Rc::default(),
            scratch: RefCell::new(vec![0; BUFFER_BYTES].into()),
            carrier: Carrier::new()?,
            upstreams: Upstreams::default(),
            pickers: RefCell::new(Pickers::new(rand::random())),
            budget: RefCell::default(),
            lines,
            draining: Cell::new(false),
            before: RefCell::default(),
            waiting: Cell::new(0),
            handshakes: Cell::new(0),
            date: Cell::new([b' '; 29]),
            ids: Cell::new([rand::random(), rand::random::<u64>() | 1]),
            requests: RefCell::default(),
            responses: RefCell::default(),
            shared,
        };
        worker.set_date();
        Ok(Rc::new(worker))
    }

    /// Serves until `stop`, then until the connections have ended or `cut` comes. As a thread's future.
    async fn run(
        tasks: LocalTasks,
        id: usize,
        shared: Arc<Shared>,
        listeners: Vec<Bound>,
        stop: CancellationToken,
        cut: CancellationToken,
    ) -> Result<(), Error> {
        let mut sockets = Vec::new();
        for Bound { listener, serves, outlives } in listeners {
            let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
            let listener = TcpListener::from_std(listener).map_err(|error| Error::Listen { address, error })?;
            sockets.push(Socket { listener, serves, outlives });
        }
        let worker = Self::new(id, shared, tasks.clone()).map_err(Error::Thread)?;
        let upkeep = worker.clone();
        let upkeep = async move { upkeep.upkeep().await };
        let serving = async {
            tokio::select! {
                () = worker.accept_all(&sockets) => {}
                () = stop.cancelled() => {}
            }
            worker.leave(sockets).await;
        };
        tokio::select! {
            () = upkeep => {}
            () = serving => {}
            () = cut.cancelled() => drop(worker.shared.meters.cut.inc_by(tasks.alive() as u64)),
        };
        worker.lines.flush();
        Ok(())
    }

    /// Takes connections, and never ends: a worker without a listener has nothing to do, which is no reason to end.
    async fn accept_all(self: &Rc<Self>, sockets: &[Socket]) {
        futures_util::future::join_all(sockets.iter().map(|s| self.accept(&s.listener, s.serves))).await;
        std::future::pending().await
    }

    /// Who had connected when the stop came is served; the close of a listener would reset them.
    fn accept_rest(self: &Rc<Self>, sockets: Vec<Socket>) {
        for Socket { listener, serves, .. } in sockets {
            while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
                self.accepted(stream, peer, serves);
            }
        }
    }

    /// Lets what is under way finish and everybody ask elsewhere, so that nobody notices where there is a successor.
    async fn leave(self: &Rc<Self>, sockets: Vec<Socket>) {
        self.draining.set(true);
        let before = self.before.take();
        let (outlive, own): (Vec<_>, Vec<_>) = sockets.into_iter().partition(|socket| socket.outlives);
        self.accept_rest(own);
        if !outlive.is_empty() {
            let (now, clock) = (self.shared.clock.now(), &self.shared.clock);
            let others_end = async {
                let mut said = false;
                while Rc::strong_count(&before) > 1 && clock.now() - now < LEAVE_MAX {
                    clock.sleep(LEAVE_LOOK).await;
                    if !said && clock.now() - now >= LAST_WORD {
                        said = true;
                        self.deadlines.expire_idle();
                    }
                }
            };
            tokio::select! {
                () = self.accept_all(&outlive) => {}
                () = others_end => {}
            }
            self.accept_rest(outlive);
        }
        self.drain().await;
    }

    async fn accept(self: &Rc<Self>, listener: &TcpListener, serves: Serves) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.accepted(stream, peer, serves),
                Err(error) => {
                    if is_exhausted(&error) {
                        self.deadlines.make_room(MAKE_ROOM);
                    }
                    refused::rest(&self.shared.clock, &error, ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn accepted(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, serves: Serves) {
        let settings = self.shared.settings.load_full();
        // A connection that is gone already fails here and at its first read, so the failure needs no care.
        let _ = stream.set_nodelay(true);
        let Ok(local) = stream.local_addr() else { return };
        self.shared.meters.accepted.inc();
        let ends = Ends { peer, local };
        match self.place(peer, &settings) {
            Ok(place) => {
                let serving = self.clone().serve(stream, ends, settings, serves, place);
                let before = self.before.borrow().clone();
                self.tasks.spawn("proxy connection", async move {
                    serving.await;
                    drop(before);
                });
            }
            // Those that wait for nothing leave; who comes now has something to ask.
            Err(Full::All) if self.waiting.get() < WAITING_MAX && self.deadlines.make_room(MAKE_ROOM) > 0 => {
                let worker = self.clone();
                self.tasks.spawn("proxy connection", Box::pin(worker.wait_for_place(stream, ends, settings, serves)));
            }
            Err(full) => refused::turn_away(self, stream, full, serves),
        }
    }

    /// Serves a connection to its end.
    fn serve(
        self: Rc<Self>,
        stream: TcpStream,
        ends: Ends,
        settings: Arc<Settings>,
        serves: Serves,
        place: Place,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        match settings.prelude_of(ends.peer) {
            true => Box::pin(self.serve_behind(stream, ends, settings, serves, place)),
            false => self.speak((stream, None), ends, settings, serves, place),
        }
    }

    /// The same, where a proxy before us says who is at the other end.
    async fn serve_behind(
        self: Rc<Self>,
        stream: TcpStream,
        mut ends: Ends,
        settings: Arc<Settings>,
        serves: Serves,
        mut place: Place,
    ) {
        let io = Io::new(stream);
        let read = {
            let deadline = self.deadlines.slot();
            prelude::read(&self, &io, (&deadline, settings.header_timeout), ends.peer).await
        };
        let Some((behind, told)) = read else { return };
        if let Some((peer, local)) = told {
            ends = Ends { peer, local };
            if let Err(full) = place.count(peer.ip(), settings.connections_per_address_max) {
                return refused::turn_away(&self, io.into_inner(), full, serves);
            }
        }
        let first = (!behind.is_empty()).then_some(behind);
        self.speak((io.into_inner(), first), ends, settings, serves, place).await;
    }

    /// Whatever is spoken on it. `first` came already.
    fn speak(
        self: Rc<Self>,
        (stream, first): (TcpStream, Option<Buffer>),
        ends: Ends,
        settings: Arc<Settings>,
        serves: Serves,
        place: Place,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        match serves {
            Serves::Http => {
                let connection = Connection::new(self.clone(), stream, ends, None, settings.clone()).behind(first);
                Box::pin(async move {
                    if let Some((stream, first, ends)) = connection.run().await {
                        Box::pin(h2::serve(self, Ahead::new(first, stream), ends, None, settings)).await;
                    }
                    drop(place);
                })
            }
            Serves::Tls(listen) => Box::pin(async move {
                secure::serve(self, Ahead::new(first, stream), (listen, ends), settings).await;
                drop(place);
            }),
            Serves::Tcp(listen) => Box::pin(async move {
                tcp::serve(self, (stream, first), ends, listen, settings).await;
                drop(place);
            }),
        }
    }

    fn place(&self, peer: SocketAddr, settings: &Settings) -> Result<Place, Full> {
        let Settings { connections_max, connections_per_address_max, .. } = *settings;
        // Whose it is, is told later.
        let of_address = if settings.prelude_of(peer) { 0 } else { connections_per_address_max };
        self.shared.places.take(peer.ip(), connections_max, of_address)
    }

    /// Serves a connection as soon as one that was made to leave has left.
    async fn wait_for_place(self: Rc<Self>, stream: TcpStream, ends: Ends, settings: Arc<Settings>, serves: Serves) {
        self.waiting.set(self.waiting.get() + 1);
        let mut place = Err(Full::All);
        for _ in 0..PLACE_TRIES {
            self.shared.clock.sleep(PLACE_PAUSE).await;
            place = self.place(ends.peer, &settings);
            if !matches!(place, Err(Full::All)) {
                break;
            }
        }
        self.waiting.set(self.waiting.get() - 1);
        match place {
            Ok(place) => self.serve(stream, ends, settings, serves, place).await,
            Err(full) => refused::turn_away(&self, stream, full, serves),
        }
    }

    /// What is done now and then for all connections.
    async fn upkeep(&self) {
        let mut ticks = 0u64;
        loop {
            if self.deadlines.is_unused() && self.upstreams.is_empty() && self.lines.is_empty() {
                self.deadlines.used().await;
                self.set_date();
            }
            self.shared.clock.sleep(TICK).await;
            self.deadlines.look();
            ticks += 1;
            if ticks.is_multiple_of(TICKS_A_SECOND) {
                self.set_date();
                self.upstreams.sweep(self.now_micros());
                self.budget.borrow_mut().second();
                self.lines.flush();
            }
        }
    }

    /// Waits a moment for those who may be asking just now, ends idle connections, and waits for the others.
    async fn drain(&self) {
        let (began, clock) = (self.shared.clock.now(), &self.shared.clock);
        // What had come before the stop is read, not cut: the runtime has to look at the sockets once for that.
        tokio::task::yield_now().await;
        while self.deadlines.any_waits() && clock.now() - began < LAST_WORD {
            clock.sleep(LEAVE_LOOK).await;
        }
        self.deadlines.expire_fresh();
        self.upstreams.clear();
        self.tasks.ended().await;
    }

    /// Monotonic time, the same on all workers; never 0.
    pub(super) fn now_micros(&self) -> u64 {
        self.shared.now_micros()
    }

    /// The table in force, for one request.
    pub(super) fn table(&self) -> arc_swap::Guard<Arc<RouteTable>> {
        self.shared.table.load()
    }

    /// The time of day as HTTP writes it.
    pub(super) fn date(&self) -> [u8; 29] {
        self.date.get()
    }

    fn set_date(&self) {
        self.date.set(self.shared.clock.wall().http_date());
    }

    /// A name for a request that came without one: digits that no other request has.
    pub(super) fn request_id(&self) -> [u8; h1::REQUEST_ID_DIGITS] {
        let [mut a, b] = self.ids.get();
        // Weyl's sequence never repeats; the mixing hides from one client how many requests the others make.
        a = a.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.ids.set([a, b]);
        h1::request_id(u128::from(mix(a ^ b)) << 64 | u128::from(mix(a.wrapping_mul(b))))
    }

    /// A number below [`PARTS`], evenly spread, which no client can foresee.
    pub(super) fn draw(&self) -> u32 {
        let [a, b] = self.ids.get();
        (mix(a.wrapping_add(b.rotate_left(32))) % u64::from(PARTS)) as u32
    }

    pub(super) fn request_head(self: &Rc<Self>) -> Lent<RequestHead> {
        let head = self.requests.borrow_mut().pop().unwrap_or_default();
        Lent { of: self.clone(), spare: |w| &w.requests, head: Some(head) }
    }

    pub(super) fn response_head(self: &Rc<Self>) -> Lent<ResponseHead> {
        let head = self.responses.borrow_mut().pop().unwrap_or_default();
        Lent { of: self.clone(), spare: |w| &w.responses, head: Some(head) }
    }
}

/// The last step of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The thread and its runtime.
pub(super) fn start(
    id: usize,
    shared: Arc<Shared>,
    listeners: Vec<Bound>,
    stop: CancellationToken,
    cut: CancellationToken,
) -> io::Result<(tokio::runtime::Handle, tokio::sync::oneshot::Receiver<Result<(), Error>>)> {
    let (begun, begins) = std::sync::mpsc::channel();
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name(format!("proxy-{id}")).spawn(move || {
        let has_begun = begun.clone();
        let outcome = LocalTasks::run(shared.panics.clone(), |tasks| async move {
            // Who asked for the thread waits for just this.
            let _ = has_begun.send(Ok(tokio::runtime::Handle::current()));
            Worker::run(tasks, id, shared, listeners, stop, cut).await
        });
        // Nobody waits any more once the drain's time is over.
        let _ = match outcome {
            Ok(outcome) => ended.send(outcome).map_err(drop),
            Err(error) => begun.send(Err(error)).map_err(drop),
        };
    })?;
    let handle = begins.recv().map_err(|_| io::Error::other("the thread ended at its begin"))??;
    Ok((handle, end))
}
