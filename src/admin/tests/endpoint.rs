//! The endpoint over real rooms that have nothing to show yet, and some footage in the index.

use super::example;
use crate::{
    admin::{self, Config, Deps, Phase, ReloadRefused, Reloader, table},
    archive::{self, Archive},
    base::{Clock, Metrics, Secret, TaskGroup, Wall},
    camera,
    disk::{Disk, Files},
    events::{self, Events},
    live::Hub,
    model::{Checksum, SampleTable, Segment, SessionId, StreamKey, Sum},
    playback::plays::{self, Plays},
    proxy, recorder, registry,
    serve::{Body, BoxFuture, Handler, HandlerFn, ListenerKind, Peer, Request, Response},
    store::{self, Store},
    transcode,
};
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::BodyStream;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::watch;

const START: i64 = 1_790_000_000_000_000;

pub(super) struct House {
    handler: Arc<dyn Handler>,
    archive: Archive,
    events: Events,
    phase: watch::Sender<Phase>,
    reload_works: Arc<AtomicBool>,
    group: TaskGroup,
    _dir: tempfile::TempDir,
}

struct Reload(Arc<AtomicBool>);

impl Reloader for Reload {
    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, ReloadRefused>> {
        let faults = vec!["config.toml:3: `recordnig` is not known; did you mean `recording`?".to_owned()];
        let works = self.0.load(Ordering::Relaxed);
        Box::pin(
            async move { if works { Ok(vec!["device nvr1 added".into()]) } else { Err(ReloadRefused { faults }) } },
        )
    }
}

fn transcoder(hub: &Hub, clock: &Clock, events: &Events, metrics: &Metrics) -> transcode::Transcoder {
    let deps = transcode::Deps {
        sources: Hub::default(),
        hub: hub.clone(),
        clock: clock.clone(),
        events: events.clone(),
        metrics: metrics.clone(),
    };
    transcode::build(transcode::Config::default(), deps).0
}

/// Routes as they stand in a file.
fn routes(clock: &Clock, metrics: &Metrics) -> proxy::sync::Routes {
    let text = r#"
        [[proxy.route]]
        name = "site"
        service = "web"
        [[proxy.route]]
        name = "api"
        path_prefix = "/api/"
        methods = ["GET"]
        host = ["api.example.com"]
        upstreams = ["http://127.0.0.1:9", "http://[::1]:9 weight=2"]
        strip_prefix = "/api"
        balance = "hash"
        [[proxy.route]]
        name = "old"
        path_prefix = "/old"
        redirect = { to = "/new" }
    "#;
    let env = crate::config::Env::new::<&str, &str>([], "test");
    let routes = crate::config::parse(text, std::path::Path::new("/c.toml"), &env).unwrap().proxy.routes;
    let deps = proxy::sync::Deps {
        catalog: watch::channel(Arc::default()).1,
        lookup: crate::outbound::system_lookup(),
        clock: clock.clone(),
        time: proxy::sync::Time::new(clock.clone()),
        metrics: metrics.clone(),
        built_in: Vec::new(),
        workers: 1,
    };
    proxy::sync::build(routes, deps).0
}

fn services(store: &Store, clock: &Clock, events: &Events, metrics: &Metrics, group: &TaskGroup) -> registry::Registry {
    let deps = registry::Deps {
        store: store.clone(),
        events: events.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        lookup: crate::outbound::system_lookup(),
    };
    let (registry, task) = registry::build(deps).unwrap();
    group.spawn("registry", task.run(group.stop_token()));
    registry
}

/// Plays that ask no service.
async fn plays(store: &Store, clock: &Clock, events: &Events, metrics: &Metrics) -> Plays {
    struct Nobody;
    impl plays::Services for Nobody {
        fn targets(&self, _: &str) -> Option<Arc<[std::net::SocketAddr]>> {
            None
        }
    }
    let disk = Disk::real(1);
    let deps = plays::Deps {
        store: store.clone(),
        disk: disk.clone(),
        events: events.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        services: Arc::new(Nobody),
    };
    disk.run(move |_| plays::build(plays::Config::default(), deps)).await.unwrap().unwrap().0
}

/// Footage below a directory, none of which is deleted.
fn footage(dir: &std::path::Path) -> archive::Config {
    archive::Config {
        dir: dir.join("recordings"),
        retain_bytes: None,
        defaults: archive::Limits {
            retain_days: None,
            min_free: archive::MinFree::Bytes(0),
            checksum: Checksum::Sha256,
        },
        devices: Default::default(),
    }
}

