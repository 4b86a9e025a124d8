//! gRPC: calls over HTTP/2.

use super::{
    calls::{KEEP_ALIVE, WATCH, read},
    lease::keep_alives,
    node::Node,
    watch::watch,
};
use crate::serve::{BoxFuture, Rpc, RpcAnswer, RpcBody};
use bytes::{Buf, BufMut, Bytes};
use futures_util::{Stream, StreamExt};
use http::{Method, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Empty};
use prost::Message;
use std::{pin::Pin, sync::Arc};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Response, Status, Streaming,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{StreamingService, UnaryService},
};

/// The longest message that is taken: the longest request and half a mebibyte around it, as etcd counts.
pub(super) const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// What a call's buffers begin with: most messages are short, and there may be thousands of calls.
const BUFFER_BYTES: usize = 1 << 10;
/// So much of a stream is written together where more is ready.
const YIELD_BYTES: usize = 32 << 10;
/// How the library says that a message is too long.
const TOO_LONG: &str = "Error, decoded message length too large: found ";

/// Answers of a stream.
type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// Answers calls.
pub(super) struct Grpc {
    node: Arc<Node>,
}

impl Grpc {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

impl Rpc for Grpc {
    fn call(
        &self,
        request: http::Request<RpcBody>,
        stopping: CancellationToken,
    ) -> BoxFuture<'static, http::Response<RpcAnswer>> {
        let node = self.node.clone();
        Box::pin(async move {
            let content = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
            if request.method() != Method::POST || !content.starts_with("application/grpc") {
                let mut answer = http::Response::new(boxed(Empty::new().map_err(|never| match never {})));
                *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                return answer;
            }
            let path = request.uri().path().to_owned();
            let mut grpc = tonic::server::Grpc::new(Raw).max_decoding_message_size(MESSAGE_BYTES_MAX);
            let answer = match path.as_str() {
                WATCH | KEEP_ALIVE => grpc.streaming(Stretched { node, path, stopping }, request).await,
                _ => grpc.unary(Once { node, path }, request).await,
            };
            in_words(answer).map(|body| boxed(body.map_err(Into::into)))
        })
    }
}

fn boxed(body: impl http_body::Body<Data = Bytes, Error = crate::serve::BoxError> + Send + 'static) -> RpcAnswer {
    RpcAnswer::new(body)
}

/// The library's refusal of a long message in the words of etcd's.
fn in_words(answer: http::Response<tonic::body::Body>) -> http::Response<tonic::body::Body> {
    let too_long = Status::from_header_map(answer.headers()).filter(|status| status.code() == Code::OutOfRange);
    let found =
        too_long.as_ref().and_then(|s| s.message().strip_prefix(TOO_LONG)?.split(' ').next()?.parse::<u64>().ok());
    match found {
        Some(found) => too_large(found).into_http(),
        None => answer,
    }
}

pub(super) fn too_large(found: u64) -> Status {
    Status::resource_exhausted(format!("grpc: received message larger than max ({found} vs. {MESSAGE_BYTES_MAX})"))
}

/// One call, one answer.
struct Once {
    node: Arc<Node>,
    path: String,
}

impl UnaryService<Bytes> for Once {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (node, path) = (self.node.clone(), std::mem::take(&mut self.path));
        Box::pin(async move { node.call(&path, request.into_inner()).await.map(Response::new) })
    }
}

/// Messages both ways.
struct Stretched {
    node: Arc<Node>,
    path: String,
    stopping: CancellationToken,
}

impl StreamingService<Bytes> for Stretched {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = BoxFuture<'static, Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (node, stopping, is_watch) = (self.node.clone(), self.stopping.clone(), self.path == WATCH);
        Box::pin(async move {
            let asked = request.into_inner();
            Ok(Response::new(match is_watch {
                true => encoded(watch(node, asked.map(|m| read(m?)), stopping)),
                false => encoded(keep_alives(node, asked.map(|m| read(m?)), stopping)),
            }))
        })
    }
}

fn encoded<M: Message>(answers: impl Stream<Item = Result<M, Status>> + Send + 'static) -> Answers {
    answers.map(|answer| Ok(answer?.encode_to_vec().into())).boxed()
}

/// Messages as bytes: who takes them knows what they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}
