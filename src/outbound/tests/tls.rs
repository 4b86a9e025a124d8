//! TLS against openssl's own server, with certificates as devices make them.

use super::{super::tls, get, limits};
use crate::{
    model::{Fingerprint, Trust},
    outbound::{Address, Client, Error},
};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Runs openssl, whose words say what went wrong.
fn openssl(dir: &Path, arguments: &str) -> String {
    let out = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output();
    let out = out.expect("openssl is installed by ./test");
    assert!(out.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A web server that answers every request with a page about the connection.
struct Server {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Server {
    /// `key` and `version` as openssl knows them: `rsa:1024`, `-tls1_2`. A certificate of version 1 has no extensions.
    fn start(key: &str, v1: bool, version: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let subject = "-subj /CN=cam.invalid -nodes -keyout key.pem";
        if v1 {
            openssl(at, &format!("req -newkey {key} {subject} -out request.pem"));
            openssl(at, "x509 -req -in request.pem -signkey key.pem -days 1 -out cert.pem");
            assert!(openssl(at, "x509 -in cert.pem -noout -text").contains("Version: 1 "));
        } else {
            openssl(at, &format!("req -x509 -newkey {key} {subject} -days 1 -out cert.pem"));
        }
        let options = format!("s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem {version} -www");
        let mut command = Command::new("openssl");
        command.args(options.split(' ')).args(["-cipher", "ALL:@SECLEVEL=0"]).current_dir(at);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let accept = lines.map_while(Result::ok).find(|line| line.starts_with("ACCEPT")).expect("a server");
        let port = accept.rsplit(':').next().unwrap().trim().parse().unwrap();
        Self { child, port, dir }
    }

    fn fingerprint(&self) -> Fingerprint {
        openssl(self.dir.path(), "x509 -in cert.pem -noout -fingerprint -sha256").parse().unwrap()
    }

    fn client(&self, trust: Trust) -> Client {
        let limits = crate::outbound::Limits { body_bytes_max: 1 << 20, ..limits() };
        Client::new(Address::Tcp { host: "127.0.0.1".into(), port: self.port }, limits).over_tls(trust)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_pinned_certificate_is_good_however_old_its_kind() {
    for (key, v1, version) in [
        ("rsa:2048", false, "-tls1_3"),
        ("rsa:2048", false, "-tls1_2"),
        ("rsa:1024", false, "-tls1_2"),
        ("rsa:1024", true, "-tls1_2"),
        ("rsa:2048", true, "-tls1_2"),
        ("ec -pkeyopt ec_paramgen_curve:P-256", false, "-tls1_2"),
    ] {
        let server = Server::start(key, v1, version);
        let pinned = server.client(Trust::Pinned(server.fingerprint()));
        let answer = pinned.request(get("/")).await.unwrap_or_else(|e| panic!("{key}, v1 {v1}, {version}: {e}"));
        let page = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(answer.status() == 200 && page.contains("Cipher"), "{page}");
    }
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_ends_it_and_is_named() {
    let server = Server::start("rsa:2048", false, "-tls1_2");
    let error = server.client(Trust::Pinned(Fingerprint::of(b"another"))).request(get("/")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("certificate changed, seen {}", server.fingerprint()));
    assert!(error.is_connect() && error.kind() == crate::base::Kind::Peer);
}

#[tokio::test]
async fn without_a_pin_an_authority_must_have_signed_it_and_its_name_must_fit() {
    let server = Server::start("rsa:2048", false, "-tls1_2");
    let error = server.client(Trust::SystemRoots).request(get("/")).await.unwrap_err();
    assert!(matches!(error, Error::Untrusted { cause: Some(_), .. }), "{error}");
    assert!(error.to_string().ends_with(&format!("seen {}", server.fingerprint())), "{error}");
}

#[tokio::test]
async fn what_speaks_no_tls_is_told_apart() {
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    let group = crate::base::TaskGroup::new();
    group.spawn("plain", async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let client = Client::new(Address::Tcp { host: "127.0.0.1".into(), port }, limits()).over_tls(Trust::SystemRoots);
    let error = client.request(get("/")).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }) && error.is_connect(), "{error}");
    assert!(tls::with_roots(rustls::RootCertStore::empty()).is_err(), "no roots, no trust");
}
