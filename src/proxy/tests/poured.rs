//! Bodies that handlers name instead of giving them: parts of files, sent by the kernel.

use super::{
    pki::{Pki, curl},
    rig::{Rig, route},
};
use crate::{
    disk::{Disk, Failure, Faults, Kept, Op, Rule},
    proxy::{Settings, table::BuiltIn},
    serve::{Body, BoxFuture, Handler, Piece, Pour, Request, Response},
};
use bytes::Bytes;
use futures_util::stream;
use std::{
    collections::VecDeque,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const FILE_BYTES: usize = 3_000_000;

/// A part of the file, or bytes.
#[derive(Clone)]
enum Part {
    File(Range<u64>),
    Bytes(&'static str),
}

struct Parts {
    file: PathBuf,
    faults: Faults,
    left: VecDeque<Part>,
    /// Not before somebody who may wait has opened it.
    open: Option<Arc<Kept>>,
}

impl Pour for Parts {
    fn next(&mut self) -> io::Result<Piece> {
        Ok(match self.left.front() {
            None => Piece::End,
            Some(Part::Bytes(bytes)) => {
                let bytes = Bytes::from_static(bytes.as_bytes());
                self.left.pop_front();
                Piece::Bytes(bytes)
            }
            Some(Part::File(range)) => match &self.open {
                None => Piece::Closed,
                Some(file) => {
                    let piece = Piece::File(file.clone(), range.clone());
                    self.left.pop_front();
                    piece
                }
            },
        })
    }

    fn open(&mut self) -> io::Result<()> {
        let thread = std::thread::current();
        assert!(thread.name().is_some_and(|name| name.starts_with("disk-")), "{:?} may not wait", thread.name());
        let file = Disk::faulty(1, self.faults.clone()).files().open_read(&self.file).map_err(io::Error::other)?;
        self.open = Some(Arc::new(Kept::new(file, Arc::default())));
        Ok(())
    }
}

/// Answers with the file, and what stands around its parts.
struct Shelf {
    file: PathBuf,
    faults: Faults,
}

impl Shelf {
    fn parts(path: &str) -> Option<(Vec<Part>, u64)> {
        let all = FILE_BYTES as u64;
        let parts = vec![
            Part::Bytes("head"),
            Part::File(5..all - 5),
            Part::Bytes("between"),
            Part::File(70_000..70_001),
            Part::File(0..all),
        ];
        let len = 4 + (all - 10) + 7 + 1 + all;
        match path {
            "/in/whole" | "/in/hand" => Some((parts, len)),
            "/in/one" => Some((vec![Part::File(0..all)], all)),
            "/in/long" => Some((vec![Part::File(0..all); 8], 8 * all)),
            "/in/less" => Some((parts, len + 1)),
            "/in/more" => Some((parts, len - 1)),
            "/in/beyond" => Some((vec![Part::File(0..all + 1)], all + 1)),
            _ => None,
        }
    }

    fn say(&self, request: &Request) -> Response {
        let Some((parts, len)) = Self::parts(request.path()) else { return Response::new(Body::bytes("other")) };
        let (file, faults) = (self.file.clone(), self.faults.clone());
        let pour = Parts { file: file.clone(), faults, left: parts.clone().into(), open: None };
        // Not read unless somebody takes it: that would bring it into memory.
        let copied = parts.into_iter().map(move |part| {
            let bytes = fs::read(&file).unwrap();
            Ok(match part {
                Part::Bytes(text) => Bytes::from(text),
                Part::File(range) => {
                    Bytes::copy_from_slice(&bytes[range.start as usize..bytes.len().min(range.end as usize)])
                }
            })
        });
        let mut response = Response::new(Body::sized(len, stream::iter(copied)).pouring(pour));
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        response.headers_mut().insert("thread", thread.parse().unwrap());
        response
    }
}

impl Handler for Shelf {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move { self.say(&request) })
    }

    fn at_hand(&self, request: &Request) -> Option<Response> {
        match request.path() {
            "/in/hand" => Some(self.say(request)),
            "/in/words" => Some(Response::new(Body::bytes("said on the worker"))),
            _ => None,
        }
    }
}

fn file(dir: &Path) -> Vec<u8> {
    let bytes: Vec<u8> = (0..FILE_BYTES).map(|n| (n * 7 + n / 251) as u8).collect();
    fs::write(dir.join("file"), &bytes).unwrap();
    fs::File::open(dir.join("file")).unwrap().sync_all().unwrap();
    bytes
}

fn rig(dir: &Path) -> Rig {
    faulty(dir, Faults::new())
}

