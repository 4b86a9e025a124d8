//! Between registry and proxy: what is answered when, names, and what runs out by itself.

use super::*;
use std::sync::Mutex;
use tokio::sync::watch;

#[tokio::test]
async fn a_write_is_answered_once_it_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    assert_eq!(room.register("web", "a", spec(1)).await.served, Served::NoProxy);
    let (serves, served) = watch::channel(room.catalog().revision);
    room.registry.served_by(served);
    let mut asking = Box::pin(room.registry.register(key("web", "b"), spec(2), Source::Api));
    tokio::select! {
        answer = &mut asking => panic!("answered before it was published: {answer:?}"),
        () = room.until(|c| c.instances() == 2) => {}
    }
    let revision = room.catalog().revision;
    for not_yet in [revision - 2, revision - 1] {
        serves.send_replace(not_yet);
        // By now the task has done all that it does; what is left is to be served.
        tokio::select! {
            biased;
            answer = &mut asking => panic!("answered when {not_yet} is served, it is {revision}: {answer:?}"),
            () = std::future::ready(()) => {}
        }
    }
    serves.send_replace(revision);
    assert_eq!(asking.await.unwrap().served, Served::Yes);
    // The same again is served already; keys do not concern the proxy.
    assert_eq!(room.register("web", "b", spec(2)).await.served, Served::Yes);
    room.registry.put("k".into(), "v".into(), 0, None).await.unwrap();
    // A proxy that does not get on is not waited for for ever.
    let removed = room.registry.deregister(key("web", "b")).await.unwrap();
    assert_eq!((removed.served, removed.changed), (Served::NotYet, true));
    assert_eq!(room.metric("skyvis_registry_unserved_total"), 1.0);
    room.end().await;
}

#[tokio::test]
async fn a_ttl_that_nobody_renews_runs_out_and_who_renews_stays() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let with_ttl = |port| Spec { ttl: Some(seconds(1)), ..spec(port) };
    room.register("web", "lost", with_ttl(1)).await;
    room.register("web", "kept", with_ttl(2)).await;
    room.register("web", "for ever", spec(3)).await;
    let (lease, ttl) = room.registry.grant(0, seconds(1)).await.unwrap();
    assert_eq!(ttl, seconds(2));
    room.registry.put("leased".into(), "v".into(), lease, None).await.unwrap();
    let group = TaskGroup::new();
    let (registry, stop) = (room.registry.clone(), group.stop_token());
    group.spawn("renewals", async move {
        while !stop.is_cancelled() {
            registry.renew(key("web", "kept")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let health_of = |c: &Catalog, id: &str| {
        let service = c.service("web")?;
        service.instances.iter().find(|i| i.key.id.as_str() == id).map(|i| i.health)
    };
    room.until(|c| health_of(c, "lost") == Some(Health::Critical)).await;
    let picked: std::collections::BTreeSet<_> = (0..20)
        .map(|_| room.registry.pick(&"web".parse().unwrap(), &Default::default()).unwrap().unwrap().port)
        .collect();
    assert_eq!(picked, [2, 3].into());
    room.until(|c| health_of(c, "lost").is_none()).await;
    assert_eq!(health_of(&room.catalog(), "kept"), Some(Health::Passing));
    let mut watcher = room.registry.follow(Keys::One("leased".into()), Some(1));
    while room.registry.get(b"leased").is_some() {
        watcher.next().await.unwrap();
    }
    assert!(matches!(room.registry.keep_alive(lease).await, Err(Error::NoLease(_))));
    group.stop(seconds(5)).await;
    assert_eq!(room.metric("skyvis_registry_instances{health=\"passing\"}"), 2.0);
    for told in ["registry.registered web/lost", "registry.health web/lost", "registry.deregistered web/lost"] {
        let mut news = room.events.watch();
        let is_told =
            || room.events.after(0, 100).unwrap().iter().any(|e| format!("{} {}", e.kind.0, e.subject) == told);
        while !is_told() {
            news.changed().await.unwrap();
        }
    }
    room.end().await;
}

/// After a restart everybody has time to find us again, whatever the ttl.
#[tokio::test]
async fn nothing_dies_of_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    for i in 0..50_u16 {
        room.register("web", &format!("i{i}"), Spec { ttl: Some(seconds(1)), ..spec(1 + i) }).await;
    }
    room.end().await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let room = begin(dir.path()).await;
    let revision = room.registry.revision();
    // A ttl of its own runs out meanwhile: time does pass.
    room.register("web", "new", Spec { ttl: Some(seconds(1)), ..spec(99) }).await;
    room.until(|c| c.service("web").unwrap().instances.iter().any(|i| i.health == Health::Critical)).await;
    let critical = room.catalog().service("web").unwrap().instances.iter().filter(|i| !i.is_routable()).count();
    assert_eq!((critical, room.registry.revision()), (1, revision + 2), "the new one, and nobody else");
    room.end().await;
}

#[tokio::test]
async fn host_names_are_resolved_before_the_answer_and_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let zone: Arc<Mutex<Vec<&str>>> = Arc::new(Mutex::new(vec!["10.0.0.2", "10.0.0.1"]));
    let asked = Arc::new(Mutex::new(0));
    let (found, count) = (zone.clone(), asked.clone());
    let lookup: Lookup = Arc::new(move |host, port| {
        *count.lock().unwrap() += 1;
        let found = found.lock().unwrap().clone();
        Box::pin(async move {
            assert_eq!(&*host, "web.example.com");
            match found.is_empty() {
                true => Err("no such name".to_owned()),
                false => Ok(found.iter().map(|ip| std::net::SocketAddr::new(ip.parse().unwrap(), port)).collect()),
            }
        })
    });
    let room = begin_with(dir.path(), &Files::real(), lookup).await;
    let named = || Spec::new("Web.Example.com.", 80);
    room.register("web", "a", named()).await;
    let targets = |room: &Room| -> Vec<String> {
        room.catalog().service("web").unwrap().instances[0].targets.iter().map(ToString::to_string).collect()
    };
    assert_eq!(targets(&room), ["10.0.0.1:80", "10.0.0.2:80"], "known when it is answered, in one order");
    let before = *asked.lock().unwrap();
    assert!(!room.register("web", "a", named()).await.changed);
    assert_eq!(*asked.lock().unwrap(), before, "the same again asks nobody");
    room.end().await;
    // The name leads elsewhere while we are away, then nowhere: the first look finds the one, none the other.
    *zone.lock().unwrap() = Vec::new();
    let lost: Lookup = Arc::new(|_, _| Box::pin(async { Err("no such name".to_owned()) }));
    let room = begin_with(dir.path(), &Files::real(), lost).await;
    assert_eq!(targets(&room), ["10.0.0.1:80", "10.0.0.2:80"], "a resolver that is away takes nobody out");
    room.until(|c| c.service("web").unwrap().instances[0].reason.is_some()).await;
    assert_eq!(targets(&room).len(), 2);
    room.register("web", "b", Spec::new("nowhere.example.com", 80)).await;
    let shown = room.registry.record(&key("web", "b")).unwrap().instance();
    assert!(!shown.is_routable());
    assert!(shown.reason.unwrap().contains("`nowhere.example.com` does not resolve: no such name"));
    room.end().await;
}

#[tokio::test]
async fn picks_come_in_turn_by_weight_and_by_tag() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let weighted =
        |port, weight, tags: &[&str]| Spec { weight, tags: tags.iter().map(|t| Arc::from(*t)).collect(), ..spec(port) };
    room.register("web", "a", weighted(1, 5, &["x"])).await;
    room.register("web", "b", weighted(2, 1, &["x", "y"])).await;
    room.register("web", "c", weighted(3, 1, &[])).await;
    room.register("web", "never", weighted(4, 0, &["x", "y"])).await;
    let pick = |tags: &[&str]| {
        let tags = tags.iter().map(|t| Arc::from(*t)).collect();
        let picked = room.registry.pick(&"web".parse().unwrap(), &tags).unwrap();
        picked.map(|i| i.key.id.to_string())
    };
    let turns: String = (0..14).map(|_| pick(&[]).unwrap()).collect();
    assert_eq!(turns, "aabacaaaabacaa", "as nginx's published sequence for 5, 1, 1");
    assert_eq!((pick(&["y"]), pick(&["x", "y"]), pick(&["z"])), (Some("b".into()), Some("b".into()), None));
    assert!(matches!(room.registry.pick(&"no".parse().unwrap(), &Default::default()), Err(Error::NoService(_))));
    room.end().await;
}

