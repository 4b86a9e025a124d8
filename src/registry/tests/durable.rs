//! Nothing is answered before it is durable, and nothing that was answered is lost.

use super::*;
use crate::{
    disk::{Failure, Faults, Op as DiskOp, Rule},
    registry::{At, CheckTls, HttpAsk, Talk},
};
use std::{
    future::Future,
    task::{Context, Poll, Waker},
};

#[tokio::test]
async fn everything_is_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let full = Spec {
        weight: 7,
        tags: ["blue".into(), "edge".into()].into(),
        meta: [("zone".into(), "a".into())].into(),
        check: Some(Check {
            interval: Duration::from_millis(1_500),
            warn: Some(2),
            ..Check::new(CheckKind::Grpc("x.Y".into()))
        }),
        deregister_after: Some(seconds(90)),
        ..Spec::new("2001:db8::1", 9_000)
    };
    room.register("web", "full", full).await;
    let defined = room.registry.record(&key("web", "full")).unwrap().defined;
    assert!(room.registry.report(Who::of(key("web", "full")), defined, Health::Warning, "slow".into()).await.unwrap());
    room.register("web", "ttl", Spec { ttl: Some(seconds(5)), ..spec(2) }).await;
    let at = At { host: "a".to_owned(), port: 53, talk: Talk::Datagram("?".to_owned()), tls: None };
    let tls = CheckTls { name: "b".to_owned(), is_anyones: true };
    let ask = HttpAsk { url: "https://a/".to_owned(), method: "GET".to_owned(), tls, ..HttpAsk::default() };
    for (id, kind) in [("at", CheckKind::At(Arc::new(at))), ("ask", CheckKind::HttpAsk(Arc::new(ask)))] {
        room.register("web", id, Spec { check: Some(Check::new(kind)), ..spec(4) }).await;
    }
    room.register("other", "a b/c".replace('/', ":").as_str(), spec(3)).await;
    room.registry.deregister(key("other", "a b:c")).await.unwrap();
    let (lease, _) = room.registry.grant(0, seconds(60)).await.unwrap();
    room.registry.put("k\u{0}".into(), vec![0_u8, 255].into(), lease, None).await.unwrap();
    room.registry.put("big".into(), vec![7_u8; 1 << 20].into(), 0, None).await.unwrap();
    let (catalog, revision) = (room.catalog(), room.registry.revision());
    let records = room.registry.records_of("web").unwrap();
    room.end().await;

    let room = begin(dir.path()).await;
    assert_eq!((room.catalog().revision, room.registry.revision()), (catalog.revision, revision));
    assert_eq!(room.registry.records_of("web").unwrap(), records);
    let instances = |c: &Catalog| c.service("web").unwrap().instances.clone();
    assert_eq!(instances(&room.catalog()), instances(&catalog));
    assert!(room.catalog().service("other").is_none());
    let entry = room.registry.get("k\u{0}".as_bytes()).unwrap();
    assert_eq!((&entry.value[..], entry.lease), (&[0, 255][..], lease));
    assert_eq!(room.registry.get(b"big").unwrap().value.len(), 1 << 20);
    assert_eq!(room.registry.lease(lease).await.unwrap().keys, ["k\u{0}"]);
    let again = room.register("web", "ttl", Spec { ttl: Some(seconds(5)), ..spec(2) }).await;
    assert!(!again.changed, "who registers again after our restart changes nothing");
    assert_eq!(room.register("new", "a", spec(1)).await.revision, revision + 1);
    room.end().await;
}

#[tokio::test]
async fn what_changes_nothing_costs_no_commit() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let with_ttl = || Spec { ttl: Some(seconds(60)), ..spec(1) };
    room.register("web", "a", with_ttl()).await;
    room.registry.put("k".into(), "v".into(), 0, None).await.unwrap();
    let (lease, _) = room.registry.grant(0, seconds(60)).await.unwrap();
    let (commits, revision) = (room.metric("skyvis_registry_commits_total"), room.registry.revision());
    for _ in 0..100 {
        assert!(!room.register("web", "a", with_ttl()).await.changed);
        let renewed = room.registry.renew(key("web", "a")).await.unwrap();
        assert!(!renewed.revived && renewed.ttl == seconds(60));
        room.registry.put("k".into(), "v".into(), 0, None).await.unwrap();
        room.registry.keep_alive(lease).await.unwrap();
        assert_eq!(room.registry.put("k".into(), "w".into(), 0, Some(0)).await.unwrap(), None);
        room.registry.deregister(key("web", "b")).await.unwrap_err();
    }
    assert_eq!(room.metric("skyvis_registry_commits_total"), commits);
    assert_eq!(room.registry.revision(), revision);
    assert_eq!(room.metric("skyvis_registry_renewals_total"), 300.0);
    room.end().await;
}

