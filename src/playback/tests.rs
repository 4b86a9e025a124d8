//! Playback through its handler, over real files: what is sent, what is refused, and that nothing else is read.

mod plays;

use super::plays::{Plays, tests::plays_in};
use super::{Config, Deps, Error, Footage, Playback, build, whep};
use crate::archive::{Version, fixture::Bench};
use crate::base::{Clock, Metrics, Secret, Wall};
use crate::disk::{Disk, Faults, Op};
use crate::media::fixture::{Clip, Options, clip};
use crate::media::tests::decoded_frames;
use crate::media::vod::tests::{Shelf, Take, read_progressive, shelf};
use crate::model::{Frame, Range, SampleTable, Segment, StreamKey};
use crate::serve::{BoxFuture, Handler, ListenerKind, Peer, Request, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::{Arc, Mutex},
};

const FRAME_MICROS: i64 = 40_000;

fn start() -> Wall {
    "2026-11-21T08:30:00Z".parse().unwrap()
}

fn at(frame: i64) -> Wall {
    start().plus_micros(frame * FRAME_MICROS)
}

/// A shelf of real files; a test may change what the index says of them.
struct Library {
    dir: tempfile::TempDir,
    rows: Mutex<Vec<(Segment, Arc<SampleTable>)>>,
    /// What is there once somebody has looked.
    next: Mutex<Option<Shelf>>,
}

impl Library {
    fn of(shelf: &Shelf) -> Arc<Self> {
        let library = Self { dir: tempfile::tempdir().unwrap(), rows: Mutex::default(), next: Mutex::default() };
        library.put(shelf);
        Arc::new(library)
    }

    fn put(&self, shelf: &Shelf) {
        let rows = shelf.sources.iter().map(|s| (s.segment.clone(), s.table.clone())).collect();
        *self.rows.lock().unwrap() = rows;
        for (source, file) in shelf.sources.iter().zip(&shelf.files) {
            std::fs::write(self.path(&source.segment), file).unwrap();
        }
    }
}

impl Footage for Library {
    fn segments<'a>(
        &'a self,
        stream: &'a StreamKey,
        range: Range,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Segment>, Error>> {
        let fits = |s: &&Segment| s.stream == *stream && range.overlaps(s.start, s.end());
        let found = self.rows.lock().unwrap().iter().map(|(s, _)| s).filter(fits).take(limit).cloned().collect();
        if let Some(next) = self.next.lock().unwrap().take() {
            self.put(&next);
        }
        Box::pin(async move { Ok(found) })
    }

    fn segment<'a>(&'a self, stream: &'a StreamKey, start: Wall) -> BoxFuture<'a, Result<Option<Segment>, Error>> {
        let rows = self.rows.lock().unwrap();
        let found = rows.iter().map(|(s, _)| s).find(|s| s.stream == *stream && s.start == start).cloned();
        Box::pin(async move { Ok(found) })
    }

    fn version(&self, _: &StreamKey) -> Version {
        let mut hash = DefaultHasher::new();
        self.rows.lock().unwrap().iter().for_each(|(row, _)| format!("{row:?}").hash(&mut hash));
        (hash.finish(), 0)
    }

    fn table<'a>(&'a self, segment: &'a Segment) -> BoxFuture<'a, Result<Arc<SampleTable>, Error>> {
        let rows = self.rows.lock().unwrap();
        let found = rows.iter().find(|(s, _)| s.start == segment.start).map(|(_, t)| t.clone());
        Box::pin(async move { found.ok_or_else(|| Error::Archive("no table".into())) })
    }

    fn path(&self, segment: &Segment) -> PathBuf {
        self.dir.path().join(format!("{}.mp4", segment.start.micros()))
    }
}

struct World {
    library: Arc<Library>,
    playback: Arc<Playback>,
    plays: Plays,
    faults: Faults,
    metrics: Metrics,
    clock: Clock,
}

