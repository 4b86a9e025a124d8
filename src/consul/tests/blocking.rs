//! Reads that wait for news: what wakes them, and what does not.

use super::*;
use crate::model::service::Source;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection on which this is asked.
async fn asking(room: &Room, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(room.address).await.unwrap();
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
    socket
}

/// All that comes, until the server closes.
async fn rest(mut socket: TcpStream) -> String {
    let mut all = String::new();
    tokio::time::timeout(PATIENCE, socket.read_to_string(&mut all)).await.expect("it ends").unwrap();
    all
}

#[tokio::test]
async fn a_read_waits_for_news_of_its_own_service() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.register(json!({ "Name": "web", "ID": "a", "Port": 80, "Check": { "TTL": "60s", "Status": "passing" } }))
        .await;
    let first = room.get("/v1/health/service/web?passing").await;
    let path = format!("/v1/health/service/web?passing&index={}&wait=30s", first.index());
    let mut waiting = room.wait(&path);
    // Another service, a heartbeat, the same registration: none of it is news.
    room.register(json!({ "Name": "other", "Port": 81 })).await;
    room.done("/v1/agent/check/pass/service:a?note=again", "").await;
    room.register(json!({ "Name": "web", "ID": "a", "Port": 80, "Check": { "TTL": "60s", "Status": "passing" } }))
        .await;
    assert!(waiting.try_recv().is_err(), "nothing of it is news");
    let revision = room.registry.revision();
    room.done("/v1/agent/check/fail/service:a", "").await;
    let news = waiting.await.unwrap();
    assert_eq!((news.json(), news.index()), (json!([]), revision + 1));
    room.end().await;
}

#[tokio::test]
async fn a_read_of_a_list_waits_for_news_of_what_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    for id in ["a", "b"] {
        let check = json!({ "TTL": "60s", "Status": "passing" });
        room.register(json!({ "Name": "web", "ID": id, "Port": 80, "Tags": ["x"], "Check": check })).await;
    }
    let index = room.get("/v1/catalog/services").await.index();
    // The last one of a service that is not there, which anything could be news of.
    let lists = [
        "catalog/services?",
        "catalog/nodes?",
        "health/state/critical?",
        "health/service/web?filter=Service.ID==b&",
        "health/service/none?",
    ];
    let mut waiting = lists.map(|path| room.wait(&format!("/v1/{path}index={index}&wait=30s")));
    room.until_waiting(lists.len()).await;
    // How an instance is says nothing of who there is, or of others.
    for say in ["warn", "pass", "warn"] {
        room.done(&format!("/v1/agent/check/{say}/service:a"), "").await;
    }
    assert!(room.registry.revision() > index, "the catalog has changed");
    // Whoever begins now with what it has seen is told where we are, and that wakes nobody.
    assert!(room.get(&format!("/v1/catalog/services?index={index}&wait=30s")).await.index() > index);
    for list in &mut waiting {
        assert!(list.try_recv().is_err(), "nothing of it is news");
    }
    let [services, nodes, state, one, none] = waiting;
    room.done("/v1/agent/check/fail/service:b", "").await;
    assert_eq!(one.await.unwrap().json()[0]["Checks"][1]["Status"], "critical");
    let ill = state.await.unwrap();
    assert_eq!((&ill.json()[0]["ServiceID"], ill.index()), (&json!("b"), room.registry.revision()));
    room.register(json!({ "Name": "db", "Port": 81 })).await;
    assert_eq!(services.await.unwrap().json()["db"], json!([]));
    let body = json!({ "Node": "far", "Address": "10.1.0.1", "Check": { "Name": "alive", "Status": "critical" } });
    assert_eq!(room.put("/v1/catalog/register", body).await.json(), json!(true));
    assert_eq!(nodes.await.unwrap().json()[0]["Node"], "far");
    room.until_waiting(1).await;
    room.register(json!({ "Name": "none", "Port": 82 })).await;
    assert_eq!(none.await.unwrap().json()[0]["Service"]["Port"], 82);
    room.end().await;
}

#[tokio::test]
async fn a_read_that_waited_in_vain_answers_what_there_is_under_the_same_index() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.register(json!({ "Name": "web", "Port": 80 })).await;
    let first = room.get("/v1/catalog/service/web").await;
    let again = room.get(&format!("/v1/catalog/service/web?index={}&wait=1ms", first.index())).await;
    assert_eq!((again.index(), again.json()), (first.index(), first.json()));
    // One that has seen more than there is, as after a restore, waits too, and then learns where we are.
    let lost = room.get("/v1/catalog/service/web?index=1000000&wait=1ms").await;
    assert_eq!(lost.index(), first.index());
    for (query, text) in [("wait=abc", "Invalid wait time"), ("index=-1", "Invalid index")] {
        let refused = room.get(&format!("/v1/catalog/services?{query}")).await;
        assert_eq!((refused.status, refused.text().as_str()), (400, text));
    }
    room.end().await;
}

#[tokio::test]
async fn what_is_gone_and_what_is_to_come_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let none = room.get("/v1/catalog/service/web").await;
    let path = format!("/v1/catalog/service/web?index={}&wait=30s", none.index());
    let coming = room.wait(&path);
    room.register(json!({ "Name": "web", "Port": 80 })).await;
    let there = coming.await.unwrap();
    assert_eq!(there.json().as_array().unwrap().len(), 1);
    let path = format!("/v1/catalog/service/web?index={}&wait=30s", there.index());
    let going = room.wait(&path);
    room.done("/v1/agent/service/deregister/web", "").await;
    let gone = going.await.unwrap();
    assert!(gone.index() > there.index(), "{} after {}", gone.index(), there.index());
    assert_eq!(gone.json(), json!([]));
    room.end().await;
}

