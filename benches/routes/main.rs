//! What the table of routes costs: `cargo bench --bench routes`.
//!
//! 10,000 instances and 1,000 routes, once as 100 services of 100 and once as one service of 10,000: how long the first
//! table takes, and one after a change of one instance; what finding a route and choosing an instance take of a
//! request; and what 10,000 swaps leave in memory.
//!
//! `-- --smoke` makes it small.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

use skyvis::{
    balance::{Ask, Policy},
    base::Wall,
    model::{Catalog, Health, Instance, InstanceKey, Service, service::Source},
    proxy::{
        config::{self, Backend, Balance, Forward, HeaderRules, HostPattern, PathChange, Target},
        h1::Scheme,
        table::{Builder, Found, Pickers, RequestView, RouteTable},
    },
};
use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    hint::black_box,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut instances, mut routes, mut swaps) = (10_000, 1_000, 10_000);
    for flag in std::env::args().skip(1).filter(|arg| arg != "--bench") {
        match flag.as_str() {
            "--smoke" => (instances, routes, swaps) = (200, 50, 200),
            other => return Err(format!("{other} is not known; see the top of benches/routes/main.rs").into()),
        }
    }
    println!("{instances} instances, {routes} routes; medians");
    for services in [100.min(instances), 1] {
        tables(services, instances / services, routes)?;
    }
    finding(routes)?;
    for policy in Policy::ALL {
        choosing(policy, 100)?;
    }
    swapping(swaps)
}

fn service(n: usize) -> String {
    format!("service-{n:04}")
}

fn instance(service: &str, n: usize, weight: u32) -> Arc<Instance> {
    let port = 1024 + (n % 60_000) as u16;
    let name = |text: String| text.parse();
    Arc::new(Instance {
        key: InstanceKey { service: service.parse().expect("a name"), id: name(format!("i{n:06}")).expect("a name") },
        address: "10.1.2.3".into(),
        port,
        weight,
        tags: BTreeSet::from(["eu".into()]),
        meta: Default::default(),
        health: Health::Passing,
        reason: None,
        source: Source::Api,
        targets: [SocketAddr::from(([10, 1, 2, 3], port))].into(),
        since: Wall::default(),
        created: 1,
        modified: 1,
    })
}

fn catalog(services: usize, of_each: usize) -> Catalog {
    let all = (0..services).map(|n| {
        let name = service(n);
        let instances = (0..of_each).map(|i| instance(&name, i, 1)).collect();
        let service = Service { name: name.parse().expect("a name"), instances, modified: 1 };
        (service.name.clone(), Arc::new(service))
    });
    Catalog { revision: 1, services: all.collect() }
}

/// The same with the weight of one instance changed.
fn changed(catalog: &Catalog, service: &str, at: usize, weight: u32) -> Catalog {
    let mut next = catalog.clone();
    next.revision += 1;
    let before = &catalog.services[service];
    let mut instances = before.instances.clone();
    instances[at] = Arc::new(Instance { weight, ..(*instances[at]).clone() });
    next.services.insert(before.name.clone(), Arc::new(Service { instances, ..(**before).clone() }));
    next
}

