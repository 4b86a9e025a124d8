//! Looks at peers that behave, and at peers that do not; and the task over a registry that runs.

mod places;

use super::{
    probe::{Prober, Seen},
    *,
};
use crate::{
    base::{Clock, Metrics, TaskGroup, Wall},
    disk::Files,
    events::Events,
    model::{Health, InstanceKey, service::Source},
    outbound::system_lookup,
    registry::{self, Check, CheckKind, Deps, Record, Registry, Spec},
    store::{Options, Store},
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Longer than any wait of a test: only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long looks at those who say nothing take. Whatever answers does so long before.
const TIMEOUT: Duration = Duration::from_millis(400);

/// What a peer does once it was asked.
#[derive(Clone, Copy)]
enum Then {
    Closes,
    Hangs,
    /// The same again and again: a piece at a time, with a pause.
    Trickles(&'static [u8]),
    /// The same, as fast as it is taken.
    Floods(&'static [u8]),
}

/// A server: answers whoever sends anything, or at once, with `first`, and goes on as told.
struct Peer {
    address: SocketAddr,
    group: TaskGroup,
    taken: Arc<AtomicUsize>,
}

impl Peer {
    async fn new(first: &'static [u8], then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::over(listener, first, then)
    }

    fn over(listener: TcpListener, first: &'static [u8], then: Then) -> Self {
        let (address, group, taken) = (listener.local_addr().unwrap(), TaskGroup::new(), Arc::new(AtomicUsize::new(0)));
        let (inner, stop, count) = (group.clone(), group.stop_token(), taken.clone());
        group.spawn("peer", async move {
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let (socket, stop) = (accepted.unwrap().0, stop.clone());
                count.fetch_add(1, Relaxed);
                inner.spawn("talk", async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = talk(socket, first, then) => {}
                    }
                });
            }
        });
        Self { address, group, taken }
    }

    fn port(&self) -> u16 {
        self.address.port()
    }

    async fn end(self) {
        assert!(self.group.stop(PATIENCE).await);
    }
}

