//! Who serves: what tables take over from one another, and what people are told.

use super::{super::*, fixture::*};
use crate::{
    balance::{Ask, Outcome, Policy, Why},
    model::{Catalog, Health, Instance},
    proxy::config::{self, Backend, Target},
};
use std::{collections::BTreeMap, net::IpAddr};

fn group<'t>(table: &'t RouteTable, path: &str) -> &'t Arc<Group> {
    let view = RequestView { scheme: Scheme::Http, method: b"GET", host: b"", path: path.as_bytes() };
    let Found::Route(found) = table.find(&view) else { panic!("{path} has no route") };
    found.group.expect("a route that forwards")
}

fn names(group: &Group) -> Vec<&str> {
    group.endpoints.iter().map(|e| &*e.name).collect()
}

fn build(builder: &mut Builder, catalog: &Catalog) -> RouteTable {
    builder.build(catalog, &Arc::default(), NOW).unwrap()
}

#[test]
fn only_live_instances_that_carry_the_tags_serve_and_the_others_say_why_not() {
    let tagged = |id: &str, tags: &[&str]| Instance {
        tags: tags.iter().map(|t| Arc::from(*t)).collect(),
        ..instance("web", id, 80)
    };
    let catalog = with(
        &Catalog::default(),
        "web",
        vec![
            tagged("a", &["v2", "eu"]),
            tagged("b", &["v1"]),
            Instance { health: Health::Critical, reason: Some("connection refused".into()), ..tagged("c", &["v2"]) },
            Instance { health: Health::Warning, ..tagged("d", &["v2"]) },
            Instance { weight: 0, ..tagged("e", &["v2"]) },
            Instance { targets: [].into(), address: "gone.example".into(), ..tagged("f", &["v2"]) },
            Instance { health: Health::Maintenance, ..tagged("g", &["v2"]) },
        ],
    );
    let mut wanted = route("web", "/");
    let Target::Forward(f) = &mut wanted.to else { panic!() };
    f.to = Backend::Service { name: "web".parse().unwrap(), tags: ["v2".into()].into() };
    let mut builder = builder(vec![wanted]);
    let table = build(&mut builder, &catalog);
    let group = group(&table, "/");
    assert_eq!(names(group), ["a", "d"]);
    assert_eq!(group.missing(), "no live instance of service `web` with tags `v2`");
    group.pool.settle(1, Outcome::Unreachable, NOW);
    let view = table.routes(NOW + 1).find(|r| r.name == "web").unwrap();
    assert_eq!((view.live, view.instances, view.kind, view.to.as_str()), (Some(1), Some(7), "service", "web"));
    let told: BTreeMap<_, _> = view.out.iter().map(|o| (o.instance.as_str(), o.reason.as_str())).collect();
    let expected = [
        ("b", "it lacks the tag `v2`"),
        ("c", "critical: connection refused"),
        ("d", "cannot be connected to"),
        ("e", "its weight is 0"),
        ("f", "its address does not resolve"),
        ("g", "maintenance"),
    ];
    assert_eq!(told, expected.into());
    assert_eq!(view.out.iter().find(|o| o.instance == "d").unwrap().seconds, Some(1));
}

#[test]
fn a_route_without_an_instance_is_there_and_names_its_service() {
    let mut builder = builder(vec![route("svvod", "/vod2/"), upstreams("fixed", "/f/", &[("db.example", 80, 1)])]);
    let table = build(&mut builder, &Catalog::default());
    let mut pickers = Pickers::new(1);
    let ask = Ask { now_micros: NOW, hash: 0, tried: &[] };
    assert!(pickers.pick(group(&table, "/vod2/x"), &ask).is_none());
    assert_eq!(group(&table, "/vod2/x").missing(), "no live instance of service `svvod`");
    assert_eq!(group(&table, "/f/x").missing(), "no address of upstream `db.example:80`");
    let view = table.routes(NOW).find(|r| r.name == "fixed").unwrap();
    assert_eq!((view.live, view.instances), (Some(0), Some(1)));
    assert_eq!(view.out[0].reason, "its name is being resolved");
}

