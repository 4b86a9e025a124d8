//! Looks at places that need not be an instance's: sent on, over TLS, by HTTP/2, by datagrams.

use super::*;
use crate::registry::{At, CheckTls, HttpAsk, Talk};
use bytes::Bytes;
use http::{HeaderMap, Response};
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

fn ask(url: String, tls: CheckTls, follows: bool) -> CheckKind {
    CheckKind::HttpAsk(Arc::new(HttpAsk { url, method: "GET".to_owned(), follows, tls, ..HttpAsk::default() }))
}

fn at(port: u16, talk: Talk, tls: Option<CheckTls>) -> CheckKind {
    CheckKind::At(Arc::new(At { host: "localhost".to_owned(), port, talk, tls }))
}

async fn seen(kind: CheckKind) -> (Health, String) {
    let seen = look(&record(1, kind)).await;
    (seen.health, seen.output)
}

fn sends_to(place: &str) -> &'static [u8] {
    format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n").leak().as_bytes()
}

#[tokio::test]
async fn who_is_sent_on_goes_on_where_the_check_says_so_and_not_in_a_circle() {
    let end = Peer::new(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", Then::Closes).await;
    let first = Peer::new(sends_to(&format!("http://localhost:{}/there", end.port())), Then::Closes).await;
    let url = format!("http://localhost:{}/here", first.port());
    let (health, output) = seen(ask(url.clone(), CheckTls::default(), true)).await;
    assert_eq!((health, output), (Health::Passing, format!("GET http://localhost:{}/there: 200 OK, fine", end.port())));
    let (health, output) = seen(ask(url.clone(), CheckTls::default(), false)).await;
    assert_eq!((health, output), (Health::Critical, format!("GET {url}: 302 Found")));
    assert_eq!(end.taken.load(Relaxed), 1);
    let circle = Peer::new(sends_to("/again"), Then::Closes).await;
    let (health, output) = seen(ask(format!("http://localhost:{}/", circle.port()), CheckTls::default(), true)).await;
    assert!(health == Health::Critical && output.ends_with("/again: it is sent on more than 10 times"), "{output}");
    assert_eq!(circle.taken.load(Relaxed), 11);
    for peer in [end, first, circle] {
        peer.end().await;
    }
}

/// A server with a certificate of its own making, that speaks HTTP/2 and the health of gRPC to whoever asks for that, and
/// HTTP/1.1 to others.
struct Server {
    port: u16,
    /// The names that it was asked by.
    names: Arc<Mutex<Vec<String>>>,
    group: TaskGroup,
}

impl Server {
    async fn new(is_secure: bool) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_no_client_auth().with_single_cert(vec![made.cert.into()], key.into()).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = is_secure.then(|| TlsAcceptor::from(Arc::new(config)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, group) = (listener.local_addr().unwrap().port(), TaskGroup::new());
        let names = Arc::new(Mutex::new(Vec::new()));
        let (inner, stop, seen) = (group.clone(), group.stop_token(), names.clone());
        group.spawn("server", async move {
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let (socket, stop, acceptor, seen) =
                    (accepted.unwrap().0, stop.clone(), acceptor.clone(), seen.clone());
                inner.spawn("connection", async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = connection(socket, acceptor, &seen) => {}
                    }
                });
            }
        });
        Self { port, names, group }
    }

    fn last_name(&self) -> String {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).last().cloned().unwrap_or_default()
    }

    async fn end(self) {
        assert!(self.group.stop(PATIENCE).await);
    }
}

async fn connection(socket: TcpStream, acceptor: Option<TlsAcceptor>, names: &Mutex<Vec<String>>) {
    let Some(acceptor) = acceptor else { return http2(socket).await };
    // Who finds the certificate wanting hangs up.
    let Ok(mut stream) = acceptor.accept(socket).await else { return };
    let session = stream.get_ref().1;
    let (name, is_http2) = (session.server_name().unwrap_or("").to_owned(), session.alpn_protocol() == Some(b"h2"));
    names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    if is_http2 {
        return http2(stream).await;
    }
    let _ = stream.read(&mut [0; 4_096]).await;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let _ = stream.shutdown().await;
}

/// Says of everything that it serves.
async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        body.send_data(Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]), false).unwrap();
        body.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())])).unwrap();
    }
}

#[tokio::test]
async fn over_tls_a_certificate_has_to_be_good_unless_the_check_says_otherwise() {
    let server = Server::new(true).await;
    let url = format!("https://localhost:{}/", server.port);
    let tls = |name: &str, is_anyones| CheckTls { name: name.to_owned(), is_anyones };
    let all = |tls: CheckTls| {
        let of = |talk| at(server.port, talk, Some(tls.clone()));
        [ask(url.clone(), tls.clone(), false), of(Talk::Connect), of(Talk::Grpc("a.B".into())), of(Talk::Ping)]
    };
    for kind in all(tls("", false)) {
        let (health, output) = seen(kind).await;
        assert!(health == Health::Critical && output.contains("no authority that this host trusts"), "{output}");
    }
    for (kind, said) in all(tls("", true)).into_iter().zip(["200 OK", "takes connections", "SERVING", "answers a ping"])
    {
        let (health, output) = seen(kind).await;
        assert!(health == Health::Passing && output.ends_with(said), "{output}");
        assert_eq!(server.last_name(), "localhost");
    }
    for kind in all(tls("inner.example", true)) {
        assert_eq!(seen(kind).await.0, Health::Passing);
        assert_eq!(server.last_name(), "inner.example");
    }
    server.end().await;
}

#[tokio::test]
async fn a_server_of_http_2_answers_a_ping_and_another_one_does_not() {
    let server = Server::new(false).await;
    let (health, output) = seen(at(server.port, Talk::Ping, None)).await;
    assert!(health == Health::Passing && output.ends_with("answers a ping"), "{output}");
    server.end().await;
    for (first, then) in [(&b"HTTP/1.1 200 OK\r\n\r\n"[..], Then::Closes), (SILENT, Then::Hangs)] {
        let peer = Peer::new(first, then).await;
        let (health, output) = seen(at(peer.port(), Talk::Ping, None)).await;
        assert!(health == Health::Critical && output.starts_with("HTTP/2 localhost:"), "{output}");
        peer.end().await;
    }
}

#[tokio::test]
async fn a_datagram_that_is_not_refused_is_well() {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let kind = || {
        CheckKind::At(Arc::new(At {
            host: "127.0.0.1".to_owned(),
            port,
            talk: Talk::Datagram("hello".to_owned()),
            tls: None,
        }))
    };
    assert_eq!(seen(kind()).await, (Health::Passing, format!("UDP 127.0.0.1:{port} refuses nothing")));
    let answering = async {
        let mut text = [0; 16];
        loop {
            let (n, from) = socket.recv_from(&mut text).await.unwrap();
            assert_eq!(&text[..n], b"hello");
            socket.send_to(b"yes", from).await.unwrap();
        }
    };
    tokio::select! {
        () = answering => {}
        seen = seen(kind()) => assert_eq!(seen, (Health::Passing, format!("UDP 127.0.0.1:{port} answers"))),
    }
    drop(socket);
    let (health, output) = seen(kind()).await;
    assert!(health == Health::Critical && output.contains("refused"), "{output}");
}
