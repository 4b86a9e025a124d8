//! What is open for long lives through changes of tables, and reloads of what does not concern it.

use super::site::{Site, route};
use crate::{
    base::TaskGroup,
    tests::{harness::until, real_peers},
};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// What curl fetches, and how fast; the last part comes when all changes are done, however long they take.
const DOWNLOAD_BYTES: usize = 12 << 20;
const LAST_BYTES: usize = 1 << 20;
const DOWNLOAD_RATE: &str = "3M";
/// Tables, and reloads, that pass meanwhile.
const CHANGES: u16 = 60;
const RELOADS: u16 = 6;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// One end of a WebSocket, as `peers/websocket_end.py` says.
struct Peer {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Peer {
    fn start(args: &[&str]) -> Self {
        let script = real_peers::peer("websocket_end.py");
        let mut command = Command::new(real_peers::python());
        let command = command.arg(script).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Ends its standard input; what it says then, if it ended well.
    fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest.trim().to_owned()
    }
}

/// Serves `/events` without end, and `/sized` and `/chunked` of [`DOWNLOAD_BYTES`], the last of them once all is `changed`.
async fn serve(listener: TcpListener, tasks: TaskGroup, changed: CancellationToken) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let changed = changed.clone();
        tasks.spawn("origin", async move {
            let mut head = vec![0; 4096];
            let n = socket.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..n]).into_owned();
            let sent = match head.split(' ').nth(1).unwrap() {
                "/long/events" => events(&mut socket).await,
                "/long/sized" => {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {DOWNLOAD_BYTES}\r\n\r\n");
                    in_two(&mut socket, &[head.as_bytes(), &pattern(DOWNLOAD_BYTES)].concat(), &changed).await
                }
                _ => {
                    let mut wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                    for piece in pattern(DOWNLOAD_BYTES).chunks(100_003) {
                        wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                        wire.extend_from_slice(piece);
                        wire.extend_from_slice(b"\r\n");
                    }
                    wire.extend_from_slice(b"0\r\n\r\n");
                    in_two(&mut socket, &wire, &changed).await
                }
            };
            // Who listened to events goes in the middle of them.
            drop(sent);
        });
    }
}

async fn in_two(socket: &mut TcpStream, wire: &[u8], changed: &CancellationToken) -> std::io::Result<()> {
    let (first, last) = wire.split_at(wire.len() - LAST_BYTES);
    socket.write_all(first).await?;
    changed.cancelled().await;
    socket.write_all(last).await
}

async fn events(socket: &mut TcpStream) -> std::io::Result<()> {
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await?;
    for n in 0.. {
        socket.write_all(format!("data: {n}\n\n").as_bytes()).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Reads events as they come, and counts those that came in their order.
async fn listen(site: &Site, seen: Arc<AtomicU64>) {
    let mut socket = TcpStream::connect(site.proxy).await.unwrap();
    socket.write_all(b"GET /long/events HTTP/1.0\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    loop {
        let n = socket.read_buf(&mut read).await.unwrap();
        assert!(n > 0, "the events ended after {}", seen.load(Relaxed));
        while let Some(end) = read.windows(2).position(|w| w == b"\n\n") {
            let event: Vec<u8> = read.drain(..end + 2).collect();
            let event = String::from_utf8(event).unwrap();
            let Some((_, number)) = event.split_once("data: ") else { continue };
            assert_eq!(number.trim().parse(), Ok(seen.load(Relaxed)), "one is missing");
            seen.fetch_add(1, Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_events_and_downloads_live_through_changes_of_tables_and_of_other_routes() {
    let own = route("long", "/long/", "long") + &route("ws", "/ws", "ws");
    let site = Site::start("", &own).await;
    let tasks = TaskGroup::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let changed = CancellationToken::new();
    tasks.spawn("origins", serve(listener, tasks.clone(), changed.clone()));
    let mut echo = Peer::start(&["serve"]);
    let port = echo.line().parse().unwrap();
    site.register("ws", "a", ([127, 0, 0, 1], port).into()).await;
    site.register("long", "a", address).await;

    let mut talk = Peer::start(&["talk", &format!("ws://{}/ws", site.proxy)]);
    assert_eq!(talk.line(), "open");
    let dir = tempfile::tempdir().unwrap();
    let mut downloads: Vec<Child> = Vec::new();
    for path in ["sized", "chunked"] {
        let url = format!("http://{}/long/{path}", site.proxy);
        let to = dir.path().join(path);
        let mut curl = Command::new("curl");
        let curl = curl.args(["-sS", "--fail", "--limit-rate", DOWNLOAD_RATE, "-o"]).arg(to).arg(url);
        downloads.push(curl.spawn().expect("curl is installed by ./test"));
    }
    let seen = Arc::new(AtomicU64::new(0));
    let changes = async {
        until("events", || async { (seen.load(Relaxed) > 5).then_some(()) }).await;
        for turn in 0..CHANGES {
            site.register("other", "a", ([127, 0, 0, 1], 1000 + turn).into()).await;
            // Another instance of the very service, which changes nothing for what is open.
            site.register("long", "b", ([127, 0, 0, 1], 2000 + turn).into()).await;
            if turn % (CHANGES / RELOADS) == 0 {
                let other = format!("{own}{}body_max = '{}KiB'\n", route("other", "/other/", "other"), turn + 1);
                site.reload(&other).await;
                let open = downloads.iter_mut().all(|d| d.try_wait().unwrap().is_none());
                assert!(open, "the downloads were over before the changes");
            }
        }
        let before = seen.load(Relaxed);
        until("more events", || async { (seen.load(Relaxed) > before + 20).then_some(()) }).await;
    };
    tokio::select! {
        () = listen(&site, seen.clone()) => {}
        () = changes => {}
    }
    changed.cancel();
    for mut curl in downloads {
        assert!(tokio::task::spawn_blocking(move || curl.wait()).await.unwrap().unwrap().success());
    }
    for path in ["sized", "chunked"] {
        assert!(fs::read(dir.path().join(path)).unwrap() == pattern(DOWNLOAD_BYTES), "{path} is not what was sent");
    }
    let told = tokio::task::spawn_blocking(move || talk.end()).await.unwrap();
    let echoed: u64 = told.parse().unwrap_or_else(|_| panic!("the WebSocket broke: {told}"));
    println!(
        "hold: {} events, {echoed} messages there and back, over {CHANGES} changes, {RELOADS} reloads",
        seen.load(Relaxed)
    );
    assert!(echoed > 50, "{echoed}");
    drop(tokio::task::spawn_blocking(move || echo.end()).await);
    site.deregister("long", "a").await;
    // The instance that is left is none.
    assert_eq!(site.get("/long/sized").await, 502);
    site.stop().await;
}