#[test]
fn what_did_not_change_is_the_same_in_the_next_table() {
    let routes = vec![route("a", "/a"), route("b", "/b"), balanced(Policy::LeastConn, route("a2", "/a2"))];
    let mut routes = routes;
    let Target::Forward(f) = &mut routes[2].to else { panic!() };
    f.to = Backend::Service { name: "a".parse().unwrap(), tags: Default::default() };
    let mut builder = builder(routes);
    let first = with(&Catalog::default(), "a", vec![instance("a", "1", 80), instance("a", "2", 80)]);
    let first = with(&first, "b", vec![instance("b", "1", 80)]);
    let one = build(&mut builder, &first);
    let second = with(&first, "b", vec![instance("b", "1", 80), instance("b", "2", 80)]);
    let two = build(&mut builder, &second);
    assert!(Arc::ptr_eq(group(&one, "/a"), group(&two, "/a")) && Arc::ptr_eq(group(&one, "/a2"), group(&two, "/a2")));
    assert!(!Arc::ptr_eq(group(&one, "/b"), group(&two, "/b")));
    assert!(!Arc::ptr_eq(group(&one, "/a"), group(&one, "/a2")), "another policy is another group");
    assert!(
        Arc::ptr_eq(&group(&one, "/a").endpoints[0].state, &group(&one, "/a2").endpoints[0].state),
        "of one instance"
    );
    assert!(Arc::ptr_eq(&one.rules, &two.rules));
    assert_eq!((two.revision(), two.version()), (second.revision, one.version() + 1));
    // An instance that did not change goes over as it is, one that did is made anew, and its state stays.
    let mut changed = second.services["b"].instances.clone();
    changed[1] = Arc::new(Instance { weight: 7, ..(*changed[1]).clone() });
    let mut third = second.clone();
    let service = crate::model::Service { instances: changed, ..(*second.services["b"]).clone() };
    third.services.insert("b".parse().unwrap(), Arc::new(service));
    let three = build(&mut builder, &third);
    let (before, after) = (group(&two, "/b"), group(&three, "/b"));
    assert!((0..2).all(|i| Arc::ptr_eq(&before.endpoints[i].state, &after.endpoints[i].state)));
    assert_eq!(after.pool.members().iter().map(|m| m.weight).collect::<Vec<_>>(), [1, 7]);
}

#[test]
fn who_failed_a_moment_ago_still_has_after_a_swap_and_a_reload() {
    let mut builder = builder(vec![route("a", "/")]);
    let catalog = with(&Catalog::default(), "a", vec![instance("a", "1", 80), instance("a", "2", 80)]);
    let one = build(&mut builder, &catalog);
    group(&one, "/").pool.settle(0, Outcome::Unreachable, NOW);
    let out = |table: &RouteTable| group(table, "/").endpoints[0].state.ejected(NOW).map(|e| e.why);
    let added = with(&catalog, "a", (1..=3).map(|n| instance("a", &n.to_string(), 80)).collect());
    assert_eq!(out(&build(&mut builder, &added)), Some(Why::Unreachable));
    let gone = build(&mut builder, &with(&added, "a", vec![instance("a", "2", 80)]));
    assert_eq!(names(group(&gone, "/")), ["2"]);
    assert_eq!(out(&build(&mut builder, &added)), Some(Why::Unreachable), "it came back at once");
    builder.configure(&[Arc::new(balanced(Policy::P2c, route("a", "/")))]);
    assert_eq!(out(&build(&mut builder, &added)), Some(Why::Unreachable), "routes were reloaded");
    let moved = with(&added, "a", vec![instance("a", "1", 81), instance("a", "2", 80)]);
    assert_eq!(out(&build(&mut builder, &moved)), None, "at another port it is another process");
}

#[test]
fn a_reload_touches_only_the_routes_that_changed() {
    let mut builder = builder(vec![route("a", "/a"), route("b", "/b")]);
    let catalog = with(&Catalog::default(), "a", vec![instance("a", "1", 80)]);
    let one = build(&mut builder, &catalog);
    let route_of = |table: &RouteTable, name: &str| {
        table.rules.routes.iter().find(|r| &*r.name == name).cloned().unwrap_or_else(|| panic!("{name}"))
    };
    route_of(&one, "b").meters.shard(0).begin();
    route_of(&one, "b").meters.shard(0).end(200, 10, 1, 2);
    let mut changed = route("b", "/b");
    changed.body_max = 7;
    // One that sorts before all others: groups get other numbers.
    let early = upstreams("early", "/e", &[("127.0.0.1", 1, 1)]);
    builder.configure(&[early, route("a", "/a"), changed].map(Arc::new));
    let two = build(&mut builder, &catalog);
    assert!(Arc::ptr_eq(&group(&one, "/a").endpoints[0].state, &group(&two, "/a").endpoints[0].state));
    assert_eq!(group(&one, "/a").pool.policy(), group(&two, "/a").pool.policy());
    assert!(Arc::ptr_eq(&route_of(&one, "b").meters, &route_of(&two, "b").meters), "counting goes on");
    assert_eq!(route_of(&two, "b").meters.totals().requests(), 1);
    builder.configure(&[Arc::new(route("a", "/a"))]);
    let three = build(&mut builder, &catalog);
    assert_eq!(three.len(), 3, "one of the file, two built in");
    assert_eq!(found(&three, "GET", "", "/b"), "404");
    assert!(!builder.meters().iter().any(|m| &*m.label == "b"), "and its counts go");
}

