//! Leases by gRPC.

use super::{peer::put, *};
use crate::etcd::{
    calls::KEEP_ALIVE,
    wire::{
        LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
        LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
        PutRequest,
    },
};
use futures_util::{StreamExt, stream};
use prost::Message;
use tonic::Code;

async fn grant(peer: &Peer, id: i64, ttl: i64) -> LeaseGrantResponse {
    peer.call("/etcdserverpb.Lease/LeaseGrant", &LeaseGrantRequest { id, ttl }).await.unwrap()
}

async fn time_to_live(peer: &Peer, id: i64) -> LeaseTimeToLiveResponse {
    peer.call("/etcdserverpb.Lease/LeaseTimeToLive", &LeaseTimeToLiveRequest { id, keys: true }).await.unwrap()
}

#[tokio::test]
async fn what_goes_with_a_lease_goes_in_one_revision() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    assert_eq!(grant(&peer, 7, 600).await.ttl, 600);
    assert_eq!(grant(&peer, -7, -5).await.ttl, 2, "as little as there is");
    assert!(grant(&peer, 0, 100).await.id > 0);
    let twice = peer
        .call::<LeaseGrantResponse>("/etcdserverpb.Lease/LeaseGrant", &LeaseGrantRequest { id: 7, ttl: 1 })
        .await
        .unwrap_err();
    assert_eq!((twice.code(), twice.message()), (Code::FailedPrecondition, "etcdserver: lease already exists"));
    for key in ["b", "a", "c"] {
        peer.put(&PutRequest { lease: 7, ..put(key, "v") }).await.unwrap();
    }
    peer.set("c", "written without it, it stays").await;
    let lease = time_to_live(&peer, 7).await;
    assert_eq!((lease.granted_ttl, lease.keys.len()), (600, 2));
    let mut watch = peer.watch("\0", "\0", 0).await;
    let revoke = LeaseRevokeRequest { id: 7 };
    let done: LeaseRevokeResponse = peer.call("/etcdserverpb.Lease/LeaseRevoke", &revoke).await.unwrap();
    let revision = done.header.unwrap().revision;
    let events = watch.next().await.events;
    let keys: Vec<_> = events.iter().map(|e| e.kv.as_ref().unwrap()).map(|kv| (&kv.key[..], kv.mod_revision)).collect();
    assert_eq!(keys, [(&b"a"[..], revision), (&b"b"[..], revision)]);
    let gone = peer.call::<LeaseRevokeResponse>("/etcdserverpb.Lease/LeaseRevoke", &revoke).await.unwrap_err();
    assert_eq!((gone.code(), gone.message()), (Code::NotFound, "etcdserver: requested lease not found"));
    assert_eq!(time_to_live(&peer, 7).await.ttl, -1);
    let all: LeaseLeasesResponse = peer.call("/etcdserverpb.Lease/LeaseLeases", &LeaseLeasesRequest {}).await.unwrap();
    assert_eq!((all.leases.len(), all.leases[0].id), (2, -7), "who goes first is named first");
    room.end().await;
}

#[tokio::test]
async fn a_lease_that_nobody_keeps_alive_runs_out_with_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let (kept, left) = (grant(&peer, 1, 2).await.id, grant(&peer, 2, 2).await.id);
    peer.put(&PutRequest { lease: kept, ..put("kept", "v") }).await.unwrap();
    peer.put(&PutRequest { lease: left, ..put("left", "v") }).await.unwrap();
    let mut watch = peer.watch("\0", "\0", 0).await;
    // As clients do: several times within the lease's time.
    let every = tokio::time::interval(Duration::from_millis(200));
    let alive = stream::unfold(every, move |mut every| async move {
        every.tick().await;
        Some((LeaseKeepAliveRequest { id: kept }.encode_to_vec().into(), every))
    });
    let mut answers = peer.stream::<LeaseKeepAliveResponse>(KEEP_ALIVE, alive).await.unwrap();
    let gone = async {
        let event = watch.events(1).await.remove(0);
        assert_eq!(&event.kv.unwrap().key[..], b"left");
    };
    let keeping = async {
        while let Some(answer) = answers.next().await {
            assert_eq!(answer.unwrap().ttl, 2);
        }
    };
    tokio::select! {
        () = gone => {}
        () = keeping => panic!("keeping alive has no end"),
    }
    assert!(room.registry.get(b"kept").is_some());
    let asked = stream::iter([LeaseKeepAliveRequest { id: left }.encode_to_vec().into()]);
    let mut answers = peer.stream::<LeaseKeepAliveResponse>(KEEP_ALIVE, asked).await.unwrap();
    let answer = answers.next().await.unwrap().unwrap();
    assert_eq!((answer.id, answer.ttl), (left, 0), "it is gone");
    assert!(answers.next().await.is_none());
    room.end().await;
}
