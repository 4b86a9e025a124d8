//! TCP routes with what is really behind them: redis, followed as it comes and goes, and servers that speak TLS
//! themselves, told apart by the name that a client asks for.

use super::peers::{Authority, Made, Server, free_address};
use crate::tests::{
    gate::Gate,
    harness::{PATIENCE, until},
};
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
};

fn redis() -> (Server, SocketAddr) {
    let (dir, address) = (tempfile::tempdir().unwrap(), free_address());
    let port = address.port().to_string();
    let args = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--daemonize", "no"];
    (Server::start("/usr/bin/redis-server", &args, dir, &[address]), address)
}

/// What `redis-cli` says.
fn cli(address: SocketAddr, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("redis-cli");
    command.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]).args(args);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("redis-cli is installed by ./test");
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // It may end without reading what it does not want.
    let writing = thread::spawn(move || drop(stdin.write_all(&input)));
    let out = child.wait_with_output().unwrap();
    writing.join().unwrap();
    [out.stdout, out.stderr].concat()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_reached_by_a_fixed_port_wherever_it_is_registered() {
    let ((first, first_at), (_second, second_at)) = (redis(), redis());
    cli(second_at, &["set", "who", "second"], b"");
    let port = free_address();
    let gate = Gate::open(&format!("[[proxy.tcp]]\nlisten = '{port}'\nservice = 'web'\n")).await;
    let body = |at: SocketAddr, weight: u32| {
        json!({ "address": "127.0.0.1", "port": at.port(), "weight": weight,
                "check": { "tcp": true, "interval": "200ms", "timeout": "2s" } })
    };
    assert!(text(cli(port, &["ping"], b"")).contains("reset"), "nobody is there yet");
    gate.register("a", body(first_at, 1)).await;
    gate.until("a", "passing").await;

    assert_eq!(text(cli(port, &["ping"], b"")), "PONG");
    let big: Vec<u8> = (0..5_000_000u32).map(|n| b'a' + (n % 23) as u8).collect();
    assert_eq!(text(cli(port, &["-x", "set", "big"], &big)), "OK");
    let mut got = cli(port, &["--raw", "get", "big"], b"");
    got.pop();
    assert!(got == big, "{} bytes", got.len());
    let many: String = (0..20_000).map(|n| format!("SET key{n} {n}\r\n")).collect();
    let said = text(cli(port, &["--pipe"], many.as_bytes()));
    assert!(said.contains("errors: 0, replies: 20000"), "{said}");
    assert_eq!(text(cli(first_at, &["get", "key19999"], b"")), "19999", "it is that redis and no other");

    // One that only listens, and one that has said all and still hears.
    let mut listening = TcpStream::connect(port).unwrap();
    listening.set_read_timeout(Some(PATIENCE)).unwrap();
    listening.write_all(b"SUBSCRIBE news\r\n").unwrap();
    let mut heard = [0; 4096];
    let n = listening.read(&mut heard).unwrap();
    assert!(heard[..n].starts_with(b"*3\r\n$9\r\nsubscribe\r\n"), "{:?}", String::from_utf8_lossy(&heard[..n]));
    assert_eq!(text(cli(port, &["publish", "news", "hello"], b"")), "1");
    let n = listening.read(&mut heard).unwrap();
    assert!(heard[..n].ends_with(b"hello\r\n"));
    let mut done = TcpStream::connect(port).unwrap();
    done.set_read_timeout(Some(PATIENCE)).unwrap();
    done.write_all(b"GET key7\r\nGET key8\r\nQUIT\r\n").unwrap();
    done.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = String::new();
    done.read_to_string(&mut all).unwrap();
    assert_eq!(all, "$1\r\n7\r\n$1\r\n8\r\n+OK\r\n");

    // It goes, and whoever connects next is with the other one.
    gate.register("b", body(second_at, 1)).await;
    gate.until("b", "passing").await;
    drop(first);
    let n = listening.read(&mut heard).unwrap_or(0);
    assert_eq!(n, 0, "the end of an instance is the end of what it carried");
    for _ in 0..4 {
        assert_eq!(text(cli(port, &["get", "who"], b"")), "second", "one that refuses costs nobody a connection");
    }
    gate.until("a", "critical").await;
    let routes = gate.api.json("/api/v1/routes").await;
    let route = routes["items"].as_array().unwrap().iter().find(|r| r["kind"] == "service" || r["kind"] == "tcp");
    assert_eq!(route.unwrap()["live"], 1, "{routes}");
    gate.close().await;
}

