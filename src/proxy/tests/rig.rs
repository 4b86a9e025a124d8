//! A proxy that runs, origins that do what a test says, and a client that reads answers.

use crate::{
    base::{Clock, Metrics, TaskGroup},
    disk::Disk,
    model::Catalog,
    proxy::{
        self, Listeners, Proxy, Settings,
        config::{Backend, Balance, Forward, HeaderRules, PathChange, Route, Target, Upstream},
        table::BuiltIn,
    },
    serve::{Body, HandlerFn, Request, Response, problem},
};
use std::{
    future::Future,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::sync::watch;

/// Longer than any test takes: only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Rig {
    pub(super) proxy: Proxy,
    pub(super) address: SocketAddr,
    pub(super) metrics: Metrics,
    group: TaskGroup,
    _keeping: TaskGroup,
    catalog: watch::Sender<Arc<Catalog>>,
    runtime: tokio::runtime::Runtime,
}

/// One forwarding route for everything.
pub(super) fn route(upstreams: &[SocketAddr]) -> Route {
    let upstream = |a: &SocketAddr| Upstream { host: a.ip().to_string().into(), port: a.port(), weight: 1, via: None };
    Route {
        name: "all".into(),
        scheme: None,
        host: Vec::new(),
        path_prefix: "/".into(),
        path_suffix: Vec::new(),
        methods: Vec::new(),
        to: Target::Forward(Forward {
            to: Backend::Upstreams(upstreams.iter().map(upstream).collect()),
            balance: Balance::default(),
            path: PathChange::None,
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            retries: 1,
            host_header: None,
            split: Vec::new(),
            sticky: None,
        }),
        body_max: 1 << 20,
        headers: HeaderRules::default(),
        cors: None,
        guard: None,
    }
}

/// An address where nothing listens, and, since it is taken for as long as the tests run, nothing of another test will.
pub(super) fn refusing() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

/// The same to a service of the catalog.
pub(super) fn service_route(name: &str) -> Route {
    let mut route = route(&[]);
    if let Target::Forward(forward) = &mut route.to {
        forward.to = Backend::Service { name: name.parse().unwrap(), tags: Default::default() };
    }
    route
}

/// The same with another time between two reads.
pub(super) fn patient(mut route: Route, timeout: Duration, retries: u32) -> Route {
    if let Target::Forward(forward) = &mut route.to {
        (forward.timeout, forward.retries) = (timeout, retries);
    }
    route
}

impl Rig {
    pub(super) fn new(routes: Vec<Route>) -> Self {
        Self::with(routes, Settings::default(), Vec::new())
    }

    pub(super) fn with(routes: Vec<Route>, settings: Settings, built_in: Vec<BuiltIn>) -> Self {
        Self::over_tls(routes, settings, built_in, Vec::new())
    }

    pub(super) fn over_tls(
        routes: Vec<Route>,
        settings: Settings,
        built_in: Vec<BuiltIn>,
        tls: Vec<proxy::tls::Site>,
    ) -> Self {
        Self::of(routes, settings, built_in, tls, None)
    }

    /// One whose certificates are ordered.
    pub(super) fn with_acme(
        routes: Vec<Route>,
        settings: Settings,
        tls: Vec<proxy::tls::Site>,
        acme: proxy::acme::Config,
    ) -> Self {
        Self::of(routes, settings, Vec::new(), tls, Some(acme))
    }