fn world(shelf: &Shelf, token: Option<&str>) -> World {
    let (library, faults, metrics) = (Library::of(shelf), Faults::new(), Metrics::default());
    let clock = Clock::simulated(at(1_000));
    let disk = Disk::faulty(1, faults.clone());
    let (plays, _) = plays_in(library.dir.path(), &clock, &metrics);
    let deps = Deps {
        footage: library.clone(),
        plays: plays.clone(),
        hub: crate::live::Hub::default(),
        whep: no_whep(&clock, &metrics),
        group: crate::base::TaskGroup::new(),
        disk,
        clock: clock.clone(),
        metrics: metrics.clone(),
    };
    let playback = build(Config { token: token.map(Secret::new) }, deps);
    World { library, playback, plays, faults, metrics, clock }
}

/// Nobody is shown anything by WebRTC.
fn no_whep(clock: &Clock, metrics: &Metrics) -> whep::Whep {
    let deps = whep::Deps {
        hub: crate::live::Hub::default(),
        events: crate::events::Events::discard(),
        group: crate::base::TaskGroup::new(),
        clock: clock.clone(),
        metrics: metrics.clone(),
    };
    whep::build(whep::Config::default(), None, deps).unwrap().0
}

impl World {
    async fn get(&self, uri: &str) -> Response {
        self.ask(uri, &[]).await
    }

    async fn ask(&self, uri: &str, headers: &[(HeaderName, &str)]) -> Response {
        let request = request(uri, headers);
        match self.playback.at_hand(&request) {
            Some(response) => response,
            None => self.playback.handle(request).await,
        }
    }
}

