//! From a change to the table in force.

use super::*;
use crate::{
    base::TaskGroup,
    model::Instance,
    proxy::{
        config,
        h1::Scheme,
        table::{
            Found,
            tests::{PANICS, instance, route, upstreams, with},
        },
    },
};

struct Rig {
    routes: Routes,
    catalog: watch::Sender<Arc<Catalog>>,
    metrics: Metrics,
    _group: TaskGroup,
}

fn rig(configured: Vec<config::Route>, catalog: Catalog, lookup: Lookup) -> Rig {
    let (catalog, watched) = watch::channel(Arc::new(catalog));
    let (clock, metrics, group) = (Clock::real(), Metrics::default(), TaskGroup::new());
    let time = Time::new(clock.clone());
    let deps =
        Deps { catalog: watched, lookup, clock, time, metrics: metrics.clone(), built_in: Vec::new(), workers: 2 };
    let (routes, task) = build(configured, deps);
    let stop = group.stop_token();
    group.spawn("sync", task.run(stop));
    Rig { routes, catalog, metrics, _group: group }
}

fn nobody() -> Lookup {
    Arc::new(|_, _| Box::pin(async { Err("no such name".into()) }))
}

/// Who serves a path: names, by commas.
fn who(routes: &Routes, path: &str) -> String {
    let table = routes.cell().load();
    match table.find(&RequestView { scheme: Scheme::Http, method: b"GET", host: b"", path: path.as_bytes() }) {
        Found::Route(found) => {
            let group = found.group.expect("it forwards");
            group.endpoints.iter().map(|e| e.name.to_string()).collect::<Vec<_>>().join(",")
        }
        _ => "none".into(),
    }
}

fn of(service: &str, ids: &[&str]) -> Vec<Instance> {
    ids.iter().map(|id| instance(service, id, 80)).collect()
}

#[tokio::test]
async fn once_a_revision_is_told_as_served_every_request_goes_by_it() {
    let first = with(&Catalog::default(), "web", of("web", &["a"]));
    let rig = rig(vec![route("web", "/")], first.clone(), nobody());
    assert_eq!(who(&rig.routes, "/"), "a", "the first table is there before the task");
    assert_eq!(*rig.routes.served().borrow(), first.revision);
    let mut served = rig.routes.served();
    let mut catalog = first;
    for n in 0..200 {
        let id = format!("i{n}");
        catalog = with(&catalog, "web", of("web", &[&id]));
        rig.catalog.send_replace(Arc::new(catalog.clone()));
        served.wait_for(|revision| *revision >= catalog.revision).await.unwrap();
        assert_eq!(who(&rig.routes, "/"), id, "the very next request");
    }
    assert_eq!(rig.routes.state().revision, catalog.revision);
    assert!(rig.routes.state().version > 100);
}

#[tokio::test]
async fn what_comes_while_a_table_is_made_goes_into_the_next_one() {
    let rig = rig(vec![route("web", "/")], Catalog::default(), nobody());
    let before = rig.routes.state().version;
    let mut catalog = Catalog::default();
    // This thread never lets go meanwhile, and the task runs on it too.
    for n in 0..1000 {
        catalog = with(&catalog, "web", of("web", &[&format!("i{n}")]));
        rig.catalog.send_replace(Arc::new(catalog.clone()));
    }
    rig.routes.served().wait_for(|revision| *revision == catalog.revision).await.unwrap();
    assert_eq!(rig.routes.state().version, before + 1, "a thousand changes, one table");
}

#[tokio::test]
async fn a_panic_while_a_table_is_made_leaves_the_one_before_is_told_and_ends_nothing() {
    let first = with(&Catalog::default(), "web", of("web", &["a"]));
    let rig = rig(vec![route("web", "/")], first.clone(), nobody());
    let mut state = rig.routes.watch_state();
    let bad = with(&first, PANICS, of(PANICS, &["b"]));
    let good = with(&first, "web", of("web", &["c"]));
    for _ in 0..2 {
        rig.catalog.send_replace(Arc::new(bad.clone()));
        let failed = state.wait_for(|s| s.failed.is_some()).await.unwrap().failed.clone().unwrap();
        assert!(failed.0 == bad.revision && failed.1.contains("on purpose"), "{failed:?}");
        assert_eq!((who(&rig.routes, "/").as_str(), *rig.routes.served().borrow()), ("a", first.revision));
        // Routes that came with it are not taken for configured: the next table has them.
        rig.routes.apply(vec![route("web", "/other")]);
        rig.catalog.send_replace(Arc::new(good.clone()));
        state.wait_for(|s| s.failed.is_none()).await.unwrap();
        assert_eq!((who(&rig.routes, "/other").as_str(), who(&rig.routes, "/").as_str()), ("c", "none"));
        rig.routes.apply(vec![route("web", "/")]);
        rig.catalog.send_replace(Arc::new(first.clone()));
        while who(&rig.routes, "/") != "a" {
            state.changed().await.unwrap();
        }
    }
    assert!(rig.metrics.render_plain().contains("skyvis_proxy_table_failures_total 2"));
}