fn faulty(dir: &Path, faults: Faults) -> Rig {
    Rig::with(vec![route(&[])], Settings::default(), vec![built_in(dir, faults)])
}

fn built_in(dir: &Path, faults: Faults) -> BuiltIn {
    let handler = Arc::new(Shelf { file: dir.join("file"), faults });
    BuiltIn { name: "(in)", path_prefix: "/in/", body_max: 1000, handler }
}

/// Whether nothing of the file is in memory any more. To look for it would have it read ahead; where files lie in memory
/// alone, they stay there.
fn evict(dir: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    let file = fs::File::open(dir.join("file")).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    rustix::fs::fstatfs(&file).unwrap().f_type != TMPFS
}

#[test]
fn parts_of_files_and_what_stands_between_come_whole_from_memory_and_from_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = file(dir.path());
    let whole = [b"head", &bytes[5..FILE_BYTES - 5], b"between", &bytes[70_000..70_001], &bytes].concat();
    let rig = rig(dir.path());
    let mut client = rig.client();
    for round in 0..4 {
        if round % 2 == 0 {
            evict(dir.path());
        }
        let answer = client.get("/in/whole");
        assert!(answer.whole && answer.body == whole, "round {round}");
        let one = client.get("/in/one");
        assert!(one.whole && one.body == bytes, "round {round}");
    }
    assert!(rig.metric("skyvis_proxy_spliced_bytes_total") >= (4 * (whole.len() + bytes.len())) as f64);
}

#[test]
fn what_is_not_in_memory_is_fetched_before_any_of_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = file(dir.path());
    let faults = Faults::new();
    let rig = faulty(dir.path(), faults.clone());
    for _ in 0..2 {
        if evict(dir.path()) {
            // The first read is a look at what is there, the second fetches.
            faults.inject(Rule::new(Op::Read, Failure::Io).on("file").nth(2));
            let cut = rig.get("/in/one");
            assert_eq!((cut.whole, cut.body.len()), (false, 0));
        }
        let one = rig.get("/in/one");
        assert!(one.whole && one.body == bytes);
    }
}

#[test]
fn over_tls_the_same_comes_whole() {
    let pki = Pki::new();
    let dir = pki.dir.path();
    let bytes = file(dir);
    let sites = vec![pki.site("a", &["a.test"], 1)];
    let rig = Rig::over_tls(vec![route(&[])], Settings::default(), vec![built_in(dir, Faults::new())], sites);
    let address = rig.proxy.addresses()[1];
    for version in ["--http1.1", "--http2"] {
        let url = |path: &str| format!("https://a.test:{}{path}", address.port());
        let arguments = [version, "-o", "hand", &url("/in/hand"), "-o", "one", &url("/in/one")];
        let (done, text) = curl(address, dir, "a.test", &arguments);
        assert!(done, "{version}: {text}");
        assert!(fs::read(dir.join("one")).unwrap() == bytes, "{version}");
        assert!(fs::read(dir.join("hand")).unwrap().ends_with(&bytes), "{version}");
    }
}

#[test]
fn who_takes_nothing_of_a_file_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path());
    let settings = Settings { patience: Duration::from_millis(300), ..Settings::default() };
    let rig = Rig::with(vec![route(&[])], settings, vec![built_in(dir.path(), Faults::new())]);
    let mut client = rig.client();
    client.send(b"GET /in/long HTTP/1.1\r\nHost: a\r\n\r\n");
    rig.until_metric("skyvis_proxy_connections_open", 1.0);
    rig.until_metric("skyvis_proxy_connections_open", 0.0);
    assert!(!client.answer(false).whole);
}

#[test]
fn a_source_that_gives_something_else_than_it_said_cuts_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path());
    let rig = rig(dir.path());
    for path in ["/in/less", "/in/more", "/in/beyond"] {
        let answer = rig.get(path);
        assert_eq!((answer.status, answer.whole), (200, false), "{path}");
    }
}

#[test]
fn what_is_at_hand_is_said_by_the_worker_and_the_connection_stays() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = file(dir.path());
    let rig = rig(dir.path());
    let mut client = rig.client();
    for _ in 0..3 {
        let thread = |answer: &super::rig::Answer| answer.field("thread").unwrap_or_default().starts_with("proxy-");
        let hand = client.get("/in/hand");
        assert!(thread(&hand) && hand.whole && hand.body.ends_with(&bytes), "{:?}", hand.field("thread"));
        assert!(!thread(&client.get("/in/one")));
        client.send(b"HEAD /in/hand HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer(true).status, 200);
        assert_eq!(client.get("/in/words").text(), "said on the worker");
    }
}
