//! Files of a directory, and what is said to pages of other origins.

use super::rig::{Answer, Origin, Rig, ok, refusing, route};
use crate::proxy::{
    config::{HeaderRules, PathChange, Route, Target},
    cors::{self, Cors},
    h1::Edits,
};
use std::{fs, os::unix::fs::symlink, path::Path};

fn files(dir: &Path, prefix: &str, spa: bool, path: PathChange) -> Route {
    let to = Target::Files { dir: dir.into(), spa, path };
    Route { name: prefix.into(), path_prefix: prefix.into(), to, ..route(&[]) }
}

fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.path().join("www").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    fs::write(dir.path().join("secret.txt"), "secret").unwrap();
    put("index.html", b"<h1>index</h1>");
    put("a b/\u{e4}.txt", b"umlaut");
    put("docs/index.html", b"docs");
    put("bare/x.txt", b"x");
    put("app.js", b"plain");
    put("app.js.gz", b"gz");
    put("app.js.br", b"br");
    put("pic.png", b"png");
    put("pic.png.gz", b"never");
    put(".git/config", b"hidden");
    put(".well-known/acme", b"acme");
    let middle: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    put("middle.bin", &middle);
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
    put("large.bin", &large);
    put("empty.txt", b"");
    dir
}

fn ask(rig: &Rig, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    rig.ask(&format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

#[test]
fn files_come_whole_with_their_validators_and_the_connection_stays() {
    let dir = site();
    let rig = Rig::new(vec![files(&dir.path().join("www"), "/", false, PathChange::None)]);
    let mut client = rig.client();
    for _ in 0..2 {
        for (path, content_type, len) in [
            ("/", "text/html", 14),
            ("/index.html", "text/html", 14),
            ("/a%20b/%C3%A4.txt", "text/plain", 6),
            ("/middle.bin", "application/octet-stream", 100_000),
            ("/large.bin", "application/octet-stream", 3_000_000),
            ("/empty.txt", "text/plain", 0),
            ("/.well-known/acme", "application/octet-stream", 4),
        ] {
            let got = client.get(path);
            assert_eq!((got.status, got.whole, got.body.len()), (200, true, len), "{path}: {}", got.head);
            assert_eq!(got.field("content-type"), Some(content_type), "{path}");
            assert_eq!(got.field("accept-ranges"), Some("bytes"));
            let tag = got.field("etag").unwrap().to_owned();
            assert!(tag.ends_with(&format!("-{len:x}\"")), "{tag}");
            client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            let head = client.answer(true);
            assert_eq!((head.status, head.field("content-length")), (200, Some(len.to_string().as_str())), "{path}");
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\n\r\n").as_bytes());
            let kept = client.answer(false);
            assert_eq!((kept.status, kept.field("etag"), kept.body.len()), (304, Some(tag.as_str()), 0), "{path}");
            assert_eq!(kept.field("content-length"), None);
        }
    }
    let large = client.get("/large.bin").body;
    assert!(large.iter().enumerate().all(|(n, b)| *b == (n / 7) as u8));
    assert!(rig.stop(), "nothing is left behind");
}

#[test]
fn parts_are_the_bytes_of_the_file() {
    let dir = site();
    let rig = Rig::new(vec![files(&dir.path().join("www"), "/", false, PathChange::None)]);
    let large = |from: usize, to: usize| -> Vec<u8> { (from..to).map(|n| (n / 7) as u8).collect() };
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=70000-80000", 70_000, 80_001),
        ("bytes=100-2900000", 100, 2_900_001),
        ("bytes=-5", 2_999_995, 3_000_000),
    ] {
        let got = ask(&rig, "GET", "/large.bin", &[("Range", range)]);
        assert_eq!((got.status, got.whole), (206, true), "{range}");
        assert_eq!(got.field("content-range"), Some(format!("bytes {from}-{}/3000000", to - 1).as_str()));
        assert!(got.body == large(from, to), "{range}");
    }
    let several = ask(&rig, "GET", "/large.bin", &[("Range", "bytes=0-6,100000-299999")]);
    let boundary = several.field("content-type").unwrap().split_once("boundary=").unwrap().1;
    let (kind, total) = ("Content-Type: application/octet-stream", 3_000_000);
    let expected = [
        format!("\r\n--{boundary}\r\n{kind}\r\nContent-Range: bytes 0-6/{total}\r\n\r\n").as_bytes(),
        &large(0, 7),
        format!("\r\n--{boundary}\r\n{kind}\r\nContent-Range: bytes 100000-299999/{total}\r\n\r\n").as_bytes(),
        &large(100_000, 300_000),
        format!("\r\n--{boundary}--\r\n").as_bytes(),
    ]
    .concat();
    assert!(several.status == 206 && several.whole && several.body == expected);
    let beyond = ask(&rig, "GET", "/large.bin", &[("Range", "bytes=3000000-")]);
    assert_eq!((beyond.status, beyond.field("content-range")), (416, Some("bytes */3000000")));
}

#[test]
fn a_large_file_comes_whole_from_the_disk_too_and_never_looks_whole_where_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.bin");
    let bytes: Vec<u8> = (0..20_000_000u32).map(|n| (n / 11) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let rig = Rig::new(vec![files(dir.path(), "/", false, PathChange::None)]);
    let forget = || {
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    };
    forget();
    let whole = ask(&rig, "GET", "/large.bin", &[]);
    assert!(whole.whole && whole.body == bytes);
    for (from, to) in [(1_048_575, 1_048_577), (1_000_000, 3_200_000), (19_000_000, 20_000_000)] {
        forget();
        let range = format!("bytes={from}-{}", to - 1);
        let part = ask(&rig, "GET", "/large.bin", &[("Range", &range)]);
        assert!(part.whole && part.body == bytes[from..to], "{range}");
    }
    // It is cut while a client takes it.
    let mut client = rig.client();
    client.send(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    client.take(1000);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1_000_000).unwrap();
    while client.more() {}
    assert!(client.read.len() < bytes.len() - 1000, "nobody can send what is not there");
}

#[test]
fn what_was_asked_for_a_moment_ago_is_as_new_as_what_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let www = dir.path().join("www");
    std::fs::create_dir(&www).unwrap();
    std::fs::write(dir.path().join("secret.txt"), "secret").unwrap();
    let (file, coded) = (www.join("a.txt"), www.join("a.txt.gz"));
    let rig = Rig::new(vec![files(&www, "/", false, PathChange::None)]);
    let get = || ask(&rig, "GET", "/a.txt", &[("Accept-Encoding", "gzip")]);
    // So often that each worker has it.
    let is = |status: u16, text: &str| {
        for _ in 0..8 {
            let answer = get();
            assert_eq!((answer.status, String::from_utf8_lossy(&answer.body).as_ref()), (status, text));
        }
        get().field("etag").map(str::to_owned)
    };
    std::fs::write(&file, "first").unwrap();
    let first = is(200, "first");
    std::fs::write(&file, "other").unwrap();
    assert_ne!(is(200, "other"), None);
    std::fs::write(www.join("new"), "renamed, and longer").unwrap();
    std::fs::rename(www.join("new"), &file).unwrap();
    assert_ne!(is(200, "renamed, and longer"), first);
    std::fs::write(&coded, "coded").unwrap();
    while get().body != b"coded" {
        std::thread::yield_now();
    }
    std::fs::remove_file(&coded).unwrap();
    is(200, "renamed, and longer");
    std::fs::remove_file(&file).unwrap();
    for _ in 0..8 {
        assert_eq!(get().status, 404);
    }
    symlink("../secret.txt", &file).unwrap();
    for _ in 0..8 {
        assert_eq!(get().status, 404, "a link in its place leads nowhere");
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "back").unwrap();
    is(200, "back");
}