async fn talk(mut socket: TcpStream, first: &'static [u8], then: Then) {
    let mut asked = [0; 4_096];
    let _ = socket.read(&mut asked).await;
    let _ = socket.write_all(first).await;
    match then {
        Then::Closes => {}
        Then::Hangs => drop(socket.read_to_end(&mut Vec::new()).await),
        Then::Trickles(piece) => {
            while socket.write_all(piece).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Then::Floods(piece) => while socket.write_all(piece).await.is_ok() {},
    }
}

fn key(id: &str) -> InstanceKey {
    InstanceKey { service: "web".parse().unwrap(), id: id.parse().unwrap() }
}

fn http(path: &str) -> CheckKind {
    CheckKind::Http(path.into())
}

fn record(port: u16, kind: CheckKind) -> Aim {
    aim(instance(port, kind))
}

fn aim(record: Record) -> Aim {
    Aim::of_record(&Arc::new(record)).remove(0)
}

fn instance(port: u16, kind: CheckKind) -> Record {
    let check = Check { timeout: TIMEOUT, ..Check::new(kind) };
    Record {
        key: key("a"),
        spec: Arc::new(Spec { check: Some(check), ..Spec::new("127.0.0.1", port) }),
        source: Source::Api,
        verdict: None,
        expired: false,
        checks: Vec::new(),
        held: None,
        targets: [SocketAddr::from(([127, 0, 0, 1], port))].into(),
        unresolved: None,
        since: Wall::default(),
        created: 1,
        modified: 1,
        defined: 1,
    }
}

async fn look(record: &Aim) -> Seen {
    let prober = Prober { clock: Clock::real(), lookup: system_lookup() };
    tokio::time::timeout(PATIENCE, prober.look(record)).await.expect("a look ends by itself")
}

/// What is seen of a peer that does so.
async fn of(kind: CheckKind, first: &'static [u8], then: Then) -> (Health, String) {
    let peer = Peer::new(first, then).await;
    let seen = look(&record(peer.port(), kind)).await;
    let output = seen.output.replace(&peer.address.to_string(), "PEER");
    peer.end().await;
    (seen.health, output)
}

const SILENT: &[u8] = b"";

#[tokio::test]
async fn the_status_decides_and_the_answer_is_kept_for_people() {
    use Health::{Critical, Passing, Warning};
    let cases: [(&[u8], Health, &str); 8] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", Passing, "200 OK, fine"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Passing, "204 No Content"),
        (b"HTTP/1.0 299 Odd\r\n\r\nto\nthe end", Passing, "299 <unknown status code>, to the end"),
        (b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", Warning, "429 Too Many Requests"),
        (
            b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ndb\r\n0\r\n\r\n",
            Critical,
            "503 Service Unavailable, db",
        ),
        (b"HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", Critical, "301 Moved Permanently"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Critical, "404 Not Found"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Passing, "200 OK"),
    ];
    for (answer, health, output) in cases {
        let seen = of(http("/health?full=1"), answer, Then::Closes).await;
        assert_eq!(seen, (health, format!("GET http://PEER/health?full=1: {output}")));
    }
}

#[tokio::test]
async fn peers_that_do_not_answer_are_critical_within_the_timeout() {
    let none: [(&[u8], Then, &str); 10] = [
        (SILENT, Then::Hangs, "no answer within 400ms"),
        (SILENT, Then::Closes, "the connection failed: "),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Then::Hangs, "the connection failed: "),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Then::Closes, "the connection failed: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then::Closes, "the connection failed: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then::Hangs, "no end of its answer within 400ms"),
        (b"HTTP/1.1 200 OK\r\nX: ", Then::Trickles(b"x"), "no answer within 400ms"),
        (b"HTTP/1.1 200 OK\r\n\r\n", Then::Trickles(b"."), "no end of its answer within 400ms"),
        (b"HTTP/1.1 200 OK\r\n", Then::Floods(b"X: y\r\n"), "the connection failed: "),
        (SILENT, Then::Floods(b"HTTP/1.1 100 Continue\r\n\r\n"), "no answer within 400ms"),
    ];
    for (first, then, why) in none {
        let (health, output) = of(http("/"), first, then).await;
        let told = output.strip_prefix("GET http://PEER/: ").unwrap_or_else(|| panic!("{output}"));
        assert!(health == Health::Critical && told.starts_with(why), "{}: {output}", first.escape_ascii());
    }
}

#[tokio::test]
async fn of_an_answer_without_end_the_begin_is_taken() {
    let (health, output) = of(http("/"), b"HTTP/1.1 200 OK\r\n\r\n", Then::Floods(&[b'x'; 4_096])).await;
    assert_eq!((health, output.len()), (Health::Passing, "GET http://PEER/: 200 OK, ".len() + 4_096));
}

#[tokio::test]
async fn a_connection_alone_is_enough_for_tcp() {
    let (health, output) = of(CheckKind::Tcp, SILENT, Then::Hangs).await;
    assert_eq!((health, output.as_str()), (Health::Passing, "PEER takes connections"));
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let seen = look(&record(refused, CheckKind::Tcp)).await;
    assert!(seen.health == Health::Critical && seen.output.contains("refused"), "{seen:?}");
    // A queue that nobody empties takes no further connection.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let full = socket.local_addr().unwrap().as_socket().unwrap();
    let _first = TcpStream::connect(full).await.unwrap();
    let seen = look(&record(full.port(), CheckKind::Tcp)).await;
    assert_eq!((seen.health, seen.output.as_str()), (Health::Critical, "no connection within 400ms"));
    // Of several addresses, the first that takes it.
    let peer = Peer::new(SILENT, Then::Hangs).await;
    let two = Record {
        targets: [SocketAddr::from(([127, 0, 0, 1], refused)), peer.address].into(),
        ..instance(refused, CheckKind::Tcp)
    };
    assert_eq!(look(&aim(two.clone())).await.health, Health::Passing);
    let lost = Record { targets: [].into(), unresolved: Some("`web` does not resolve: SERVFAIL".into()), ..two };
    assert_eq!(look(&aim(lost)).await.output, "`web` does not resolve: SERVFAIL");
    peer.end().await;
}