fn request(uri: &str, headers: &[(HeaderName, &str)]) -> Request {
    let mut request = Request::local(Method::GET, uri.parse().unwrap(), "");
    for (name, value) in headers {
        request.headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    request
}

fn three(clip: &Clip) -> Shelf {
    shelf(&[
        Take { clip, frames: 0..75, start: at(0), session: 1, index: 0 },
        Take { clip, frames: 75..125, start: at(75), session: 1, index: 1 },
        Take { clip, frames: 125..200, start: at(125), session: 1, index: 2 },
    ])
}

fn mp4(from: i64, to: i64) -> String {
    format!("/media/nvr1/3/main/vod.mp4?from={}&to={}", at(from), at(to))
}

async fn body(response: Response) -> Bytes {
    response.into_body().collect().await.unwrap()
}

fn text(response: &Response, name: HeaderName) -> String {
    response.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
}

async fn problem(response: Response) -> (u16, String, String) {
    assert_eq!(text(&response, header::CONTENT_TYPE), "application/problem+json");
    let json: serde_json::Value = serde_json::from_slice(&body(response).await).unwrap();
    let word = |name: &str| json[name].as_str().unwrap().to_owned();
    (u16::try_from(json["status"].as_u64().unwrap()).unwrap(), word("type"), word("detail"))
}

#[tokio::test]
async fn a_range_over_cuts_is_sent_frame_exact_and_players_take_it() {
    let clip = clip(Options::default());
    let world = world(&three(&clip), None);
    let response = world.get(&mp4(60, 130)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(&response, header::CONTENT_TYPE), "video/mp4");
    assert_eq!(text(&response, header::ACCEPT_RANGES), "bytes");
    let name = "inline; filename=\"nvr1-3-main_20261121T083002Z_20261121T083005Z.mp4\"";
    assert_eq!(text(&response, header::CONTENT_DISPOSITION), name);
    let len: usize = text(&response, header::CONTENT_LENGTH).parse().unwrap();
    let file = body(response).await;
    assert_eq!(file.len(), len);
    let shown: Vec<Vec<u8>> = read_progressive(&file).0.shown().into_iter().map(|(_, b)| b).collect();
    assert_eq!(shown, (60..130).map(|n| clip.video[n].0.to_vec()).collect::<Vec<_>>());
    let path = world.library.dir.path().join("out.mp4");
    std::fs::write(&path, &file).unwrap();
    assert_eq!(decoded_frames(&path), 70);
    let saved = world.get(&format!("{}&download=1", mp4(60, 130))).await;
    assert!(text(&saved, header::CONTENT_DISPOSITION).starts_with("attachment; "));
}

#[tokio::test]
async fn any_byte_range_is_that_slice_of_the_whole() {
    let clip = clip(Options::default());
    let world = world(&three(&clip), None);
    let uri = mp4(10, 190);
    let whole = body(world.get(&uri).await).await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..60 {
        let tree = proptest::strategy::Strategy::new_tree(&(0..whole.len(), 0..whole.len()), &mut runner).unwrap();
        let (a, b) = proptest::strategy::ValueTree::current(&tree);
        let (first, last) = (a.min(b), a.max(b));
        let response = world.ask(&uri, &[(header::RANGE, &format!("bytes={first}-{last}"))]).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(text(&response, header::CONTENT_RANGE), format!("bytes {first}-{last}/{}", whole.len()));
        assert_eq!(body(response).await, whole[first..=last]);
    }
    let response = world.ask(&uri, &[(header::RANGE, &format!("bytes={}-", whole.len()))]).await;
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(text(&response, header::CONTENT_RANGE), format!("bytes */{}", whole.len()));
    let several = world.ask(&uri, &[(header::RANGE, "bytes=0-1,5-6")]).await;
    assert_eq!((several.status(), body(several).await), (StatusCode::OK, whole));
    let made = "skyvis_playback_plan_seconds_count 1\n";
    assert!(world.metrics.render().contains(made), "many requests over one range plan once");
}

#[tokio::test]
async fn conditions_hold_while_the_content_does() {
    let clip = clip(Options::default());
    let all = three(&clip);
    let world = world(&shelf_of(&all, 0..2), None);
    let uri = mp4(60, 190);
    let first = world.get(&uri).await;
    let tag = text(&first, header::ETAG);
    assert!(tag.len() > 20 && tag.starts_with('"'), "{tag} is a strong tag");
    let unchanged = world.ask(&uri, &[(header::IF_NONE_MATCH, &tag)]).await;
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    assert!(body(unchanged).await.is_empty());
    let ranged = [(header::RANGE, "bytes=0-9"), (header::IF_RANGE, &tag)];
    assert_eq!(world.ask(&uri, &ranged).await.status(), StatusCode::PARTIAL_CONTENT);
    // The stream goes on: the range holds more now.
    world.library.put(&all);
    assert_eq!(world.ask(&uri, &ranged).await.status(), StatusCode::OK, "the old part fits no more");
    assert_eq!(world.ask(&uri, &[(header::IF_MATCH, &tag)]).await.status(), StatusCode::PRECONDITION_FAILED);
    let grown = world.ask(&uri, &[(header::IF_NONE_MATCH, &tag)]).await;
    assert_eq!(grown.status(), StatusCode::OK);
    // What lies before the growth has not changed.
    let before = text(&world.get(&mp4(60, 100)).await, header::ETAG);
    world.library.put(&shelf_of(&all, 0..2));
    assert_eq!(text(&world.get(&mp4(60, 100)).await, header::ETAG), before);
}

#[tokio::test]
async fn what_was_planned_while_the_footage_changed_is_not_at_hand() {
    let clip = clip(Options::default());
    let all = three(&clip);
    let world = world(&shelf_of(&all, 0..2), None);
    let uri = mp4(60, 190);
    *world.library.next.lock().unwrap() = Some(shelf_of(&all, 0..3));
    let (before, after) = (body(world.get(&uri).await).await, body(world.get(&uri).await).await);
    assert!(before.len() < after.len());
    // What was found right again, though something else of the stream has changed, is at hand from then on.
    world.library.put(&all);
    world.library.rows.lock().unwrap().remove(0);
    let late = request(&mp4(130, 190), &[]);
    let is_at_hand = || world.playback.at_hand(&late).is_some();
    assert!(!is_at_hand());
    body(world.get(&mp4(130, 190)).await).await;
    assert!(is_at_hand());
    world.library.put(&all);
    assert!(!is_at_hand());
    body(world.get(&mp4(130, 190)).await).await;
    assert!(is_at_hand() && world.metrics.render().contains("skyvis_playback_plan_seconds_count 3\n"));
}

fn shelf_of(shelf: &Shelf, range: std::ops::Range<usize>) -> Shelf {
    Shelf { files: shelf.files[range.clone()].to_vec(), sources: shelf.sources[range].to_vec() }
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_a_reason() {
    let clip = clip(Options::default());
    let world = world(&three(&clip), None);
    let media = "/media/nvr1/3/main/vod.mp4";
    let hour = "2026-11-21T09:30:00Z";
    for (uri, status, kind, detail) in [
        (format!("{media}?from=2026-11-21T08:30:00Z"), 400, "bad-parameter", "`to` is missing"),
        (format!("{media}?from=yesterday&to={hour}"), 400, "bad-parameter", "RFC 3339"),
        (format!("{media}?from={hour}&to={hour}"), 400, "bad-range", "must be after"),
        (format!("{media}?from=2025-11-21T08:30:00Z&to={hour}"), 400, "range-too-long", "31 days"),
        (format!("{media}?from={hour}&to=2026-11-21T09:31:00Z"), 404, "no-footage", "ends 2026-11-21T08:30:08.000Z"),
        (mp4(-500, -400), 404, "no-footage", "begins 2026-11-21T08:30:00.000Z"),
        (mp4(0, 9).replace("nvr1", "nvr2"), 404, "no-such-stream", "no footage of nvr2/3/main"),
        ("/media/nvr1/3/main/nothing".into(), 404, "not-found", "vod.m3u8"),
        (format!("/media/nvr1/3/main/hls/{}_0-9_0-0.m4s?t=0", at(7).micros()), 404, "footage-gone", "gone"),
        (format!("/media/nvr1/3/main/hls/{}_70-90_0-0.m4s?t=0", at(0).micros()), 404, "footage-gone", ""),
    ] {
        let (got, slug, said) = problem(world.get(&uri).await).await;
        assert_eq!((got, slug), (status, format!("urn:skyvis:problem:{kind}")), "{uri}: {said}");
        assert!(said.contains(detail), "{uri}: {said}");
    }
    let mut post = request(&mp4(0, 9), &[]);
    post.method = Method::POST;
    let refused = world.playback.handle(post).await;
    assert_eq!((refused.status(), text(&refused, header::ALLOW)), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD".into()));
}

#[tokio::test]
async fn who_may_see_footage() {
    let clip = clip(Options::default());
    let three = three(&clip);
    let remote = Some("192.0.2.7:5000".parse().unwrap());
    let local = Some("127.0.0.1:5000".parse().unwrap());
    let hands = std::cell::Cell::new(0);
    let ask = async |world: &World, peer: Peer, uri: &str, bearer: Option<&str>| {
        let mut request = request(uri, &[]);
        request.peer = peer;
        if let Some(bearer) = bearer {
            request.headers.insert(header::AUTHORIZATION, HeaderValue::from_str(bearer).unwrap());
        }
        let hand = world.playback.at_hand(&request).map(|response| response.status().as_u16());
        let status = world.playback.handle(request).await.status().as_u16();
        assert!(hand.is_none_or(|hand| hand == status), "{hand:?} at hand for whom there is {status}");
        hands.set(hands.get() + u32::from(hand.is_some()));
        status
    };
    let (admin, proxy) = (ListenerKind::Admin, ListenerKind::Proxy);
    let peer = |address, listener| Peer { address, listener };
    let open = world(&three, None);
    let uri = mp4(0, 9);
    assert_eq!(ask(&open, peer(local, admin), &uri, None).await, 200);
    assert_eq!(ask(&open, peer(None, admin), &uri, None).await, 200);
    for refused in [peer(remote, admin), peer(remote, proxy), peer(local, proxy)] {
        assert_eq!(ask(&open, refused, &uri, None).await, 401, "{refused:?}");
    }
    let guarded = world(&three, Some("geheim+1"));
    for (bearer, status) in [
        (None, 401),
        (Some("Bearer geheim+1"), 200),
        (Some("bearer geheim+1"), 200),
        (Some("Bearer geheim"), 401),
        (Some("Basic geheim+1"), 401),
        (Some("Bearer "), 401),
        (Some("Basic d2hvZXZlcjpnZWhlaW0rMQ=="), 200), // whoever:geheim+1
        (Some("Basic d2hvZXZlcjpnZWhlaW0="), 401),
    ] {
        for peer in [peer(local, admin), peer(remote, proxy)] {
            assert_eq!(ask(&guarded, peer, &uri, bearer).await, status, "{bearer:?}");
        }
    }
    assert_eq!(ask(&guarded, peer(remote, proxy), &format!("{uri}&token=geheim%2B1"), None).await, 200);
    assert_eq!(ask(&guarded, peer(remote, proxy), "/media/x", None).await, 401, "nothing is learned without one");
    for (path, status) in [("/", 404), ("/favicon.ico", 404), ("/vod/x", 404), ("/media/cam/1/main/live.m3u8", 401)] {
        assert_eq!(ask(&guarded, peer(remote, proxy), path, None).await, status, "{path}");
    }
    for (name, status) in [("live.ws", 426), ("whep", 405), ("whep/00", 405)] {
        let path = format!("/media/cam/1/main/{name}");
        assert_eq!(ask(&open, peer(local, admin), &path, None).await, status, "{path} says what is wrong");
    }
    guarded.playback.apply(Config { token: Some(Secret::new("neu")) });
    assert_eq!(ask(&guarded, peer(remote, proxy), &uri, Some("Bearer geheim+1")).await, 401);
    assert_eq!(ask(&guarded, peer(remote, proxy), &uri, Some("Bearer neu")).await, 200);
    assert!(hands.get() > 5, "what was planned once is at hand");
    let mut post = request(&format!("{uri}&token=neu"), &[]);
    post.method = Method::POST;
    assert!(guarded.playback.at_hand(&post).is_none() && guarded.playback.handle(post).await.status() == 405);
}

#[tokio::test]
async fn only_what_is_sent_is_read_and_a_lost_client_ends_the_reading() {
    let clip = clip(Options { width: 1920, height: 1440, ..Options::default() });
    let world = world(&three(&clip), None);
    let uri = mp4(0, 200);
    let whole = body(world.get(&uri).await).await;
    assert!(whole.len() > 600_000, "{} bytes are too few for this test", whole.len());
    let reads = || world.faults.count(Op::Read);
    let before = reads();
    let header = world.ask(&uri, &[(header::RANGE, "bytes=0-99")]).await;
    body(header).await;
    let untouched = world.get(&uri).await;
    drop(untouched);
    assert_eq!(reads(), before, "the header needs no file, and an answer that nobody takes neither");
    let mut taken = world.get(&uri).await.into_body();
    while reads() == before {
        taken.frame().await.unwrap().unwrap();
    }
    let after_one_block = reads();
    drop(taken);
    let few = world.ask(&uri, &[(header::RANGE, "bytes=-10")]).await;
    assert_eq!(body(few).await, whole[whole.len() - 10..]);
    assert_eq!(reads(), after_one_block + 1, "one read for ten bytes, and none for the client that left");
}

#[tokio::test]
async fn a_file_that_vanishes_under_an_answer_cuts_it() {
    let clip = clip(Options::default());
    let world = world(&three(&clip), None);
    let rows = world.library.rows.lock().unwrap().clone();
    let response = world.get(&mp4(0, 200)).await;
    assert_eq!(response.status(), StatusCode::OK);
    std::fs::remove_file(world.library.path(&rows[1].0)).unwrap();
    assert!(response.into_body().collect().await.is_err(), "short and silent would be a lie");
}

/// The addresses that a playlist names, in order, and its lines.
#[tokio::test]
async fn a_file_that_is_gone_or_cut_short_takes_no_neighbour_with_it() {
    let clip = clip(Options::default());
    let all = three(&clip);
    let world = world(&all, None);
    let rows = world.library.rows.lock().unwrap().clone();
    let path = world.library.path(&rows[1].0);
    std::fs::write(&path, &all.files[1][..all.files[1].len() - 1]).unwrap();
    let pictures = |frames: Vec<usize>| frames.into_iter().map(|n| clip.video[n].0.to_vec()).collect::<Vec<_>>();
    for (to, uri) in [(200, mp4(0, 200)), (199, mp4(0, 199))] {
        let file = body(world.get(&uri).await).await;
        let shown: Vec<Vec<u8>> = read_progressive(&file).0.shown().into_iter().map(|(_, b)| b).collect();
        assert_eq!(shown, pictures((0..75).chain(125..to).collect()));
        // Its second round is without the file altogether.
        std::fs::remove_file(&path).ok();
    }
    assert_eq!(world.get(&mp4(80, 120)).await.status(), StatusCode::NOT_FOUND);
}

fn lines(playlist: &str) -> (Vec<&str>, Vec<&str>) {
    let uris = playlist.lines().filter(|l| !l.starts_with('#')).collect();
    (uris, playlist.lines().collect())
}

#[tokio::test]
async fn a_playlist_names_parts_that_players_play() {
    let clip = clip(Options::default());
    let world = world(&three(&clip), Some("a b"));
    let base = "/media/nvr1/3/main";
    let uri = format!("{base}/vod.m3u8?from={}&to={}&token=a%20b", at(0), at(200));
    let response = world.get(&uri).await;
    assert_eq!(text(&response, header::CONTENT_TYPE), "application/vnd.apple.mpegurl");
    let playlist = String::from_utf8(body(response).await.to_vec()).unwrap();
    assert!(playlist.ends_with("#EXT-X-ENDLIST\n"));
    let dir = world.library.dir.path();
    let mut local = playlist.clone();
    let (uris, all) = lines(&playlist);
    let map = all.iter().find_map(|l| l.strip_prefix("#EXT-X-MAP:URI=\"")).unwrap().trim_end_matches('"');
    for (n, uri) in uris.iter().chain([&map]).enumerate() {
        let response = world.get(&format!("{base}/{uri}")).await;
        assert_eq!(response.status(), StatusCode::OK, "{uri}");
        assert!(text(&response, header::CACHE_CONTROL).contains("immutable"));
        std::fs::write(dir.join(format!("{n}.mp4")), body(response).await).unwrap();
        local = local.replace(uri, &format!("{n}.mp4"));
    }
    std::fs::write(dir.join("index.m3u8"), local).unwrap();
    assert_eq!(decoded_frames(&dir.join("index.m3u8")), 200);
}

#[tokio::test]
async fn a_playlist_without_end_follows_the_tail() {
    let clip = clip(Options::default());
    let grown = |frames: usize| {
        let mut shelf = shelf(&[
            Take { clip: &clip, frames: 0..75, start: at(0), session: 1, index: 0 },
            Take { clip: &clip, frames: 75..frames, start: at(75), session: 1, index: 1 },
        ]);
        shelf.sources[1].segment.closed = false;
        shelf
    };
    let world = world(&grown(87), None);
    let uri = format!("/media/nvr1/3/main/vod.m3u8?from={}", at(0));
    let mut before = String::new();
    for frames in (87..=195).step_by(12) {
        world.library.put(&grown(frames));
        let playlist = String::from_utf8(body(world.get(&uri).await).await.to_vec()).unwrap();
        assert!(playlist.starts_with(&before) && !playlist.contains("ENDLIST"), "{playlist}");
        let seconds: f64 =
            playlist.lines().filter_map(|l| l.strip_prefix("#EXTINF:")?.split(',').next()?.parse::<f64>().ok()).sum();
        assert!(frames as f64 * 0.04 - seconds < 1.5, "{seconds} s of {frames} frames are listed");
        before = playlist;
    }
    assert!(before.contains("#EXT-X-START:TIME-OFFSET=0.000000"), "play begins at `from`, not at the tail");
    let later = format!("/media/nvr1/3/main/vod.m3u8?from={}", at(900));
    let empty = world.get(&later).await;
    assert_eq!(empty.status(), StatusCode::OK, "nothing yet, but it will come");
    assert!(!String::from_utf8_lossy(&body(empty).await).contains("#EXTINF"));
    world.clock.step_micros(5 * 3_600_000_000);
    let ended = String::from_utf8(body(world.get(&uri).await).await.to_vec()).unwrap();
    assert!(ended.contains("#EXT-X-ENDLIST"), "hours later it has an end");
    assert_eq!(problem(world.get(&later).await).await.0, 404);
}

#[tokio::test]
async fn requests_are_counted_by_outcome() {
    let clip = clip(Options::default());
    let world = world(&three(&clip), None);
    let len = body(world.get(&mp4(0, 50)).await).await.len();
    let mut pieces = world.get("/media/nvr1/3/main/vod.mp4").await.into_body().collect().await.into_iter();
    assert!(pieces.next().is_some());
    let text = world.metrics.render();
    for line in [
        "skyvis_playback_requests_total{outcome=\"ok\"} 1".to_owned(),
        "skyvis_playback_requests_total{outcome=\"bad_request\"} 1".to_owned(),
        format!("skyvis_playback_sent_bytes_total {len}"),
    ] {
        assert!(text.contains(&line), "{line} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_is_played_through_cuts_and_from_the_file_that_grows() {
    let clip = clip(Options::default());
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let stream: StreamKey = "nvr1/3/main".parse().unwrap();
    let frames = clip.frames(9, start());
    let between = |a: i64, b: i64| -> Vec<Frame> {
        frames.iter().filter(|f| f.wall >= at(a) && f.wall < at(b)).cloned().collect()
    };
    bench.lay(&stream, &between(0, 75), 0, 12).await;
    bench.lay_open(&stream, &between(75, 200), 1, 12).await;
    let (disk, metrics) = (bench.disk.clone(), Metrics::default());
    let footage = Arc::new(bench.archive.clone());
    let beside = tempfile::tempdir().unwrap();
    let (plays, _) = plays_in(beside.path(), &Clock::real(), &metrics);
    let playback = build(
        Config::default(),
        Deps {
            footage,
            plays,
            hub: crate::live::Hub::default(),
            whep: no_whep(&Clock::real(), &metrics),
            group: crate::base::TaskGroup::new(),
            disk,
            clock: Clock::real(),
            metrics,
        },
    );
    let file = body(playback.handle(request(&mp4(60, 130), &[])).await).await;
    let shown: Vec<Vec<u8>> = read_progressive(&file).0.shown().into_iter().map(|(_, b)| b).collect();
    assert_eq!(shown, (60..130).map(|n| clip.video[n].0.to_vec()).collect::<Vec<_>>());
    let uri = format!("/media/nvr1/3/main/vod.m3u8?from={}", at(0));
    let playlist = String::from_utf8(body(playback.handle(request(&uri, &[])).await).await.to_vec()).unwrap();
    let (uris, _) = lines(&playlist);
    let part = playback.handle(request(&format!("/media/nvr1/3/main/{}", uris[uris.len() - 1]), &[])).await;
    assert_eq!(part.status(), StatusCode::OK);
    let (status, _, said) = problem(playback.handle(request(&mp4(500, 600), &[])).await).await;
    assert_eq!(status, 404);
    assert!(said.contains(&format!("ends {}", at(200))), "{said}");
    bench.end().await;
}

#[tokio::test]
async fn a_gap_and_a_change_of_format_play_through() {
    let clip_a = clip(Options::default());
    let clip_b = clip(Options { width: 64, height: 48, audio_rate: 8_000, gop: 10, ..Options::default() });
    let world = world(
        &shelf(&[
            Take { clip: &clip_a, frames: 0..50, start: at(0), session: 1, index: 0 },
            Take { clip: &clip_b, frames: 0..30, start: at(500), session: 2, index: 0 },
        ]),
        None,
    );
    let uri = mp4(10, 520);
    let whole = body(world.get(&uri).await).await;
    let path = world.library.dir.path().join("out.mp4");
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(decoded_frames(&path), 60);
    for first in (0..whole.len()).step_by(whole.len() / 40) {
        let part = world.ask(&uri, &[(header::RANGE, &format!("bytes={first}-{}", first + 999))]).await;
        assert_eq!(body(part).await, whole[first..whole.len().min(first + 1000)]);
    }
}
