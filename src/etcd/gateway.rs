//! The JSON gateway, and what is asked by plain GET on the same port.

use super::{
    calls::{KEEP_ALIVE, WATCH, read},
    json::{to_json, to_wire},
    lease::keep_alives,
    node::{CLUSTER_VERSION, Node, VERSION},
    rpc::{MESSAGE_BYTES_MAX, too_large},
    schema::SCHEMA,
    watch::watch,
};
use crate::serve::{Body, BoxFuture, Error, Handler, Request, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{
    HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, ORIGIN},
};
use prost::Message;
use serde_json::{Value, json};
use std::sync::Arc;
use tonic::{Code, Status};

/// JSON of the longest message: base64 makes it longer by a third.
const BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 3 * 4 + (64 << 10);

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers HTTP/1.
pub(super) struct Gateway {
    node: Arc<Node>,
}

impl Gateway {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

impl Handler for Gateway {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let path = request.path().to_owned();
            // There is no page of ours here, and no token that another's would lack.
            if request.headers.contains_key(ORIGIN) {
                return plain(StatusCode::FORBIDDEN, "skyvis: pages in a browser may not ask here");
            }
            let rest = ["/v3/", "/v3beta/", "/v3alpha/"].iter().find_map(|prefix| path.strip_prefix(prefix));
            match (rest.map(call), request.method.clone()) {
                (Some(Some(call)), Method::POST) => self.call(call, request).await,
                (Some(Some(_)), _) => plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n"),
                (Some(None), _) => plain(StatusCode::NOT_FOUND, "Not Found\n"),
                (None, Method::GET) => page(&path),
                (None, _) => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
            }
        })
    }
}

fn page(path: &str) -> Response {
    match path {
        "/version" => {
            let text = json!({ "etcdserver": VERSION, "etcdcluster": CLUSTER_VERSION }).to_string();
            answer(StatusCode::OK, JSON, text.into())
        }
        "/health" => plain(StatusCode::OK, "{\"health\":\"true\"}"),
        path if path == "/v2" || path.starts_with("/v2/") => {
            plain(StatusCode::NOT_FOUND, "404 page not found; version 2 is not served, use version 3\n")
        }
        _ => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

/// The call that a path of the gateway means.
fn call(path: &str) -> Option<&'static str> {
    Some(match path {
        "kv/range" => "/etcdserverpb.KV/Range",
        "kv/put" => "/etcdserverpb.KV/Put",
        "kv/deleterange" => "/etcdserverpb.KV/DeleteRange",
        "kv/txn" => "/etcdserverpb.KV/Txn",
        "kv/compaction" => "/etcdserverpb.KV/Compact",
        "watch" => WATCH,
        "lease/grant" => "/etcdserverpb.Lease/LeaseGrant",
        "lease/revoke" | "kv/lease/revoke" => "/etcdserverpb.Lease/LeaseRevoke",
        "lease/keepalive" => KEEP_ALIVE,
        "lease/timetolive" | "kv/lease/timetolive" => "/etcdserverpb.Lease/LeaseTimeToLive",
        "lease/leases" | "kv/lease/leases" => "/etcdserverpb.Lease/LeaseLeases",
        "cluster/member/list" => "/etcdserverpb.Cluster/MemberList",
        "cluster/member/add" => "/etcdserverpb.Cluster/MemberAdd",
        "cluster/member/remove" => "/etcdserverpb.Cluster/MemberRemove",
        "cluster/member/update" => "/etcdserverpb.Cluster/MemberUpdate",
        "cluster/member/promote" => "/etcdserverpb.Cluster/MemberPromote",
        "maintenance/alarm" => "/etcdserverpb.Maintenance/Alarm",
        "maintenance/status" => "/etcdserverpb.Maintenance/Status",
        "maintenance/defragment" => "/etcdserverpb.Maintenance/Defragment",
        "maintenance/hash" => "/etcdserverpb.Maintenance/Hash",
        "maintenance/hashkv" => "/etcdserverpb.Maintenance/HashKV",
        "maintenance/snapshot" => "/etcdserverpb.Maintenance/Snapshot",
        "maintenance/transfer-leadership" => "/etcdserverpb.Maintenance/MoveLeader",
        "maintenance/downgrade" => "/etcdserverpb.Maintenance/Downgrade",
        "auth/enable" => "/etcdserverpb.Auth/AuthEnable",
        "auth/disable" => "/etcdserverpb.Auth/AuthDisable",
        "auth/status" => "/etcdserverpb.Auth/AuthStatus",
        "auth/authenticate" => "/etcdserverpb.Auth/Authenticate",
        "auth/user/list" => "/etcdserverpb.Auth/UserList",
        "auth/role/list" => "/etcdserverpb.Auth/RoleList",
        "auth/user/add" | "auth/user/get" | "auth/user/delete" | "auth/user/changepw" | "auth/user/grant"
        | "auth/user/revoke" => "/etcdserverpb.Auth/UserAdd",
        "auth/role/add" | "auth/role/get" | "auth/role/delete" | "auth/role/grant" | "auth/role/revoke" => {
            "/etcdserverpb.Auth/RoleAdd"
        }
        "lock/lock" | "lock/unlock" => "/v3lockpb.Lock/Lock",
        "election/campaign" | "election/proclaim" | "election/leader" | "election/observe" | "election/resign" => {
            "/v3electionpb.Election/Campaign"
        }
        _ => return None,
    })
}

impl Gateway {
    async fn call(&self, call: &'static str, request: Request) -> Response {
        let (stopping, client) = (request.stopping.clone(), request.client.clone());
        let body = match request.body(BODY_BYTES_MAX).await {
            Ok(body) => body,
            Err(Error::BodyTooLong { limit_bytes }) => return failed(&too_large(limit_bytes as u64 + 1)),
            Err(error) => return failed(&Status::invalid_argument(error.to_string())),
        };
        // What is left out has no messages of its own.
        let (asked, answered) = SCHEMA.calls.get(call).map_or(("", ""), |c| (c.asked.as_str(), c.answered.as_str()));
        match call {
            WATCH => {
                let asked = Box::pin(stream::iter(messages(asked, &body)).map(|m| read(m?)));
                let gone = async move { client.gone().await };
                lines(answered, watch(self.node.clone(), asked, stopping).take_until(Box::pin(gone)))
            }
            KEEP_ALIVE => {
                let asked = stream::iter(messages(asked, &body)).map(|m| read(m?));
                lines(answered, keep_alives(self.node.clone(), asked, stopping))
            }
            call => match self.one(call, asked, answered, &body).await {
                Ok(text) => answer(StatusCode::OK, JSON, text.into()),
                Err(status) => failed(&status),
            },
        }
    }

    async fn one(&self, call: &str, asked: &str, answered: &str, body: &[u8]) -> Result<String, Status> {
        let message = match asked {
            "" => Bytes::new(),
            // An empty body asks nothing in particular.
            asked => messages(asked, body).into_iter().next().unwrap_or_else(|| Ok(Bytes::new()))?,
        };
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(too_large(message.len() as u64));
        }
        let message = self.node.call(call, message).await?;
        to_json(answered, &message).map_err(Status::internal)
    }
}