/// Durable, and the process dies before anybody hears of it: the next start has it, and gives no revision twice.
#[tokio::test]
async fn a_crash_between_durable_and_published_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (metrics, clock) = (Metrics::default(), Clock::real());
    let store = Store::open(&dir.path().join("store"), Options::default(), &Files::real(), &metrics).unwrap();
    let events = Events::discard();
    let deps = || Deps {
        store: store.clone(),
        events: events.clone(),
        clock: clock.clone(),
        metrics: Metrics::default(),
        lookup: nowhere(),
    };
    let (registry, task) = build(deps()).unwrap();
    let group = TaskGroup::new();
    let mut running = Box::pin(task.run(group.stop_token()));
    let mut asking = Box::pin(registry.register(key("web", "a"), spec(1), Source::Api));
    let mut context = Context::from_waker(Waker::noop());
    assert!(asking.as_mut().poll(&mut context).is_pending());
    let before = commits(&metrics);
    // One step: it stages, and hands the batch to the store's thread.
    assert!(running.as_mut().poll(&mut context).is_pending());
    while commits(&metrics) == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(running);
    assert!(matches!(asking.as_mut().poll(&mut context), Poll::Ready(Err(Error::Stopped))), "nobody was told");
    assert_eq!(registry.catalog().borrow().instances(), 0, "nobody has seen it");

    let (registry, _task) = build(deps()).unwrap();
    assert_eq!(ports(&registry.catalog().borrow(), "web"), [("a".to_owned(), 1)]);
    assert_eq!((registry.revision(), registry.catalog().borrow().revision), (2, 2));
}

fn commits(metrics: &Metrics) -> String {
    let text = metrics.render();
    text.lines().find(|l| l.starts_with("skyvis_store_commits_total")).unwrap().to_owned()
}

/// Each operation on the disk fails in turn, once in all of a run: what was acknowledged is there after the restart, and
/// what is there was asked for.
#[tokio::test]
async fn whichever_operation_of_the_disk_fails_nothing_acknowledged_is_lost() {
    let mut survived = 0;
    for nth in 1..400 {
        let dir = tempfile::tempdir().unwrap();
        begin(dir.path()).await.end().await;
        let faults = Faults::new();
        let kind = if nth % 2 == 0 { Failure::Io } else { Failure::NoSpace };
        let room = begin_with(dir.path(), &Files::faulty(faults.clone()), nowhere()).await;
        faults.inject(Rule::any(kind).nth(nth));
        let mut acknowledged = Vec::new();
        for i in 0..6_u16 {
            let id = format!("i{i}");
            let spec = spec(1 + i);
            if room.registry.register(key("web", &id), spec, Source::Api).await.is_ok() {
                acknowledged.push((id.clone(), 1 + i));
                assert!(room.health("web", &id).is_some(), "what is answered is published");
            }
            if room.registry.put(id.clone().into(), id.clone().into(), 0, None).await.is_ok() {
                acknowledged.push((id, 0));
            }
        }
        let (hit, published) = (faults.hits() > 0, room.registry.revision());
        room.end().await;
        let room = begin(dir.path()).await;
        assert!(room.registry.revision() >= published, "operation {nth}: a revision went back");
        let found = ports(&room.catalog(), "web");
        for (id, port) in &acknowledged {
            match port {
                0 => assert!(room.registry.get(id.as_bytes()).is_some(), "operation {nth}: key {id} is lost"),
                _ => assert!(found.contains(&(id.clone(), *port)), "operation {nth}: {id} is lost"),
            }
        }
        room.end().await;
        if !hit {
            survived = nth;
            break;
        }
    }
    assert!(survived > 12, "faults reached {survived} operations only");
}

#[tokio::test]
async fn a_store_without_room_refuses_and_goes_on_when_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let room = begin_with(dir.path(), &Files::faulty(faults.clone()), nowhere()).await;
    room.register("web", "a", Spec { ttl: Some(seconds(60)), ..spec(1) }).await;
    faults.pretend_space(Some(crate::disk::Space { total_bytes: 1 << 30, ..Default::default() }));
    let revision = room.registry.revision();
    let refused = room.registry.register(key("web", "b"), spec(2), Source::Api).await.unwrap_err();
    assert_eq!(refused.kind(), crate::base::Kind::NoSpace, "{refused}");
    assert_eq!((room.registry.revision(), room.catalog().instances()), (revision, 1), "nothing of it was done");
    room.registry.renew(key("web", "a")).await.expect("what writes nothing needs no room");
    faults.pretend_space(None);
    assert_eq!(room.register("web", "b", spec(2)).await.revision, revision + 1);
    room.end().await;
}

#[tokio::test]
async fn writes_that_wait_together_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let room = begin_with(dir.path(), &Files::faulty(faults.clone()), nowhere()).await;
    faults.slow(DiskOp::SyncData, Duration::from_millis(20));
    let before = room.metric("skyvis_registry_commits_total");
    let all = (0..200_u16).map(|i| room.registry.register(key("web", &format!("i{i}")), spec(1 + i), Source::Api));
    let mut revisions: Vec<u64> =
        futures_util::future::join_all(all).await.into_iter().map(|written| written.unwrap().revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (2..202).collect::<Vec<_>>(), "each has a revision of its own");
    let commits = room.metric("skyvis_registry_commits_total") - before;
    assert!(commits <= 20.0, "{commits} commits for 200 writes that came together");
    room.end().await;
}