#[tokio::test]
async fn a_table_that_cannot_be_made_leaves_the_one_before_and_says_so() {
    let kinds = (0..60).map(|n| {
        let mut one = route("big", &format!("/{n}"));
        one.name = format!("r{n}").into();
        let config::Target::Forward(forward) = &mut one.to else { panic!() };
        forward.balance.slow_start = Duration::from_secs(n);
        one
    });
    let few = with(&Catalog::default(), "big", of("big", &["a"]));
    let rig = rig(kinds.collect(), few.clone(), nobody());
    let many: Vec<String> = (0..1000).map(|n| format!("{n:04}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let too_many = with(&few, "big", of("big", &many));
    rig.catalog.send_replace(Arc::new(too_many.clone()));
    let mut state = rig.routes.watch_state();
    let failed = state.wait_for(|state| state.failed.is_some()).await.unwrap().clone();
    let (revision, why) = failed.failed.unwrap();
    assert_eq!((revision, failed.revision), (too_many.revision, few.revision));
    assert!(why.contains("60 groups would hold more than"), "{why}");
    assert_eq!((who(&rig.routes, "/7"), *rig.routes.served().borrow()), ("a".into(), few.revision));
    assert!(rig.metrics.render_plain().contains("skyvis_proxy_table_failures_total 1\n"));
    let well = with(&too_many, "big", of("big", &["b"]));
    rig.catalog.send_replace(Arc::new(well.clone()));
    rig.routes.served().wait_for(|revision| *revision == well.revision).await.unwrap();
    assert_eq!((who(&rig.routes, "/7"), rig.routes.state().failed), ("b".into(), None));
}

#[tokio::test]
async fn other_routes_are_taken_without_a_restart_and_counting_goes_on() {
    let catalog = with(&Catalog::default(), "web", of("web", &["a"]));
    let rig = rig(vec![route("web", "/"), route("old", "/old")], catalog, nobody());
    let meters = |routes: &Routes| {
        let table = routes.cell().load_full();
        match table.find(&RequestView { scheme: Scheme::Http, method: b"GET", host: b"", path: b"/" }) {
            Found::Route(found) => found.route.meters.clone(),
            _ => panic!(),
        }
    };
    let before = meters(&rig.routes);
    before.shard(0).begin();
    before.shard(0).end(200, 1500, 10, 20);
    let mut state = rig.routes.watch_state();
    let version = state.borrow_and_update().version;
    rig.routes.apply(vec![route("new", "/new"), route("web", "/")]);
    state.wait_for(|state| state.version > version).await.unwrap();
    assert!(Arc::ptr_eq(&before, &meters(&rig.routes)));
    let names: Vec<String> = rig.routes.list().into_iter().map(|r| r.name).collect();
    assert_eq!(names, ["new", "web"]);
    let text = rig.metrics.render_plain();
    for line in [
        "skyvis_proxy_requests_total{route=\"web\",status=\"2xx\"} 1",
        "skyvis_proxy_request_seconds_sum{route=\"web\"} 0.0015",
        "skyvis_proxy_request_seconds_bucket{le=\"0.0025\",route=\"web\"} 1",
        "skyvis_proxy_request_seconds_bucket{le=\"+Inf\",route=\"web\"} 1",
        "skyvis_proxy_sent_bytes_total{route=\"web\"} 20",
        "skyvis_proxy_requests_in_flight{route=\"new\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("route=\"old\""), "who is gone is not counted any more");
}

#[tokio::test(start_paused = true)]
async fn fixed_upstreams_are_resolved_off_the_workers() {
    let lookup: Lookup = Arc::new(|host, _| {
        Box::pin(async move {
            match &*host {
                "web.example" => Ok(vec!["10.0.0.1:0".parse().unwrap()]),
                _ => Err("no such name".into()),
            }
        })
    });
    let configured = vec![
        upstreams("web", "/", &[("web.example", 80, 1), ("gone.example", 80, 1)]),
        upstreams("fixed", "/fixed", &[("127.0.0.1", 80, 1)]),
    ];
    let rig = rig(configured, Catalog::default(), lookup);
    assert_eq!(who(&rig.routes, "/fixed"), "127.0.0.1:80", "an address waits for nobody");
    let mut state = rig.routes.watch_state();
    state.wait_for(|state| state.version > 1).await.unwrap();
    assert_eq!(who(&rig.routes, "/"), "web.example:80");
    let view = rig.routes.list().into_iter().find(|r| r.name == "web").unwrap();
    assert_eq!((view.live, view.instances), (Some(1), Some(2)));
    assert_eq!(view.out[0].reason, "its name does not resolve: no such name");
}