/// The messages of a body: JSON objects, one after another.
fn messages(name: &str, body: &[u8]) -> Vec<Result<Bytes, Status>> {
    let values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    let mut messages = Vec::new();
    for value in values {
        let message = value.map_err(|e| e.to_string()).and_then(|value| to_wire(name, &value)).map(Bytes::from);
        let is_bad = message.is_err();
        messages.push(message.map_err(Status::invalid_argument));
        if is_bad {
            break;
        }
    }
    messages
}

/// One line an answer.
fn lines<M: Message>(name: &'static str, answers: impl Stream<Item = Result<M, Status>> + Send + 'static) -> Response {
    let line = move |message: Result<M, Status>| {
        let shown = message.and_then(|m| to_json(name, &m.encode_to_vec()).map_err(Status::internal));
        let text = match shown {
            Ok(text) => format!("{{\"result\":{text}}}\n"),
            Err(status) => {
                let http = http_status(status.code());
                let error = json!({
                    "grpc_code": status.code() as i32,
                    "http_code": http.as_u16(),
                    "message": status.message(),
                    "http_status": http.canonical_reason().unwrap_or(""),
                });
                format!("{}\n", json!({ "error": error }))
            }
        };
        Ok(Bytes::from(text))
    };
    answer(StatusCode::OK, JSON, Body::unsized_stream(answers.map(line)))
}

fn failed(status: &Status) -> Response {
    let text = status.message();
    let body = json!({ "error": text, "message": text, "code": status.code() as i32 }).to_string();
    answer(http_status(status.code()), JSON, body.into())
}

/// As the gateway of etcd's version 3.4 has it.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    answer(status, TEXT, text.into())
}

fn answer(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
