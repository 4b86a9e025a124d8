//! The same operations on our node and on a real etcd beside it: the same answers, revisions, refusals and events.

use super::{
    peer::{Peer, Watches},
    *,
};
use crate::{
    etcd::wire::{
        Asked, Compare, DeleteRangeRequest, Event, LeaseGrantRequest, LeaseGrantResponse, LeaseLeasesRequest,
        LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
        PutRequest, RangeRequest, Request, RequestOp, ResponseHeader, TargetUnion, TxnRequest, TxnResponse,
        WatchCreateRequest,
    },
    outbound::{Address, Client},
};
use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    fmt::Debug,
    process::{Child, Command, Stdio},
};
use tonic::Status;

/// How many operations; more by hand: `OPERATIONS=100000 SEED=7 ./test beside`.
const OPERATIONS: usize = 1_000;

/// A real etcd, gone with the value.
struct Etcd {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Etcd {
    /// None where there is none on this machine.
    async fn start(group: &TaskGroup) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let [client, peer] = [(); 2].map(|()| {
            let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            taken.local_addr().unwrap()
        });
        let (at, beside) = (format!("http://{client}"), format!("http://{peer}"));
        let child = Command::new("etcd")
            .args(["--name", "reference", "--data-dir"])
            .arg(dir.path().join("data"))
            .args(["--listen-client-urls", &at, "--advertise-client-urls", &at])
            .args(["--listen-peer-urls", &beside, "--initial-advertise-peer-urls", &beside])
            .args(["--initial-cluster", &format!("reference={beside}"), "--logger", "zap", "--log-level", "error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let etcd = Self { child, address: client, _dir: dir };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(peer) = Peer::try_connect(client, group).await
                && peer.range(&peer::one("health")).await.is_ok()
            {
                return Some(etcd);
            }
            assert!(tokio::time::Instant::now() < deadline, "etcd does not serve");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is compared: an answer without what names the cluster, or the refusal.
fn plain<A>(answer: Result<A, Status>, header: impl Fn(&mut A) -> &mut Option<ResponseHeader>) -> Result<A, String> {
    match answer {
        Ok(mut answer) => {
            if let Some(header) = header(&mut answer) {
                *header = ResponseHeader { revision: header.revision, ..ResponseHeader::default() };
            }
            Ok(answer)
        }
        Err(status) => Err(format!("{:?} {}", status.code(), status.message())),
    }
}

struct Random(StdRng);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0.random_range(0..n)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    fn key(&mut self) -> Bytes {
        ["a", "a/1", "a/2", "b", "b\0", "c", "c/x", "d", "\u{e9}", "~"][self.below(10) as usize].into()
    }

    fn end(&mut self) -> Bytes {
        match self.below(10) {
            0..=3 => Bytes::new(),
            4 => b"\0"[..].into(),
            5 => "a0".into(),
            6 => "c".into(),
            7 => "e".into(),
            _ => self.key(),
        }
    }

    fn value(&mut self) -> Bytes {
        ["", "x", "y", "zz"][self.below(4) as usize].into()
    }

    /// None, some that may be there, and one that never is.
    fn lease(&mut self) -> i64 {
        match self.below(12) {
            0 => 1,
            1 => 2,
            2 => 3,
            3 => 99,
            _ => 0,
        }
    }

    fn revision(&mut self, now: i64) -> i64 {
        match self.below(6) {
            0..=2 => 0,
            3 => now - i64::from(self.below(8)),
            4 => now - i64::from(self.below(60)),
            _ => now + i64::from(self.below(2)),
        }
        .max(0)
    }

    fn bound(&mut self, now: i64) -> i64 {
        if self.chance(85) { 0 } else { (now - i64::from(self.below(20))).max(0) }
    }

    fn range(&mut self, now: i64) -> RangeRequest {
        RangeRequest {
            key: if self.chance(2) { Bytes::new() } else { self.key() },
            range_end: self.end(),
            limit: if self.chance(70) { 0 } else { i64::from(self.below(4)) },
            revision: self.revision(now),
            sort_order: if self.chance(60) { 0 } else { self.below(3) as i32 },
            sort_target: if self.chance(60) { 0 } else { self.below(5) as i32 },
            serializable: self.chance(30),
            keys_only: self.chance(20),
            count_only: self.chance(15),
            min_mod_revision: self.bound(now),
            max_mod_revision: self.bound(now),
            min_create_revision: self.bound(now),
            max_create_revision: self.bound(now),
        }
    }

    fn put(&mut self, may_ignore: bool) -> PutRequest {
        let ignore_value = may_ignore && self.chance(10);
        let ignore_lease = may_ignore && self.chance(10);
        PutRequest {
            key: if self.chance(2) { Bytes::new() } else { self.key() },
            value: if ignore_value && self.chance(90) { Bytes::new() } else { self.value() },
            lease: if ignore_lease && self.chance(90) { 0 } else { self.lease() },
            prev_kv: self.chance(50),
            ignore_value,
            ignore_lease,
        }
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        let key = if self.chance(2) { Bytes::new() } else { self.key() };
        DeleteRangeRequest { key, range_end: self.end(), prev_kv: self.chance(50) }
    }

    fn compare(&mut self, now: i64) -> Compare {
        let number = i64::from(self.below(4)) - 1;
        let near = now - i64::from(self.below(6));
        let (target, target_union) = match self.below(6) {
            0 => (0, TargetUnion::Version(number)),
            1 => (1, TargetUnion::Created(if self.chance(50) { 0 } else { near })),
            2 => (2, TargetUnion::Modified(if self.chance(50) { 0 } else { near })),
            3 => (3, TargetUnion::Value(self.value())),
            4 => (4, TargetUnion::Lease(number)),
            // The one is said, and another is meant.
            _ => (0, TargetUnion::Lease(number)),
        };
        let key = if self.chance(1) { Bytes::new() } else { self.key() };
        let target_union = if self.chance(5) { None } else { Some(target_union) };
        let range_end = if self.chance(70) { Bytes::new() } else { self.end() };
        Compare { result: self.below(4) as i32, target, key, target_union, range_end }
    }

    fn txn(&mut self, now: i64, depth: u32, may_ignore: bool) -> TxnRequest {
        let ops = |random: &mut Self, most: u32| -> Vec<RequestOp> {
            (0..random.below(most)).map(|_| random.op(now, depth, may_ignore)).collect()
        };
        TxnRequest {
            compare: (0..self.below(3)).map(|_| self.compare(now)).collect(),
            success: ops(self, 5),
            failure: ops(self, 4),
        }
    }

    /// etcd falls over a put that keeps what a delete before it in the same transaction has taken away.
    fn op(&mut self, now: i64, depth: u32, may_ignore: bool) -> RequestOp {
        let request = match self.below(12) {
            0..=3 => Request::Range(self.range(now)),
            4..=7 => Request::Put(self.put(may_ignore)),
            8..=9 if !may_ignore => Request::DeleteRange(self.delete()),
            8..=10 if depth > 0 => Request::Txn(self.txn(now, depth - 1, may_ignore)),
            11 if self.chance(5) => return RequestOp { request: None },
            _ => Request::Put(self.put(may_ignore)),
        };
        RequestOp { request: Some(request) }
    }

    fn watch(&mut self, now: i64) -> WatchCreateRequest {
        WatchCreateRequest {
            key: if self.chance(10) { Bytes::new() } else { self.key() },
            range_end: self.end(),
            start_revision: self.revision(now),
            filters: if self.chance(80) { Vec::new() } else { vec![self.below(2) as i32] },
            prev_kv: self.chance(50),
            watch_id: if self.chance(80) { 0 } else { i64::from(self.below(5)) },
            fragment: self.chance(20),
            ..WatchCreateRequest::default()
        }
    }
}

/// What one side was told of its watches.
#[derive(Debug, Default, PartialEq, Clone)]
struct Told {
    /// In the order in which they were created: id, refused, why.
    created: Vec<(i64, bool, String)>,
    events: BTreeMap<i64, Vec<Event>>,
    /// With the revision that they should have asked for.
    ended: Vec<(i64, i64)>,
    progress: i64,
}

struct Side {
    peer: Peer,
    watches: Watches,
    told: Told,
}

impl Side {
    async fn new(address: SocketAddr, group: &TaskGroup) -> Self {
        let peer = Peer::connect(address, group).await;
        let watches = peer.watches();
        Self { peer, watches, told: Told::default() }
    }

    /// Takes answers until it is so.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Told) -> bool) {
        while !is_so(&self.told) {
            let next = tokio::time::timeout(PATIENCE, self.watches.next_or_never()).await;
            let next = next.unwrap_or_else(|_| panic!("not seen: {what}: {:#?}", self.told));
            let answer = next.unwrap().unwrap();
            let id = answer.watch_id;
            if answer.created {
                self.told.created.push((id, answer.canceled, answer.cancel_reason));
                self.told.events.entry(id).or_default();
            } else if answer.canceled {
                self.told.ended.push((id, answer.compact_revision));
            } else if id == -1 {
                self.told.progress = answer.header.unwrap().revision;
            } else {
                assert!(!answer.events.is_empty(), "{answer:?}");
                let events = self.told.events.get_mut(&id).expect("an event of a watch that was created");
                events.extend(answer.events);
            }
        }
    }
}

/// Both, asked the same.
struct Both {
    ours: Side,
    theirs: Side,
    /// Theirs.
    address: SocketAddr,
    log: Vec<String>,
    /// What was not the same. More than one is told: they explain each other.
    differences: Vec<String>,
}

/// So many differences are told.
const DIFFERENCES_MAX: usize = 5;

impl Both {
    fn same<A: PartialEq + Debug>(&mut self, asked: &impl Debug, ours: Result<A, String>, theirs: Result<A, String>) {
        self.log.push(format!("{asked:?}"));
        if ours != theirs {
            self.differ(&format!("ours {ours:#?}\netcd's {theirs:#?}"));
        }
    }

