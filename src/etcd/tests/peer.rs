//! A client of version 3 by the types of `wire.rs`, for our own node and for others.

use super::PATIENCE;
use crate::{
    base::TaskGroup,
    etcd::{
        calls::{WATCH, read},
        rpc::Raw,
        wire::{
            Asked, CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, Event, PutRequest,
            PutResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse, WatchCancelRequest, WatchCreateRequest,
            WatchProgressRequest, WatchRequest, WatchResponse,
        },
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use hyper_util::rt::TokioIo;
use prost::Message;
use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, client::GrpcService};

/// What a stream answers.
pub(super) type Answers<A> = Pin<Box<dyn Stream<Item = Result<A, Status>> + Send>>;

/// A connection.
#[derive(Clone)]
pub(super) struct Peer(Sender);

#[derive(Clone)]
struct Sender(hyper::client::conn::http2::SendRequest<tonic::body::Body>);

#[derive(Clone)]
struct Tasks(TaskGroup);

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.spawn("client", task);
    }
}

impl GrpcService<tonic::body::Body> for Sender {
    type ResponseBody = hyper::body::Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<hyper::body::Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

impl Peer {
    pub async fn connect(address: SocketAddr, group: &TaskGroup) -> Self {
        Self::try_connect(address, group).await.unwrap()
    }

    pub async fn try_connect(address: SocketAddr, group: &TaskGroup) -> Option<Self> {
        let socket = TcpStream::connect(address).await.ok()?;
        socket.set_nodelay(true).unwrap();
        let mut builder = hyper::client::conn::http2::Builder::new(Tasks(group.clone()));
        builder.initial_stream_window_size(1 << 20).initial_connection_window_size(64 << 20);
        let (sender, connection) = builder.handshake(TokioIo::new(socket)).await.ok()?;
        let stop: CancellationToken = group.stop_token();
        group.spawn("connection", async move {
            tokio::select! {
                // How it ends is seen by whoever waits for an answer.
                _ = connection => {}
                () = stop.cancelled() => {}
            }
        });
        Some(Self(Sender(sender)))
    }

    fn grpc(&self) -> tonic::client::Grpc<Sender> {
        let origin = "http://localhost".parse().unwrap();
        tonic::client::Grpc::with_origin(self.0.clone(), origin).max_decoding_message_size(1 << 30)
    }

    pub async fn raw(&self, path: &'static str, message: Bytes) -> Result<Bytes, Status> {
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
        let path = http::uri::PathAndQuery::from_static(path);
        Ok(grpc.unary(Request::new(message), path, Raw).await?.into_inner())
    }

    pub async fn call<A: Message + Default>(&self, path: &'static str, message: &impl Message) -> Result<A, Status> {
        read(self.raw(path, message.encode_to_vec().into()).await?)
    }

    /// A stream both ways.
    pub async fn stream<A: Message + Default>(
        &self,
        path: &'static str,
        asked: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Answers<A>, Status> {
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
        let path = http::uri::PathAndQuery::from_static(path);
        let answers = grpc.streaming(Request::new(asked), path, Raw).await?.into_inner();
        Ok(answers.map(|answer| read(answer?)).boxed())
    }

    pub async fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Status> {
        self.call("/etcdserverpb.KV/Range", request).await
    }

    pub async fn put(&self, request: &PutRequest) -> Result<PutResponse, Status> {
        self.call("/etcdserverpb.KV/Put", request).await
    }

    pub async fn set(&self, key: &str, value: &str) -> u64 {
        let request = put(key, value);
        u64::try_from(self.put(&request).await.unwrap().header.unwrap().revision).unwrap()
    }

    pub async fn delete(&self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse, Status> {
        self.call("/etcdserverpb.KV/DeleteRange", request).await
    }

    pub async fn txn(&self, request: &TxnRequest) -> Result<TxnResponse, Status> {
        self.call("/etcdserverpb.KV/Txn", request).await
    }

    pub async fn compact(&self, revision: i64) -> Result<CompactionResponse, Status> {
        self.call("/etcdserverpb.KV/Compact", &CompactionRequest { revision, physical: true }).await
    }

    /// A stream of watches.
    pub fn watches(&self) -> Watches {
        let (ask, asked) = mpsc::channel::<Bytes>(1_024);
        let asked = futures_util::stream::unfold(asked, |mut asked| async move { Some((asked.recv().await?, asked)) });
        // Others answer nothing at all before they are asked for something.
        let peer = self.clone();
        let answers = futures_util::stream::once(async move { peer.stream(WATCH, asked).await }).try_flatten().boxed();
        Watches { ask, answers }
    }

    /// A stream of one watch, from now on or from a revision.
    pub async fn watch(&self, key: &str, range_end: &str, start_revision: i64) -> Watches {
        let mut watches = self.watches();
        let request = WatchCreateRequest { start_revision, ..watch(key, range_end) };
        let created = watches.create(request).await;
        assert!(created.created && !created.canceled, "{created:?}");
        watches
    }
}

pub(super) fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..PutRequest::default() }
}

pub(super) fn one(key: &str) -> RangeRequest {
    RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() }
}

pub(super) fn watch(key: &str, range_end: &str) -> WatchCreateRequest {
    let (key, range_end) = (key.to_owned().into(), range_end.to_owned().into());
    WatchCreateRequest { key, range_end, ..WatchCreateRequest::default() }
}

/// A stream of watches.
pub(super) struct Watches {
    ask: mpsc::Sender<Bytes>,
    answers: Answers<WatchResponse>,
}

impl Watches {
    pub async fn ask(&self, asked: Asked) {
        let message = WatchRequest { request_union: Some(asked) }.encode_to_vec();
        self.ask.send(message.into()).await.unwrap();
    }

    pub async fn ask_for(&self, request: WatchCreateRequest) {
        self.ask(Asked::Create(request)).await;
    }

    pub async fn ask_cancel(&self, watch_id: i64) {
        self.ask(Asked::Cancel(WatchCancelRequest { watch_id })).await;
    }

    pub async fn ask_progress(&self) {
        self.ask(Asked::Progress(WatchProgressRequest {})).await;
    }

    /// What comes next, however long that takes.
    pub async fn next_or_never(&mut self) -> Option<Result<WatchResponse, Status>> {
        self.answers.next().await
    }

    /// What comes next.
    pub async fn try_next(&mut self) -> Option<Result<WatchResponse, Status>> {
        tokio::time::timeout(PATIENCE, self.answers.next()).await.expect("an answer comes")
    }

    pub async fn next(&mut self) -> WatchResponse {
        self.try_next().await.expect("the stream goes on").unwrap()
    }

    /// Creates a watch on a stream on which nothing else is to be told.
    pub async fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.ask_for(request).await;
        self.next().await
    }

    /// So many events, whatever answers they come in.
    pub async fn events(&mut self, n: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < n {
            let answer = self.next().await;
            assert!(!answer.canceled, "{answer:?}");
            events.extend(answer.events);
        }
        events
    }
}