#[test]
fn nothing_outside_and_nothing_hidden_is_shown() {
    let dir = site();
    let www = dir.path().join("www");
    symlink("../secret.txt", www.join("out.txt")).unwrap();
    symlink("/etc/passwd", www.join("passwd")).unwrap();
    symlink(dir.path(), www.join("up")).unwrap();
    symlink("docs/index.html", www.join("in.html")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, www.join("pipe"), rustix::fs::Mode::RUSR).unwrap();
    let strip = PathChange::Strip("/files".into());
    let rig = Rig::new(vec![files(&www, "/", false, PathChange::None), files(&www, "/files", false, strip)]);
    assert_eq!(rig.get("/in.html").text(), "docs", "a link that stays inside is followed");
    for prefix in ["", "/files"] {
        for path in [
            "/out.txt",
            "/passwd",
            "/up/secret.txt",
            "/pipe",
            "/.git/config",
            "/%2egit/config",
            "/%2e%2e%2fsecret.txt",
            "/docs/%2e%2e/.git/config",
            "/..%2fsecret.txt",
            "/docs%00",
            "/docs/index.html/",
            "/missing",
            "/bare/",
            "/bare",
            &format!("/{}", "x".repeat(5000)),
        ] {
            let got = rig.get(&format!("{prefix}{path}"));
            assert!(matches!(got.status, 400 | 404), "{prefix}{path}: {}", got.head);
            assert!(!got.text().contains("secret") && !got.text().contains("hidden"));
        }
    }
    for path in ["/files../secret.txt", "/files/../../secret.txt", "/../secret.txt", "/files..%2fsecret.txt"] {
        let got = rig.get(path);
        assert!(matches!(got.status, 400 | 404), "{path}: {}", got.head);
    }
}

