//! Keys and transactions by gRPC and by the JSON gateway: texts and codes that clients know.

use super::{
    peer::{one, put},
    *,
};
use crate::{
    etcd::wire::{
        Compare, DeleteRangeRequest, MemberListRequest, MemberListResponse, PutRequest, RangeRequest, Request,
        RequestOp, StatusRequest, StatusResponse, TargetUnion, TxnRequest,
    },
    outbound::{Address, Client},
};
use bytes::Bytes;
use serde_json::{Value, json};
use tonic::{Code, Status};

fn refusal<A>(answer: Result<A, Status>) -> (Code, String) {
    let status = answer.err().expect("refused");
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn a_compare_and_swap_writes_once_and_tells_what_was() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let op = |request| RequestOp { request: Some(request) };
    let swap = |value: &str| TxnRequest {
        compare: vec![Compare {
            key: "k".into(),
            target: 1,
            target_union: Some(TargetUnion::Created(0)),
            ..Compare::default()
        }],
        success: vec![op(Request::Put(put("k", value))), op(Request::Range(one("k")))],
        failure: vec![op(Request::Range(one("k")))],
    };
    let first = peer.txn(&swap("mine")).await.unwrap();
    assert!(first.succeeded && first.header.unwrap().revision == 2);
    let second = peer.txn(&swap("other")).await.unwrap();
    assert!(!second.succeeded && second.header.unwrap().revision == 2);
    let before = peer.put(&PutRequest { prev_kv: true, ..put("k", "again") }).await.unwrap();
    let kv = before.prev_kv.unwrap();
    assert_eq!((&kv.value[..], kv.version, kv.mod_revision), (&b"mine"[..], 1, 2));
    let kv = peer.range(&RangeRequest { revision: 2, ..one("k") }).await.unwrap().kvs.remove(0);
    assert_eq!(&kv.value[..], b"mine", "as it was then");
    // One and the same keys.
    assert_eq!(&room.registry.get(b"k").unwrap().value[..], b"again");
    room.end().await;
}

#[tokio::test]
async fn refusals_are_etcds_own() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let text = |text: &str| text.to_owned();
    let invalid = Code::InvalidArgument;
    assert_eq!(refusal(peer.range(&one("")).await), (invalid, text("etcdserver: key is not provided")));
    let unknown_lease = PutRequest { lease: 7, ..put("k", "v") };
    assert_eq!(
        refusal(peer.put(&unknown_lease).await),
        (Code::NotFound, text("etcdserver: requested lease not found"))
    );
    let keep = PutRequest { ignore_value: true, ..put("k", "") };
    assert_eq!(refusal(peer.put(&keep).await), (invalid, text("etcdserver: key not found")));
    let keep = PutRequest { ignore_lease: true, ..put("k", "v") };
    assert_eq!(refusal(peer.put(&keep).await), (invalid, text("etcdserver: key not found")));
    let future = RangeRequest { revision: 9, ..one("k") };
    let said = text("etcdserver: mvcc: required revision is a future revision");
    assert_eq!(refusal(peer.range(&future).await), (Code::OutOfRange, said));
    peer.set("k", "1").await;
    peer.set("k", "2").await;
    peer.compact(3).await.unwrap();
    let said = text("etcdserver: mvcc: required revision has been compacted");
    assert_eq!(refusal(peer.compact(3).await), (Code::OutOfRange, said.clone()));
    assert_eq!(refusal(peer.range(&RangeRequest { revision: 2, ..one("k") }).await), (Code::OutOfRange, said));
    for (path, code, said) in [
        ("/etcdserverpb.KV/Nope", Code::Unimplemented, "unknown method Nope for service etcdserverpb.KV"),
        ("/x.Y/Z", Code::Unimplemented, "unknown service x.Y"),
        ("/etcdserverpb.Auth/Authenticate", Code::FailedPrecondition, "etcdserver: authentication is not enabled"),
        ("/etcdserverpb.Cluster/MemberAdd", Code::Unimplemented, "skyvis: a single node"),
        ("/etcdserverpb.Maintenance/Snapshot", Code::Unimplemented, "`skyvis backup FILE`"),
        ("/v3lockpb.Lock/Lock", Code::Unimplemented, "by a lease and a transaction"),
    ] {
        let (found, message) = refusal(peer.raw(path, Bytes::new()).await);
        assert!(found == code && message.contains(said), "{path}: {found:?} {message}");
    }
    let (code, message) = refusal(peer.raw("/etcdserverpb.KV/Range", "\u{ff}".into()).await);
    assert!(code == Code::Internal && message.starts_with("grpc: failed to unmarshal"), "{code:?} {message}");
    room.end().await;
}

