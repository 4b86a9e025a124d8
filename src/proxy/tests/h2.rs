//! HTTP/2 from clients: curl, nghttp and h2load, and frames that no decent client sends.

use super::{
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Fate, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
        STATUS_200, WINDOW_UPDATE, block, get,
    },
    pki::{Pki, curl, secure},
    rig::{Origin, Rig, ok, route, service_route},
};
use crate::proxy::{AccessLog, Settings};
use std::{
    process::Command,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

/// Longer than anything here takes: only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(20);

/// An origin that answers `seen` and keeps what it was asked.
fn noting() -> (Origin, Arc<Mutex<Vec<(String, Vec<u8>)>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let origin = Origin::answering(move |head, body| {
        notes.lock().unwrap().push((head.to_owned(), body.to_vec()));
        ok(b"seen")
    });
    (origin, seen)
}

#[test]
fn curl_and_nghttp_get_all_over_tls_and_in_the_clear_and_the_log_says_how() {
    let pki = Pki::new();
    let dir = pki.dir.path();
    let large: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let answer = ok(&large);
    let origin = Origin::answering(move |head, body| match head.split(' ').nth(1) {
        Some("/large") => answer.clone(),
        Some("/chunks") => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n".to_vec()
        }
        Some("/none") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        Some("/early") => {
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
        }
        _ => ok(&[head.as_bytes(), body].concat()),
    });
    let log = dir.join("access.log");
    let settings = Settings { access_log: AccessLog::File { path: log.clone(), json: false }, ..Settings::default() };
    let (rig, address) =
        super::pki::secure_with(vec![route(&[origin.address])], vec![pki.site("a", &["a.test"], 1)], settings);
    std::fs::write(dir.join("body"), &large[..1_000_000]).unwrap();
    for (base, address, how) in [
        (format!("https://a.test:{}", address.port()), address, "--http2"),
        (format!("http://a.test:{}", rig.address.port()), rig.address, "--http2-prior-knowledge"),
    ] {
        let url = |path: &str| format!("{base}{path}");
        let get = |arguments: &[&str]| {
            let (done, text) =
                curl(address, dir, "a.test", &[&[how, "-w", "|%{http_version} %{http_code}"], arguments].concat());
            assert!(done, "{arguments:?}: {text}");
            text
        };
        let told = get(&[&url("/x?y=1"), "-b", "c=1; d=2"]);
        let lower = told.to_ascii_lowercase();
        assert!(told.starts_with("GET /x?y=1 HTTP/1.1\r\n") && told.ends_with("|2 200"), "{told}");
        let proto = base.split(':').next().unwrap();
        assert!(
            lower.contains(&format!("\r\nx-forwarded-proto: {proto}\r\n"))
                && lower.contains("\r\ncookie: c=1; d=2\r\n")
        );
        assert!(
            lower.contains(&format!("\r\nhost: a.test:{}\r\n", address.port())) && !lower.contains("connection: close")
        );
        assert_eq!(get(&[&url("/chunks")]), "hello there|2 200");
        assert_eq!(get(&[&url("/none")]), "|2 204");
        assert_eq!(get(&[&url("/early")]), "ok|2 200");
        assert!(get(&["-I", &url("/")]).to_ascii_lowercase().contains("content-length:"));
        get(&["-o", "got", &url("/large")]);
        assert!(std::fs::read(dir.join("got")).unwrap() == large);
        for length in [&["-H", "Content-Length:"][..], &[]] {
            let post = url("/post");
            get(&[&["--data-binary", "@body", "-o", "got", &post][..], length].concat());
            assert!(std::fs::read(dir.join("got")).unwrap().ends_with(&large[..1_000_000]));
        }
        let by_address = format!("{proto}://{address}/large");
        let out = Command::new("nghttp").args(["-n", "-v", "-m", "40", "-t", "20", &by_address]).output();
        let out = String::from_utf8(out.expect("nghttp is installed by ./test").stdout).unwrap();
        assert_eq!(out.matches(":status: 200").count(), 40, "{out}");
    }
    assert!(rig.stop(), "it ends in time");
    let lines = std::fs::read_to_string(log).unwrap();
    assert!(lines.contains("\"GET /chunks HTTP/2.0\" 200 "), "{lines}");
    assert_eq!(rig.proxy.panics(), 0);
}