#[tokio::test]
async fn whatever_else_answers_is_no_grpc() {
    let why: [(&[u8], Then); 6] = [
        (SILENT, Then::Hangs),
        (SILENT, Then::Closes),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Then::Hangs),
        (&[0xff; 64], Then::Closes),
        // The settings of a server, and then nothing, or pings without end.
        (&[0, 0, 0, 4, 0, 0, 0, 0, 0], Then::Hangs),
        (&[0, 0, 0, 4, 0, 0, 0, 0, 0], Then::Floods(&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])),
    ];
    for (first, then) in why {
        let (health, output) = of(CheckKind::Grpc("a.B".into()), first, then).await;
        assert!(health == Health::Critical && output.starts_with("gRPC PEER: "), "{first:?}: {output}");
        assert_eq!(
            output.contains("no answer within 400ms"),
            !matches!(first, [0xff, ..] | [b'H', ..]) && !matches!(then, Then::Closes),
            "{first:?}: {output}"
        );
    }
}

#[tokio::test]
async fn a_url_is_asked_instead_of_the_instance_and_tls_has_to_be_good() {
    let peer = Peer::new(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Then::Closes).await;
    let url = format!("http://localhost:{}/ready", peer.port());
    let seen = look(&record(1, http(&url))).await;
    assert_eq!((seen.health, seen.output), (Health::Passing, format!("GET {url}: 200 OK")));
    let seen = look(&record(1, http("http://no-such-host.invalid/"))).await;
    assert!(seen.output.starts_with("GET http://no-such-host.invalid/: "), "{seen:?}");
    assert_eq!(seen.health, Health::Critical);
    // It speaks no TLS.
    let seen = look(&record(1, http(&format!("https://localhost:{}/", peer.port())))).await;
    assert!(seen.health == Health::Critical && seen.output.contains("TLS"), "{seen:?}");
    peer.end().await;
}

/// A registry with its checks.
struct Room {
    registry: Registry,
    store: Store,
    metrics: Metrics,
    group: TaskGroup,
}