#[tokio::test]
async fn checks_are_told_what_to_look_at_and_only_when_that_changes() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let mut changes = room.registry.watch_checks();
    let checked = |port| Spec { check: Some(Check::new(CheckKind::Tcp)), ..spec(port) };
    room.register("web", "a", checked(1)).await;
    assert!(changes.has_changed().unwrap());
    changes.borrow_and_update();
    let record = room.registry.checked().pop().unwrap();
    room.registry.report(record.who.clone(), record.defined, Health::Passing, String::new()).await.unwrap();
    room.register("web", "b", spec(2)).await;
    assert!(!changes.has_changed().unwrap(), "neither a verdict nor an instance without a check is news for checks");
    assert_eq!(room.health("web", "a"), Some(Health::Passing));
    room.register("web", "a", checked(3)).await;
    assert!(changes.has_changed().unwrap());
    let late = room.registry.report(record.who.clone(), record.defined, Health::Critical, String::new()).await;
    assert!(matches!(late, Err(Error::Outdated(_))));
    room.end().await;
}

#[tokio::test]
async fn what_the_file_names_is_applied_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let one = |id: &str, port| StaticInstance { key: key("web", id), spec: Arc::new(spec(port)) };
    let apply = |instances| room.registry.apply(Config { instances, ..Config::default() });
    assert!(apply(vec![one("a", 1), one("b", 2)]).await.unwrap().changed);
    assert!(!apply(vec![one("a", 1), one("b", 2)]).await.unwrap().changed);
    assert_eq!(ports(&room.catalog(), "web"), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    let refused = room.registry.register(key("web", "a"), spec(9), Source::Api).await.unwrap_err();
    assert!(refused.to_string().contains("stands in the configuration file"), "{refused}");
    apply(vec![one("b", 3)]).await.unwrap();
    assert_eq!(ports(&room.catalog(), "web"), [("b".to_owned(), 3)]);
    room.end().await;
}
