//! Unmodified clients of Consul on a running daemon, whose proxy routes by what they register.

use super::{
    etcd::{free_port, kills, serve},
    gate::{ALL_TO_WEB, Gate, get},
    harness::until,
    real_peers::{peer, python},
};
use crate::{
    base::TaskGroup,
    serve::{HandlerFn, Limits, Listener, ListenerKind, Request, Response, Server},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::process::Command;

async fn open() -> Gate {
    Gate::open(&format!("[registry]\nconsul_listen = '127.0.0.1:0'\n{ALL_TO_WEB}")).await
}

/// The folder of what `./test` installs.
fn peers() -> PathBuf {
    python().parent().unwrap().parent().unwrap().to_path_buf()
}

async fn run(mut command: Command) {
    command.kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await.expect("it ends").unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim_end().ends_with("all is well"), "{out}\n{err}");
}

async fn run_python(package: &str) {
    let packages = peers().join(package);
    assert!(packages.exists(), "{} is missing: run ./test once, it installs what the tests need", packages.display());
    let gate = open().await;
    let looked_at = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gate.consul();
    let mut command = Command::new(python());
    command.arg(peer("consul_client.py")).args([address.ip().to_string(), address.port().to_string()]);
    command.arg(looked_at.local_addr().unwrap().to_string()).env("PYTHONPATH", packages);
    run(command).await;
    gate.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_consul_works() {
    run_python("python-consul").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_consul2_works() {
    run_python("python-consul2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn py_consul_works() {
    run_python("py-consul").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_consul_works() {
    let modules = peers().join("npm/node_modules");
    assert!(modules.exists(), "{} is missing: run ./test once, it installs what the tests need", modules.display());
    let gate = open().await;
    let address = gate.consul();
    let mut command = Command::new("node");
    command.arg(peer("consul_client.js")).args([address.ip().to_string(), address.port().to_string()]);
    command.env("NODE_PATH", modules);
    run(command).await;
    gate.close().await;
}

/// One request of a client: its status and its body.
async fn ask(address: SocketAddr, method: &str, path: &str, body: Value) -> (u16, Value) {
    try_ask(address, method, path, body).await.unwrap()
}

/// The same, where it is answered at all.
async fn try_ask(address: SocketAddr, method: &str, path: &str, body: Value) -> Option<(u16, Value)> {
    let to = crate::outbound::Address::Tcp { host: address.ip().to_string(), port: address.port() };
    let client = crate::outbound::Client::new(to, crate::outbound::Limits::default());
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = http::Request::builder().method(method).uri(path).body(bytes::Bytes::from(body)).unwrap();
    let answer = client.request(request).await.ok()?;
    Some((answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null)))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_registers_as_with_consul_is_routed_while_it_is_well() {
    let gate = open().await;
    let group = TaskGroup::new();
    let origin = Listener::tcp("127.0.0.1:0".parse().unwrap(), ListenerKind::Admin).await.unwrap();
    let port = origin.local_addr().unwrap().port();
    let answers = Arc::new(HandlerFn(|_: Request| async { Response::new("a".into()) }));
    group.spawn("origin", Server::run(origin, answers, Limits::default(), group.stop_token()));
    let consul = gate.consul();
    let check = json!({ "TTL": "60s", "Status": "passing" });
    let body = json!({ "Name": "web", "ID": "a", "Address": "127.0.0.1", "Port": port, "Check": check });
    assert_eq!(ask(consul, "PUT", "/v1/agent/service/register", body).await.0, 200);
    // The answer came once the proxy served it.
    let mut connection = gate.connection().await;
    assert_eq!(get(&mut connection, "/").await, (200, "a".to_owned()));
    for (say, status) in [("fail", 503), ("pass", 200), ("warn", 200)] {
        assert_eq!(ask(consul, "PUT", &format!("/v1/agent/check/{say}/service:a"), Value::Null).await.0, 200);
        assert_eq!(get(&mut connection, "/").await.0, status, "{say}");
    }
    for (enable, status) in [(true, 503), (false, 200)] {
        let path = format!("/v1/agent/service/maintenance/a?enable={enable}");
        assert_eq!(ask(consul, "PUT", &path, Value::Null).await.0, 200);
        assert_eq!(get(&mut connection, "/").await.0, status, "maintenance {enable}");
    }
    let view = gate.until("a", "warning").await;
    assert_eq!(view["source"], "consul");
    assert_eq!(ask(consul, "PUT", "/v1/agent/service/deregister/a", Value::Null).await.0, 200);
    assert_eq!(get(&mut connection, "/").await.0, 503);
    until("the service is gone", || async {
        gate.api.try_get("/api/v1/services/web").await.filter(|(s, _)| *s == 404)
    })
    .await;
    gate.close().await;
    group.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_client_writes_another_ones_reads_under_the_same_revision() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let fronts = "[registry]\nconsul_listen = '127.0.0.1:0'\netcd_listen = '127.0.0.1:0'\nservice_prefix = '/s/'\n";
    let gate = Gate::open(&format!("{fronts}{ALL_TO_WEB}")).await;
    let (consul, etcd) = (gate.consul(), gate.etcd());
    let range = async |key: &str| {
        let (status, found) = ask(etcd, "POST", "/v3/kv/range", json!({ "key": STANDARD.encode(key) })).await;
        assert_eq!(status, 200, "{found}");
        found["kvs"][0]["mod_revision"].as_str().map(|n| n.parse::<u64>().unwrap())
    };
    let mut last = 0;
    for round in 1..=20_u64 {
        // A service by the one, a key of a service by the other, a plain key by each.
        let body = json!({ "Name": "web", "ID": "a", "Address": "127.0.0.1", "Port": round });
        assert_eq!(ask(consul, "PUT", "/v1/agent/service/register", body).await.0, 200);
        let shown = ask(consul, "GET", "/v1/health/service/web", Value::Null).await.1;
        let of_service = shown[0]["Service"]["ModifyIndex"].as_u64().unwrap();
        assert_eq!(range("/s/web/a").await, Some(of_service));
        let value = STANDARD.encode(format!(r#"{{"ip":"127.0.0.1","port":{round}}}"#));
        let put = json!({ "key": STANDARD.encode("/s/db/b"), "value": value });
        let written = ask(etcd, "POST", "/v3/kv/put", put).await.1;
        let of_key: u64 = written["header"]["revision"].as_str().unwrap().parse().unwrap();
        let shown = ask(consul, "GET", "/v1/catalog/service/db", Value::Null).await.1;
        assert_eq!((&shown[0]["ModifyIndex"], &shown[0]["ServicePort"]), (&json!(of_key), &json!(round)));
        assert_eq!(ask(consul, "PUT", "/v1/kv/plain", json!(round)).await.1, json!(true));
        let of_plain = ask(consul, "GET", "/v1/kv/plain", Value::Null).await.1[0]["ModifyIndex"].as_u64().unwrap();
        assert_eq!(range("plain").await, Some(of_plain));
        assert!(last < of_service && of_service < of_key && of_key < of_plain, "one order of all");
        last = of_plain;
    }
    gate.close().await;
}

/// What one client was told: the numbers of its last registration, told to be well, and of its key; its session and what
/// that holds; the session that it has destroyed.
#[derive(Clone, Debug, Default)]
struct Told {
    service: u64,
    key: u64,
    lock: Option<(String, String)>,
    destroyed: Option<String>,
}

/// A write that was answered, and what it answered.
async fn written(address: SocketAddr, path: &str, body: Value) -> Option<Value> {
    let (status, answer) = try_ask(address, "PUT", path, body).await?;
    assert_eq!(status, 200, "{path}: {answer}");
    Some(answer)
}

impl Told {
    /// Writes until nobody answers.
    async fn write(&mut self, address: SocketAddr, n: usize, from: u64) -> Option<std::convert::Infallible> {
        for i in from.. {
            let check = json!({ "TTL": "1h" });
            let meta = json!({ "i": i.to_string() });
            let body = json!({ "Name": "web", "ID": format!("s{n}"), "Port": 80, "Meta": meta, "Check": check });
            written(address, "/v1/agent/service/register", body).await?;
            written(address, &format!("/v1/agent/check/pass/service:s{n}"), Value::Null).await?;
            self.service = i;
            assert_eq!(written(address, &format!("/v1/kv/key/{n}"), json!(i)).await?, json!(true));
            self.key = i;
            let session = written(address, "/v1/session/create", json!({ "LockDelay": "0s" })).await?["ID"].clone();
            let (id, key) = (session.as_str().unwrap().to_owned(), format!("lock/{n}/{i}"));
            assert_eq!(written(address, &format!("/v1/kv/{key}?acquire={id}"), json!(i)).await?, json!(true));
            let before = self.lock.replace((key, id));
            if let Some((_, before)) = before {
                written(address, &format!("/v1/session/destroy/{before}"), Value::Null).await?;
                self.destroyed = Some(before);
            }
        }
        None
    }

    async fn check(&self, address: SocketAddr, n: usize) {
        let number = |text: &Value| text.as_str().and_then(|text| text.parse().ok()).unwrap_or(0_u64);
        let service = ask(address, "GET", &format!("/v1/agent/service/s{n}"), Value::Null).await.1;
        assert!(number(&service["Meta"]["i"]) >= self.service, "{self:?}: {service}");
        let checks = ask(address, "GET", "/v1/agent/checks", Value::Null).await.1;
        let status = &checks[format!("service:s{n}")]["Status"];
        assert!(self.service == 0 || status == "passing", "{self:?}: {status}");
        let key = ask(address, "GET", &format!("/v1/kv/key/{n}?raw"), Value::Null).await.1;
        assert!(key.as_u64().unwrap_or(0) >= self.key, "{self:?}: {key}");
        let sessions = ask(address, "GET", "/v1/session/list", Value::Null).await.1;
        let is_there = |id: &str| sessions.as_array().unwrap().iter().any(|session| session["ID"] == id);
        if let Some((key, id)) = &self.lock {
            let held = ask(address, "GET", &format!("/v1/kv/{key}"), Value::Null).await.1;
            assert!(is_there(id) && held[0]["Session"] == **id, "{self:?}: {held}");
        }
        assert!(!self.destroyed.as_deref().is_some_and(is_there), "{self:?}: it is there again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_to_clients_of_consul_is_there_after_a_sigkill() {
    let (dir, address) = (tempfile::tempdir().unwrap(), free_port());
    let config = format!("[registry]\nconsul_listen = '{address}'\n");
    let mut told = vec![Told::default(); 4];
    for round in 1..=u64::from(kills()) + 1 {
        let (mut process, _) = serve(dir.path(), &config).await;
        for (n, told) in told.iter().enumerate() {
            told.check(address, n).await;
        }
        if round > u64::from(kills()) {
            assert!(process.terminate().await, "{}", process.log_text());
            break;
        }
        let writing = told.iter_mut().enumerate().map(|(n, told)| told.write(address, n, round * 1_000_000));
        let killed = async {
            tokio::time::sleep(Duration::from_millis(rand::random_range(5..400))).await;
            process.kill();
        };
        tokio::join!(futures_util::future::join_all(writing), killed);
    }
    assert!(told.iter().any(|told| told.destroyed.is_some()), "nothing was written between the kills");
}