#[tokio::test]
async fn operators_are_told_of_the_one_member() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    peer.set("k", "v").await;
    let status: StatusResponse = peer.call("/etcdserverpb.Maintenance/Status", &StatusRequest {}).await.unwrap();
    let header = status.header.unwrap();
    assert!(status.leader == header.member_id && status.db_size > 0 && header.revision == 2);
    let members: MemberListResponse =
        peer.call("/etcdserverpb.Cluster/MemberList", &MemberListRequest::default()).await.unwrap();
    assert_eq!(members.header.unwrap().revision, 0);
    let member = &members.members[0];
    assert_eq!((member.id, member.name.as_str()), (header.member_id, "test"));
    assert_eq!(member.client_urls, [format!("http://{}", room.address)]);
    room.end().await;
}

/// The JSON gateway of a node, asked by HTTP/1.
async fn json_of(room: &Room, path: &str, body: &str) -> (u16, Value) {
    let (status, body) = text_of(room, "POST", path, body, &[]).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}")))
}

async fn text_of(room: &Room, method: &str, path: &str, body: &str, more: &[(&str, &str)]) -> (u16, String) {
    let client = {
        let (host, port) = (room.address.ip().to_string(), room.address.port());
        Client::new(Address::Tcp { host, port }, crate::outbound::Limits::default())
    };
    let mut request = http::Request::builder().method(method).uri(path).header("host", room.address.to_string());
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let answer = client.request(request.body(Bytes::from(body.to_owned())).unwrap()).await.unwrap();
    (answer.status().as_u16(), String::from_utf8(answer.into_body().to_vec()).unwrap())
}