#[test]
fn a_directory_wants_a_slash_and_only_get_and_head_are_served() {
    let dir = site();
    let strip = PathChange::Strip("/f".into());
    let rig = Rig::new(vec![
        files(&dir.path().join("www"), "/", false, PathChange::None),
        files(&dir.path().join("www/docs"), "/f", false, strip),
    ]);
    let moved = rig.get("/docs?a=b");
    assert_eq!((moved.status, moved.field("location")), (301, Some("/docs/?a=b")));
    assert_eq!(rig.get("//docs").field("location"), Some("/docs/"), "never another host");
    assert_eq!(rig.get("/f").field("location"), Some("/f/"));
    assert_eq!(rig.get("/docs/").text(), "docs");
    assert_eq!((rig.get("/f/").text(), rig.get("/f/index.html").text()), ("docs", "docs"));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
        let refused = ask(&rig, method, "/index.html", &[("Content-Length", "0")]);
        assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[test]
fn an_app_answers_for_what_is_not_there() {
    let dir = site();
    let rig = Rig::new(vec![files(&dir.path().join("www"), "/", true, PathChange::None)]);
    for path in ["/", "/room/7", "/a/b/c?d", "/bare", "/bare/", "/missing.js"] {
        let got = rig.get(path);
        assert_eq!((got.status, got.text()), (200, "<h1>index</h1>"), "{path}");
        assert_eq!(got.field("content-type"), Some("text/html"));
    }
    assert_eq!(rig.get("/docs/").text(), "docs");
    assert_eq!(rig.get("/.git/config").status, 404, "what is hidden is not there for an app either");
    fs::remove_file(dir.path().join("www/index.html")).unwrap();
    assert_eq!(rig.get("/room/7").status, 404);
}

#[test]
fn a_compressed_file_beside_is_sent_to_whom_likes_it() {
    let dir = site();
    let rig = Rig::new(vec![files(&dir.path().join("www"), "/", false, PathChange::None)]);
    for (accept, body, coding) in [
        ("", "plain", None),
        ("gzip", "gz", Some("gzip")),
        ("gzip, br", "br", Some("br")),
        ("br;q=0.1, gzip", "gz", Some("gzip")),
        ("br;q=0, gzip;q=0", "plain", None),
        ("deflate", "plain", None),
    ] {
        let got = ask(&rig, "GET", "/app.js", &[("Accept-Encoding", accept)]);
        assert_eq!((got.text(), got.field("content-encoding")), (body, coding), "{accept}");
        assert_eq!((got.field("vary"), got.field("content-type")), (Some("Accept-Encoding"), Some("text/javascript")));
        assert!(got.field("etag").unwrap().ends_with(&format!("-{:x}\"", body.len())));
    }
    let picture = ask(&rig, "GET", "/pic.png", &[("Accept-Encoding", "gzip")]);
    assert_eq!((picture.text(), picture.field("vary")), ("png", None), "pictures are compressed in themselves");
}

#[test]
fn a_link_to_the_directory_can_be_switched_while_it_is_served() {
    let dir = site();
    let (www, current) = (dir.path().join("www"), dir.path().join("current"));
    symlink(&www, &current).unwrap();
    let rig = Rig::new(vec![files(&current, "/", false, PathChange::None)]);
    assert_eq!(rig.get("/").text(), "<h1>index</h1>");
    symlink(www.join("docs"), dir.path().join("next")).unwrap();
    fs::rename(dir.path().join("next"), &current).unwrap();
    while rig.get("/").text() != "docs" {
        std::thread::yield_now();
    }
    fs::remove_file(&current).unwrap();
    while rig.get("/").status != 404 {
        std::thread::yield_now();
    }
}

fn cors(origins: Vec<cors::Origin>, credentials: bool) -> Option<Cors> {
    Some(Cors { origins, credentials, methods: vec!["GET".into(), "POST".into()], ..Cors::default() })
}

#[test]
fn pages_of_other_origins_are_told_on_every_answer_errors_too() {
    let dir = site();
    let origin = Origin::answering(|head, _| match head.contains("/bad") {
        true => b"HTTP/1.1 500 No\r\nAccess-Control-Allow-Origin: http://other\r\nContent-Length: 0\r\n\r\n".to_vec(),
        false => ok(b"fine"),
    });
    let page = || cors(vec![cors::Origin::Exact("https://page".into())], true);
    let gone = refusing();
    let rig = Rig::new(vec![
        Route {
            path_prefix: "/up".into(),
            cors: page(),
            methods: vec!["POST".into(), "GET".into()],
            ..route(&[origin.address])
        },
        Route { name: "gone".into(), path_prefix: "/gone".into(), cors: page(), ..route(&[gone]) },
        Route { name: "none".into(), path_prefix: "/none".into(), cors: page(), ..route(&[]) },
        Route { cors: page(), ..files(&dir.path().join("www"), "/", false, PathChange::None) },
        Route { name: "shut".into(), path_prefix: "/shut".into(), ..route(&[origin.address]) },
    ]);
    for (path, status) in
        [("/up", 200), ("/up/bad", 500), ("/gone", 502), ("/none", 503), ("/missing", 404), ("/docs", 301)]
    {
        let got = ask(&rig, "GET", path, &[("Origin", "https://page")]);
        assert_eq!(got.status, status, "{path}: {}", got.head);
        assert_eq!(got.field("access-control-allow-origin"), Some("https://page"), "{path}: {}", got.head);
        assert_eq!(
            got.head.matches("ccess-control-allow-origin").count()
                + got.head.matches("ccess-Control-Allow-Origin").count(),
            1
        );
        assert_eq!((got.field("access-control-allow-credentials"), got.field("vary")), (Some("true"), Some("Origin")));
        let other = ask(&rig, "GET", path, &[("Origin", "https://evil")]);
        assert_eq!((other.status, other.field("access-control-allow-origin")), (status, None), "{path}");
        assert_eq!(other.field("vary"), Some("Origin"), "{path}");
    }
    let preflight = |path: &str, origin: &str, method: &str| {
        ask(&rig, "OPTIONS", path, &[("Origin", origin), ("Access-Control-Request-Method", method)])
    };
    let told = preflight("/up", "https://page", "POST");
    assert_eq!((told.status, told.field("access-control-allow-methods")), (204, Some("GET, POST")), "{}", told.head);
    assert_eq!(preflight("/up", "https://evil", "POST").status, 403);
    assert_eq!(preflight("/missing", "https://page", "GET").status, 204);
    let before = origin.connections.load(std::sync::atomic::Ordering::SeqCst);
    assert!(before > 0);
    assert_eq!(preflight("/shut", "https://page", "GET").text(), "fine", "without cors it is the upstream's to say");
}

#[test]
fn header_rules_hold_for_what_a_route_says_itself() {
    let dir = site();
    let response = Edits::new(vec![("X-Frame-Options".into(), "DENY".into())], vec!["Last-Modified".into()]).unwrap();
    let headers = HeaderRules { response, ..HeaderRules::default() };
    let rig = Rig::new(vec![Route { headers, ..files(&dir.path().join("www"), "/", false, PathChange::None) }]);
    for path in ["/", "/large.bin", "/docs"] {
        let got = rig.get(path);
        assert_eq!((got.field("x-frame-options"), got.field("last-modified")), (Some("DENY"), None), "{path}");
    }
    assert_eq!(rig.get("/missing").field("x-frame-options"), None);
}