/// What curl is shown by whoever answers for a name at this address, and whether it believes it.
fn curl(dir: &Path, address: SocketAddr, name: &str) -> String {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "30", "--cacert", "ca.pem", "--resolve"]);
    command.arg(format!("{name}:{}:127.0.0.1", address.port())).arg(format!("https://{name}:{}/", address.port()));
    let out = command.current_dir(dir).output().expect("curl is installed by ./test");
    text([out.stdout, out.stderr].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_servers_behind_one_port_keep_their_certificates_and_are_found_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    for (file, name) in [("a", "a.test"), ("b", "x.b.test"), ("rest", "rest.test")] {
        authority.issue(file, name, Made::Well);
    }
    let [a, b, rest, port] = std::array::from_fn(|_| free_address());
    let at = dir.path().display();
    let server = |address: SocketAddr, file: &str| {
        format!(
            "server {{ listen {address} ssl http2; ssl_certificate {at}/{file}.pem; ssl_certificate_key {at}/{file}.key; \
             return 200 \"nginx {file} $ssl_server_name $server_protocol\"; }}\n"
        )
    };
    let lines = format!("access_log off;\n{}{}", server(a, "a"), server(rest, "rest"));
    let _nginx = Server::nginx(&lines, tempfile::tempdir().unwrap(), &[a, rest]);
    let (cert, key, accept) = (format!("{at}/b.pem"), format!("{at}/b.key"), b.port().to_string());
    let args = ["s_server", "-accept", &accept, "-cert", &cert, "-key", &key, "-www", "-quiet"];
    let _openssl = Server::start("openssl", &args, tempfile::tempdir().unwrap(), &[b]);
    let tcp = |name: &str, sni: &str, to: SocketAddr| {
        format!("[[proxy.tcp]]\nlisten = '{port}'\nname = '{name}'\nsni = [{sni}]\nupstreams = ['{to}']\n")
    };
    let named = [tcp("a", "'a.test'", a), tcp("b", "'*.b.test'", b)].concat();
    let gate = Gate::open(&format!("{named}{}", tcp("rest", "", rest))).await;
    assert_eq!(curl(dir.path(), port, "a.test"), "nginx a a.test HTTP/2.0", "what they agree on passes, too");
    let said = curl(dir.path(), port, "x.b.test");
    assert!(said.contains("s_server -accept") && said.contains("TLSv1.3"), "{said}");
    assert_eq!(curl(dir.path(), port, "rest.test"), "nginx rest rest.test HTTP/2.0");
    // Whoever it is that the bytes go to shows its own certificate, and none is made here.
    let said = curl(dir.path(), port, "y.b.test");
    assert!(said.contains("no alternative certificate subject name matches"), "{said}");
    let file = gate.dir.path().join("config.toml");
    let without = fs::read_to_string(&file).unwrap().replace(&tcp("rest", "", rest), "");
    fs::write(&file, without).unwrap();
    until("the reload", || async {
        let routes = gate.api.json("/api/v1/routes").await;
        routes["items"].as_array()?.iter().all(|r| r["name"] != "rest").then_some(())
    })
    .await;
    let said = curl(dir.path(), port, "rest.test");
    assert!(said.contains("curl: (35)"), "a name of nobody is nobody's: {said}");
    assert_eq!(curl(dir.path(), port, "a.test"), "nginx a a.test HTTP/2.0");
    gate.close().await;
}