#[tokio::test]
async fn the_json_gateway_speaks_as_etcds_does() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let (status, answer) = json_of(&room, "/v3/kv/put", r#"{"key": "YQ==", "value": "MQ=="}"#).await;
    assert_eq!((status, &answer["header"]["revision"]), (200, &json!("2")));
    assert_eq!(answer["header"]["raft_term"], "2");
    for path in ["/v3/kv/range", "/v3beta/kv/range", "/v3alpha/kv/range"] {
        let (_, answer) = json_of(&room, path, r#"{"key": "YQ=="}"#).await;
        let kv = json!({ "key": "YQ==", "create_revision": "2", "mod_revision": "2", "version": "1", "value": "MQ==" });
        assert_eq!((&answer["kvs"], &answer["count"]), (&json!([kv]), &json!("1")));
    }
    let error = |text: &str, code: i32| json!({ "error": text, "message": text, "code": code });
    let cases = [
        ("/v3/kv/range", "{}", 400, error("etcdserver: key is not provided", 3)),
        ("/v3/kv/range", "", 400, error("etcdserver: key is not provided", 3)),
        ("/v3/lease/revoke", r#"{"ID": 5}"#, 404, error("etcdserver: requested lease not found", 5)),
        ("/v3/kv/lease/revoke", r#"{"ID": 5}"#, 404, error("etcdserver: requested lease not found", 5)),
        ("/v3/auth/authenticate", "{}", 412, error("etcdserver: authentication is not enabled", 9)),
        ("/v3/kv/range", r#"{"key": "YQ"}"#, 400, error("illegal base64 data at input byte 0", 3)),
    ];
    for (path, body, status, expected) in cases {
        assert_eq!(json_of(&room, path, body).await, (status, expected), "{path} {body}");
    }
    assert_eq!(json_of(&room, "/v3/lock/lock", "{}").await.0, 501);
    let (status, answer) = json_of(&room, "/v3/lease/timetolive", r#"{"ID": "5"}"#).await;
    assert_eq!((status, &answer["ID"], &answer["TTL"]), (200, &json!("5"), &json!("-1")));
    let get = |path: &'static str| text_of(&room, "GET", path, "", &[]);
    assert_eq!(get("/version").await, (200, r#"{"etcdcluster":"3.4.0","etcdserver":"3.4.23"}"#.into()));
    assert_eq!(get("/health").await, (200, r#"{"health":"true"}"#.into()));
    assert_eq!(get("/v3/kv/range").await.0, 405);
    assert_eq!(get("/v2/keys").await.0, 404);
    assert_eq!(text_of(&room, "POST", "/v3/kv/nope", "{}", &[]).await, (404, "Not Found\n".into()));
    // A page in a browser may not write here.
    let foreign =
        text_of(&room, "POST", "/v3/kv/put", r#"{"key": "YQ=="}"#, &[("origin", "http://evil.example")]).await;
    assert_eq!((foreign.0, room.registry.revision()), (403, 2));
    room.end().await;
}

#[tokio::test]
async fn a_delete_of_many_tells_each() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    for key in ["a/1", "a/2", "b"] {
        peer.set(key, key).await;
    }
    let all = DeleteRangeRequest { key: "a/".into(), range_end: "a0".into(), prev_kv: true };
    let gone = peer.delete(&all).await.unwrap();
    let keys: Vec<_> = gone.prev_kvs.iter().map(|kv| kv.key.clone()).collect();
    assert_eq!((gone.deleted, keys), (2, vec![Bytes::from("a/1"), "a/2".into()]));
    let again = peer.delete(&all).await.unwrap();
    assert_eq!((again.deleted, again.header.unwrap().revision), (0, 5), "nothing is no revision");
    let left = peer.range(&RangeRequest { range_end: "\0".into(), count_only: true, ..one("\0") }).await.unwrap();
    assert_eq!((left.count, left.kvs.len()), (1, 0));
    room.end().await;
}

/// What confd sends for its templates, to the field.
#[tokio::test]
async fn what_confd_asks_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    peer.set("/s/web/a", r#"{"ip":"10.0.0.1","port":8080}"#).await;
    peer.set("/s/web/b", r#"{"ip":"10.0.0.2","port":8080}"#).await;
    let get = |key: &str, end: &str, revision| RequestOp {
        request: Some(Request::Range(RangeRequest {
            range_end: end.to_owned().into(),
            sort_order: 2,
            revision,
            ..one(key)
        })),
    };
    let ask = |revision| TxnRequest {
        success: vec![get("/s/web", "/s/wec", revision), get("/none", "/nonf", revision)],
        ..TxnRequest::default()
    };
    let first = peer.txn(&ask(0)).await.unwrap();
    let keys = |answer: &crate::etcd::wire::TxnResponse| match answer.responses[0].response.as_ref().unwrap() {
        crate::etcd::wire::Answer::Range(found) => found.kvs.iter().map(|kv| kv.key.clone()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!((first.succeeded, first.responses.len()), (true, 2));
    assert_eq!(keys(&first), [Bytes::from("/s/web/b"), "/s/web/a".into()]);
    let revision = first.header.unwrap().revision;
    peer.set("/s/web/c", r#"{"ip":"10.0.0.3","port":8080}"#).await;
    assert_eq!(keys(&peer.txn(&ask(revision)).await.unwrap()).len(), 2, "all of its questions are of one moment");
    let mut watch = peer.watch("/s/web", "/s/wec", revision + 1).await;
    assert_eq!(&watch.events(1).await[0].kv.as_ref().unwrap().key[..], b"/s/web/c");
    room.end().await;
}