/// What the endpoint is told: the operator's token, and where there is one, that of who looks.
fn told(token: Option<&str>, dir: &std::path::Path) -> Config {
    Config {
        token: token.map(Secret::new),
        viewer_token: token.map(|_| Secret::new("for-eyes-only")),
        node: "n".into(),
        data_dir: dir.to_owned(),
    }
}

/// A config in which one value is not a default.
fn shown_config() -> watch::Receiver<Arc<admin::ShownConfig>> {
    let shown = admin::ShownConfig {
        effective: json!({ "node": "n", "admin": { "token": "***" } }),
        file: Some("/c.toml".into()),
        sources: vec![admin::ConfigSource { key: "node".into(), line: Some(1), variable: None }],
    };
    watch::channel(Arc::new(shown)).1
}

pub(super) async fn house(token: Option<&str>) -> House {
    let dir = tempfile::tempdir().unwrap();
    let (clock, metrics, group, hub) = (Clock::real(), Metrics::default(), TaskGroup::new(), Hub::default());
    let store = Store::open(&dir.path().join("store"), store::Options::default(), &Files::real(), &metrics).unwrap();
    let (events, events_task) = events::build(store.clone(), clock.clone(), &metrics).unwrap();
    group.spawn("events", events_task.run(group.stop_token()));
    let disk = Disk::real(1);
    let deps = archive::Deps {
        store: store.clone(),
        disk: disk.clone(),
        writing: disk.clone(),
        clock: clock.clone(),
        events: events.clone(),
        metrics: metrics.clone(),
    };
    let (archive, archive_task) = archive::build(footage(dir.path()), deps).unwrap();
    archive.recover().await.unwrap();
    group.spawn("archive", archive_task.run(group.stop_token()));
    let deps = camera::Deps {
        hub: hub.clone(),
        sources: Hub::default(),
        events: events.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        group: group.clone(),
        store: None,
    };
    let (cameras, cameras_task) = camera::build(camera::Config::default(), deps);
    group.spawn("cameras", cameras_task.run(group.stop_token()));
    let transcoder = transcoder(&hub, &clock, &events, &metrics);
    let config = recorder::Config { defaults: recorder::Settings::default(), devices: Default::default() };
    let deps = recorder::Deps {
        hub: hub.clone(),
        archive: archive.clone(),
        disk,
        clock: clock.clone(),
        events: events.clone(),
        metrics: metrics.clone(),
        store: store.clone(),
    };
    let (recorder, recorder_task) = recorder::build(config, deps).unwrap();
    group.spawn("recorder", recorder_task.run(group.stop_token()));
    let registry = services(&store, &clock, &events, &metrics, &group);
    let plays = plays(&store, &clock, &events, &metrics).await;
    let (phase, phases) = watch::channel(Phase::Ready);
    let reload_works = Arc::new(AtomicBool::new(true));
    let media = |request: Request| async move { Response::new(Body::bytes(format!("media {}", request.path()))) };
    let deps = Deps {
        routes: routes(&clock, &metrics),
        cameras,
        recorder,
        transcoder,
        registry,
        archive: archive.clone(),
        store,
        events: events.clone(),
        hub,
        playback: Arc::new(HandlerFn(media)),
        plays,
        metrics,
        clock,
        phase: phases,
        group: group.clone(),
        reloader: Arc::new(Reload(reload_works.clone())),
        config: shown_config(),
    };
    let handler = admin::build(told(token, dir.path()), deps);
    House { handler, archive, events, phase, reload_works, group, _dir: dir }
}

impl House {
    pub(super) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::local(method, path.parse().unwrap(), "");
        request.peer = Peer { address: Some("127.0.0.1:50000".parse().unwrap()), listener: ListenerKind::Admin };
        request.stopping = self.group.stop_token();
        for (name, value) in headers {
            request.headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        self.handler.handle(request).await
    }