    fn differ(&mut self, how: &str) {
        let last = &self.log[self.log.len().saturating_sub(8)..];
        self.differences.push(format!("after {} operations, of which the last {last:#?}\n{how}", self.log.len()));
        assert!(self.differences.len() < DIFFERENCES_MAX, "{}", self.differences.join("\n\n"));
    }

    /// Everything that happened was told to every watch on both sides.
    async fn settle(&mut self, now: i64) {
        self.ours.watches.ask_progress().await;
        self.ours.until("progress", |told| told.progress >= now).await;
        let seen = self.ours.told.clone();
        let reached = |told: &Told| {
            told.created.len() >= seen.created.len()
                && told.ended.len() >= seen.ended.len()
                && seen.events.iter().all(|(id, events)| told.events.get(id).is_some_and(|e| e.len() >= events.len()))
        };
        self.theirs.until(&format!("what ours told: {seen:#?}"), reached).await;
        self.theirs.told.progress = seen.progress;
        // Which of several ends first is nobody's promise.
        self.ours.told.ended.sort_unstable();
        self.theirs.told.ended.sort_unstable();
        until_level(self.address).await;
        if self.ours.told != self.theirs.told {
            let (ours, theirs) = (self.ours.told.clone(), self.theirs.told.clone());
            for (id, events) in &ours.events {
                let others = &theirs.events[id];
                if let Some(at) = (0..events.len().max(others.len())).find(|i| events.get(*i) != others.get(*i)) {
                    self.differ(&format!(
                        "watch {id} event {at} ours {:#?}\netcd's {:#?}",
                        events.get(at),
                        others.get(at)
                    ));
                }
            }
            if (&ours.created, &ours.ended) != (&theirs.created, &theirs.ended) {
                let shown = |told: &Told| format!("{:?} {:?}", told.created, told.ended);
                self.differ(&format!("watches ours {}\netcd's {}", shown(&ours), shown(&theirs)));
            }
            // What differs once is told once.
            self.theirs.told = ours;
        }
    }

