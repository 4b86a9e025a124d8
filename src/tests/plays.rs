//! Links to footage, as people, curl, ffmpeg and a browser use them: made by the API, seen through the proxy.

use super::{
    harness::{Api, Site, decode, nvr, until},
    real_peers::{peer, python},
    site::peers::free_address,
};
use crate::{app::Daemon, sim};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const KEY: &str = "nvr/1/main";

async fn open(site: &Site, more: &str) -> (Daemon, Api, SocketAddr) {
    let text = site.config(more).replace("listen = []", "listen = ['127.0.0.1:0']\nworkers = 1");
    let daemon = site.daemon_of(&text).await;
    let proxy = daemon.proxy_addresses()[0];
    (daemon, site.api(), proxy)
}

async fn make(api: &Api, body: Value) -> Value {
    let (status, answer) = api.with_body("POST", "/api/v1/plays", body.to_string()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(status, 201, "{answer}");
    answer
}

/// The address of a link as this test reaches it: the WAN address is not ours.
fn at(proxy: SocketAddr, url: &Value) -> String {
    let url = url.as_str().unwrap();
    let path = url.strip_prefix("https://media.example.com/cams").unwrap_or_else(|| panic!("{url}"));
    format!("http://{proxy}{path}")
}

/// Runs curl: the status, the answer's head, and the body in a file.
async fn curl(args: &[&str], out: &Path) -> (u16, String) {
    let head = out.with_extension("head");
    let ran = tokio::process::Command::new("curl")
        .args(["-sS", "--max-time", "60", "-w", "%{http_code}", "-D"])
        .arg(&head)
        .arg("-o")
        .arg(out)
        .args(args)
        .output()
        .await
        .unwrap();
    let status = String::from_utf8_lossy(&ran.stdout).trim().parse().unwrap_or(0);
    (status, std::fs::read_to_string(head).unwrap_or_default().to_lowercase())
}

async fn footage(api: &Api, seconds: f64) -> (String, String) {
    api.until_recorded(KEY, seconds).await;
    let span = api.spans(KEY).await.remove(0);
    (span["start"].as_str().unwrap().to_owned(), span["end"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_shows_footage_to_curl_and_ffmpeg_until_it_is_taken_back() {
    // More than sockets hold: a download that is to end is not over before.
    let site = Site::new(sim::Options { bits_per_second: 24_000_000, ..nvr(1) }).await;
    let (daemon, api, proxy) = open(&site, "").await;
    let text = std::fs::read_to_string(site.config_file()).unwrap();
    let wan = text.replace("workers = 1", "workers = 1\nwan_endpoint = 'https://media.example.com/cams/'");
    std::fs::write(site.config_file(), wan).unwrap();
    daemon.reload("test").await.unwrap();
    let (from, to) = footage(&api, 4.0).await;
    let asked = json!({ "stream": KEY, "from": from, "to": to, "password": "Gehe im+1", "expires_in": "1h" });
    let play = make(&api, asked).await;
    let id = play["id"].as_str().unwrap();
    let (page, hls, mp4) = (at(proxy, &play["page_url"]), at(proxy, &play["hls_url"]), at(proxy, &play["mp4_url"]));
    assert!(page.ends_with(&format!("/vod/{id}")) && hls.ends_with("/index.m3u8") && mp4.ends_with("/video.mp4"));
    let out = site.dir.path().join("out");
    let (status, head) = curl(&[&mp4], &out).await;
    assert_eq!(status, 401);
    assert!(head.contains("www-authenticate: basic") && head.contains("application/problem+json"), "{head}");
    for url in [&page, &hls, &mp4] {
        assert_eq!(curl(&["-H", "accept: text/html", url], &out).await.0, 401, "{url}");
        assert!(std::fs::read_to_string(&out).unwrap().contains("<form"), "{url}");
    }
    // By Basic, by ?password=, and by the form; the file is whole, and so is what ffmpeg makes of the playlist.
    let file = site.dir.path().join("video.mp4");
    assert_eq!(curl(&["-u", "who:Gehe im+1", &mp4], &file).await.0, 200);
    let frames = decode(&file);
    assert!(frames > 60, "{frames}");
    let (status, head) = curl(&["-u", "who:Gehe im+1", "-r", "0-99", &mp4], &out).await;
    assert_eq!((status, std::fs::read(&out).unwrap()), (206, std::fs::read(&file).unwrap()[..100].to_vec()));
    assert!(head.contains("etag: ") && head.contains("content-range: bytes 0-99/"), "{head}");
    let counted = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(format!("{hls}?password=Gehe%20im%2B1"))
        .output()
        .unwrap();
    let counted = String::from_utf8_lossy(&counted.stdout).into_owned();
    assert_eq!(counted.lines().next(), Some(frames.to_string().as_str()), "{counted}");
    let jar = site.dir.path().join("jar");
    let jar = jar.to_str().unwrap();
    let form = ["-L", "-c", jar, "-b", jar, "--data-urlencode", "password=Gehe im+1", &page];
    assert_eq!(curl(&form, &out).await.0, 200);
    assert!(std::fs::read_to_string(&out).unwrap().contains("<video"));

    // A download that nobody reads on ends when the play is taken back.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut running = socket.connect(proxy).await.unwrap();
    let asked =
        format!("GET /vod/{id}/video.mp4?password=Gehe%20im%2B1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    running.write_all(asked.as_bytes()).await.unwrap();
    let mut begin = [0; 1024];
    running.read_exact(&mut begin).await.unwrap();
    assert!(begin.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&begin));
    assert!(api.json(&format!("/api/v1/plays/{id}")).await["viewers"].as_u64().unwrap() > 0);
    let (status, _) = api.send("DELETE", &format!("/api/v1/plays/{id}"), &[]).await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(curl(&["-u", "x:Gehe im+1", &mp4], &out).await.0, 410);
    let (status, _) = api.try_get(&format!("/api/v1/plays/{id}")).await.unwrap();
    assert_eq!(status, 404);
    let mut rest = Vec::new();
    // It is cut by an end that comes too early, or by an error: either way what came is not the file.
    let _ = running.read_to_end(&mut rest).await;
    let (came, whole) = (rest.len() as u64, file.metadata().unwrap().len());
    assert!(came < whole * 3 / 4, "{came} bytes of {whole} came");
    let views = api.json(&format!("/api/v1/plays/{id}/views")).await;
    let view = &views["items"].as_array().unwrap().iter().find(|v| v["user"] == "who").unwrap();
    assert!(view["bytes"].as_u64().unwrap() >= file.metadata().unwrap().len(), "{view}");
    assert_eq!((&view["address"], &view["from"]), (&json!("127.0.0.1"), &json!(from)));
    assert!(view["agent"].as_str().unwrap().starts_with("curl/"), "{view}");
    let events = api.try_get("/api/v1/config").await.unwrap().1;
    assert!(!String::from_utf8_lossy(&events).contains("Gehe"));
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plays_are_refused_by_name_and_outlive_a_restart() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, _) = open(&site, "[playback]\nplay_expiry_default = '2h'").await;
    let interval = json!({ "stream": KEY, "from": "2026-11-21T08:30:00Z", "to": "2026-11-21T08:31:00Z" });
    let with = |more: Value| {
        let mut body = interval.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (body, said) in [
        (json!({ "stream": KEY }), "`from`: is missing"),
        (json!({ "stream": "x", "live": true }), "<device>/<channel>"),
        (with(json!({ "to": "2026-11-21T08:30:00Z" })), "must be after"),
        (with(json!({ "live": true })), "stands beside"),
        (with(json!({ "password": "" })), "1 to 256 bytes"),
        (with(json!({ "password": 4711 })), "not of the kind"),
        (with(json!({ "password_hash": "x" })), "hash-password"),
        (with(json!({ "expires_in": "0s" })), "between 1s and 366d"),
        (with(json!({ "max_viewers": 0 })), "between 1 and"),
        (with(json!({ "passwort": "geheim" })), "unknown field `passwort`"),
    ] {
        let (status, answer) = api.with_body("POST", "/api/v1/plays", body.to_string()).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer.contains(said) && !answer.contains("geheim") && !answer.contains("4711"), "{body}: {answer}");
    }
    let hash = crate::playback::plays::PasswordHash::of(&crate::base::Secret::new("aus der Ferne")).unwrap();
    let made = make(&api, with(json!({ "password_hash": hash.as_str(), "max_viewers": 3 }))).await;
    assert_eq!((&made["password"], &made["max_viewers"], &made["state"]), (&json!(true), &json!(3), &json!("open")));
    let length = |view: &Value| {
        let at = |key: &str| view[key].as_str().unwrap().parse::<crate::base::Wall>().unwrap();
        at("expires").micros_since(at("created")) / 1_000_000
    };
    assert_eq!(length(&made), 7200);
    assert!(made["page_url"].as_str().unwrap().starts_with("http://localhost/vod/"), "by the request: {made}");
    for _ in 0..4 {
        make(&api, with(json!({ "expires_in": 60 }))).await;
    }
    let page = api.json("/api/v1/plays?limit=3").await;
    let rest = api.json(&format!("/api/v1/plays?limit=3&cursor={}", page["next"].as_str().unwrap())).await;
    assert_eq!((page["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (3, 2));
    assert!(!page.to_string().contains("argon2"));
    assert!(daemon.stop().await);
    let (daemon, api, proxy) = open(&site, "").await;
    let kept = api.json(&format!("/api/v1/plays/{}", made["id"].as_str().unwrap())).await;
    assert_eq!((&kept["expires"], &kept["password"]), (&made["expires"], &json!(true)));
    let out = site.dir.path().join("out");
    let url = format!("http://{proxy}/vod/{}", made["id"].as_str().unwrap());
    assert_eq!(curl(&["-u", "x:aus der Ferne", &url], &out).await.0, 200);
    for _ in 0..5 {
        assert_eq!(curl(&["-u", "x:falsch", &url], &out).await.0, 401);
    }
    let (status, head) = curl(&["-u", "x:aus der Ferne", &url], &out).await;
    assert!(status == 429 && head.contains("retry-after: "), "{status} {head}");
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_asks_for_the_password_plays_seeks_and_crosses_a_gap() {
    let site = Site::new(sim::Options { audio: true, ..nvr(1) }).await;
    let (daemon, api, proxy) = open(&site, "").await;
    let (from, _) = footage(&api, 6.0).await;
    let (status, _) = api.send("POST", "/api/v1/streams/nvr/1/main/pause", &[]).await.unwrap();
    assert_eq!(status, 200);
    api.until_state(KEY, "paused").await;
    api.send("POST", "/api/v1/streams/nvr/1/main/resume", &[]).await.unwrap();
    let to = until("a gap and 6 s behind it", || async {
        let spans = api.spans(KEY).await;
        let at = |span: &Value, key: &str| span[key].as_str()?.parse::<crate::base::Wall>().ok();
        let [_, .., last] = &spans[..] else { return None };
        (at(last, "end")?.micros_since(at(last, "start")?) > 6_000_000)
            .then(|| last["end"].as_str().unwrap().to_owned())
    })
    .await;
    let play = make(&api, json!({ "stream": KEY, "from": from, "to": to, "password": "Gehe im+1" })).await;
    let out = tokio::process::Command::new(python())
        .arg(peer("play_browser.py"))
        .arg(format!("http://{proxy}/vod/{}", play["id"].as_str().unwrap()))
        .arg("Gehe im+1")
        .arg(site.dir.path())
        .output()
        .await
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    if let Some(shots) = std::env::var_os("KEEP_SCREENSHOTS") {
        for shot in ["question.png", "playing.png", "behind_the_gap.png"] {
            let _ = std::fs::copy(site.dir.path().join(shot), Path::new(&shots).join(shot));
        }
    }
    assert!(out.status.success(), "{said}");
    daemon.stop().await;
    site.stop().await;
}

/// An old gateway, which lets in `who` with the password `theirs`: where it is, and how often it was asked.
async fn decider(group: &crate::base::TaskGroup) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = crate::serve::Listener::tcp("127.0.0.1:0".parse().unwrap(), crate::serve::ListenerKind::Admin);
    let listener = listener.await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let decide = crate::serve::HandlerFn(move |request: crate::serve::Request| {
        count.fetch_add(1, Ordering::Relaxed);
        let may = request.header("authorization") == Some("Basic d2hvOnRoZWlycw==") && request.path() == "/may-see";
        async move {
            let mut response = crate::serve::Response::default();
            *response.status_mut() = if may { http::StatusCode::OK } else { http::StatusCode::FORBIDDEN };
            response
        }
    });
    let serving = crate::serve::Server::run(listener, Arc::new(decide), Default::default(), group.stop_token());
    group.spawn("old gateway", serving);
    (address, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forward_auth_of_a_route_decides_on_links() {
    let site = Site::new(nvr(1)).await;
    let group = crate::base::TaskGroup::new();
    let ((gateway, asked), admin) = (decider(&group).await, free_address());
    // Links are served at the admin endpoint, too: a route that leads there takes the place of the proxy's own.
    let route = format!(
        "[[proxy.route]]\nname = 'links'\npath_prefix = '/vod/'\nupstreams = ['http://{admin}']\n\
         auth = {{ forward = 'http://{gateway}/may-see' }}\n"
    );
    let text = site
        .config(&route)
        .replace("listen = []", "listen = ['127.0.0.1:0']\nworkers = 1")
        .replace(&format!("unix:{}/admin.sock", site.dir.path().display()), &admin.to_string());
    let daemon = site.daemon_of(&text).await;
    let (api, proxy) = (Api::at(admin), daemon.proxy_addresses()[0]);
    let (from, to) = footage(&api, 3.0).await;
    let play = make(&api, json!({ "stream": KEY, "from": from, "to": to })).await;
    let url = |name: &str| format!("http://{proxy}/vod/{}{name}", play["id"].as_str().unwrap());
    let out = site.dir.path().join("out");
    let ask = async |password: &str, name: &str| curl(&["-u", &format!("who:{password}"), &url(name)], &out).await.0;
    for name in ["", "/index.m3u8", "/video.mp4"] {
        assert_eq!((ask("ours", name).await, ask("theirs", name).await), (403, 200), "{name}");
    }
    assert_eq!(curl(&[&url("/video.mp4")], &out).await.0, 403);
    assert_eq!(asked.load(Ordering::Relaxed), 7, "each request is asked about");
    assert!(group.stop(std::time::Duration::from_secs(5)).await);
    assert_eq!(ask("theirs", "/video.mp4").await, 502, "without who decides nobody is let in");
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_the_registry_decides_and_is_found_wherever_it_is() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, proxy) = open(&site, "[playback]\nauthorize = 'http://old-gateway/may-see'").await;
    let (from, to) = footage(&api, 3.0).await;
    let play = make(&api, json!({ "stream": KEY, "from": from, "to": to, "password": "our own" })).await;
    let url = format!("http://{proxy}/vod/{}/video.mp4", play["id"].as_str().unwrap());
    let out = site.dir.path().join("out");
    let ask = async |password: &str| curl(&["-u", &format!("who:{password}"), &url], &out).await.0;
    let group = crate::base::TaskGroup::new();
    let mut asked = Vec::new();
    for id in ["a", "b"] {
        let (address, count) = decider(&group).await;
        asked.push(count);
        let body = json!({ "address": "127.0.0.1", "port": address.port() }).to_string();
        let path = format!("/api/v1/services/old-gateway/instances/{id}");
        assert_eq!(api.put(&path, body).await.unwrap().0, 200);
        assert_eq!((ask("theirs").await, ask("our own").await), (200, 401), "{id}");
        // It moves: the next one answers.
        let (status, _) = api.send("DELETE", &path, &[]).await.unwrap();
        assert!(status == 200 || status == 204, "{status}");
    }
    let counts: Vec<usize> = asked.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    assert_eq!(counts, [2, 2], "each was asked where it was the one");
    daemon.stop().await;
    group.stop(std::time::Duration::from_secs(5)).await;
    site.stop().await;
}
