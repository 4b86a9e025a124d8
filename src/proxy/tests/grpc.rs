//! gRPC by tonic, as client and as server, with the proxy in between: unary, streams each way, trailers, deadlines, and
//! what a client is told when there is nobody.

use super::{
    pki::{Pki, curl, secure},
    rig::{Origin, Rig, patient, refusing, route, service_route},
};
use crate::{
    base::TaskGroup,
    proxy::config::{Backend, Route, Target, Via},
};
use bytes::{Buf, BufMut};
use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio_stream::{Stream, StreamExt};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{ClientStreamingService, NamedService, ServerStreamingService, StreamingService, UnaryService},
    transport::{Channel, Endpoint, Server},
};

/// Messages that are bytes.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; from.remaining()];
        from.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

/// A service of all four kinds.
#[derive(Clone)]
struct Echo;

type Answers = Pin<Box<dyn Stream<Item = Result<Vec<u8>, Status>> + Send>>;
type Later<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

/// Says the message back, with metadata and in its trailers; `fail` fails, `hang` never ends.
impl UnaryService<Vec<u8>> for Echo {
    type Response = Vec<u8>;
    type Future = Later<Vec<u8>>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        Box::pin(async move {
            match request.get_ref().as_slice() {
                b"fail" => {
                    let mut status = Status::failed_precondition("as you wish: ä");
                    status.metadata_mut().insert("x-why", "asked".parse().unwrap());
                    return Err(status);
                }
                b"hang" => std::future::pending().await,
                _ => {}
            }
            let asked = request.metadata().get("x-ask").cloned();
            let mut response = Response::new(request.into_inner());
            if let Some(asked) = asked {
                response.metadata_mut().insert("x-answer", asked);
            }
            Ok(response)
        })
    }
}

/// As many messages as the request has bytes; a request of 13 bytes breaks off with a status after them.
impl ServerStreamingService<Vec<u8>> for Echo {
    type Response = Vec<u8>;
    type ResponseStream = Answers;
    type Future = Later<Answers>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        Box::pin(async move {
            let message = request.into_inner();
            let end = (message.len() == 13).then(|| Err(Status::data_loss("thirteen")));
            let messages: Vec<_> = message.iter().map(|b| Ok(vec![*b; 10_000])).chain(end).collect();
            Ok(Response::new(Box::pin(tokio_stream::iter(messages)) as Answers))
        })
    }
}

/// The number of bytes of all messages.
impl ClientStreamingService<Vec<u8>> for Echo {
    type Response = Vec<u8>;
    type Future = Later<Vec<u8>>;

    fn call(&mut self, request: Request<Streaming<Vec<u8>>>) -> Self::Future {
        Box::pin(async move {
            let mut messages = request.into_inner();
            let mut sum = 0;
            while let Some(message) = messages.message().await? {
                sum += message.len();
            }
            Ok(Response::new(sum.to_string().into()))
        })
    }
}

/// Each message back before the next one is sent.
impl StreamingService<Vec<u8>> for Echo {
    type Response = Vec<u8>;
    type ResponseStream = Answers;
    type Future = Later<Answers>;

    fn call(&mut self, request: Request<Streaming<Vec<u8>>>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(Box::pin(request.into_inner()) as Answers)) })
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl tower_service::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Bytes);
            Ok(match request.uri().path() {
                "/test.Echo/Unary" => grpc.unary(Echo, request).await,
                "/test.Echo/Down" => grpc.server_streaming(Echo, request).await,
                "/test.Echo/Up" => grpc.client_streaming(Echo, request).await,
                _ => grpc.streaming(Echo, request).await,
            })
        })
    }
}

/// A server of tonic; it lives as long as its group.
async fn server(group: &TaskGroup) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    group.spawn("tonic", async move {
        Server::builder().add_service(Echo).serve_with_incoming(incoming).await.unwrap();
    });
    address
}

fn over_h2(mut route: Route) -> Route {
    if let Target::Forward(forward) = &mut route.to
        && let Backend::Upstreams(upstreams) = &mut forward.to
    {
        upstreams.iter_mut().for_each(|u| u.via = Some(Via { h2: true, tls: None }));
    }
    route
}

fn grpc(address: SocketAddr) -> Grpc<Channel> {
    Grpc::new(Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy())
}

fn path(of: &'static str) -> http::uri::PathAndQuery {
    http::uri::PathAndQuery::from_static(of)
}

async fn unary(grpc: &mut Grpc<Channel>, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Status> {
    grpc.ready().await.map_err(|e| Status::unknown(e.to_string()))?;
    grpc.unary(request, path("/test.Echo/Unary"), Bytes).await
}

/// A runtime for both ends; the proxy has its own.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await }).expect("it hangs")
}