    async fn watch(&mut self, request: WatchCreateRequest) {
        self.log.push(format!("{request:?}"));
        let n = self.ours.told.created.len() + 1;
        for side in [&mut self.ours, &mut self.theirs] {
            side.watches.ask(Asked::Create(request.clone())).await;
            side.until("created", |told| told.created.len() == n).await;
        }
    }

    async fn cancel(&mut self, id: i64, now: i64) {
        self.settle(now).await;
        self.log.push(format!("cancel {id}"));
        let is_there = self.ours.told.created.iter().any(|(created, refused, _)| *created == id && !refused)
            && !self.ours.told.ended.iter().any(|(ended, _)| *ended == id);
        if is_there {
            let n = self.ours.told.ended.len() + 1;
            for side in [&mut self.ours, &mut self.theirs] {
                side.watches.ask_cancel(id).await;
                side.until("ended", |told| told.ended.len() == n).await;
            }
        }
    }
}

/// Waits until no watch of etcd's is behind: it looks after those now and then, and a compaction would be quicker.
async fn until_level(address: SocketAddr) {
    let to = Address::Tcp { host: address.ip().to_string(), port: address.port() };
    let client = Client::new(to, crate::outbound::Limits::default());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let request = http::Request::get("/metrics").header("host", "localhost").body(Bytes::new()).unwrap();
        let text = client.request(request).await.unwrap().into_body();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let behind = text.lines().find_map(|line| line.strip_prefix("etcd_debugging_mvcc_slow_watcher_total "));
        if behind.expect("etcd counts them") == "0" {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "watches of etcd's stay behind");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn txn_header(answer: &mut TxnResponse) -> &mut Option<ResponseHeader> {
    &mut answer.header
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_random_operations_are_answered_as_etcd_answers_them() {
    let group = TaskGroup::new();
    let Some(etcd) = Etcd::start(&group).await else {
        println!("skipped: no etcd on this machine; ./test installs etcd-server");
        return;
    };
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let seed = number("SEED").unwrap_or_else(rand::random);
    println!("SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let mut random = Random(StdRng::seed_from_u64(seed));
    let (ours, theirs) = (Side::new(room.address, &group).await, Side::new(etcd.address, &group).await);
    let mut both =
        Both { ours, theirs, address: etcd.address, log: vec![format!("SEED={seed}")], differences: Vec::new() };
    let mut now = i64::try_from(room.registry.revision()).unwrap();
    assert_eq!(now, 1, "as etcd begins");
    for _ in 0..usize::try_from(number("OPERATIONS").unwrap_or(OPERATIONS as u64)).unwrap() {
        step(&mut random, &mut both, &mut now).await;
    }
    both.settle(now).await;
    assert!(both.differences.is_empty(), "{}", both.differences.join("\n\n"));
    assert!(both.ours.told.events.values().map(Vec::len).sum::<usize>() > 100, "watches saw something");
    drop(both);
    group.stop(Duration::from_secs(5)).await;
    room.end().await;
}

async fn step(random: &mut Random, both: &mut Both, now: &mut i64) {
    let (ours, theirs) = (both.ours.peer.clone(), both.theirs.peer.clone());
    match random.below(100) {
        0..=24 => {
            let asked = random.range(*now);
            let (a, b) = (ours.range(&asked).await, theirs.range(&asked).await);
            both.same(&asked, plain(a, |a| &mut a.header), plain(b, |a| &mut a.header));
        }
        25..=44 => {
            let asked = random.put(true);
            let (a, b) = (ours.put(&asked).await, theirs.put(&asked).await);
            *now = a.as_ref().ok().and_then(|a| Some(a.header.as_ref()?.revision)).unwrap_or(*now);
            both.same(&asked, plain(a, |a| &mut a.header), plain(b, |a| &mut a.header));
        }
        45..=52 => {
            let asked = random.delete();
            let (a, b) = (ours.delete(&asked).await, theirs.delete(&asked).await);
            *now = a.as_ref().ok().and_then(|a| Some(a.header.as_ref()?.revision)).unwrap_or(*now);
            both.same(&asked, plain(a, |a| &mut a.header), plain(b, |a| &mut a.header));
        }
        53..=77 => {
            let may_ignore = random.chance(40);
            let asked = random.txn(*now, 2, may_ignore);
            let (a, b) = (ours.txn(&asked).await, theirs.txn(&asked).await);
            *now = a.as_ref().ok().and_then(|a| Some(a.header.as_ref()?.revision)).unwrap_or(*now);
            both.same(&asked, plain(a, txn_header), plain(b, txn_header));
        }
        78..=80 => {
            let revision = (*now - i64::from(random.below(30)) + i64::from(random.below(3))).max(1);
            both.settle(*now).await;
            let (a, b) = (ours.compact(revision).await, theirs.compact(revision).await);
            both.same(&("compact", revision), plain(a, |a| &mut a.header), plain(b, |a| &mut a.header));
        }
        81..=90 => lease(random, both).await.into_iter().for_each(|revision| *now = revision),
        91..=97 => {
            let request = random.watch(*now);
            // An id is not taken again where it was used up: whose events are whose would not be clear.
            if request.watch_id == 0 || both.ours.told.created.iter().all(|(id, ..)| *id != request.watch_id) {
                both.watch(request).await;
            }
        }
        _ => {
            let id = i64::from(random.below(8));
            both.cancel(id, *now).await;
        }
    }
}

/// The revision after it, where it may have changed.
async fn lease(random: &mut Random, both: &mut Both) -> Option<i64> {
    let (ours, theirs) = (both.ours.peer.clone(), both.theirs.peer.clone());
    let id = i64::from(random.below(4)) + 1;
    match random.below(5) {
        0 | 1 => {
            let asked =
                LeaseGrantRequest { ttl: [-1, 2_000, 9_000_000_000, 9_000_000_001][random.below(4) as usize], id };
            // One that soon runs out would do so at its own time on each side.
            let asked = LeaseGrantRequest { ttl: if asked.ttl < 0 { 5_000 } else { asked.ttl }, ..asked };
            let path = "/etcdserverpb.Lease/LeaseGrant";
            let a = ours.call::<LeaseGrantResponse>(path, &asked).await;
            let b = theirs.call::<LeaseGrantResponse>(path, &asked).await;
            both.same(&asked, plain(a, |a| &mut a.header), plain(b, |a| &mut a.header));
            None
        }
        2 => {
            let (asked, path) = (LeaseRevokeRequest { id }, "/etcdserverpb.Lease/LeaseRevoke");
            let a = ours.call::<LeaseRevokeResponse>(path, &asked).await;
            let b = theirs.call::<LeaseRevokeResponse>(path, &asked).await;
            let now = a.as_ref().ok().and_then(|a| Some(a.header.as_ref()?.revision));
            both.same(&asked, plain(a, |a| &mut a.header), plain(b, |a| &mut a.header));
            now
        }
        3 => {
            let asked = LeaseTimeToLiveRequest { id, keys: true };
            let path = "/etcdserverpb.Lease/LeaseTimeToLive";
            let sorted = |answer: Result<LeaseTimeToLiveResponse, Status>| {
                answer.map(|mut a| {
                    a.keys.sort();
                    // A second more or less is how long the calls took.
                    a.ttl = if a.ttl > 0 { 1 } else { a.ttl };
                    a
                })
            };
            let a = sorted(ours.call(path, &asked).await);
            let b = sorted(theirs.call(path, &asked).await);
            both.same(&asked, plain(a, |a| &mut a.header), plain(b, |a| &mut a.header));
            None
        }
        _ => {
            let path = "/etcdserverpb.Lease/LeaseLeases";
            let sorted = |answer: Result<LeaseLeasesResponse, Status>| {
                answer.map(|mut a| {
                    a.leases.sort_by_key(|l| l.id);
                    a
                })
            };
            let a = sorted(ours.call(path, &LeaseLeasesRequest {}).await);
            let b = sorted(theirs.call(path, &LeaseLeasesRequest {}).await);
            both.same(&"leases", plain(a, |a| &mut a.header), plain(b, |a| &mut a.header));
            None
        }
    }
}
