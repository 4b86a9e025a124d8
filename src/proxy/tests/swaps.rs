//! Tables that change under load: the next request goes by the new one, and none is lost by it.

use super::rig::{Origin, Rig, ok, refusing, service_route};
use crate::model::{Catalog, Health, Instance, InstanceKey, Service, Source};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

fn instance(address: SocketAddr) -> Arc<Instance> {
    let id = address.port().to_string().parse().unwrap();
    Arc::new(Instance {
        key: InstanceKey { service: "web".parse().unwrap(), id },
        address: address.ip().to_string().into(),
        port: address.port(),
        weight: 1,
        tags: Default::default(),
        meta: Default::default(),
        health: Health::Passing,
        reason: None,
        source: Source::Api,
        targets: [address].into(),
        since: Default::default(),
        created: 1,
        modified: 1,
    })
}

/// A catalog with one service of these instances.
pub(super) fn catalog(revision: u64, of: &[SocketAddr]) -> Arc<Catalog> {
    let mut addresses = of.to_vec();
    addresses.sort_by_key(|a| a.port().to_string());
    let name: crate::model::ServiceName = "web".parse().unwrap();
    let instances = addresses.into_iter().map(instance).collect();
    let service = Arc::new(Service { name: name.clone(), instances, modified: revision });
    Arc::new(Catalog { revision, services: BTreeMap::from([(name, service)]) })
}

#[test]
fn the_very_next_request_goes_by_what_was_registered_or_deregistered() {
    let origins: Vec<Origin> = (0..3).map(|n| Origin::answering(move |_, _| ok(n.to_string().as_bytes()))).collect();
    let rig = Rig::new(vec![service_route("web")]);
    let mut client = rig.client();
    for revision in 1..600 {
        let serving = revision as usize % 4;
        let of: Vec<_> =
            origins.iter().take(3).enumerate().filter(|(n, _)| *n == serving).map(|(_, o)| o.address).collect();
        rig.publish(catalog(revision, &of));
        let answer = client.get("/");
        if serving == 3 {
            assert_eq!(answer.status, 503);
            assert!(answer.text().contains("no live instance of service `web`"), "{}", answer.text());
        } else {
            assert_eq!((answer.status, answer.text()), (200, serving.to_string().as_str()), "revision {revision}");
        }
    }
}

#[test]
fn an_instance_is_served_by_that_of_its_addresses_which_answers() {
    // Nobody accepts, and there is no place to wait: a third one hears nothing.
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    silent.listen(0).unwrap();
    let address = silent.local_addr().unwrap().as_socket().unwrap();
    let _waiting: Vec<_> = (0..4)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        })
        .collect();
    let origin = Origin::answering(|_, _| ok(b"x"));
    let rig = Rig::new(vec![service_route("web")]);
    let mut both = Arc::unwrap_or_clone(instance(origin.address));
    both.targets = [address, origin.address].into();
    let name: crate::model::ServiceName = "web".parse().unwrap();
    let service = Arc::new(Service { name: name.clone(), instances: [Arc::new(both)].into(), modified: 1 });
    rig.publish(Arc::new(Catalog { revision: 1, services: BTreeMap::from([(name, service)]) }));
    assert_eq!(rig.get("/").status, 200);
}

#[test]
fn while_instances_come_and_go_and_some_are_dead_no_request_is_lost_that_a_live_one_could_serve() {
    let live: Vec<Origin> = (0..6).map(|_| Origin::answering(|_, _| ok(b"x"))).collect();
    let live: Vec<SocketAddr> = live.iter().map(|o| o.address).collect();
    let dead: Vec<SocketAddr> = (0..4).map(|_| refusing()).collect();
    let rig = Rig::new(vec![service_route("web")]);
    rig.publish(catalog(1, &live));
    let (done, count) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = rig.client();
                    while !done.load(Ordering::Relaxed) {
                        let answer = client.get("/");
                        assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let mut rng = StdRng::seed_from_u64(7);
        // As long as there was load, and tables enough.
        for revision in (2..).take_while(|r| *r < 300 || count.load(Ordering::Relaxed) < 1000) {
            let mut of: Vec<_> = live.choose_multiple(&mut rng, 1 + revision as usize % 5).copied().collect();
            let sick = rng.random_range(0..3);
            of.extend(dead.choose_multiple(&mut rng, sick));
            rig.publish(catalog(revision, &of));
        }
        done.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|c| c.join().unwrap());
    });
}

#[test]
fn failed_upgrades_and_swaps_leave_nothing_behind() {
    let origin =
        Origin::answering(|_, _| b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec());
    let rig = Rig::new(vec![service_route("web")]);
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for revision in 1..500 {
        rig.publish(catalog(revision, &[origin.address]));
        assert_eq!(rig.ask(ask).status, 403);
    }
    while rig.metric("skyvis_proxy_connections_open") != 0.0 {
        thread::yield_now();
    }
    assert_eq!(rig.metric("skyvis_proxy_tunnels"), 0.0);
    let table = rig.proxy.routes().cell().load_full();
    // One in force, one held here, and at most one that a worker looked at last.
    assert!(Arc::strong_count(&table) <= 4, "{}", Arc::strong_count(&table));
}
