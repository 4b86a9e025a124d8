//! Keys that are instances, and instances that are keys: one revision order for both.

use super::{
    peer::{one, put},
    *,
};
use crate::{
    etcd::wire::{
        DeleteRangeRequest, LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse, PutRequest,
        RangeRequest,
    },
    model::{Health, InstanceKey, service::Source},
    registry::{Check, CheckKind, Spec},
};

fn key(id: &str) -> InstanceKey {
    InstanceKey { service: "web".parse().unwrap(), id: id.parse().unwrap() }
}

/// Ids, addresses and whether they are routed.
fn shown(room: &Room) -> Vec<(String, String, bool)> {
    let catalog = room.registry.catalog().borrow().clone();
    let instances = catalog.service("web").map(|s| s.instances.clone()).unwrap_or_default();
    instances.iter().map(|i| (i.key.id.to_string(), format!("{}:{}", i.address, i.port), i.is_routable())).collect()
}

#[tokio::test]
async fn a_key_is_an_instance_for_as_long_as_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let text = r#"{ "ip": "10.0.0.1", "port": 8080, "weight": 3, "zone": "a" }"#;
    let revision = peer.set("/s/web/n1", text).await;
    let record = room.registry.record(&key("n1")).unwrap();
    assert_eq!(
        (record.source, record.spec.weight, record.created, record.modified),
        (Source::Etcd, 3, revision, revision)
    );
    assert_eq!(record.spec.meta.get("zone").map(|z| &**z), Some("a"));
    assert_eq!(&room.registry.get(b"/s/web/n1").unwrap().value[..], text.as_bytes(), "as it was written");
    let again = peer.set("/s/web/n1", text).await;
    assert_eq!(room.registry.catalog().borrow().revision, revision, "nothing new of the instance");
    assert_eq!(again, revision + 1);
    peer.set("/s/web/n1", r#"{"ip":"10.0.0.2","port":8080}"#).await;
    assert_eq!(shown(&room), [("n1".into(), "10.0.0.2:8080".into(), true)]);
    peer.set("/s/web/deeper/n1", "x").await;
    peer.set("/other/web/n1", r#"{"ip":"10.0.0.3","port":1}"#).await;
    assert_eq!(shown(&room).len(), 1, "only where services are");
    let gone = DeleteRangeRequest { key: "/s/".into(), range_end: "/s0".into(), prev_kv: false };
    let gone = peer.delete(&gone).await.unwrap().header.unwrap().revision;
    assert_eq!((shown(&room), room.registry.catalog().borrow().revision), (vec![], u64::try_from(gone).unwrap()));
    room.end().await;
}

#[tokio::test]
async fn an_instance_has_the_life_of_its_lease() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let grant = LeaseGrantRequest { id: 5, ttl: 600 };
    peer.call::<LeaseGrantResponse>("/etcdserverpb.Lease/LeaseGrant", &grant).await.unwrap();
    for n in 1..=3 {
        let text = format!(r#"{{"ip":"10.0.0.{n}","port":80}}"#);
        peer.put(&PutRequest { lease: 5, ..put(&format!("/s/web/n{n}"), &text) }).await.unwrap();
    }
    assert_eq!(shown(&room).len(), 3);
    let mut watch = peer.watch("/s/", "/s0", 0).await;
    let revoked: LeaseRevokeResponse =
        peer.call("/etcdserverpb.Lease/LeaseRevoke", &LeaseRevokeRequest { id: 5 }).await.unwrap();
    let revision = u64::try_from(revoked.header.unwrap().revision).unwrap();
    assert_eq!((shown(&room), room.registry.catalog().borrow().revision), (vec![], revision), "one revision for all");
    assert_eq!(watch.next().await.events.len(), 3);
    room.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_and_shown_and_not_routed() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let reason = |room: &Room| room.registry.record(&key("n1")).unwrap().reason().unwrap().to_string();
    peer.set("/s/web/n1", "10.0.0.1:80").await;
    assert_eq!(shown(&room), [("n1".into(), ":0".into(), false)]);
    assert!(reason(&room).contains("no JSON object"), "{}", reason(&room));
    assert_eq!(peer.range(&one("/s/web/n1")).await.unwrap().kvs[0].value, "10.0.0.1:80");
    peer.set("/s/web/n1", r#"{"ip":"10.0.0.1"}"#).await;
    assert!(reason(&room).contains("`port`"), "{}", reason(&room));
    peer.set("/s/web/n1", r#"{"ip":"nowhere.lan","port":80}"#).await;
    assert_eq!(shown(&room), [("n1".into(), "nowhere.lan:80".into(), false)]);
    room.registry
        .catalog()
        .wait_for(|c| {
            c.service("web").unwrap().instances[0].reason.as_ref().is_some_and(|r| r.contains("no names here"))
        })
        .await
        .unwrap();
    peer.set("/s/web/n1", r#"{"ip":"10.0.0.1","port":80}"#).await;
    assert_eq!(shown(&room), [("n1".into(), "10.0.0.1:80".into(), true)]);
    room.end().await;
}

#[tokio::test]
async fn whoever_registers_otherwise_is_a_key_while_it_is_live() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let mut watch = peer.watch("/s/", "/s0", 0).await;
    let written = room.registry.register(key("a"), Spec::new("10.0.0.9", 9000), Source::Api).await.unwrap();
    let event = watch.events(1).await.remove(0).kv.unwrap();
    assert_eq!(event.value, r#"{"ip":"10.0.0.9","port":9000,"weight":1}"#);
    assert_eq!((&event.key[..], event.mod_revision), (&b"/s/web/a"[..], i64::try_from(written.revision).unwrap()));
    // It is checked, and found down: the key goes, and comes back with it.
    let checked = Spec { check: Some(Check::new(CheckKind::Tcp)), ..Spec::new("10.0.0.9", 9000) };
    room.registry.register(key("a"), checked, Source::Api).await.unwrap();
    assert_eq!(watch.events(1).await[0].kind, 1, "not looked at yet");
    let defined = room.registry.record(&key("a")).unwrap().defined;
    room.registry.report(crate::registry::Who::of(key("a")), defined, Health::Passing, String::new()).await.unwrap();
    assert_eq!(watch.events(1).await[0].kv.as_ref().unwrap().version, 1);
    // Somebody deletes the key: so goes the instance.
    let gone = DeleteRangeRequest { key: "/s/web/a".into(), ..DeleteRangeRequest::default() };
    peer.delete(&gone).await.unwrap();
    assert_eq!(shown(&room), []);
    assert_eq!(watch.events(1).await.len(), 1);
    // Written by the one, taken over by the other, and taken away.
    peer.set("/s/web/b", r#"{"ip":"10.0.0.1","port":1}"#).await;
    room.registry.register(key("b"), Spec::new("10.0.0.2", 2), Source::Api).await.unwrap();
    assert_eq!(peer.range(&one("/s/web/b")).await.unwrap().kvs[0].value, r#"{"ip":"10.0.0.2","port":2,"weight":1}"#);
    room.registry.deregister(key("b")).await.unwrap();
    let left = peer.range(&RangeRequest { range_end: "/s0".into(), ..one("/s/") }).await.unwrap();
    assert_eq!((left.count, shown(&room)), (0, vec![]));
    room.end().await;
}

#[tokio::test]
async fn another_place_for_services_moves_them() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    peer.set("/s/web/n1", r#"{"ip":"10.0.0.1","port":1}"#).await;
    peer.set("/t/web/n2", r#"{"ip":"10.0.0.2","port":2}"#).await;
    room.registry.register(key("a"), Spec::new("10.0.0.3", 3), Source::Api).await.unwrap();
    let apply =
        |prefix: &str| room.registry.apply(registry::Config { service_prefix: prefix.into(), ..Default::default() });
    apply("/t/").await.unwrap();
    let ids = |room: &Room| shown(room).into_iter().map(|(id, ..)| id).collect::<Vec<_>>();
    assert_eq!(ids(&room), ["a", "n2"]);
    let keys = |begin: &'static str, end: &'static str| {
        let request = RangeRequest { range_end: end.into(), keys_only: true, ..one(begin) };
        let peer = &peer;
        async move { peer.range(&request).await.unwrap().count }
    };
    assert_eq!((keys("/s/", "/s0").await, keys("/t/", "/t0").await), (1, 2), "what others wrote stays theirs");
    let revision = room.registry.revision();
    apply("/t/").await.unwrap();
    assert_eq!(room.registry.revision(), revision);
    apply("").await.unwrap();
    assert_eq!((ids(&room), keys("/t/", "/t0").await), (vec!["a".to_owned()], 1));
    room.end().await;
}