#[test]
fn many_requests_at_once_are_all_answered() {
    let pki = Pki::new();
    let origin = Origin::telling();
    let (rig, address) = secure(vec![route(&[origin.address])], vec![pki.site("a", &[], 1)]);
    for url in [format!("http://{}/", rig.address), format!("https://{address}/")] {
        let out = Command::new("h2load").args(["-n", "4000", "-c", "8", "-m", "64", &url]).output();
        let out = String::from_utf8(out.expect("h2load is installed by ./test").stdout).unwrap();
        assert!(out.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout"), "{out}");
    }
    assert_eq!(rig.proxy.panics(), 0);
}

type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

/// Requests that nobody must see as another one than we do: each is refused, and the origin sees nothing of it.
fn unsound() -> Vec<(&'static str, Fields<'static>)> {
    let usual: Fields<'static> =
        vec![(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")];
    let with = |more: &[(&'static [u8], &'static [u8])]| [&usual[..], more].concat();
    let but = |name: &'static [u8], value: &'static [u8]| {
        let of = |(n, v): &(&'static [u8], &'static [u8])| if *n == name { (name, value) } else { (*n, *v) };
        usual.iter().map(of).collect::<Vec<_>>()
    };
    vec![
        ("a name with CR LF", with(&[(b"x: y\r\ntransfer-encoding", b"chunked")])),
        ("a name with a colon", with(&[(b"x:y", b"z")])),
        ("a name with a space", with(&[(b"x ", b"z")])),
        ("a name in capitals", with(&[(b"X-Y", b"z")])),
        ("an empty name", with(&[(b"", b"z")])),
        ("a name with NUL", with(&[(b"x\0", b"z")])),
        ("a value with CR LF", with(&[(b"x", b"y\r\ncontent-length: 5")])),
        ("a value with LF", with(&[(b"x", b"y\nz: 1")])),
        ("a value with CR", with(&[(b"x", b"y\rz")])),
        ("a value with NUL", with(&[(b"x", b"y\0z")])),
        ("Transfer-Encoding", with(&[(b"transfer-encoding", b"chunked")])),
        ("Connection", with(&[(b"connection", b"keep-alive, x-forwarded-for")])),
        ("Keep-Alive", with(&[(b"keep-alive", b"timeout=5")])),
        ("Proxy-Connection", with(&[(b"proxy-connection", b"close")])),
        ("Upgrade", with(&[(b"upgrade", b"websocket")])),
        ("another TE", with(&[(b"te", b"gzip")])),
        ("another Host", with(&[(b"host", b"b")])),
        ("two Hosts", with(&[(b"host", b"a"), (b"host", b"b")])),
        ("two lengths", with(&[(b"content-length", b"0"), (b"content-length", b"1")])),
        ("a length that is none", with(&[(b"content-length", b"+1")])),
        ("a length without a body", with(&[(b"content-length", b"5")])),
        ("an unknown expectation", with(&[(b"expect", b"foo")])),
        ("two paths", with(&[(b":path", b"/b")])),
        ("an unknown pseudo field", with(&[(b":proto", b"x")])),
        ("a pseudo field behind others", [&[(&b"x"[..], &b"y"[..])][..], &usual].concat()),
        ("a status", with(&[(b":status", b"200")])),
        ("no authority", but(b":authority", b"")),
        ("an authority with a user", but(b":authority", b"u@a")),
        ("an authority with a path", but(b":authority", b"a/b")),
        ("an authority with a space", but(b":authority", b"a b")),
        ("an authority with CR LF", but(b":authority", b"a\r\nx: y")),
        ("a path with CR LF", but(b":path", b"/ HTTP/1.1\r\nx: y")),
        ("a path with a space", but(b":path", b"/ HTTP/1.1")),
        ("a path without a slash", but(b":path", b"a")),
        ("an absolute path", but(b":path", b"http://b/")),
        ("an empty path", but(b":path", b"")),
        ("a path above the root", but(b":path", b"/../x")),
        ("a method with a space", but(b":method", b"GET / HTTP/1.1")),
        ("a method with CR LF", but(b":method", b"GET\r\n")),
        ("an empty method", but(b":method", b"")),
        ("TRACE", but(b":method", b"TRACE")),
        ("CONNECT with a path", but(b":method", b"CONNECT")),
        ("CONNECT", vec![(b":method", b"CONNECT"), (b":authority", b"a:1")]),
        ("no method", usual[1..].to_vec()),
        ("no path", usual[..3].to_vec()),
    ]
}

#[test]
fn no_head_of_http_2_becomes_another_one_on_its_way() {
    let (origin, seen) = noting();
    let rig = Rig::new(vec![route(&[origin.address])]);
    for (name, fields) in unsound() {
        let mut client = Frames::connect(rig.address);
        assert!(client.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)));
        let fate = client.fate(1);
        assert!(!matches!(fate, Fate::Answered(STATUS_200)), "{name}: {fate:?}");
        assert!(seen.lock().unwrap().is_empty(), "{name}: {:?}", seen.lock().unwrap());
    }
    // The same with what is sound: these checks can fail.
    let sound: [(&[u8], &[u8]); 3] = [(b"host", b"A"), (b"te", b"trailers"), (b"x", b"y  z")];
    let mut client = Frames::connect(rig.address);
    assert!(client.send(HEADERS, END_HEADERS | END_STREAM, 1, &get("/x%20y?z", &sound)));
    assert_eq!(client.fate(1), Fate::Answered(STATUS_200));
    let head = seen.lock().unwrap().remove(0).0;
    assert!(head.starts_with("GET /x%20y?z HTTP/1.1\r\nHost: a\r\n"), "{head}");
    assert_eq!(head.to_ascii_lowercase().matches("\r\nhost:").count(), 1, "{head}");
    // What stands behind the dot is another field's name in CGI, and goes no further.
    assert!(client.send(HEADERS, END_HEADERS | END_STREAM, 3, &get("/", &[(b"x_forwarded_for", b"1.2.3.4")])));
    assert_eq!(client.fate(3), Fate::Answered(STATUS_200));
    assert!(!seen.lock().unwrap().remove(0).0.contains("1.2.3.4"));
}

#[test]
fn a_body_is_as_long_as_it_was_said_to_be_or_the_origin_sees_no_whole_request() {
    let (origin, seen) = noting();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let post = |more: &[(&[u8], &[u8])]| {
        let usual: [(&[u8], &[u8]); 4] =
            [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")];
        block(&[&usual[..], more].concat())
    };
    for (length, body) in [(&b"5"[..], &b"abc"[..]), (b"3", b"abcGET / HTTP/1.1\r\n\r\n")] {
        let mut client = Frames::connect(rig.address);
        client.send(HEADERS, END_HEADERS, 1, &post(&[(b"content-length", length)]));
        client.send(DATA, END_STREAM, 1, body);
        let fate = client.fate(1);
        assert!(!matches!(fate, Fate::Answered(STATUS_200)), "{length:?}: {fate:?}");
        assert!(seen.lock().unwrap().is_empty());
    }
    // Chunk lines within the data are data.
    let body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = Frames::connect(rig.address);
    client.send(HEADERS, END_HEADERS, 1, &post(&[]));
    client.send(DATA, 0, 1, &body[..7]);
    client.send(DATA, END_STREAM, 1, &body[7..]);
    assert_eq!(client.fate(1), Fate::Answered(STATUS_200));
    let (head, got) = seen.lock().unwrap().remove(0);
    assert!(got == body && head.contains("Transfer-Encoding: chunked"), "{head}");
    // Trailers go through, and those that would be framing do not.
    client.send(HEADERS, END_HEADERS, 3, &post(&[(b"te", b"trailers")]));
    client.send(DATA, 0, 3, b"abc");
    client.send(HEADERS, END_HEADERS | END_STREAM, 3, &block(&[(b"x-sum", b"7"), (b"content-length", b"9")]));
    assert_eq!(client.fate(3), Fate::Answered(STATUS_200));
    assert_eq!(seen.lock().unwrap().remove(0).1, b"abc\nx-sum: 7");
    assert!(seen.lock().unwrap().is_empty());
}

/// Sends until the other side ends the connection: whether it did, and the reason that it gives. A reset may come first,
/// over which the reason is lost.
fn until_gone(
    mut client: Frames,
    most: usize,
    mut send: impl FnMut(&mut Frames, usize) -> bool,
) -> (bool, Option<u32>) {
    // What comes is read, or the other side would rightly wait.
    let mut reader = Frames { socket: client.socket.try_clone().unwrap() };
    let reading = std::thread::spawn(move || {
        let mut reason = None;
        while let Some(frame) = reader.next() {
            if frame.kind == GOAWAY {
                reason = Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
            }
        }
        reason
    });
    let gone = (0..most).any(|n| !send(&mut client, n));
    let _ = client.socket.shutdown(std::net::Shutdown::Write);
    let reason = reading.join().unwrap();
    (gone || reason.is_some_and(|reason| reason != 0), reason)
}

const ENHANCE_YOUR_CALM: u32 = 11;

#[test]
fn floods_cost_the_client_its_connection() {
    let silent = Origin::new(|c| while c.request().is_some() {});
    let rig = Rig::new(vec![route(&[silent.address])]);
    let connect = || Frames::connect(rig.address);
    let head = get("/", &[]);
    let calm = |name: &str, (gone, reason): (bool, Option<u32>)| {
        assert!(gone && matches!(reason, None | Some(ENHANCE_YOUR_CALM)), "{name}: {gone}, {reason:?}");
    };

    // Requests taken back at once, and once they are on their way.
    calm(
        "rapid reset",
        until_gone(connect(), 5_000, |c, n| {
            let stream = 2 * n as u32 + 1;
            c.send(HEADERS, END_HEADERS | END_STREAM, stream, &head) && c.send(RST_STREAM, 0, stream, &[0, 0, 0, 8])
        }),
    );
    calm(
        "slower reset",
        until_gone(connect(), 2_000, |c, n| {
            let stream = 2 * n as u32 + 1;
            let sent = c.send(HEADERS, END_HEADERS | END_STREAM, stream, &head);
            std::thread::sleep(Duration::from_millis(1));
            sent && c.send(RST_STREAM, 0, stream, &[0, 0, 0, 8])
        }),
    );
    // Frames that carry nothing.
    calm("ping", until_gone(connect(), 200_000, |c, _| c.send(PING, 0, 0, &[0; 8])));
    calm("settings", until_gone(connect(), 200_000, |c, _| c.send(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])));
    let mut client = connect();
    client.send(HEADERS, END_HEADERS, 1, &get("/", &[]));
    calm("empty data", until_gone(client, 400_000, |c, _| c.send(DATA, 0, 1, &[])));
    // Windows: more than there can be ends the connection, many small steps are frames that carry nothing.
    let (_, reason) = until_gone(connect(), 2, |c, _| c.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]));
    assert_eq!(reason, Some(3), "a window that overflows");
    calm("window", until_gone(connect(), 200_000, |c, _| c.send(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])));
    // A head without end, in many frames.
    let mut client = connect();
    client.send(HEADERS, 0, 1, &head);
    let piece = block(&[(b"x", &[b'y'; 1000])]);
    assert!(until_gone(client, 20_000, |c, _| c.send(CONTINUATION, 0, 1, &piece)).0);
    let mut client = connect();
    client.send(HEADERS, 0, 1, &head);
    assert!(until_gone(client, 400_000, |c, _| c.send(CONTINUATION, 0, 1, &[])).0, "empty ones");
    // Whether the library's limits or ours come first depends on how much is read at once.
    let text = rig.metrics.render_plain();
    let floods = text.lines().filter(|l| l.starts_with("skyvis_proxy_h2_floods_total{"));
    let floods: f64 = floods.map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert!(floods >= 6.0, "{text}");
    assert_eq!(rig.proxy.panics(), 0);
    // No more at once than was said.
    let mut client = connect();
    for n in 0..200u32 {
        client.send(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &head);
    }
    assert_eq!(client.fate(399), Fate::Reset(7), "refused, so it may be sent again");
}

