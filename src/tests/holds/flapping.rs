//! Instances that die, come back, are registered and deregistered at random, while requests go on.

use super::{
    number,
    origin::{Origin, Seen, ok},
    site::{Site, route},
};
use crate::base::TaskGroup;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Clients at once.
const CLIENTS: usize = 16;
/// Those who kill and revive: each has instances of its own.
const HANDS: usize = 4;
/// One in so many stays: there is always one that could serve.
const STEADY: usize = 10;
/// What is allocated may grow by so much, whatever happened to be open, and by what the registry keeps of its past.
const GROWTH_BYTES_MAX: u64 = 12 << 20;
/// Descriptors and tasks may differ by what happens to be open at the moment.
const LOOSE_MAX: u64 = 12;

struct Instance {
    id: String,
    origin: Origin,
    registered: bool,
    up: bool,
}

impl Instance {
    /// The next thing that befalls it.
    async fn flap(&mut self, site: &Site, die: &mut StdRng) {
        match (self.up, self.registered) {
            // Killed, and nobody says so.
            (true, true) if die.random_bool(0.5) => self.fall(),
            (true, true) => {
                self.leave(site).await;
                self.fall();
            }
            (false, true) if die.random_bool(0.5) => self.leave(site).await,
            (false, _) => self.rise().await,
            (true, false) => self.join(site).await,
        }
    }

    async fn join(&mut self, site: &Site) {
        site.register("web", &self.id, self.origin.address).await;
        self.registered = true;
    }

    async fn leave(&mut self, site: &Site) {
        site.deregister("web", &self.id).await;
        self.registered = false;
    }

    async fn rise(&mut self) {
        self.origin.up().await;
        self.up = true;
    }

    fn fall(&mut self) {
        self.origin.down();
        self.up = false;
    }
}

/// What clients met.
#[derive(Default)]
struct Met {
    served: AtomicU64,
    posts_refused: AtomicU64,
    lost: Mutex<Vec<String>>,
}

async fn ask(site: &Site, met: &Met, numbers: &AtomicU64, stop: &AtomicBool) {
    let mut client = site.connect().await;
    while !stop.load(Relaxed) {
        let n = numbers.fetch_add(1, Relaxed);
        let is_post = n.is_multiple_of(8);
        let what = if is_post { "POST / HTTP/1.1\r\nContent-Length: 0" } else { "GET / HTTP/1.1" };
        match client.ask(&format!("{what}\r\nHost: a\r\nX-Number: {n}\r\n\r\n")).await {
            Some((200, _)) => drop(met.served.fetch_add(1, Relaxed)),
            // It may have been done by who died over it, so it is not done again.
            Some((502, _)) if is_post => drop(met.posts_refused.fetch_add(1, Relaxed)),
            Some((status, body)) => {
                met.lost.lock().unwrap().push(format!("{what}: {status} {}", String::from_utf8_lossy(&body)));
            }
            None => {
                met.lost.lock().unwrap().push(format!("{what}: no answer"));
                client = site.connect().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_flap_cost_no_request_that_a_live_one_could_serve_and_leave_nothing_behind() {
    let (count, length) = (number("HOLD_INSTANCES", 100), Duration::from_secs(number("HOLD_SECONDS", 5)));
    let site = Site::start("workers = 2", &route("web", "/", "web")).await;
    let (tasks, seen) = (TaskGroup::new(), Seen::default());
    let mut all = Vec::new();
    for n in 0..usize::try_from(count).unwrap() {
        let seen = seen.clone();
        let answer = Arc::new(move |head: &str| {
            if head.starts_with("POST") {
                seen.note(head);
            }
            ok("x")
        });
        let origin = Origin::new(n, &tasks, answer).await;
        all.push(Instance { id: format!("i{n}"), origin, registered: false, up: true });
    }
    let (met, numbers, stop) = (Met::default(), AtomicU64::new(0), AtomicBool::new(false));
    // Everybody once, and away again: what that has left behind is what is compared with.
    for instance in &mut all {
        instance.join(&site).await;
    }
    let warming = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.store(true, Relaxed);
    };
    let clients = || futures_util::future::join_all((0..CLIENTS).map(|_| ask(&site, &met, &numbers, &stop)));
    tokio::join!(clients(), warming);
    let (steady, mut flapping) = (all.split_off(all.len() - all.len().div_ceil(STEADY)), all);
    for instance in &mut flapping {
        instance.leave(&site).await;
    }
    site.until_nobody_is_connected().await;
    let warm = site.usage().await;

    stop.store(false, Relaxed);
    let (begun, flaps) = (Instant::now(), AtomicU64::new(0));
    let (site_ref, flaps_ref) = (&site, &flaps);
    let per_hand = flapping.len().div_ceil(HANDS);
    let hands = flapping.chunks_mut(per_hand).enumerate().map(|(hand, mine)| async move {
        let mut die = StdRng::seed_from_u64(hand as u64);
        while begun.elapsed() < length {
            let one = die.random_range(0..mine.len());
            mine[one].flap(site_ref, &mut die).await;
            flaps_ref.fetch_add(1, Relaxed);
            tokio::time::sleep(Duration::from_millis(die.random_range(0..5))).await;
        }
    });
    let flapping_all = async {
        futures_util::future::join_all(hands).await;
        stop.store(true, Relaxed);
    };
    tokio::join!(clients(), flapping_all);

    for instance in flapping.iter_mut().filter(|i| i.registered) {
        instance.leave(&site).await;
    }
    site.until_nobody_is_connected().await;
    let after = site.usage().await;
    let (served, lost) = (met.served.load(Relaxed), met.lost.into_inner().unwrap());
    println!(
        "hold: {count} instances flapped {} times in {length:?}, {served} requests served, {} posts ended with who had \
         them, {} retries\nhold: warm {warm}\nhold: after {after}",
        flaps.load(Relaxed),
        met.posts_refused.load(Relaxed),
        site.metric("skyvis_proxy_retries_total{route=\"web\"} ").await,
    );
    assert!(lost.is_empty(), "{} of {served} were lost: {:?}", lost.len(), &lost[..lost.len().min(10)]);
    assert!(served > 100 && flaps.load(Relaxed) > 20, "nothing was tried");
    assert_eq!(seen.twice(), [0; 0], "what may be done once was done twice");
    assert!(after.heap.bytes <= warm.heap.bytes + GROWTH_BYTES_MAX, "{warm:?} grew to {after:?}");
    assert!(after.tasks <= warm.tasks + LOOSE_MAX, "{warm:?} grew to {after:?}");
    assert!(after.open_fds <= warm.open_fds + LOOSE_MAX, "{warm:?} grew to {after:?}");
    drop(steady);
    site.stop().await;
}
