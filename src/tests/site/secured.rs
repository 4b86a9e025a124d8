//! Upstreams over TLS: who they are is looked at, whom they are asked for is told, and nothing is said to anybody else.

use super::peers::{Authority, Made, Server, free_address};
use crate::{
    outbound::{Address, Client, Limits},
    tests::harness::{Api, Process, until},
};
use bytes::Bytes;
use std::{fmt::Write as _, fs, net::SocketAddr, path::Path};

async fn get(proxy: SocketAddr, path: &str) -> (u16, String) {
    let client = Client::new(Address::Tcp { host: proxy.ip().to_string(), port: proxy.port() }, Limits::default());
    let answer = client.request(http::Request::get(path).header("host", "asked.test").body(Bytes::new()).unwrap());
    let answer = answer.await.unwrap();
    (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
}

/// nginx with servers over TLS by these certificates, and one in the clear; what was asked of them is in `asked.log`.
fn nginx(dir: &Path, clear: SocketAddr, secured: &[(SocketAddr, &str, &str)]) -> Server {
    let at = dir.display();
    let mut lines = format!(
        "access_log {at}/asked.log; ssl_protocols TLSv1.2 TLSv1.3; server {{ listen {clear}; return 200 clear; }}\n"
    );
    let said = "$ssl_server_name $server_protocol $ssl_protocol $http_host $connection_requests";
    for (address, certificate, more) in secured {
        writeln!(
            lines,
            "server {{ listen {address} ssl {more}; ssl_certificate {at}/{certificate}.pem; \
             ssl_certificate_key {at}/{certificate}.key; location / {{ return 200 \"{said}\"; }} }}"
        )
        .unwrap();
    }
    let listens: Vec<SocketAddr> = secured.iter().map(|one| one.0).chain([clear]).collect();
    Server::nginx(&lines, tempfile::tempdir().unwrap(), &listens)
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_over_tls_are_asked_by_their_name_and_only_where_they_are_who_they_should_be() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let pin = [
        authority.issue("good", "a.test", Made::Well),
        authority.issue("expired", "a.test", Made::Expired),
        authority.issue("alone", "a.test", Made::Alone),
    ];
    let [good, plain_h1, expired, alone, clear, proxy] = std::array::from_fn(|_| free_address());
    let _nginx = nginx(
        dir.path(),
        clear,
        &[(good, "good", "http2"), (plain_h1, "good", ""), (expired, "expired", ""), (alone, "alone", "")],
    );
    let wrong = "0".repeat(64);
    let refused = "is refused";
    let routes = [
        ("/good", format!("https://{good} name=a.test"), "a.test HTTP/1.1 TLSv1.3 asked.test"),
        ("/h2", format!("h2s://{good} name=a.test"), "a.test HTTP/2.0 TLSv1.3 asked.test"),
        ("/pinned", format!("https://{alone} name=a.test pin={}", pin[2]), "a.test HTTP/1.1"),
        ("/pinned-old", format!("https://{expired} name=any.test pin={}", pin[1]), "any.test HTTP/1.1"),
        ("/other-name", format!("https://{good} name=b.test"), refused),
        ("/no-name", format!("https://{good}"), refused),
        ("/wrong-pin", format!("https://{good} name=a.test pin={wrong}"), refused),
        ("/alone", format!("https://{alone} name=a.test"), refused),
        ("/expired", format!("https://{expired} name=a.test"), refused),
        ("/no-h2", format!("h2s://{plain_h1} name=a.test"), refused),
        ("/clear", format!("https://{clear} name=a.test"), refused),
        ("/clear-h2", format!("h2s://{clear} name=a.test"), refused),
    ];
    let mut text = format!(
        "data_dir = '{0}/data'\n[admin]\nlisten = 'unix:{0}/admin.sock'\n[proxy]\nlisten = ['{proxy}']\nworkers = 1\n",
        dir.path().display()
    );
    for (path, upstream, _) in &routes {
        write!(text, "[[proxy.route]]\nname = '{path}'\npath_prefix = '{path}/'\nupstreams = ['{upstream}']\n")
            .unwrap();
    }
    let config = dir.path().join("config.toml");
    fs::write(&config, text).unwrap();
    // The authority is one that this host trusts.
    let trusted = dir.path().join("ca.pem");
    let env = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    let mut process = Process::start(&config, &dir.path().join("log"), &env);
    let api = Api::of(dir.path());
    until("readiness", || async { api.try_get("/readyz").await.filter(|(status, _)| *status == 200) }).await;
    for (path, upstream, expected) in &routes {
        let (status, said) = get(proxy, &format!("{path}/x")).await;
        match *expected == refused {
            true => assert_eq!(status, 502, "{path} {upstream}: {said}"),
            false => assert!(status == 200 && said.starts_with(expected), "{path} {upstream}: {status} {said}"),
        }
    }
    let (_, said) = get(proxy, "/good/again").await;
    assert!(said.ends_with(" 2"), "a session is kept, and used again: {said}");
    assert!(process.terminate().await, "{}", process.log_text());
    // Whoever is not who it should be was asked nothing.
    let asked = fs::read_to_string(dir.path().join("asked.log")).unwrap();
    // What was said to the one in the clear is a handshake, which it takes for no request.
    let paths = asked.lines().filter_map(|line| line.split(' ').nth(6));
    let mut asked: Vec<&str> = paths.filter(|path| path.starts_with('/')).collect();
    asked.sort_unstable();
    assert_eq!(asked, ["/good/again", "/good/x", "/h2/x", "/pinned-old/x", "/pinned/x"]);
}