    fn of(
        routes: Vec<Route>,
        settings: Settings,
        built_in: Vec<BuiltIn>,
        tls: Vec<proxy::tls::Site>,
        acme: Option<proxy::acme::Config>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let workers = 2;
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let config = proxy::Config { listen, tls, acme, workers, settings, routes };
        let listeners = Listeners::bind(&config, Vec::new()).unwrap();
        let (metrics, group, keeping) = (Metrics::default(), TaskGroup::new(), TaskGroup::new());
        let (catalog, follow) = watch::channel(Arc::default());
        let deps = proxy::Deps {
            clock: Clock::real(),
            metrics: metrics.clone(),
            handlers: keeping.here(),
            disk: Disk::real(2),
            catalog: follow,
            lookup: crate::outbound::system_lookup(),
            built_in,
            listeners,
        };
        let (proxy, tasks) = proxy::build(&config, deps).unwrap();
        keeping.spawn("sync", tasks.routes.run(keeping.stop_token()));
        keeping.spawn("tls", tasks.tls.run(keeping.stop_token()));
        if let Some(acme) = tasks.acme {
            keeping.spawn("acme", acme.run(keeping.stop_token()));
        }
        runtime.block_on(async { proxy.routes().served().wait_for(|_| true).await.map(|_| ()) }).unwrap();
        let address = proxy.addresses()[0];
        group.spawn("plane", tasks.plane.run(group.stop_token()));
        Self { proxy, address, metrics, group, _keeping: keeping, catalog, runtime }
    }

    /// Other routes from now on; they are in force when this returns.
    pub(super) fn reroute(&self, routes: Vec<Route>) {
        let before = self.proxy.routes().state().version;
        self.proxy.routes().apply(routes);
        let mut state = self.proxy.routes().watch_state();
        self.runtime.block_on(async { state.wait_for(|s| s.version > before).await.map(|_| ()) }).unwrap();
    }

    /// Another catalog; every request from when this returns goes by it.
    pub(super) fn publish(&self, catalog: Arc<Catalog>) {
        let revision = catalog.revision;
        self.catalog.send_replace(catalog);
        let mut served = self.proxy.routes().served();
        self.runtime.block_on(async { served.wait_for(|r| *r >= revision).await.map(|_| ()) }).unwrap();
    }

    pub(super) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// One request on a connection of its own: the answer, and whether it is whole.
    pub(super) fn ask(&self, wire: &str) -> Answer {
        let mut client = self.client();
        client.send(wire.as_bytes());
        client.answer(wire.starts_with("HEAD"))
    }

    /// GET of a path.
    pub(super) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    /// Waits for something that has to come.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await }).expect("it never comes")
    }

    /// A counter's value by the begin of its line.
    pub(super) fn metric(&self, line: &str) -> f64 {
        let text = self.metrics.render_plain();
        Self::value(&text, line).unwrap_or_else(|| panic!("no {line} in {text}"))
    }

    fn value(text: &str, line: &str) -> Option<f64> {
        text.lines().find_map(|l| l.strip_prefix(line)).map(|value| value.trim().parse().unwrap())
    }

    /// Fails unless a counter comes to this value: a request is counted a moment after its client has the answer.
    pub(super) fn until_metric(&self, line: &str, value: f64) {
        for _ in 0..PATIENCE.as_millis() {
            if Self::value(&self.metrics.render_plain(), line) == Some(value) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("{line} does not come to {value}: {}", self.metrics.render_plain());
    }

    /// Stops as a daemon does; true where all ended in time.
    pub(super) fn stop(&self) -> bool {
        self.runtime.block_on(self.group.stop(Duration::from_secs(10)))
    }
}

