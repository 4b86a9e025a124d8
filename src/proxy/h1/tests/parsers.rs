//! Other parsers read what we pass on as we do.

use crate::{
    proxy::h1::{
        Client, Forwarding, Limits, RequestHead, Scheme, Trust, parse_request, write_chunk, write_last, write_request,
    },
    tests::framing::{
        cases::{self, Verdict},
        mutants::mutants,
        walk::{Seen, walk},
    },
};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Method, target and body.
type Read = (Vec<u8>, Vec<u8>, Vec<u8>);

/// What hyper reads of a connection, and all that it answers.
async fn hyper_reads(sent: &[u8]) -> Vec<Read> {
    let read: Arc<Mutex<Vec<Read>>> = Arc::default();
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(sent).await.unwrap();
    client.shutdown().await.unwrap();
    let service = service_fn(|request: Request<Incoming>| {
        let read = Arc::clone(&read);
        async move {
            let method = request.method().as_str().as_bytes().to_vec();
            let target = request.uri().to_string().into_bytes();
            // Only what is whole counts.
            if let Ok(body) = request.into_body().collect().await {
                read.lock().unwrap().push((method, target, body.to_bytes().to_vec()));
            }
            Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .max_headers(200)
        .serve_connection(TokioIo::new(server), service);
    // It ends with an error where the bytes do.
    let _ = connection.await;
    let mut answers = Vec::new();
    let _ = client.read_to_end(&mut answers).await;
    std::mem::take(&mut *read.lock().unwrap())
}

/// A request as an upstream gets it.
fn passed_on(request: &Seen) -> Option<Vec<u8>> {
    let fields: Vec<u8> =
        request.fields.iter().flat_map(|(name, value, _)| [name, &b": "[..], value, b"\r\n"].concat()).collect();
    let b = [&request.method[..], b" ", &request.target, b" HTTP/1.1\r\n", &fields, b"\r\n"].concat();
    let (mut head, mut out) = (RequestHead::default(), Vec::new());
    // As HTTP/1.1 not everything of HTTP/1.0 is in order.
    parse_request(&b, &Limits::default(), &mut head).ok().flatten()?;
    let trust = Trust::default();
    let client = Client::new("192.0.2.7:1".parse().unwrap(), Scheme::Http, &trust);
    let to = Forwarding {
        target: head.target(&b),
        host: head.host(&b),
        body: head.body(),
        upgrade: false,
        expect: false,
        client: &client,
        trust: &trust,
        edits: None,
        request_id: b"id",
        via: None,
    };
    write_request(&mut out, &b, &head, &to).unwrap();
    if head.body() == crate::proxy::h1::Body::Chunked {
        write_chunk(&mut out, &request.body);
        write_last(&mut out, &request.trailers);
    } else {
        out.extend_from_slice(&request.body);
    }
    Some(out)
}

/// Those that can be written down again: a client of HTTP/1.0 may name no host.
fn with_host(requests: Vec<Seen>) -> Vec<Seen> {
    requests.into_iter().filter(|request| !request.host.is_empty()).collect()
}

async fn check(name: &str, sent: &[u8]) -> usize {
    let mut ours = with_host(walk(sent, usize::MAX).0);
    ours.retain(|request| passed_on(request).is_some());
    let wire: Vec<u8> = ours.iter().filter_map(passed_on).flatten().collect();
    let theirs = hyper_reads(&wire).await;
    let wanted: Vec<Read> = ours.iter().map(|r| (r.method.clone(), r.target.clone(), r.body.clone())).collect();
    // `http::Uri` writes some targets in another way than they came, and refuses others; the number tells.
    let shown = |reads: &[Read]| {
        reads.iter().map(|(m, _, b)| (m.escape_ascii().to_string(), b.escape_ascii().to_string())).collect::<Vec<_>>()
    };
    assert_eq!(shown(&theirs), shown(&wanted), "{name}: {}", wire.escape_ascii());
    ours.len()
}

#[tokio::test]
async fn hyper_reads_what_we_pass_on_as_we_do() {
    let mut count = 0;
    for case in cases::all().iter().filter(|case| matches!(case.verdict, Verdict::Yes(..))) {
        count += check(&case.name, &case.sent).await;
    }
    assert!(count > 50, "{count}");
    let mut count = 0;
    for (name, sent) in mutants(2, 5000) {
        // Bytes that `http::Uri` takes for none, though they may stand in a target.
        let is_odd =
            with_host(walk(&sent, usize::MAX).0).iter().any(|r| r.target.iter().any(|b| b"\"<>\\^`{|}".contains(b)));
        if !is_odd {
            count += check(&name, &sent).await;
        }
    }
    assert!(count > 250, "{count}");
}

/// What we take, hyper takes too, as the same requests, from the very bytes of the client.
#[tokio::test]
async fn hyper_reads_what_we_take_as_we_do() {
    for case in cases::all() {
        let Verdict::Yes(count, body) = case.verdict else { continue };
        // hyper needs no Host and goes on after HTTP/1.0 as we do; it takes an expectation of nothing for one.
        let theirs = hyper_reads(&case.sent).await;
        let bodies: Vec<u8> = theirs.iter().flat_map(|(_, _, body)| body.clone()).collect();
        assert_eq!((theirs.len(), bodies.as_slice()), (count, body), "{}", case.name);
    }
}

#[test]
fn httparse_reads_what_we_take_as_we_do() {
    let mut count = 0;
    for (name, sent) in mutants(3, 20_000) {
        let mut head = RequestHead::default();
        let Ok(Some(len)) = parse_request(&sent, &Limits::default(), &mut head) else { continue };
        let mut room = [httparse::EMPTY_HEADER; 100];
        let mut theirs = httparse::Request::new(&mut room);
        assert_eq!(theirs.parse(&sent), Ok(httparse::Status::Complete(len)), "{name}");
        let ours: Vec<_> = head.fields(&sent).map(|field| (field.name, field.value)).collect();
        let theirs: Vec<_> = theirs.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
        assert_eq!(ours, theirs, "{name}");
        let text = &sent[..len];
        let is_ended = (0..len).all(|at| text[at] != b'\n' || (at > 0 && text[at - 1] == b'\r'));
        assert!(is_ended && !text.contains(&0), "{name}: {}", text.escape_ascii());
        count += 1;
    }
    assert!(count > 2000, "{count}");
}
