//! Ten thousand instances: a change costs what it changes. How fast a machine is decides no test; the figures are for
//! people who ask with --nocapture.

use super::*;
use tokio::time::Instant;

const INSTANCES: usize = 10_000;
const CHANGES: usize = 1_000;

fn of(i: usize, services: usize) -> InstanceKey {
    key(&format!("service-{}", i % services), &format!("instance-{i}"))
}

async fn fill(room: &Room, services: usize) {
    let all = (0..INSTANCES).map(|i| {
        let spec = Spec { check: Some(Check::new(CheckKind::Tcp)), ..spec(1 + (i % 60_000) as u16) };
        room.registry.register(of(i, services), spec, Source::Api)
    });
    let mut all = all.collect::<Vec<_>>();
    // The queue takes so many at once; more is `Busy`, as it should be.
    while !all.is_empty() {
        let some = all.split_off(all.len().saturating_sub(2_000));
        for written in futures_util::future::join_all(some).await {
            written.unwrap();
        }
    }
}

async fn flap(room: &Room, services: usize, i: usize, up: bool) {
    let key = of(i * 7 % INSTANCES, services);
    let defined = room.registry.record(&key).unwrap().defined;
    let health = if up { Health::Passing } else { Health::Critical };
    room.registry.report(Who::of(key), defined, health, "a check".into()).await.unwrap();
}

async fn changes_over(services: usize) {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    fill(&room, services).await;
    assert_eq!(room.catalog().instances(), INSTANCES);
    let before = room.catalog();
    flap(&room, services, 0, true).await;
    let after = room.catalog();
    let same = |name: &crate::model::ServiceName| {
        let service = |c: &Catalog| c.services[name].clone();
        Arc::ptr_eq(&service(&before), &service(&after))
    };
    let rebuilt = before.services.keys().filter(|name| !same(name)).count();
    assert_eq!(rebuilt, 1, "one change makes one service anew");
    let changed = |i: &&Arc<crate::model::Instance>| {
        let own = &after.services[&i.key.service].instances;
        !own.iter().any(|o| Arc::ptr_eq(o, i))
    };
    let own = &before.services[&of(0, services).service].instances;
    assert_eq!(own.iter().filter(changed).count(), 1, "and of that one instance");
    drop((before, after));

    // One after the other, as they come: each is a commit of its own.
    let began = Instant::now();
    for i in 1..=CHANGES {
        flap(&room, services, i, i % 2 == 0).await;
    }
    let one_by_one = began.elapsed();
    // All at once, as in a storm.
    let began = Instant::now();
    futures_util::future::join_all((0..CHANGES).map(|i| flap(&room, services, CHANGES + i, i % 2 == 0))).await;
    let together = began.elapsed();
    let catalog = room.catalog();
    assert_eq!(*catalog, crate::registry::publish::whole_of(&room.registry, &catalog), "what was patched is what is");
    println!(
        "{INSTANCES} instances in {services} services, {CHANGES} changes: one by one {one_by_one:?}, together {together:?}"
    );
    room.end().await;
    let began = Instant::now();
    let room = begin(dir.path()).await;
    println!("read back after {:?}", began.elapsed());
    assert_eq!(room.catalog().instances(), INSTANCES);
    room.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_among_ten_thousand_instances_rebuilds_one_service() {
    changes_over(500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_service_of_ten_thousand_instances_gets_on() {
    changes_over(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_services_get_on() {
    changes_over(INSTANCES).await;
}
