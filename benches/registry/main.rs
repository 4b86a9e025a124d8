//! What the registry costs: `cargo bench --bench registry`.
//!
//! In one process, over a store in `target`: writes one after the other and 64 at a time, repeats and renewals that write
//! nothing, changes among 10,000 instances, a hundred followers, a start; and writes through a whole daemon, by its API and
//! as with Consul, answered once its proxy serves them. Beside them what the disk itself takes for a durable write of 4 KiB, measured before and after,
//! since that is what a write stands on.
//!
//! `-- --smoke` does a little of each.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod daemon;
#[path = "../measure/durable.rs"]
mod durable;
mod fronts;
#[path = "../measure/process.rs"]
#[expect(dead_code, reason = "each bench takes what it needs")]
mod process;
#[path = "../etcd/wire.rs"]
#[expect(dead_code, reason = "each bench takes what it needs")]
mod wire;

use durable::{floor, show};
use futures_util::future::join_all;
use skyvis::{
    base::{Clock, Metrics, TaskGroup},
    disk::Files,
    events::Events,
    model::{Health, InstanceKey, service::Source},
    outbound::system_lookup,
    registry::{self, Check, CheckKind, Deps, Keys, Registry, Spec, Who},
    store::{Options, Store},
};
use std::{
    error::Error,
    fs,
    path::Path,
    time::{Duration, Instant},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const INSTANCES: usize = 10_000;
const CLIENTS: usize = 64;
const FOLLOWERS: usize = 100;

struct Room {
    registry: Registry,
    store: Store,
    group: TaskGroup,
}

impl Room {
    fn open(dir: &Path) -> Result<Self> {
        let (metrics, clock, group) = (Metrics::default(), Clock::real(), TaskGroup::new());
        let store = Store::open(&dir.join("store"), Options::default(), &Files::real(), &metrics)?;
        let lookup = system_lookup();
        let deps = Deps { store: store.clone(), events: Events::discard(), clock, metrics, lookup };
        let (registry, task) = registry::build(deps)?;
        group.spawn("registry", task.run(group.stop_token()));
        Ok(Self { registry, store, group })
    }

    async fn close(self) {
        self.group.stop(Duration::from_secs(10)).await;
        self.store.close().await;
    }
}

fn main() -> Result<()> {
    let smoke = std::env::args().any(|arg| arg == "--smoke");
    let dir = Path::new(env!("CARGO_BIN_EXE_skyvis")).parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let dir = dir.join("registry-bench");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let writes = if smoke { 50 } else { 5_000 };
    println!("| what | a second | p50 | p99 |\n|---|---|---|---|");
    floor(&dir, writes)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        single(&dir, writes).await?;
        daemon::served(&dir, writes).await?;
        fronts::fronts(&dir, writes).await?;
        for services in [500, 1, INSTANCES] {
            many(&dir, services, if smoke { 200 } else { INSTANCES }, if smoke { 20 } else { 1_000 }).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    floor(&dir, writes)?;
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Does `one` again and again.
async fn measure<F: Future<Output = Result<()>>>(what: &str, n: usize, one: impl Fn(usize) -> F) -> Result<()> {
    let (began, mut times) = (Instant::now(), Vec::with_capacity(n));
    for i in 0..n {
        let at = Instant::now();
        one(i).await?;
        times.push(at.elapsed());
    }
    show(what, began.elapsed(), times);
    Ok(())
}

/// The same by many clients at a time, each of which waits for its answer.
async fn measure_many<F: Future<Output = Result<()>>>(what: &str, n: usize, one: impl Fn(usize) -> F) -> Result<()> {
    let (began, one) = (Instant::now(), &one);
    let client = |c: usize| async move {
        let mut times = Vec::new();
        for i in 0..n / CLIENTS {
            let at = Instant::now();
            one(c * n + i).await?;
            times.push(at.elapsed());
        }
        Ok::<_, Box<dyn Error>>(times)
    };
    let all: Vec<Vec<Duration>> = join_all((0..CLIENTS).map(client)).await.into_iter().collect::<Result<_>>()?;
    show(&format!("{what}, {CLIENTS} at a time"), began.elapsed(), all.concat());
    Ok(())
}

fn key(service: usize, id: usize) -> Result<InstanceKey> {
    Ok(InstanceKey { service: format!("service-{service}").parse()?, id: format!("instance-{id}").parse()? })
}

fn spec(i: usize) -> Spec {
    Spec { ttl: Some(Duration::from_secs(3_600)), ..Spec::new("10.0.0.1", 1 + (i % 60_000) as u16) }
}

async fn single(dir: &Path, writes: usize) -> Result<()> {
    let room = Room::open(&dir.join("single"))?;
    let registry = &room.registry;
    let put = |i: usize| async move {
        registry
            .put(
                format!("key/{}", i % 1_000).into(),
                format!("value {i}, forty bytes of it in all, or so").into(),
                0,
                None,
            )
            .await?;
        Ok(())
    };
    measure("put of 40 bytes", writes, put).await?;
    measure_many("put of 40 bytes", (writes * 16).max(CLIENTS), put).await?;
    let register = |i: usize| async move {
        registry.register(key(i % 500, i % 5_000)?, spec(i), Source::Api).await?;
        Ok(())
    };
    measure("register", writes, register).await?;
    measure_many("register", (writes * 8).max(CLIENTS), register).await?;
    let again = |_| async move {
        registry.register(key(0, 1_000_000)?, spec(0), Source::Api).await?;
        Ok(())
    };
    again(0).await?;
    measure("register again what is so", writes, again).await?;
    let renew = |_| async move {
        registry.renew(key(0, 1_000_000)?).await?;
        Ok(())
    };
    measure("renew", writes, renew).await?;
    measure_many("renew", (writes * 16).max(CLIENTS), renew).await?;
    followers(&room, writes / 10).await?;
    room.close().await;
    Ok(())
}

/// From the answer of a put to the last of a hundred followers that has seen it.
async fn followers(room: &Room, writes: usize) -> Result<()> {
    let (seen, mut all_seen) = tokio::sync::mpsc::channel::<u64>(FOLLOWERS * 2);
    let group = TaskGroup::new();
    for _ in 0..FOLLOWERS {
        let (mut watcher, seen, stop) =
            (room.registry.follow(Keys::prefix("f/"), None), seen.clone(), group.stop_token());
        group.spawn("follower", async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    found = watcher.next() => for revision in found.unwrap_or_default() {
                        if seen.send(revision.number).await.is_err() { return }
                    },
                }
            }
        });
    }
    let (began, mut times) = (Instant::now(), Vec::new());
    for i in 0..writes.max(5) {
        let at = Instant::now();
        room.registry.put("f/k".into(), i.to_string().into(), 0, None).await?;
        for _ in 0..FOLLOWERS {
            all_seen.recv().await;
        }
        times.push(at.elapsed());
    }
    show(&format!("put until the last of {FOLLOWERS} followers has seen it"), began.elapsed(), times);
    group.stop(Duration::from_secs(5)).await;
    Ok(())
}

