//! Clients of etcd, unmodified, on a whole daemon; and what was acknowledged to them is there after a SIGKILL.

use super::harness::{Api, Process, until};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};
use tokio::process::Command;

/// How often the daemon is killed; more by hand: `KILLS=50 ./test etcd`.
pub(super) fn kills() -> u32 {
    std::env::var("KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

/// A daemon that clients of etcd reach.
struct Node {
    process: Process,
    api: Api,
    address: SocketAddr,
}

/// A port that nobody has.
pub(super) fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn start(dir: &Path, address: SocketAddr) -> Node {
    let more = format!(
        "[registry]\netcd_listen = '{address}'\nservice_prefix = '/bmi/skyvis/services/web/'\n\
         [[proxy.route]]\nname = 'api'\npath_prefix = '/api/'\nservice = 'web-api'\n"
    );
    let (process, api) = serve(dir, &more).await;
    Node { process, api, address }
}

/// A daemon without cameras as a process, once it is ready.
pub(super) async fn serve(dir: &Path, more: &str) -> (Process, Api) {
    let text = format!(
        "data_dir = '{dir}/data'\n[admin]\nlisten = 'unix:{dir}/admin.sock'\n[proxy]\nlisten = []\n{more}",
        dir = dir.display()
    );
    let file = dir.join("config.toml");
    std::fs::write(&file, text).unwrap();
    let (process, api) = (Process::start(&file, &dir.join("log"), &[]), Api::of(dir));
    until(&format!("readiness: {}", process.log_text()), || async {
        api.try_get("/readyz").await.filter(|(status, _)| *status == 200)
    })
    .await;
    (process, api)
}

impl Node {
    fn etcdctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", self.address)).args(args).kill_on_drop(true);
        command
    }

    async fn output(&self, args: &[&str]) -> Output {
        let output = tokio::time::timeout(Duration::from_secs(60), self.etcdctl(args).output()).await;
        output.unwrap_or_else(|_| panic!("{args:?} does not end")).expect("etcdctl is there: ./test installs it")
    }

    /// What etcdctl prints, where it succeeds.
    async fn ctl(&self, args: &[&str]) -> String {
        let output = self.output(args).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// What it says where it fails.
    async fn refused(&self, args: &[&str]) -> String {
        let output = self.output(args).await;
        assert!(!output.status.success(), "{args:?} went through");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_works() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = start(dir.path(), free_port()).await;
    assert_eq!(node.ctl(&["put", "a", "1"]).await, "OK");
    assert_eq!(node.ctl(&["put", "a", "2", "--prev-kv"]).await, "OK\na\n1");
    assert_eq!(node.ctl(&["get", "a"]).await, "a\n2");
    assert_eq!(node.ctl(&["get", "a", "--rev=2", "--print-value-only"]).await, "1");
    node.ctl(&["put", "b", "3"]).await;
    assert_eq!(node.ctl(&["get", "", "--prefix", "--order=DESCEND", "--keys-only", "--limit=1"]).await, "b");
    assert_eq!(node.ctl(&["get", "a", "--from-key"]).await, "a\n2\nb\n3");
    assert_eq!(node.ctl(&["del", "b", "--prev-kv"]).await, "1\nb\n3");
    assert!(node.refused(&["get", "a", "--rev=99"]).await.contains("required revision is a future revision"));

    let mut txn = node
        .etcdctl(&["txn"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let text = "value(\"a\") = \"2\"\n\nput c yes\nget a\n\nput c no\n\n";
    tokio::io::AsyncWriteExt::write_all(&mut txn.stdin.take().unwrap(), text.as_bytes()).await.unwrap();
    let output = txn.wait_with_output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), "SUCCESS\n\nOK\n\na\n2");

    let granted = node.ctl(&["lease", "grant", "300"]).await;
    let lease = granted.split(' ').nth(1).unwrap();
    node.ctl(&["put", "leased", "x", &format!("--lease={lease}")]).await;
    assert!(node.ctl(&["lease", "timetolive", lease, "--keys"]).await.contains("attached keys([leased])"));
    assert!(node.ctl(&["lease", "keep-alive", "--once", lease]).await.contains("keepalived with TTL(300)"));
    assert!(node.ctl(&["lease", "list"]).await.contains(lease));
    node.ctl(&["lease", "revoke", lease]).await;
    assert_eq!(node.ctl(&["get", "leased"]).await, "");

    assert!(node.ctl(&["lock", "m", "echo", "held"]).await.contains("held"));
    assert!(node.ctl(&["endpoint", "status", "-w", "json"]).await.contains("\"version\":\"3.4.23\""));
    assert!(node.ctl(&["member", "list"]).await.contains("started"));
    assert_eq!(node.ctl(&["alarm", "list"]).await, "");
    node.ctl(&["endpoint", "health"]).await;
    node.ctl(&["endpoint", "hashkv"]).await;
    node.ctl(&["defrag"]).await;
    assert_eq!(node.ctl(&["user", "list"]).await, "");
    assert_eq!(node.ctl(&["compact", "5"]).await, "compacted revision 5");
    assert!(node.refused(&["compact", "5"]).await.contains("required revision has been compacted"));
    assert!(node.refused(&["get", "a", "--rev=4"]).await.contains("required revision has been compacted"));
    let member = node.refused(&["member", "add", "x", "--peer-urls=http://10.0.0.1:2380"]).await;
    assert!(member.contains("Unimplemented") && member.contains("a single node"), "{member}");
    assert!(node.refused(&["auth", "enable"]).await.contains("without users and roles"));
    assert!(node.process.terminate().await, "{}", node.process.log_text());
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_watches_and_stands_for_election() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let mut node = start(dir.path(), free_port()).await;
    node.ctl(&["put", "w/1", "before"]).await;
    let lines = |args: &[&str]| {
        let mut child = node.etcdctl(args).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    };
    let (_watch, mut seen) = lines(&["watch", "w/", "--prefix", "--rev=2", "--prev-kv"]);
    let mut next = async |n: usize| {
        let mut all = Vec::new();
        for _ in 0..n {
            let line = tokio::time::timeout(Duration::from_secs(60), seen.next_line()).await.expect("a line comes");
            all.push(line.unwrap().unwrap());
        }
        all
    };
    assert_eq!(next(3).await, ["PUT", "w/1", "before"]);
    node.ctl(&["put", "w/1", "now"]).await;
    assert_eq!(next(5).await, ["PUT", "w/1", "before", "w/1", "now"]);
    node.ctl(&["del", "w/1"]).await;
    assert_eq!(next(5).await, ["DELETE", "w/1", "now", "w/1", ""]);
    let (_leader, mut elected) = lines(&["elect", "e", "me"]);
    let line = tokio::time::timeout(Duration::from_secs(60), elected.next_line()).await.expect("it is elected");
    assert!(line.unwrap().unwrap().starts_with("e/"));
    assert_eq!(elected.next_line().await.unwrap().unwrap(), "me");
    assert!(node.process.terminate().await, "watches do not hold up a stop: {}", node.process.log_text());
}

/// Where `./test` puts clients that cannot be installed beside each other.
fn client(name: &str) -> (PathBuf, PathBuf) {
    let python = std::env::var_os("PEERS_PYTHON").map(PathBuf::from);
    let python = python.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/python"));
    let packages = python.parent().unwrap().parent().unwrap().join(name);
    assert!(packages.exists(), "{} is missing: run ./test once, it installs what the tests need", packages.display());
    (python, packages)
}

async fn run_client(name: &str, packages: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut node = start(dir.path(), free_port()).await;
    let (python, packages) = client(packages);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python);
    command
        .arg(root.join("src/tests/peers").join(name))
        .args([node.address.ip().to_string(), node.address.port().to_string()])
        .arg(root.join("src/etcd/rpc.proto"))
        .arg(dir.path())
        .env("PYTHONPATH", packages)
        // The generated code of one of them is too old for the quick one.
        .env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await.expect("it ends").unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && out.trim_end().ends_with("all is well"),
        "{out}\n{err}\n{}",
        node.process.log_text()
    );
    assert!(node.process.terminate().await, "{}", node.process.log_text());
}

#[tokio::test(flavor = "multi_thread")]
async fn python_etcd3_works() {
    run_client("etcd3_client.py", "etcd3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_etcd3_py_works_by_the_json_gateway() {
    run_client("etcd3_py_client.py", "etcd3-py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_made_of_our_own_text_works() {
    run_client("generated_client.py", "generated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_service_is_routed_shown_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = start(dir.path(), free_port()).await;
    let place = |id: &str| format!("/bmi/skyvis/services/web/web-api/{id}");
    node.ctl(&["put", &place("n1"), r#"{"ip":"127.0.0.1","port":8080,"weight":2}"#]).await;
    node.ctl(&["put", &place("n2"), "127.0.0.1:8080"]).await;
    let service = node.api.json("/api/v1/services/web-api").await;
    let [n1, n2] = &service["instances"].as_array().unwrap()[..] else { panic!("{service}") };
    assert_eq!((&n1["live"], &n1["source"], &n1["weight"]), (&json!(true), &json!("etcd"), &json!(2)));
    assert_eq!(n2["live"], json!(false));
    assert!(n2["reason"].as_str().unwrap().contains("no JSON object"), "{n2}");
    assert_eq!(node.api.json("/api/v1/status").await["catalog_version"], service["modified"]);
    let routes = node.api.json("/api/v1/routes").await.to_string();
    assert!(routes.contains("\"reason\":\"its key holds no JSON object"), "{routes}");
    // The other way round, with one order of revisions.
    let body = r#"{"address": "10.0.0.9", "port": 9}"#;
    let (status, written) = node.api.put("/api/v1/services/web-api/instances/n3", body).await.unwrap();
    let written: Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(status, 200);
    let found: Value = serde_json::from_str(&node.ctl(&["get", &place("n3"), "-w", "json"]).await).unwrap();
    assert_eq!(found["kvs"][0]["mod_revision"], written["revision"]);
    assert!(node.process.terminate().await, "{}", node.process.log_text());
}

/// A put by the JSON gateway: its revision, where it was acknowledged.
async fn put(client: &crate::outbound::Client, key: &str, value: &str, lease: i64) -> Option<u64> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let body = json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value), "lease": lease }).to_string();
    let answer = ask(client, "/v3/kv/put", body).await?;
    answer["header"]["revision"].as_str()?.parse().ok()
}

async fn ask(client: &crate::outbound::Client, path: &str, body: String) -> Option<Value> {
    let request = http::Request::builder().method("POST").uri(path).header("host", "localhost");
    let answer = client.request(request.body(bytes::Bytes::from(body)).unwrap()).await.ok()?;
    (answer.status().as_u16() == 200).then(|| serde_json::from_slice(answer.body()).ok())?
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_to_clients_of_etcd_is_there_after_a_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let address = free_port();
    let client = || {
        let to = crate::outbound::Address::Tcp { host: address.ip().to_string(), port: address.port() };
        crate::outbound::Client::new(to, crate::outbound::Limits::default())
    };
    // The last that was acknowledged of each key, and leases: one that goes on, one that is revoked.
    let (mut told, mut revision) = ([None::<(u32, u64)>; 4], 0);
    for round in 1..=kills() {
        let mut node = start(dir.path(), address).await;
        if round == 1 {
            let kept = json!({ "TTL": 3_600, "ID": 7 }).to_string();
            ask(&client(), "/v3/lease/grant", kept).await.unwrap();
            let gone = json!({ "TTL": 3_600, "ID": 8 }).to_string();
            ask(&client(), "/v3/lease/grant", gone).await.unwrap();
            put(&client(), "kept", "x", 7).await.unwrap();
            put(&client(), "gone", "x", 8).await.unwrap();
            ask(&client(), "/v3/lease/revoke", json!({ "ID": 8 }).to_string()).await.unwrap();
        }
        check(&node, &told, &mut revision, round).await;
        let writing = told.iter_mut().enumerate().map(|(writer, told)| {
            let client = client();
            async move {
                for i in round * 1_000_000.. {
                    match put(&client, &format!("w{writer}"), &i.to_string(), 0).await {
                        Some(revision) => *told = Some((i, revision)),
                        // It was killed: what became of this one is not known.
                        None => return,
                    }
                }
            }
        });
        let killed = async {
            tokio::time::sleep(Duration::from_millis(rand::random_range(5..400))).await;
            node.process.kill();
        };
        tokio::join!(futures_util::future::join_all(writing), killed);
    }
    let mut node = start(dir.path(), address).await;
    check(&node, &told, &mut revision, kills() + 1).await;
    assert!(told.iter().any(Option::is_some), "nothing was written between the kills");
    assert!(node.ctl(&["lease", "timetolive", "7", "--keys"]).await.contains("attached keys([kept])"));
    assert_eq!(node.ctl(&["get", "gone"]).await, "");
    assert!(node.ctl(&["lease", "timetolive", "8"]).await.contains("already expired"));
    assert!(node.process.terminate().await, "{}", node.process.log_text());
}

async fn check(node: &Node, told: &[Option<(u32, u64)>], revision: &mut u64, round: u32) {
    for (writer, (value, at)) in told.iter().enumerate().filter_map(|(i, told)| Some((i, (*told)?))) {
        let found = node.ctl(&["get", &format!("w{writer}"), "-w", "json"]).await;
        let found: Value = serde_json::from_str(&found).unwrap();
        let now = found["header"]["revision"].as_u64().unwrap();
        assert!(now >= *revision, "round {round}: the revision went back from {revision} to {now}");
        *revision = now;
        let kept = found["kvs"][0]["mod_revision"].as_u64().unwrap_or(0);
        assert!(kept >= at, "round {round}: w{writer} is of revision {kept}, and {value} was acknowledged at {at}");
    }
}