fn begin(dir: &Path) -> Room {
    let (metrics, clock, group) = (Metrics::default(), Clock::real(), TaskGroup::new());
    let store = Store::open(&dir.join("store"), Options::default(), &Files::real(), &metrics).unwrap();
    let deps = Deps {
        store: store.clone(),
        events: Events::discard(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        lookup: system_lookup(),
    };
    let (registry, task) = registry::build(deps).unwrap();
    group.spawn("registry", task.run(group.stop_token()));
    let checks = ChecksTask::new(registry.clone(), clock, &metrics, system_lookup());
    group.spawn("checks", checks.run(group.stop_token()));
    Room { registry, store, metrics, group }
}

impl Room {
    async fn register(&self, id: &str, port: u16, check: Check) {
        let spec = Spec { check: Some(check), ..Spec::new("127.0.0.1", port) };
        self.registry.register(key(id), spec, Source::Api).await.unwrap();
    }

    async fn until(&self, id: &str, health: Health) -> String {
        let is_so = |c: &Arc<crate::model::Catalog>| {
            let all = c.service("web").into_iter().flat_map(|s| &s.instances);
            all.into_iter().any(|i| i.key == key(id) && i.health == health)
        };
        let mut catalog = self.registry.catalog();
        let seen = tokio::time::timeout(PATIENCE, catalog.wait_for(is_so)).await;
        seen.unwrap_or_else(|_| panic!("{id} is not {health:?}: {:?}", self.registry.look(&key(id)))).unwrap();
        self.registry.record(&key(id)).and_then(|r| r.reason()).map(|r| r.to_string()).unwrap_or_default()
    }

    /// Looks that saw this.
    fn looks(&self, health: Health) -> u64 {
        let line = format!("skyvis_registry_checks_total{{health=\"{}\"}} ", health.as_str());
        let text = self.metrics.render();
        text.lines().find_map(|l| l.strip_prefix(&line)).map_or(0, |n| n.parse().unwrap())
    }

    async fn end(self) {
        assert!(self.group.stop(PATIENCE).await);
        self.store.close().await;
    }
}

fn often(kind: CheckKind) -> Check {
    Check { interval: Duration::from_millis(100), timeout: Duration::from_secs(20), ..Check::new(kind) }
}

#[tokio::test]
async fn who_goes_away_falls_and_who_comes_back_rises_and_only_that_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path());
    let peer = Peer::new(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Then::Closes).await;
    let address = peer.address;
    room.register("a", address.port(), Check { fall: 3, rise: 2, ..often(http("/")) }).await;
    assert_eq!(room.until("a", Health::Passing).await, "");
    let revision = room.registry.revision();
    let seen = room.looks(Health::Passing);
    while room.looks(Health::Passing) < seen + 5 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(room.registry.revision(), revision, "the same verdict again is no change");
    peer.end().await;
    let reason = room.until("a", Health::Critical).await;
    assert!(reason.contains("refused"), "{reason}");
    assert!(room.looks(Health::Critical) >= 3, "it fell by the third failure");
    let look = room.registry.look(&key("a")).unwrap();
    assert!(look.in_a_row >= 3 && look.health == Health::Critical, "{look:?}");
    let peer = Peer::over(TcpListener::bind(address).await.unwrap(), b"HTTP/1.1 429 Slow\r\n\r\n", Then::Closes);
    let reason = room.until("a", Health::Warning).await;
    assert!(reason.ends_with("429 Too Many Requests") && room.looks(Health::Warning) >= 2, "{reason}");
    // Another definition is looked at at once, though the interval is long; then it goes, and with it the look.
    room.register("a", address.port(), Check::new(CheckKind::Tcp)).await;
    room.until("a", Health::Passing).await;
    let looks = peer.taken.load(Relaxed);
    room.registry.deregister(key("a")).await.unwrap();
    // The next one takes its turn behind whatever was left of that.
    let other = Peer::new(SILENT, Then::Closes).await;
    room.register("b", other.port(), often(CheckKind::Tcp)).await;
    room.until("b", Health::Passing).await;
    assert_eq!(room.registry.look(&key("a")), None);
    assert!(peer.taken.load(Relaxed) <= looks + 1);
    room.end().await;
}

#[tokio::test]
async fn many_that_hang_hold_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path());
    let hung = Peer::new(SILENT, Then::Hangs).await;
    let patient = Check { timeout: Duration::from_millis(500), ..Check::new(http("/")) };
    let ids: Vec<String> = (0..100).map(|n| format!("hung {n}")).collect();
    futures_util::future::join_all(ids.iter().map(|id| room.register(id, hung.port(), patient.clone()))).await;
    let well = Peer::new(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Then::Closes).await;
    room.register("well", well.port(), often(http("/"))).await;
    room.until("well", Health::Passing).await;
    while room.looks(Health::Critical) < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    room.end().await;
}

#[tokio::test]
async fn after_a_restart_who_fails_stays_for_the_grace_and_who_was_out_may_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path());
    let up = Peer::new(SILENT, Then::Closes).await;
    let down = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = down.local_addr().unwrap();
    drop(down);
    room.register("up", up.port(), often(CheckKind::Tcp)).await;
    room.register("down", away.port(), often(CheckKind::Tcp)).await;
    room.until("up", Health::Passing).await;
    room.until("down", Health::Critical).await;
    up.end().await;
    room.end().await;
    let back = Peer::over(TcpListener::bind(away).await.unwrap(), SILENT, Then::Closes);
    let room = begin(dir.path());
    assert_eq!(room.registry.record(&key("up")).unwrap().health(), Health::Passing);
    room.until("down", Health::Passing).await;
    while room.looks(Health::Critical) < 10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(room.registry.look(&key("up")).unwrap().in_a_row >= 10);
    assert_eq!(room.registry.record(&key("up")).unwrap().health(), Health::Passing, "it keeps its place for now");
    back.end().await;
    room.end().await;
}
