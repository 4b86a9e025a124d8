//! Health checks of a whole daemon, of servers that are not ours: who dies leaves the routes, who comes back returns,
//! who stays away is removed.

use super::{
    gate::{ALL_TO_WEB, Gate, get},
    harness::until,
    real_peers::{peer, python},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

/// A server in a process of its own, ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn nginx(dir: &Path, port: u16) -> Server {
    let home = dir.join("nginx");
    std::fs::create_dir_all(&home).unwrap();
    let shown = home.display();
    let text = format!(
        "daemon off; master_process off; pid {shown}/pid; error_log {shown}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path {shown}; proxy_temp_path {shown}; fastcgi_temp_path {shown};\n\
         uwsgi_temp_path {shown}; scgi_temp_path {shown};\n\
         server {{ listen 127.0.0.1:{port};\n\
         location = /health {{ return 200 'well'; }} location = /busy {{ return 429 'later'; }}\n\
         location / {{ return 200 'nginx'; }} }} }}\n"
    );
    std::fs::write(home.join("conf"), text).unwrap();
    let child = Command::new("nginx")
        .args(["-p", &shown.to_string(), "-c", "conf", "-e", &format!("{shown}/error.log")])
        .stdin(Stdio::null())
        .spawn();
    Server(child.expect("nginx is missing: run ./test once, it installs what the tests need"))
}

/// Python's own, which serves a directory.
fn http_server(dir: &Path, port: u16) -> Server {
    let files = dir.join("files");
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("who"), "python").unwrap();
    let child = Command::new("/usr/bin/python3")
        .args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1", "--directory"])
        .arg(files)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Server(child.unwrap())
}

/// Why an instance of the route is out, as the API has it; None: it is in.
async fn out(gate: &Gate, id: &str) -> Option<String> {
    let routes = gate.api.json("/api/v1/routes").await;
    let route = routes["items"].as_array().unwrap().iter().find(|r| r["name"] == "all").unwrap().clone();
    let out = route["out"].as_array().unwrap().iter().find(|o| o["instance"] == id)?.clone();
    Some(out["reason"].as_str().unwrap().to_owned())
}

/// Who answers a number of requests, each on one of two connections.
async fn answers(gate: &Gate) -> Vec<String> {
    let mut two = [gate.connection().await, gate.connection().await];
    let mut all = Vec::new();
    for n in 0..40 {
        let (status, body) = get(&mut two[n % 2], "/who").await;
        assert_eq!(status, 200, "{body}");
        all.push(body);
    }
    all.sort();
    all.dedup();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_dies_leaves_the_routes_comes_back_and_is_removed_where_it_stays_away() {
    let gate = Gate::open(ALL_TO_WEB).await;
    let dir = gate.dir.path().to_owned();
    let (port, other_port) = (free_port(), free_port());
    let check = |http: &str| json!({ "http": http, "interval": "200ms", "timeout": "5s" });
    let body = |port: u16, check: Value| json!({ "address": "127.0.0.1", "port": port, "check": check });
    // It is registered before it is there, as a unit file does it.
    gate.register("nginx", body(port, check("/health"))).await;
    let view = gate.until("nginx", "critical").await;
    assert_eq!((&view["live"], &view["check"]["fall"]), (&json!(false), &json!(2)));
    let first = nginx(&dir, port);
    gate.until("nginx", "passing").await;
    let second = http_server(&dir, other_port);
    let mut leaving = check("/");
    leaving["deregister_after"] = json!("1s");
    gate.register("python", body(other_port, check("/"))).await;
    gate.until("python", "passing").await;
    assert_eq!(answers(&gate).await, ["nginx", "python"]);
    assert_eq!((out(&gate, "nginx").await, out(&gate, "python").await), (None, None));

    drop(first);
    let view = gate.until("nginx", "critical").await;
    let reason = view["reason"].as_str().unwrap();
    assert!(reason.contains("refused") && reason.starts_with("GET http://127.0.0.1:"), "{reason}");
    let last = &view["check"]["last"];
    assert!(last["in_a_row"].as_u64() >= Some(2) && last["health"] == "critical", "{last}");
    // The proxy follows at once.
    let why = until("nginx out of the route", || out(&gate, "nginx")).await;
    assert!(why.starts_with("critical: GET http://127.0.0.1:"), "{why}");
    assert_eq!(answers(&gate).await, ["python"]);

    let _back = nginx(&dir, port);
    gate.until("nginx", "passing").await;
    until("nginx in the route", || async { out(&gate, "nginx").await.is_none().then_some(()) }).await;
    assert_eq!(answers(&gate).await, ["nginx", "python"]);

    // How it is looked at may change while it serves.
    gate.register("nginx", body(port, check("/busy"))).await;
    let view = gate.until("nginx", "warning").await;
    assert!(view["reason"].as_str().unwrap().ends_with("429 Too Many Requests, later"), "{view}");
    assert_eq!(answers(&gate).await, ["nginx", "python"], "a warning serves");

    gate.register("python", body(other_port, leaving)).await;
    drop(second);
    gate.until("python", "critical").await;
    until("python is removed", || async {
        let (status, _) = gate.api.try_get("/api/v1/services/web/instances/python").await?;
        (status == 404).then_some(())
    })
    .await;
    assert_eq!(answers(&gate).await, ["nginx"]);
    let metrics = String::from_utf8(gate.api.get("/metrics").await.to_vec()).unwrap();
    assert!(metrics.contains("skyvis_registry_checks_total{health=\"warning\"}"), "{metrics}");
    gate.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_the_file_falls_and_stays_listed() {
    let port = free_port();
    let gate = Gate::open(&format!(
        "{ALL_TO_WEB}[[registry.service]]\nname = 'web'\ninstances = [{{ id = 'fixed', address = 'localhost', port = \
         {port}, check = {{ tcp = true, interval = '100ms', deregister_after = '1s' }} }}]\n"
    ))
    .await;
    gate.until("fixed", "critical").await;
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    gate.until("fixed", "passing").await;
    drop(listener);
    let view = gate.until("fixed", "critical").await;
    assert_eq!(view["deregister_after"], Value::Null, "the file keeps it");
    gate.close().await;
}

/// Google's gRPC server with its own health service.
struct Grpc {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Grpc {
    fn start(port: u16) -> Self {
        let mut child = Command::new(python())
            .arg(peer("grpc_server.py"))
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), port.to_string(), "the gRPC server did not start");
        Self { child, said }
    }

    /// Sets a status; done when this returns.
    fn set(&mut self, what: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), what);
    }
}

