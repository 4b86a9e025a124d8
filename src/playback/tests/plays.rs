//! Plays through the handler: what a link shows, and to whom.

use super::*;
use crate::{
    base::Secret,
    playback::plays::{Play, PlaySpec, Shown},
};
use std::time::Duration;

async fn make(world: &World, frames: (i64, i64), password: Option<&str>) -> Arc<Play> {
    let hash = match password {
        Some(password) => Some(world.plays.hash(Secret::new(password)).await.unwrap()),
        None => None,
    };
    let spec = PlaySpec {
        stream: "nvr1/3/main".parse().unwrap(),
        shown: Shown::Recorded(Range { from: at(frames.0), to: at(frames.1) }),
        expires_in: Some(Duration::from_secs(3600)),
        viewers_max: None,
    };
    world.plays.create(spec, hash).await.unwrap()
}

const BROWSER: (HeaderName, &str) = (header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8");
/// `any:geheim`
const BASIC: (HeaderName, &str) = (header::AUTHORIZATION, "Basic YW55OmdlaGVpbQ==");

async fn page(response: Response) -> String {
    assert_eq!(text(&response, header::CONTENT_TYPE), "text/html; charset=utf-8");
    assert!(text(&response, header::CONTENT_SECURITY_POLICY).contains("script-src 'self'"));
    String::from_utf8(body(response).await.to_vec()).unwrap()
}

#[tokio::test]
async fn people_get_pages_and_programs_get_documents() {
    let clip = clip(Options::default());
    let world = world(&three(&clip), None);
    let play = make(&world, (60, 130), Some("geheim")).await;
    let base = format!("/vod/{}", play.id);
    let asked = world.ask(&base, &[BROWSER]).await;
    assert_eq!(asked.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(text(&asked, header::WWW_AUTHENTICATE), "", "the browser's own question would hide the form");
    assert!(page(asked).await.contains("<form method=\"post\""));
    for tail in ["/index.m3u8", "/video.mp4"] {
        let refused = world.get(&format!("{base}{tail}")).await;
        assert_eq!(text(&refused, header::WWW_AUTHENTICATE), "Basic realm=\"skyvis play\", charset=\"UTF-8\"");
        let (status, kind, _) = problem(refused).await;
        assert_eq!((status, kind.as_str()), (401, "urn:skyvis:problem:password-needed"), "{tail}");
        assert_eq!(world.ask(&format!("{base}{tail}"), &[BROWSER]).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(world.ask(&format!("{base}{tail}"), &[BASIC]).await.status(), StatusCode::OK);
        assert_eq!(world.get(&format!("{base}{tail}?password=geheim")).await.status(), StatusCode::OK);
        let (status, kind, _) = problem(world.get(&format!("{base}{tail}?password=falsch")).await).await;
        assert_eq!((status, kind.as_str()), (401, "urn:skyvis:problem:wrong-password"));
    }
    let shown = page(world.ask(&format!("{base}?password=geheim"), &[BROWSER]).await).await;
    assert!(shown.contains("<video") && !shown.contains("geheim"), "{shown}");
    let nobody = format!("/vod/{}", "0".repeat(32));
    assert!(page(world.ask(&nobody, &[BROWSER]).await).await.contains("No such play"));
    assert_eq!(problem(world.get(&format!("{nobody}/video.mp4")).await).await.0, 404);
    world.plays.revoke(&play.id).await.unwrap();
    let gone = world.ask(&base, &[BROWSER]).await;
    assert_eq!(gone.status(), StatusCode::GONE);
    assert!(page(gone).await.contains("Link withdrawn"));
    assert_eq!(problem(world.get(&format!("{base}/index.m3u8")).await).await.0, 410);
    let json = world.ask(&base, &[(header::ACCEPT, "application/json")]).await;
    assert_eq!(problem(json).await.0, 410);
}

#[tokio::test]
async fn a_form_leads_to_the_page_and_its_links_need_no_password() {
    let clip = clip(Options::default());
    let world = world(&three(&clip), None);
    let play = make(&world, (60, 130), Some("geheim")).await;
    let send = async |form: &str| {
        let mut request = Request::local(Method::POST, format!("/vod/{}", play.id).parse().unwrap(), form.to_owned());
        request.headers.insert(header::ACCEPT, HeaderValue::from_static("text/html"));
        world.playback.handle(request).await
    };
    let wrong = send("password=falsch").await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert!(page(wrong).await.contains("The password is wrong."));
    assert_eq!(send("password=").await.status(), StatusCode::UNAUTHORIZED);
    let right = send("password=geheim").await;
    assert_eq!(right.status(), StatusCode::SEE_OTHER);
    let (to, cookie) = (text(&right, header::LOCATION), text(&right, header::SET_COOKIE));
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("geheim"), "{cookie}");
    let by_cookie = [(header::COOKIE, cookie.split(';').next().unwrap())];
    for shown in [world.get(&format!("/vod/{to}")).await, world.ask(&format!("/vod/{}", play.id), &by_cookie).await] {
        let shown = page(shown).await;
        let pass = shown.split("data-pass=\"").nth(1).unwrap().split('"').next().unwrap();
        for name in ["index.m3u8", "video.mp4", "alive"] {
            let answer = world.get(&format!("/vod/{}/{name}?s={pass}", play.id)).await;
            assert!(answer.status().is_success(), "{name}: {}", answer.status());
        }
    }
    for name in ["play.js", "playlist.js", "play.css"] {
        let file = world.get(&format!("/vod/{}/page/{name}", play.id)).await;
        assert_eq!(file.status(), StatusCode::OK, "{name} holds nothing but code");
    }
    assert_eq!(world.get(&format!("/vod/{}/page/other.js", play.id)).await.status(), StatusCode::NOT_FOUND);
    let slash = world.get(&format!("/vod/{}/", play.id)).await;
    assert_eq!(
        (slash.status(), text(&slash, header::LOCATION)),
        (StatusCode::PERMANENT_REDIRECT, format!("../{}", play.id))
    );
}

#[tokio::test]
async fn a_play_shows_its_interval_and_nothing_beside_it() {
    let clip = clip(Options::default());
    let world = world(&three(&clip), Some("operator"));
    let play = make(&world, (60, 130), Some("geheim")).await;
    let base = format!("/vod/{}", play.id);
    let response = world.ask(&format!("{base}/video.mp4"), &[BASIC]).await;
    assert!(text(&response, header::ETAG).starts_with('"'));
    let file = body(response).await;
    let shown: Vec<Vec<u8>> = read_progressive(&file).0.shown().into_iter().map(|(_, b)| b).collect();
    assert_eq!(shown, (60..130).map(|n| clip.video[n].0.to_vec()).collect::<Vec<_>>());
    let part = world.ask(&format!("{base}/video.mp4"), &[BASIC, (header::RANGE, "bytes=100-299")]).await;
    assert_eq!((part.status(), body(part).await), (StatusCode::PARTIAL_CONTENT, file.slice(100..300)));

    let playlist = world.ask(&format!("{base}/index.m3u8"), &[BASIC]).await;
    let playlist = String::from_utf8(body(playlist).await.to_vec()).unwrap();
    assert!(!playlist.contains("geheim") && !playlist.contains("operator"));
    let again = world.ask(&format!("{base}/index.m3u8"), &[BASIC]).await;
    assert_eq!(body(again).await, playlist.as_bytes(), "what is listed keeps its name");
    let dir = world.library.dir.path();
    let mut local = playlist.clone();
    let (uris, all) = lines(&playlist);
    let map = all.iter().find_map(|l| l.strip_prefix("#EXT-X-MAP:URI=\"")).unwrap().trim_end_matches('"');
    for (n, uri) in uris.iter().chain([&map]).enumerate() {
        let answer = world.get(&format!("{base}/{uri}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{uri} needs no password again");
        std::fs::write(dir.join(format!("{n}.mp4")), body(answer).await).unwrap();
        local = local.replace(uri, &format!("{n}.mp4"));
        let (bare, _) = uri.split_once("&s=").unwrap();
        assert_eq!(world.get(&format!("{base}/{bare}")).await.status(), StatusCode::FORBIDDEN);
    }
    std::fs::write(dir.join("index.m3u8"), local).unwrap();
    // From the key frame before it on.
    assert!(decoded_frames(&dir.join("index.m3u8")) >= 70);

    // The pass of one part opens no other: not that of the frames before, which lie in the same file.
    let (name, pass) = uris[0].split_once("&s=").unwrap();
    let mut fields = name.strip_prefix("hls/").unwrap().split('_');
    let (segment, samples) = (fields.next().unwrap(), fields.next().unwrap());
    assert!(!samples.starts_with("0-"), "{samples}");
    let before = format!("hls/{segment}_0-10_0-0.m4s?t=5");
    assert_eq!(world.get(&format!("{base}/{before}&s={pass}")).await.status(), StatusCode::FORBIDDEN);
    let by_password = world.ask(&format!("{base}/{before}"), &[BASIC]).await;
    assert_eq!(by_password.status(), StatusCode::FORBIDDEN, "and neither does the password");
}

#[tokio::test]
async fn a_play_over_what_is_still_recorded_follows_the_tail_to_its_end() {
    let clip = clip(Options::default());
    let grown = |frames: usize, closed: bool| {
        let mut shelf = shelf(&[
            Take { clip: &clip, frames: 0..75, start: at(0), session: 1, index: 0 },
            Take { clip: &clip, frames: 75..frames, start: at(75), session: 1, index: 1 },
        ]);
        shelf.sources[1].segment.closed = closed;
        shelf
    };
    let world = world(&grown(87, false), None);
    // The clock stands at frame 1000.
    world.clock.step_micros(-900 * FRAME_MICROS);
    let play = make(&world, (30, 190), None).await;
    let uri = format!("/vod/{}/index.m3u8", play.id);
    let fetch = async || String::from_utf8(body(world.get(&uri).await).await.to_vec()).unwrap();
    let mut before = String::new();
    for frames in (87..=195).step_by(12) {
        world.library.put(&grown(frames, false));
        let playlist = fetch().await;
        assert!(playlist.starts_with(&before) && !playlist.contains("ENDLIST"), "{playlist}");
        before = playlist;
    }
    world.clock.step_micros(900 * FRAME_MICROS);
    assert!(!fetch().await.contains("ENDLIST"), "the file that it ends in still grows");
    world.library.put(&grown(200, true));
    let whole = fetch().await;
    let listed = |playlist: &str| lines(playlist).0.iter().map(|uri| uri.to_string()).collect::<Vec<_>>();
    assert!(whole.ends_with("#EXT-X-ENDLIST\n") && listed(&whole).starts_with(&listed(&before)), "{whole}");
    let seconds: f64 =
        whole.lines().filter_map(|l| l.strip_prefix("#EXTINF:")?.split(',').next()?.parse::<f64>().ok()).sum();
    assert!((6.4..7.5).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_download_ends_when_its_play_is_taken_back_and_what_was_sent_is_counted() {
    let clip = clip(Options { width: 1920, height: 1440, ..Options::default() });
    let world = world(&three(&clip), None);
    let play = make(&world, (0, 200), None).await;
    let uri = format!("/vod/{}/video.mp4", play.id);
    let whole = body(world.get(&uri).await).await.len();
    assert!(whole > 600_000, "{whole} bytes are too few for this test");
    let mut running = world.get(&uri).await.into_body();
    let first = running.frame().await.unwrap().unwrap().into_data().unwrap().len();
    assert_eq!(world.plays.totals(&play.id).viewers, 1);
    world.plays.revoke(&play.id).await.unwrap();
    let mut after = 0;
    let cut = loop {
        match running.frame().await {
            Some(Ok(piece)) => after += piece.into_data().unwrap().len(),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(cut && after == 0, "{after} bytes were sent of a play that was taken back");
    let views = world.plays.views(Some(play.id.clone()), None, 10).await.unwrap();
    assert_eq!(views.iter().map(|(_, view)| view.bytes).sum::<u64>(), (whole + first) as u64);
    let view = &views[0].1;
    assert_eq!((view.from, view.to), (Some(at(0)), Some(at(200))));
}