#[tokio::test]
async fn an_agents_service_is_waited_for_by_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.register(json!({ "Name": "web", "Port": 80 })).await;
    let first = room.get("/v1/agent/service/web").await;
    let hash = first.field("x-consul-contenthash").to_owned();
    assert_eq!(first.json()["ContentHash"], json!(hash));
    let path = format!("/v1/agent/service/web?hash={hash}&wait=30s");
    let waiting = room.wait(&path);
    room.register(json!({ "Name": "web", "Port": 81 })).await;
    let news = waiting.await.unwrap();
    assert_eq!(news.json()["Port"], 81);
    assert_ne!(news.field("x-consul-contenthash"), hash);
    room.end().await;
}

#[tokio::test]
async fn a_stop_ends_those_who_wait() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let index = room.get("/v1/catalog/nodes").await.index();
    let waiting = room.wait(&format!("/v1/catalog/nodes?index={index}&wait=10m"));
    // It is on its way before the stop: a later request is answered.
    room.get("/v1/catalog/nodes").await;
    room.end().await;
    drop(waiting);
}

#[tokio::test]
async fn nobody_who_waits_misses_anything() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    const ROUNDS: u64 = 200;
    let writing = async {
        for port in 1..=ROUNDS {
            room.register(json!({ "Name": "web", "Port": port })).await;
        }
    };
    let reading = room.until("/v1/health/service/web", |all| all[0]["Service"]["Port"] == json!(ROUNDS));
    tokio::join!(writing, reading);
    room.end().await;
}

#[tokio::test]
async fn a_client_that_goes_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.register(json!({ "Name": "web", "Port": 80, "Check": { "TTL": "60s" } })).await;
    room.done("/v1/agent/check/pass/service:web", "").await;
    let hash = room.get("/v1/agent/service/web").await.field("x-consul-contenthash").to_owned();
    for path in [
        "/v1/health/service/web?",
        "/v1/kv/a?",
        "/v1/kv/a/?recurse&",
        "/v1/session/list?",
        "/v1/event/list?",
        &format!("/v1/agent/service/web?hash={hash}&"),
    ] {
        // One that closes, and one whose host says that it knows of no such connection.
        for is_reset in [false, true] {
            let socket = asking(&room, &format!("{path}index=1000000000000000&wait=10m")).await;
            room.until_waiting(1).await;
            socket2::SockRef::from(&socket).set_linger(is_reset.then_some(Duration::ZERO)).unwrap();
            drop(socket);
            room.until_waiting(0).await;
        }
    }
    room.end().await;
}

#[tokio::test]
async fn a_client_that_sends_no_more_and_still_reads_is_answered_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let mut socket = asking(&room, "/v1/catalog/nodes?index=1000000&wait=10m").await;
    socket.shutdown().await.unwrap();
    let answer = rest(socket).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"Node\":\"n1\""), "{answer}");
    room.end().await;
}

#[tokio::test]
async fn who_waits_for_news_is_not_idle() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { idle_timeout: Duration::from_millis(250), ..Limits::default() };
    let room = begin_within(dir.path(), None, limits).await;
    let (clock, wait) = (Clock::real(), Duration::from_secs(1));
    let began = clock.now();
    let answer = rest(asking(&room, &format!("/v1/catalog/nodes?index=1000000&wait={}s", wait.as_secs())).await).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"Node\":\"n1\""), "{answer}");
    assert!(clock.now() - began >= wait, "its connection was closed once it was idle, and not before");
    room.end().await;
}

/// What a call is given of a request.
fn asked(rest: &str, query: &str) -> front::Asked {
    let target = format!("/v1/x?{query}").parse().unwrap();
    let request = crate::serve::Request::local(http::Method::GET, target, "");
    front::Asked {
        rest: rest.to_owned(),
        ask: ask::Ask::read(&request).unwrap(),
        method: request.method.clone(),
        as_text: false,
        stopping: request.stopping.clone(),
        client: request.client.clone(),
        body: Bytes::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_an_answer_is_made_is_not_taken_for_seen() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.register(json!({ "Name": "web", "Port": 80 })).await;
    let asked = asked("", &format!("index={}&wait=10m", room.registry.revision()));
    let came = std::sync::atomic::AtomicBool::new(false);
    let make = |front: &front::Front| {
        if !came.swap(true, std::sync::atomic::Ordering::Relaxed) {
            let key = crate::model::InstanceKey { service: "db".parse().unwrap(), id: "a".parse().unwrap() };
            let comes = front.registry.register(key, registry::Spec::new("10.0.0.1", 1), Source::Api);
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(comes)).unwrap();
        }
        Ok(json!(front.registry.records().len()))
    };
    let reply = tokio::time::timeout(PATIENCE, room.front.read_all(&asked, make)).await.expect("it is news").unwrap();
    assert_eq!((reply.index, &reply.body[..]), (Some(room.registry.revision()), &b"2"[..]));
    room.end().await;
}

#[tokio::test]
async fn in_a_crowd_each_waits_less_long() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let asked = asked("a", "index=1&wait=10m");
    // From here on time is only told.
    tokio::time::pause();
    let clock = Clock::real();
    let waits = async || {
        let began = clock.now();
        room.front.patience(&asked).await;
        (clock.now() - began).as_secs()
    };
    let mut crowd: Vec<_> = (0..4_096).map(|_| Box::pin(room.front.patience(&asked))).collect();
    for one in &mut crowd {
        assert!(futures_util::FutureExt::now_or_never(one.as_mut()).is_none());
    }
    let crowded = waits().await;
    assert!((30..=32).contains(&crowded), "{crowded} s");
    drop(crowd.pop());
    let alone = waits().await;
    assert!((600..=638).contains(&alone), "{alone} s");
    drop(crowd);
    tokio::time::resume();
    room.end().await;
}