#[test]
fn a_head_that_is_too_large_is_told_so() {
    let (origin, seen) = noting();
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = Frames::connect(rig.address);
    let many: Vec<(Vec<u8>, Vec<u8>)> = (0..150).map(|n| (format!("x-{n}").into_bytes(), b"y".to_vec())).collect();
    let many: Fields<'_> = many.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &get("/", &many));
    assert!(!matches!(client.fate(1), Fate::Answered(STATUS_200) | Fate::Gone(_)));
    let big = vec![b'y'; 15_000];
    client.send(HEADERS, END_STREAM, 3, &get("/", &[(b"x", &big)]));
    client.send(CONTINUATION, 0, 3, &block(&[(b"y", &big)]));
    client.send(CONTINUATION, END_HEADERS, 3, &block(&[(b"z", &big)]));
    assert!(!matches!(client.fate(3), Fate::Answered(STATUS_200) | Fate::Gone(_)));
    client.send(HEADERS, END_HEADERS | END_STREAM, 5, &get("/", &[]));
    assert_eq!(client.fate(5), Fate::Answered(STATUS_200), "the connection goes on");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn a_stop_says_goodbye_and_lets_what_was_asked_finish() {
    let (asked, is_asked) = mpsc::channel();
    let (finish, may_finish) = mpsc::channel();
    let (asked, may_finish) = (Mutex::new(asked), Mutex::new(may_finish));
    let origin = Origin::answering(move |head, _| {
        if head.starts_with("GET /late ") {
            asked.lock().unwrap().send(()).unwrap();
            may_finish.lock().unwrap().recv_timeout(PATIENCE).expect("a goodbye comes before the answer");
        }
        ok(b"answer")
    });
    let rig = Rig::new(vec![route(&[origin.address])]);
    let (mut idle, mut busy) = (Frames::connect(rig.address), Frames::connect(rig.address));
    idle.send(HEADERS, END_HEADERS | END_STREAM, 1, &get("/", &[]));
    assert_eq!(idle.fate(1), Fate::Answered(STATUS_200));
    busy.send(HEADERS, END_HEADERS | END_STREAM, 1, &get("/late", &[]));
    is_asked.recv_timeout(PATIENCE).unwrap();
    let answering = std::thread::spawn(move || {
        let mut pongs = busy.socket.try_clone().unwrap();
        let (mut said_goodbye, mut answered) = (false, false);
        while let Some(frame) = busy.next() {
            match frame.kind {
                GOAWAY => {
                    said_goodbye = true;
                    // There may be a second one, which says more exactly what was the last.
                    let _ = finish.send(());
                }
                HEADERS if frame.stream == 1 => answered = frame.payload[0] == STATUS_200,
                PING if frame.flags & 1 == 0 => {
                    use std::io::Write;
                    let _ = pongs.write_all(&super::frames::frame(PING, 1, 0, &frame.payload));
                }
                _ => {}
            }
        }
        (said_goodbye, answered)
    });
    assert!(rig.stop(), "it ends in time");
    assert_eq!(answering.join().unwrap(), (true, true));
    assert_eq!(idle.fate(3), Fate::Gone(Some(0)), "the idle one is told, too");
}

#[test]
fn what_a_client_takes_back_is_taken_back_from_the_upstream() {
    let (told, gone) = mpsc::channel();
    let told = Mutex::new(told);
    let origin = Origin::new(move |c| {
        if c.request().is_some() {
            let _ = told.lock().unwrap().send(c.ended());
        }
    });
    let rig = Rig::new(vec![route(&[origin.address])]);
    let mut client = Frames::connect(rig.address);
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &get("/", &[]));
    while origin.connections.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    client.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    assert!(gone.recv_timeout(Duration::from_secs(10)).unwrap(), "its connection is closed");
    // Nobody there: 503, and not a hang.
    let rig = Rig::new(vec![service_route("nobody")]);
    let mut client = Frames::connect(rig.address);
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &get("/", &[]));
    assert!(matches!(client.fate(1), Fate::Answered(first) if first != STATUS_200));
}