impl Drop for Grpc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_server_is_asked_for_its_health() {
    let gate = Gate::open("").await;
    let port = free_port();
    let mut server = Grpc::start(port);
    let instance = |service: &str| {
        let check = json!({ "grpc": service, "interval": "200ms", "timeout": "10s", "fall": 1 });
        json!({ "address": "127.0.0.1", "port": port, "check": check })
    };
    gate.register("whole", instance("")).await;
    gate.until("whole", "passing").await;
    server.set("- NOT_SERVING");
    let view = gate.until("whole", "critical").await;
    assert_eq!(view["reason"], format!("gRPC 127.0.0.1:{port}: NOT_SERVING"));
    server.set("- SERVING");
    gate.until("whole", "passing").await;

    gate.register("part", instance("shop.Cart")).await;
    let reason = |view: &Value| view["check"]["last"]["output"].as_str().unwrap_or_default().to_owned();
    let unknown = until("an answer of the server", || async {
        let view = gate.until("part", "critical").await;
        Some(reason(&view)).filter(|r| !r.is_empty())
    })
    .await;
    assert_eq!(unknown, format!("gRPC 127.0.0.1:{port}: the server does not know the service `shop.Cart`"));
    server.set("shop.Cart SERVING");
    let view = gate.until("part", "passing").await;
    assert_eq!(reason(&view), format!("gRPC 127.0.0.1:{port}: SERVING"));
    drop(server);
    gate.until("part", "critical").await;
    let _server = Grpc::start(port);
    gate.until("whole", "passing").await;
    // It serves no gRPC at all.
    let dir = gate.dir.path().to_owned();
    let other = free_port();
    let _nginx = nginx(&dir, other);
    let mut body = instance("");
    body["port"] = json!(other);
    gate.register("nginx", body).await;
    let output = until("an answer of nginx", || async {
        let view = gate.until("nginx", "critical").await;
        Some(reason(&view)).filter(|r| !r.is_empty() && !r.contains("refused"))
    })
    .await;
    assert!(output.starts_with(&format!("gRPC 127.0.0.1:{other}: ")), "{output}");
    gate.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_takes_nobody_out_before_the_grace_is_over() {
    let gate = Gate::open(ALL_TO_WEB).await;
    let port = free_port();
    let server = http_server(gate.dir.path(), port);
    let check = json!({ "http": "/", "interval": "100ms", "timeout": "5s", "deregister_after": "1s" });
    gate.register("python", json!({ "address": "127.0.0.1", "port": port, "check": check })).await;
    gate.until("python", "passing").await;
    let dir = gate.close().await;
    // The power was away for all of them, and this one takes its time to come back.
    drop(server);
    let gate = Gate::open_in(dir, ALL_TO_WEB).await;
    until("looks that fail", || async {
        let view = gate.api.json("/api/v1/services/web/instances/python").await;
        assert_eq!(view["health"], "passing", "{view}");
        (view["check"]["last"]["in_a_row"].as_u64() >= Some(10)).then_some(())
    })
    .await;
    gate.close().await;
}