#[test]
fn turns_go_on_over_swaps_in_a_place_of_their_own() {
    let routes: Vec<config::Route> = ["a", "b"].map(|n| route(n, &format!("/{n}"))).into();
    let mut builder = builder(routes);
    let of = |catalog: &Catalog, s: &str| with(catalog, s, (1..=3).map(|n| instance(s, &n.to_string(), 80)).collect());
    let mut catalog = of(&of(&Catalog::default(), "a"), "b");
    let mut pickers = Pickers::new(0);
    let mut got = String::new();
    for _ in 0..9 {
        let table = build(&mut builder, &catalog);
        let ask = Ask { now_micros: NOW, hash: 0, tried: &[] };
        got += &pickers.pick(group(&table, "/a"), &ask).unwrap().1.name;
        catalog = of(&catalog, "a");
    }
    assert_eq!(got, "123123123");
}

#[test]
fn a_name_of_several_addresses_is_several_that_serve() {
    let mut builder =
        builder(vec![upstreams("u", "/", &[("web.example", 80, 2), ("10.0.0.9", 81, 1), ("::1", 82, 1)])]);
    assert_eq!(builder.hosts().iter().map(|h| &**h).collect::<Vec<_>>(), ["web.example"]);
    let ips = |list: &[&str]| list.iter().map(|ip| ip.parse::<IpAddr>().unwrap()).collect::<Arc<[_]>>();
    let known = ResolvedHost { addresses: Some(ips(&["10.0.0.1", "10.0.0.2", "fd00::1"])), error: None };
    let resolved = Arc::new(Resolved([("web.example".into(), known)].into()));
    let table = builder.build(&Catalog::default(), &resolved, NOW).unwrap();
    let group = group(&table, "/");
    assert_eq!(names(group), ["web.example:80", "web.example:80", "10.0.0.9:81", "[::1]:82"]);
    let targets: Vec<String> = group.endpoints.iter().map(|e| format!("{:?}", e.targets)).collect();
    assert_eq!(targets[..2], ["[10.0.0.1:80, [fd00::1]:80]", "[10.0.0.2:80, [fd00::1]:80]"]);
    assert_eq!(group.pool.members().iter().map(|m| m.weight).collect::<Vec<_>>(), [2, 2, 1, 1]);
    // The same names again are the same group; a name that failed keeps its addresses, and says why.
    let again = ResolvedHost { error: Some("SERVFAIL".into()), ..resolved.0["web.example"].clone() };
    let later = Arc::new(Resolved([("web.example".into(), again)].into()));
    let next = builder.build(&Catalog::default(), &later, NOW).unwrap();
    assert!(Arc::ptr_eq(group, super::groups::group(&next, "/")));
}

#[test]
fn a_table_beyond_all_measure_is_not_made_and_the_one_before_holds() {
    let route_of = |n: usize| {
        let mut one = route("big", &format!("/{n}"));
        one.name = format!("r{n}").into();
        forward(&mut one).balance.slow_start = std::time::Duration::from_secs(n as u64);
        one
    };
    let few = with(&Catalog::default(), "big", (0..10).map(|n| instance("big", &format!("{n:05}"), 80)).collect());
    let many = with(&few, "big", (0..3000).map(|n| instance("big", &format!("{n:05}"), 80)).collect());
    let mut builder = builder((0..20).map(route_of).collect());
    assert_eq!(build(&mut builder, &few).version(), 1);
    let error = builder.build(&many, &Arc::default(), NOW).err().expect("60,000 endpoints").to_string();
    assert!(error.contains("20 groups would hold more than") && error.contains("the same tags and balance"), "{error}");
    assert_eq!(build(&mut builder, &few).version(), 2);
}

#[test]
fn ten_thousand_swaps_leave_nothing_behind() {
    let mut builder = builder((0..10).map(|n| route(&format!("s{n}"), &format!("/{n}"))).collect());
    let mut catalog = Catalog::default();
    let mut old: Vec<std::sync::Weak<Group>> = Vec::new();
    let mut pickers = Pickers::new(0);
    let mut kept = None;
    for n in 0..10_000u32 {
        let service = format!("s{}", n % 10);
        // Each time other instances: names that come once and never again.
        let instances = (0..5).map(|i| instance(&service, &format!("{n}-{i}"), 80)).collect();
        catalog = with(&catalog, &service, instances);
        let table = build(&mut builder, &catalog);
        let at = group(&table, &format!("/{}", n % 10));
        pickers.pick(at, &Ask { now_micros: NOW, hash: 0, tried: &[] }).unwrap();
        old.push(Arc::downgrade(at));
        kept = Some(table);
    }
    assert_eq!(
        old.iter().filter(|g| g.strong_count() > 0).count(),
        10,
        "only the groups of the table in force are left"
    );
    assert!(builder.states() < 2500, "{} states of 50,000 instances", builder.states());
    drop(kept);
}