#[test]
fn calls_of_all_kinds_and_their_trailers_get_through() {
    run(async {
        let group = TaskGroup::new();
        let upstream = server(&group).await;
        let all = Route { body_max: 1 << 30, ..over_h2(route(&[upstream])) };
        let rig = tokio::task::spawn_blocking(move || Rig::new(vec![all])).await.unwrap();
        let mut grpc = grpc(rig.address);

        let mut request = Request::new(b"hello".to_vec());
        request.metadata_mut().insert("x-ask", "1".parse().unwrap());
        let response = unary(&mut grpc, request).await.unwrap();
        assert_eq!(response.get_ref(), b"hello");
        assert_eq!(response.metadata().get("x-answer").unwrap(), "1");

        let status = unary(&mut grpc, Request::new(b"fail".to_vec())).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "as you wish: ä"));
        assert_eq!(status.metadata().get("x-why").unwrap(), "asked");

        grpc.ready().await.unwrap();
        let down = grpc.server_streaming(Request::new(vec![7; 100]), path("/test.Echo/Down"), Bytes).await.unwrap();
        let all: Vec<Vec<u8>> = down.into_inner().map(Result::unwrap).collect().await;
        assert!(all.len() == 100 && all.iter().all(|m| m.len() == 10_000));
        grpc.ready().await.unwrap();
        let down = grpc.server_streaming(Request::new(vec![7; 13]), path("/test.Echo/Down"), Bytes).await.unwrap();
        let all: Vec<_> = down.into_inner().collect().await;
        assert_eq!((all.len(), all[13].as_ref().unwrap_err().code()), (14, Code::DataLoss));

        grpc.ready().await.unwrap();
        let messages = tokio_stream::iter((0..200).map(|_| vec![1; 10_000]));
        let up = grpc.client_streaming(Request::new(messages), path("/test.Echo/Up"), Bytes).await.unwrap();
        assert_eq!(up.into_inner(), b"2000000");

        // Each waits for the other: nothing may lie anywhere in between.
        grpc.ready().await.unwrap();
        let (say, said) = tokio::sync::mpsc::channel(1);
        let said = tokio_stream::wrappers::ReceiverStream::new(said);
        say.send(b"0".to_vec()).await.unwrap();
        let both = grpc.streaming(Request::new(said), path("/test.Echo/Both"), Bytes).await.unwrap();
        let mut heard = both.into_inner();
        for n in 0..50u32 {
            let message = heard.message().await.unwrap().unwrap();
            assert_eq!(message, n.to_string().as_bytes());
            say.send((n + 1).to_string().into_bytes()).await.unwrap();
        }
        drop(say);
        assert!(heard.message().await.unwrap().is_some() && heard.message().await.unwrap().is_none());
        assert_eq!(rig.proxy.panics(), 0);
        let made = rig.metric("skyvis_proxy_upstream_connects_total");
        assert!(made <= 2.0, "calls share sessions: {made}");
        tokio::task::spawn_blocking(move || drop(rig)).await.unwrap();
    });
}

#[test]
fn a_deadline_is_kept_and_a_client_is_told_in_its_own_words_what_went_wrong() {
    run(async {
        let group = TaskGroup::new();
        let upstream = server(&group).await;
        let closed = refusing();
        let routes = |address: SocketAddr| vec![patient(over_h2(route(&[address])), Duration::from_millis(300), 0)];
        let mute = Origin::new(|c| while c.request().is_some() {});
        let rigs = tokio::task::spawn_blocking(move || {
            [
                Rig::new(vec![over_h2(route(&[upstream]))]),
                Rig::new(routes(upstream)),
                Rig::new(routes(closed)),
                Rig::new(vec![service_route("nobody")]),
                Rig::new(Vec::new()),
                Rig::new(vec![route(&[mute.address])]),
            ]
        });
        let rigs = rigs.await.unwrap();
        let [good, slow, gone, nobody, unrouted, silent] = &rigs;
        let hang = || Request::new(b"hang".to_vec());
        // A client of tonic keeps to its limit by itself, its server too, and we do: whoever of the three is first has a
        // word of its own for it. curl and a server that is mute keep to none.
        let mut request = hang();
        request.set_timeout(Duration::from_millis(200));
        let code = unary(&mut grpc(good.address), request).await.unwrap_err().code();
        assert!(matches!(code, Code::Cancelled | Code::DeadlineExceeded), "{code:?}");
        let url = format!("http://a.test:{}/", silent.address.port());
        let asked = ["--http2-prior-knowledge", "-D-", "-H", "content-type: application/grpc", "-H", "te: trailers"];
        let asked = [&asked[..], &["-H", "grpc-timeout: 200m", "--data-binary", "x", &url]].concat();
        let (done, text) = curl(silent.address, &std::env::temp_dir(), "a.test", &asked);
        assert!(done && text.contains("HTTP/2 200") && text.contains("grpc-status: 4"), "{text}");
        for (rig, code) in [
            (slow, Code::DeadlineExceeded),
            (gone, Code::Unavailable),
            (nobody, Code::Unavailable),
            (unrouted, Code::Unimplemented),
        ] {
            let status = unary(&mut grpc(rig.address), hang()).await.unwrap_err();
            assert_eq!(status.code(), code, "{status:?}");
        }
        tokio::task::spawn_blocking(move || drop(rigs)).await.unwrap();
    });
}

#[test]
fn many_calls_at_once_share_few_connections_and_survive_a_new_server() {
    run(async {
        let group = TaskGroup::new();
        let upstream = server(&group).await;
        let pki = Pki::new();
        let site = pki.site("a", &[], 1);
        let made = tokio::task::spawn_blocking(move || secure(vec![over_h2(route(&[upstream]))], vec![site]));
        let (rig, _) = made.await.unwrap();
        let grpc = grpc(rig.address);
        let calls = (0..500u32).map(|n| {
            let mut grpc = grpc.clone();
            async move { unary(&mut grpc, Request::new(n.to_string().into_bytes())).await.unwrap().into_inner() }
        });
        let answers = futures_util::future::join_all(calls).await;
        assert!(answers.iter().enumerate().all(|(n, a)| *a == n.to_string().as_bytes()));
        let connects = rig.metric("skyvis_proxy_upstream_connects_total");
        assert!(connects <= 20.0, "{connects}");
        tokio::task::spawn_blocking(move || drop(rig)).await.unwrap();
    });
}