/// Changes of health among many instances, as checks report them.
async fn many(dir: &Path, services: usize, instances: usize, changes: usize) -> Result<()> {
    let dir = dir.join(format!("many-{services}"));
    let room = Room::open(&dir)?;
    let registry = &room.registry;
    let began = Instant::now();
    for some in (0..instances).collect::<Vec<_>>().chunks(1_000) {
        let all = some.iter().map(|i| async move {
            let spec = Spec { check: Some(Check::new(CheckKind::Tcp)), ..spec(*i) };
            registry.register(key(i % services, *i)?, spec, Source::Api).await?;
            Ok::<_, Box<dyn Error>>(())
        });
        join_all(all).await.into_iter().collect::<Result<Vec<_>>>()?;
    }
    let filled = began.elapsed();
    let report = |n: usize| async move {
        let i = n * 7_919 % instances;
        let key = key(i % services, i)?;
        let defined = registry.record(&key).ok_or("it was registered")?.defined;
        let health = if (n / instances + n).is_multiple_of(2) { Health::Passing } else { Health::Warning };
        registry.report(Who::of(key), defined, health, "a check".into()).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let what = format!("change among {instances} instances of {services} services");
    let cpu = process::cpu(&[std::process::id()]);
    measure(&what, changes, report).await?;
    let cpu = process::cpu(&[std::process::id()]) - cpu;
    println!("| … CPU of one change, the store's thread included | | {:.2?} | |", cpu / u32::try_from(changes)?);
    measure_many(&what, (changes * 10).max(CLIENTS), report).await?;
    let resident = process::memory(&[std::process::id()]).0 >> 20;
    room.close().await;
    let began = Instant::now();
    let room = Room::open(&dir)?;
    println!("| … registered in {filled:.2?}, read back in {:.2?}, {resident} MiB resident | | | |", began.elapsed());
    room.close().await;
    Ok(())
}