/// A raw client.
pub(super) struct Client {
    pub(super) socket: TcpStream,
    pub(super) read: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    /// The body came as its framing says.
    pub(super) whole: bool,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| {
            let (n, v) = l.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| v.trim())
        })
    }
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, read: Vec::new() }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub(super) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        self.answer(false)
    }

    pub(super) fn half_close(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// More bytes; false at the end or a reset.
    pub(super) fn more(&mut self) -> bool {
        let mut buffer = [0; 65536];
        match self.socket.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.read.extend_from_slice(&buffer[..n]);
                true
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => false,
            Err(e) => panic!("{e}: the other side hangs after {:?}", String::from_utf8_lossy(&self.read)),
        }
    }

    /// Whether the connection is at its end, with nothing more on it.
    pub(super) fn ended(&mut self) -> bool {
        !self.more() && self.read.is_empty()
    }

    /// Takes exactly so many bytes.
    pub(super) fn take(&mut self, n: usize) -> Vec<u8> {
        while self.read.len() < n {
            assert!(self.more(), "ended after {:?}", String::from_utf8_lossy(&self.read));
        }
        self.read.drain(..n).collect()
    }

    pub(super) fn head(&mut self) -> Option<String> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more() {
                return None;
            }
        };
        Some(String::from_utf8(self.read.drain(..end).collect()).unwrap())
    }

    pub(super) fn answer(&mut self, head_only: bool) -> Answer {
        let Some(head) = self.head() else {
            return Answer { status: 0, head: String::new(), body: self.read.clone(), whole: false };
        };
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new(), whole: true };
        let length = answer.field("content-length").map(|v| v.parse::<usize>().unwrap());
        if head_only || status < 200 || matches!(status, 204 | 304) {
        } else if answer.field("transfer-encoding").is_some() {
            answer.whole = self.chunks(&mut answer.body);
        } else if let Some(length) = length {
            while self.read.len() < length && self.more() {}
            answer.whole = self.read.len() >= length;
            answer.body = self.read.drain(..length.min(self.read.len())).collect();
        } else {
            while self.more() {}
            answer.body = std::mem::take(&mut self.read);
        }
        answer
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..at + 2).collect();
                return Some(String::from_utf8(line[..at].to_vec()).unwrap());
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// Trailers are laid behind the body, as lines.
    fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let Some(line) = self.line() else { return false };
            let size = usize::from_str_radix(&line, 16).unwrap();
            if size == 0 {
                while let Some(trailer) = self.line().filter(|l| !l.is_empty()) {
                    body.extend_from_slice(format!("\n{trailer}").as_bytes());
                }
                return true;
            }
            while self.read.len() < size + 2 {
                if !self.more() {
                    return false;
                }
            }
            body.extend(self.read.drain(..size));
            assert_eq!(self.read.drain(..2).collect::<Vec<_>>(), b"\r\n");
        }
    }
}

/// One connection at an origin, as a test's function sees it.
pub(super) type Serve = dyn Fn(&mut Client) + Send + Sync;

/// A server whose every connection is served by a function on a thread.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    pub(super) connections: Arc<std::sync::atomic::AtomicUsize>,
}

impl Origin {
    pub(super) fn new(serve: impl Fn(&mut Client) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (serve, count): (Arc<Serve>, _) = (Arc::new(serve), connections.clone());
        thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { return };
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                socket.set_nodelay(true).unwrap();
                let serve = serve.clone();
                thread::spawn(move || serve(&mut Client { socket, read: Vec::new() }));
            }
        });
        Self { address, connections }
    }

    /// Answers every request, whose head and body it is given, with whatever the function says.
    pub(super) fn answering(answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::new(move |c| {
            while let Some((head, body)) = c.request() {
                let wire = answer(&head, &body);
                if c.socket.write_all(&wire).is_err() {
                    return;
                }
            }
        })
    }

    /// Tells what it was asked: the head as the body of the answer, and the body behind it.
    pub(super) fn telling() -> Self {
        Self::answering(|head, body| {
            let told = [head.as_bytes(), body].concat();
            ok(&told)
        })
    }
}

/// A handler of this process that says what it was sent.
pub(super) struct BuiltInEcho;

impl BuiltInEcho {
    pub(super) fn built_in() -> BuiltIn {
        let handler = Arc::new(HandlerFn(|request: Request| async move {
            match request.body(1 << 20).await {
                Ok(body) => Response::new(Body::bytes(body)),
                Err(error) => problem(error.status(), "body", "Bad body", error.to_string()),
            }
        }));
        BuiltIn { name: "(in)", path_prefix: "/in/", body_max: 1 << 20, handler }
    }
}

/// A 200 with this body.
pub(super) fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

impl Client {
    /// A request, as an origin reads it.
    pub(super) fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.head()?;
        let lower = head.to_ascii_lowercase();
        let mut body = Vec::new();
        if lower.contains("\r\ntransfer-encoding: chunked\r\n") {
            self.chunks(&mut body).then_some(())?;
        } else if let Some(length) = lower.lines().find_map(|l| l.strip_prefix("content-length:")) {
            let length: usize = length.trim().parse().unwrap();
            while self.read.len() < length {
                self.more().then_some(())?;
            }
            body = self.read.drain(..length).collect();
        }
        Some((head, body))
    }
}