    /// As [`House::ask`], with JSON.
    pub(super) async fn with_body(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Response {
        let mut request = Request::local(method, path.parse().unwrap(), body.to_string());
        request.peer = Peer { address: Some("127.0.0.1:50000".parse().unwrap()), listener: ListenerKind::Admin };
        for (name, value) in headers {
            request.headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        self.handler.handle(request).await
    }

    /// As [`House::ask`], with a body: the status and the answer.
    pub(super) async fn send(&self, method: &str, path: &str, content_type: &str, body: &str) -> (u16, Value) {
        let mut request = Request::local(method.parse().unwrap(), path.parse().unwrap(), body.to_owned());
        request.peer = Peer { address: Some("127.0.0.1:50000".parse().unwrap()), listener: ListenerKind::Admin };
        request.headers.insert("content-type", HeaderValue::from_str(content_type).unwrap());
        let response = self.handler.handle(request).await;
        let (status, bytes) = (response.status().as_u16(), response.into_body().collect().await.unwrap());
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
    }

    pub(super) async fn json(&self, path: &str) -> Value {
        let response = self.ask(Method::GET, path, &[]).await;
        assert_eq!(response.status(), 200, "{path}");
        serde_json::from_slice(&response.into_body().collect().await.unwrap()).unwrap()
    }

    /// The status and problem of a request that is refused.
    pub(super) async fn problem(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let response = self.ask(method, path, headers).await;
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        let status = response.status().as_u16();
        let problem: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap()).unwrap();
        assert_eq!(problem["status"], status);
        (status, problem)
    }

    /// Files of a second each, one behind the other, with a gap behind every tenth.
    async fn record(&self, stream: &StreamKey, count: u32) {
        for i in 0..count {
            let gaps = i64::from(i / 10) * 60_000_000;
            let segment = Segment {
                stream: stream.clone(),
                start: Wall::from_micros(START + i64::from(i) * 1_000_000 + gaps),
                duration_ticks: 90_000,
                bytes: 1000,
                frames: 25,
                session: SessionId(u64::from(i / 10)),
                index: i % 10,
                name_suffix: 0,
                closed: false,
                sum: Sum::None,
            };
            self.archive.opened(segment, SampleTable::default()).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_table_answers() {
    let house = house(None).await;
    for route in table::ROUTES {
        let path = example(route.pattern);
        let query = if path.ends_with("recordings") || path.ends_with("segments") { "?stream=nvr1/1/main" } else { "" };
        let response = house.ask(route.method.clone(), &format!("{path}{query}"), &[]).await;
        let names_a_thing = ["{id}", "{key}", "{name}"].iter().any(|name| route.pattern.contains(name));
        let expected = match (route.method.as_str(), route.pattern) {
            // A registration says something.
            ("PUT", "/api/v1/services/{name}/instances/{id}") | ("POST", "/api/v1/plays") => 400,
            // A value may be empty; and is there, then.
            ("PUT" | "DELETE", "/api/v1/kv/{key}") => 200,
            _ if names_a_thing => 404,
            _ => 200,
        };
        assert_eq!(response.status(), expected, "{} {path}", route.method);
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    }
    assert_eq!(house.json("/api/v1/openapi.json").await["openapi"], "3.1.0");
    let status = house.json("/api/v1/status").await;
    assert_eq!(status["phase"], "ready");
    assert_eq!(status["counts"]["devices"]["online"], 0);
    assert_eq!((&status["catalog_version"], &status["route_table_version"]), (&json!(1), &json!(0)));
    assert!(status["route_table_error"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_says_so() {
    let house = house(None).await;
    let kind = |problem: &Value| problem["type"].as_str().unwrap().to_owned();
    for (method, path, status, slug) in [
        (Method::GET, "/api/v1/nothing", 404, "not-found"),
        (Method::PUT, "/api/v1/services/web/instances/a", 400, "bad-body"),
        (Method::GET, "/api/v1/services/web", 404, "not-found"),
        (Method::GET, "/api/v1/services/web/pick", 404, "not-found"),
        (Method::POST, "/api/v1/services/web/instances/a/renew", 404, "not-found"),
        (Method::DELETE, "/api/v1/services/a%2Fb/instances/a", 400, "invalid"),
        (Method::GET, "/api/v1/jobs", 501, "not-built"),
        (Method::POST, "/api/v1/streams/nvr1/3/main/pause", 404, "not-found"),
        (Method::GET, "/api/v1/gaps?stream=nvr1", 400, "bad-parameter"),
        (Method::DELETE, "/api/v1/devices/nvr1", 501, "not-built"),
        (Method::GET, "/api/v1/plays/abc", 404, "not-found"),
        (Method::DELETE, "/api/v1/plays/00000000000000000000000000000000", 404, "not-found"),
        (Method::PATCH, "/media/nvr1/1/main/whep/00", 405, "method-not-allowed"),
        (Method::DELETE, "/api/v1/status", 405, "method-not-allowed"),
        (Method::GET, "/api/v1/streams?form=x", 400, "bad-parameter"),
        (Method::GET, "/api/v1/recordings?stream=nvr1", 400, "bad-parameter"),
        (Method::GET, "/api/v1/segments?stream=nvr1/1/main&from=now", 400, "bad-parameter"),
        (Method::GET, "/api/v1/events?after=x", 400, "bad-parameter"),
        (Method::GET, "/console/../secret", 404, "not-found"),
    ] {
        let (found, problem) = house.problem(method, path, &[]).await;
        assert_eq!((found, kind(&problem)), (status, format!("urn:skyvis:problem:{slug}")), "{path}");
    }
    let response = house.ask(Method::DELETE, "/api/v1/status", &[]).await;
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    house.phase.send_replace(Phase::Stopping);
    assert_eq!(house.problem(Method::GET, "/readyz", &[]).await.0, 503);
    house.reload_works.store(false, Ordering::Relaxed);
    let (status, problem) = house.problem(Method::POST, "/api/v1/reload", &[]).await;
    assert!(status == 422 && problem["detail"].as_str().unwrap().contains("recordnig"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn footage_is_listed_page_by_page_and_nothing_twice() {
    let house = house(None).await;
    let stream: StreamKey = "nvr1/1/main".parse().unwrap();
    house.record(&stream, 35).await;
    let spans = house.json("/api/v1/recordings?stream=nvr1/1/main").await;
    let counts: Vec<_> = spans["spans"].as_array().unwrap().iter().map(|s| s["segments"].as_u64().unwrap()).collect();
    assert_eq!(counts, [10, 10, 10, 5]);
    assert_eq!(spans["spans"][0]["start"], Wall::from_micros(START).to_string());
    for (list, array, size) in [("recordings", "spans", 4), ("segments", "segments", 35)] {
        for limit in [1, 3, 4, 35] {
            let (mut starts, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = house.json(&format!("/api/v1/{list}?stream=nvr1/1/main&limit={limit}{cursor}")).await;
                let items = page[array].as_array().unwrap();
                assert!(items.len() <= limit);
                starts.extend(items.iter().map(|i| i["start"].as_str().unwrap().to_owned()));
                let Some(next) = page["next"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(starts.len(), size, "{list} by {limit}");
            assert!(starts.is_sorted(), "{list} by {limit}");
        }
    }
    let segment = &house.json("/api/v1/segments?stream=nvr1/1/main&limit=1").await["segments"][0];
    assert_eq!((&segment["key"], &segment["duration_ms"]), (&json!("nvr1/1/main"), &json!(1000)));
    assert!(segment["path"].as_str().unwrap().ends_with(".mp4") && segment["sha256"].is_null());
    let cut = format!("from={}&to={}", Wall::from_micros(START + 500_000), Wall::from_micros(START + 1_500_000));
    let within = house.json(&format!("/api/v1/segments?stream=nvr1/1/main&{cut}")).await;
    assert_eq!(within["segments"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_of_all_streams_come_page_by_page_whether_or_not_a_device_is_still_configured() {
    let house = house(None).await;
    for stream in ["nvr1/1/main", "nvr1/10/main", "nvr1/2/sub", "old/1/main"] {
        house.record(&stream.parse().unwrap(), 25).await;
    }
    let all = house.json("/api/v1/recordings").await;
    assert!(all["stream"].is_null() && all["next"].is_null());
    let all = all["spans"].as_array().unwrap();
    assert_eq!(all.len(), 12);
    assert_eq!((&all[11]["stream"], &all[11]["segments"]), (&json!("old/1/main"), &json!(5)));
    for limit in [1, 2, 3, 5, 12] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = house.json(&format!("/api/v1/recordings?limit={limit}{cursor}")).await;
            assert!(page["spans"].as_array().unwrap().len() <= limit);
            found.extend(page["spans"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(&found, all, "by {limit}");
    }
    assert_eq!(house.problem(Method::GET, "/api/v1/recordings?cursor=7", &[]).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_footage_include_those_of_growing_files() {
    let house = house(None).await;
    let stream: StreamKey = "nvr1/1/main".parse().unwrap();
    house.record(&stream, 2).await;
    house.archive.look_at_health().await;
    let mut segment = house.archive.segments(&stream, crate::model::Range::ALL, 2).await.unwrap().remove(1);
    segment.bytes = 4321;
    house.archive.extended(segment.clone(), &Default::default(), &Default::default());
    assert_eq!(house.json("/api/v1/status").await["disk"]["footage_bytes"], 1000 + 4321);
    house.archive.closed(Segment { closed: true, ..segment }, false).await.unwrap();
    assert_eq!(house.json("/api/v1/status").await["disk"]["footage_bytes"], 1000 + 4321);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let house = house(None).await;
    let plain = house.ask(Method::GET, "/metrics", &[]).await;
    assert!(plain.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(plain.into_body().collect().await.unwrap().to_vec()).unwrap();
    assert!(text.contains("# HELP skyvis_admin_requests_total ") && !text.contains("# EOF"), "{text}");
    let accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5";
    let open = house.ask(Method::GET, "/metrics", &[("accept", accept)]).await;
    assert!(open.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_streamed_filtered_and_resumed() {
    let house = house(None).await;
    for i in 0..3 {
        house.events.emit("presence.online", format!("cam{i}"), json!({}));
        house.events.emit("disk.full", "", json!({ "n": i }));
    }
    house.events.watch().wait_for(|last| *last >= 6).await.unwrap();
    let read = async |path: &str, headers: &[(&str, &str)], want: usize| {
        let response = house.ask(Method::GET, path, headers).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = BodyStream::new(response.into_body());
        let mut text = String::new();
        while text.matches("\ndata: ").count() < want {
            text += std::str::from_utf8(body.next().await.unwrap().unwrap().data_ref().unwrap()).unwrap();
        }
        text
    };
    let all = read("/api/v1/events?after=0", &[], 6).await;
    assert!(all.starts_with("retry: ") && all.contains("\nid: 1\nevent: presence.online\ndata: {"), "{all}");
    let some = read("/api/v1/events?after=0&kind=presence.*", &[], 3).await;
    assert!(!some.contains("disk.full"), "{some}");
    let resumed = read("/api/v1/events?after=0", &[("last-event-id", "4")], 2).await;
    assert!(resumed.contains("id: 5\n") && !resumed.contains("id: 4\n"), "{resumed}");
    // A stream without news ends when the server stops.
    let quiet = house.ask(Method::GET, "/api/v1/events", &[]).await;
    house.group.cancel();
    assert_eq!(quiet.into_body().collect().await.unwrap(), "retry: 2000\n\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_and_leaves_nothing_behind() {
    let house = house(None).await;
    house.events.emit("disk.full", "", json!({}));
    house.events.watch().wait_for(|last| *last >= 1).await.unwrap();
    let response = house.ask(Method::POST, "/api/v1/backup", &[]).await;
    let len = response.body().len().unwrap();
    let bytes = response.into_body().collect().await.unwrap();
    assert!(bytes.starts_with(b"skyvis-backup 1\n") && bytes.len() as u64 == len);
    let left: Vec<_> = std::fs::read_dir(house._dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|n| n.to_string_lossy().contains("backup")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_listed_as_they_are_matched_and_a_url_finds_its_own() {
    let house = house(None).await;
    let all = house.json("/api/v1/routes").await;
    let names: Vec<&str> = all["items"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["api", "old", "site"], "the host first, then the longest prefix");
    let api = &all["items"][0];
    assert_eq!((&api["live"], &api["instances"], &api["kind"]), (&json!(2), &json!(2), &json!("upstreams")));
    assert_eq!((&api["balance"], &api["rewrite"]), (&json!("hash on ip"), &json!("without /api")));
    assert_eq!((&all["items"][1]["live"], &all["items"][1]["to"]), (&json!(null), &json!("308 /new")));
    assert_eq!((&all["items"][2]["live"], &all["items"][2]["to"]), (&json!(0), &json!("web")));
    let first = house.json("/api/v1/routes?limit=2").await;
    let rest = house.json(&format!("/api/v1/routes?cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!((&rest["items"][0]["name"], &rest["next"]), (&json!("site"), &json!(null)));
    for (query, name) in [
        ("url=https://api.example.com:8443/api/x%3Fa=b", "api"),
        ("url=http://API.example.com/api/x", "api"),
        ("url=/api/x", "site"),
        ("url=http://any.example", "site"),
        ("url=/older?q", "old"),
        ("url=http://api.example.com/api/x&method=POST", "site"),
    ] {
        let one = house.json(&format!("/api/v1/routes?{query}")).await;
        assert_eq!(one["items"][0]["name"], name, "{query}");
        assert!(one["items"].as_array().unwrap().len() == 1 && one["why"].is_null());
    }
    let refused = house.json("/api/v1/routes?url=/x/..%252fold").await;
    assert_eq!((&refused["status"], &refused["items"]), (&json!(400), &json!([])));
    assert_eq!(refused["why"], "The path can be read as that of another route.");
    for query in ["url=ftp://x/y", "url=x", "method=GET", "url=http://a@b/"] {
        let (status, problem) = house.problem(Method::GET, &format!("/api/v1/routes?{query}"), &[]).await;
        assert_eq!((status, problem["type"].as_str()), (400, Some("urn:skyvis:problem:bad-parameter")), "{query}");
    }
}