fn route(n: usize, services: usize, policy: Policy) -> Arc<config::Route> {
    let backend = Backend::Service { name: service(n % services).parse().expect("a name"), tags: BTreeSet::new() };
    let host = match n % 4 {
        0 => vec![HostPattern::Exact(format!("h{}.example.com", n % 50).into())],
        1 => vec![HostPattern::Below(".example.com".into())],
        _ => Vec::new(),
    };
    Arc::new(config::Route {
        name: format!("route-{n}").into(),
        scheme: None,
        host,
        path_prefix: format!("/api/v{}/{}/", n % 10, n).into(),
        path_suffix: Vec::new(),
        methods: Vec::new(),
        to: Target::Forward(Forward {
            to: backend,
            balance: Balance { policy, ..Balance::default() },
            path: PathChange::None,
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(60),
            retries: 1,
            host_header: None,
            split: Vec::new(),
            sticky: None,
        }),
        body_max: 0,
        headers: HeaderRules::default(),
        cors: None,
        guard: None,
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn tables(services: usize, of_each: usize, routes: usize) -> Result<(), Box<dyn Error>> {
    let routes: Vec<_> = (0..routes).map(|n| route(n, services, Policy::RoundRobin)).collect();
    let resolved = Arc::default();
    let first = catalog(services, of_each);
    let (mut configuring, mut cold, mut warm) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..11 {
        let mut builder = Builder::new(2, Vec::new());
        let began = Instant::now();
        builder.configure(&routes);
        configuring.push(began.elapsed());
        let began = Instant::now();
        let mut kept = builder.build(&first, &resolved, 1)?;
        cold.push(began.elapsed());
        let mut now = first.clone();
        for n in 0..20usize {
            now = changed(&now, &service(n % services), n % of_each, 2 + n as u32);
            let began = Instant::now();
            // As sync does it: the table before is dropped once it is swapped.
            kept = builder.build(&now, &resolved, 1)?;
            warm.push(began.elapsed());
        }
        black_box(&kept);
    }
    println!(
        "{services:>4} services of {of_each:>6}: routes read {:?}, first table {:?}, after a change {:?}",
        median(configuring),
        median(cold),
        median(warm)
    );
    Ok(())
}

fn per_call(calls: u32, mut call: impl FnMut(usize)) -> f64 {
    let mut times = Vec::new();
    for _ in 0..7 {
        let began = Instant::now();
        (0..calls as usize).for_each(&mut call);
        times.push(began.elapsed());
    }
    median(times).as_nanos() as f64 / f64::from(calls)
}

fn finding(routes: usize) -> Result<(), Box<dyn Error>> {
    let list: Vec<_> = (0..routes).map(|n| route(n, 10, Policy::RoundRobin)).collect();
    let mut builder = Builder::new(2, Vec::new());
    builder.configure(&list);
    let table: RouteTable = builder.build(&catalog(10, 10), &Arc::default(), 1)?;
    let host_of = |n: usize| match n % 4 {
        0 => format!("H{}.example.com:8080", n % 50),
        1 => "any.example.com".to_owned(),
        _ => "10.0.0.1:8080".to_owned(),
    };
    let requests: Vec<(String, String)> =
        (0..routes).map(|n| (host_of(n), format!("/api/v{}/{n}/users/4711/avatar", n % 10))).collect();
    let odd: Vec<(String, String)> =
        (0..routes).map(|n| (host_of(n), format!("/api//v{}/{n}/us%65rs/a%2Fb", n % 10))).collect();
    for (what, requests) in [("plain", &requests), ("with escapes", &odd)] {
        let mut missed = 0;
        let nanos = per_call(200_000, |n| {
            let (host, path) = &requests[n % requests.len()];
            let view =
                RequestView { scheme: Scheme::Http, method: b"GET", host: host.as_bytes(), path: path.as_bytes() };
            match black_box(&table).find(&view) {
                Found::Route(found) => drop(black_box(found)),
                _ => missed += 1,
            }
        });
        println!("finding one of {routes} routes, paths {what}: {nanos:.0} ns ({missed} missed)");
    }
    Ok(())
}

fn choosing(policy: Policy, members: usize) -> Result<(), Box<dyn Error>> {
    let mut builder = Builder::new(2, Vec::new());
    builder.configure(&[route(2, 1, policy)]);
    let one = catalog(1, members);
    for (what, catalog) in [("equal", one.clone()), ("weighted", changed(&one, &service(0), 0, 5))] {
        let table = builder.build(&catalog, &Arc::default(), 1)?;
        let view = RequestView { scheme: Scheme::Http, method: b"GET", host: b"", path: b"/api/v2/2/x" };
        let Found::Route(found) = table.find(&view) else { return Err("the route is not found".into()) };
        let group = found.group.ok_or("it forwards")?;
        let mut pickers = Pickers::new(7);
        let nanos = per_call(100_000, |n| {
            let ask = Ask { now_micros: 1_000_000 + n as u64, hash: (n as u64).wrapping_mul(0x9e37_79b9), tried: &[] };
            let picked = pickers.pick(group, &ask).map(|(_, endpoint)| endpoint.state.begin());
            drop(black_box(picked));
        });
        println!("choosing one of {members} {what} by {}: {nanos:.0} ns", policy.as_str());
    }
    Ok(())
}

fn swapping(swaps: usize) -> Result<(), Box<dyn Error>> {
    let routes: Vec<_> = (0..100).map(|n| route(n, 20, Policy::RoundRobin)).collect();
    let mut builder = Builder::new(2, Vec::new());
    builder.configure(&routes);
    let cell = arc_swap::ArcSwap::from_pointee(builder.build(&catalog(20, 50), &Arc::default(), 1)?);
    let mut now = catalog(20, 50);
    let mut seen = Vec::new();
    for n in 0..swaps {
        let name = service(n % 20);
        // Half of the time instances that nobody has seen before, and will not see again.
        now = match n % 2 {
            0 => changed(&now, &name, n % 50, 1 + n as u32 % 9),
            _ => {
                let mut next = now.clone();
                let instances = (0..50).map(|i| instance(&name, n * 50 + i, 1)).collect();
                let service = Service { name: name.parse()?, instances, modified: n as u64 };
                next.services.insert(service.name.clone(), Arc::new(service));
                next
            }
        };
        cell.store(Arc::new(builder.build(&now, &Arc::default(), 1)?));
        if (n + 1) % (swaps / 10).max(1) == 0 {
            seen.push(rss_kib()?);
        }
    }
    println!("resident after each tenth of {swaps} swaps, in KiB: {seen:?}");
    Ok(())
}

fn rss_kib() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().next().ok_or("no number")?.parse()?)
}
