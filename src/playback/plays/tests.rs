//! Plays over a real store: who is let in, what it costs to be wrong, what is kept.

use super::{
    Asking, Config, Deps, Entry, Error, Given, Knock, PasswordHash, Play, PlayId, PlaySpec, Plays, PlaysTask, Services,
    Shown, View, pass::FILES, task::ENDED_KEPT,
};
use crate::{
    base::{Clock, Metrics, Secret, Wall},
    disk::{Disk, Files},
    events::Events,
    model::Range,
    store::{self, Store},
};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// A registry without services.
pub(in crate::playback) struct Nobody;

impl Services for Nobody {
    fn targets(&self, _: &str) -> Option<Arc<[SocketAddr]>> {
        None
    }
}

/// Plays over a store in a directory.
pub(in crate::playback) fn plays_in(dir: &Path, clock: &Clock, metrics: &Metrics) -> (Plays, PlaysTask) {
    let store = Store::open(&dir.join("store"), store::Options::default(), &Files::real(), metrics).unwrap();
    let deps = Deps {
        store,
        disk: Disk::real(1),
        events: Events::discard(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        services: Arc::new(Nobody),
    };
    // Making the key that links are signed with waits for the store's own thread.
    std::thread::scope(|scope| scope.spawn(|| super::build(Config::default(), deps).unwrap()).join().unwrap())
}

struct World {
    dir: TempDir,
    clock: Clock,
    plays: Plays,
    task: PlaysTask,
}

fn start() -> Wall {
    "2026-11-21T08:30:00Z".parse().unwrap()
}

impl World {
    fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap(), Clock::simulated(start()))
    }

    fn within(dir: TempDir, clock: Clock) -> Self {
        let (plays, task) = plays_in(dir.path(), &clock, &Metrics::default());
        Self { dir, clock, plays, task }
    }

    /// Ends and begins anew, as a process does.
    async fn restarted(self) -> Self {
        self.plays.store().close().await;
        let Self { dir, clock, plays, task } = self;
        drop((plays, task));
        Self::within(dir, clock)
    }

    async fn make(&self, password: Option<&str>, viewers_max: Option<u32>) -> Arc<Play> {
        let hash = match password {
            Some(password) => Some(self.plays.hash(Secret::new(password)).await.unwrap()),
            None => None,
        };
        let spec = PlaySpec {
            stream: "nvr1/3/main".parse().unwrap(),
            shown: Shown::Recorded(Range { from: start().plus_micros(-60_000_000), to: start() }),
            expires_in: Some(Duration::from_secs(3600)),
            viewers_max,
        };
        self.plays.create(spec, hash).await.unwrap()
    }

    async fn by(&self, play: &PlayId, password: Option<&str>, address: &str) -> Result<Entry, Error> {
        let given = match password {
            Some(password) => Given::Password { user: "me".into(), password: Secret::new(password) },
            None => Given::Nothing,
        };
        self.plays.enter(Knock { given, ..knock(play, address) }).await
    }

    async fn by_pass(&self, play: &PlayId, pass: &str, target: &str) -> Result<Entry, Error> {
        self.plays.enter(Knock { pass: Some(pass), target, ..knock(play, "192.0.2.9") }).await
    }

    async fn views(&self) -> Vec<View> {
        self.plays.views(None, None, 1000).await.unwrap().into_iter().map(|(_, view)| view).collect()
    }

    async fn passes(&self, length: Duration) {
        tokio::time::advance(length).await;
    }
}

fn knock<'a>(play: &'a PlayId, address: &str) -> Knock<'a> {
    Knock {
        play,
        target: FILES,
        pass: None,
        given: Given::Nothing,
        keeps_pass: false,
        address: Some(address.parse::<IpAddr>().unwrap()),
        agent: Some("player/1"),
        cookie: None,
    }
}

fn word(result: Result<Entry, Error>) -> &'static str {
    match result {
        Ok(_) => "in",
        Err(Error::NotKnown) => "unknown",
        Err(Error::Revoked) => "revoked",
        Err(Error::Expired) => "expired",
        Err(Error::PasswordNeeded) => "needed",
        Err(Error::WrongPassword) => "wrong",
        Err(Error::NoPass) => "no pass",
        Err(Error::Refused(_)) => "refused",
        Err(Error::Full(_)) => "full",
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_password_lets_in_and_wrong_ones_are_slowed_and_refused() {
    let world = World::new();
    let id = world.make(Some("richtig"), None).await.id.clone();
    assert_eq!(word(world.by(&id, None, "192.0.2.1").await), "needed");
    assert_eq!(word(world.by(&id, Some("richtig"), "192.0.2.1").await), "in");
    let began = world.clock.now();
    for _ in 0..5 {
        assert_eq!(word(world.by(&id, Some("falsch"), "192.0.2.1").await), "wrong");
    }
    assert_eq!((world.clock.now() - began).as_millis(), 2_600, "each was answered later than the one before");
    assert_eq!(word(world.by(&id, Some("falsch"), "192.0.2.1").await), "refused");
    assert_eq!(word(world.by(&id, Some("richtig"), "192.0.2.1").await), "refused", "not even looked at");
    assert_eq!(word(world.by(&id, None, "192.0.2.1").await), "needed", "no password is no try");
    assert_eq!(word(world.by(&id, Some("richtig"), "192.0.2.2").await), "in", "from elsewhere it is");
    world.passes(Duration::from_secs(61)).await;
    assert_eq!(word(world.by(&id, Some("richtig"), "192.0.2.1").await), "in");
    for _ in 0..4 {
        assert_eq!(word(world.by(&id, Some("falsch"), "192.0.2.1").await), "wrong", "forgiven by the right one");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_over_says_so_before_any_password_is_looked_at() {
    let world = World::new();
    let (a, b) = (world.make(Some("x"), None).await.id.clone(), world.make(None, None).await.id.clone());
    assert_eq!(word(world.by(&"0".repeat(32).parse().unwrap(), Some("x"), "192.0.2.1").await), "unknown");
    let entry = world.by(&b, None, "192.0.2.1").await.unwrap();
    let watching = entry.watch(None).await.unwrap();
    assert!(!watching.stop().is_cancelled());
    world.plays.revoke(&b).await.unwrap();
    assert!(watching.stop().is_cancelled(), "what is being sent ends at once");
    assert_eq!(word(world.by(&b, None, "192.0.2.1").await), "revoked");
    assert_eq!(word(world.by_pass(&b, &entry.pass(), FILES).await), "revoked", "its links too");
    assert!(world.plays.get(&b).is_none() && world.plays.list().len() == 1);
    assert!(matches!(world.plays.revoke(&b).await, Err(Error::NotKnown)));
    let open = world.by(&a, Some("x"), "192.0.2.1").await.unwrap().watch(None).await.unwrap();
    world.passes(Duration::from_secs(3600)).await;
    for password in [None, Some("falsch"), Some("x")] {
        assert_eq!(word(world.by(&a, password, "192.0.2.1").await), "expired", "{password:?}");
    }
    world.task.tend().await;
    assert!(open.stop().is_cancelled(), "and what was being sent has ended");
    drop((entry, watching, open));
    let world = world.restarted().await;
    assert_eq!(word(world.by(&a, None, "192.0.2.1").await), "expired");
    assert_eq!(word(world.by(&b, None, "192.0.2.1").await), "revoked");
    world.passes(ENDED_KEPT).await;
    world.task.tend().await;
    assert_eq!(word(world.by(&b, None, "192.0.2.1").await), "unknown", "a month later nothing is kept of it");
    assert_eq!(word(world.restarted().await.by(&b, None, "192.0.2.1").await), "unknown");
}

#[tokio::test(start_paused = true)]
async fn a_link_is_good_for_its_name_and_for_as_long_as_somebody_uses_it() {
    let world = World::new();
    let id = world.make(Some("x"), None).await.id.clone();
    let entry = world.by(&id, Some("x"), "192.0.2.1").await.unwrap();
    let (files, part) = (entry.pass(), entry.sign("hls/a"));
    assert_eq!(word(world.by_pass(&id, &files, FILES).await), "in", "from anywhere, without the password");
    assert_eq!(word(world.by_pass(&id, &part, "hls/a").await), "in");
    for (pass, target, said) in [
        (&part, FILES, "needed"),
        (&"x".to_owned(), FILES, "needed"),
        (&part, "hls/b", "no pass"),
        (&files, "hls/a", "no pass"),
    ] {
        assert_eq!(word(world.by_pass(&id, pass, target).await), said, "{target}");
    }
    let given = Given::Password { user: String::new(), password: Secret::new("x") };
    let by_password = world.plays.enter(Knock { target: "hls/a", given, ..knock(&id, "192.0.2.1") }).await;
    assert_eq!(word(by_password), "no pass", "the password opens the play, not what lies beside it");
    let other = world.make(Some("x"), None).await.id.clone();
    assert_eq!(word(world.by_pass(&other, &files, FILES).await), "needed");
    drop(entry);
    let world = world.restarted().await;
    assert_eq!(word(world.by_pass(&id, &files, FILES).await), "in", "a restart asks nobody again");
    for _ in 0..4 {
        world.passes(Duration::from_secs(10 * 60)).await;
        let entry = world.by_pass(&id, &files, FILES).await.unwrap();
        drop(entry.watch(None).await.unwrap());
    }
    world.passes(Duration::from_secs(15 * 60)).await;
    assert_eq!(word(world.by_pass(&id, &files, FILES).await), "needed", "left alone it goes stale");
}

#[tokio::test(start_paused = true)]
async fn as_many_watch_as_may() {
    let world = World::new();
    let id = world.make(None, Some(1)).await.id.clone();
    let first = world.by(&id, None, "192.0.2.1").await.unwrap();
    first.has_place().unwrap();
    let watching = first.watch(None).await.unwrap();
    let second = world.by(&id, None, "192.0.2.2").await.unwrap();
    let Err(Error::Full(wait)) = second.watch(None).await else { panic!("two watch") };
    assert!(wait >= Duration::from_secs(1) && second.has_place().is_err());
    let again = world.by(&id, None, "192.0.2.1").await.unwrap();
    assert!(matches!(again.watch(None).await, Err(Error::Full(_))), "two downloads at once are two who watch");
    assert_eq!(world.plays.totals(&id).viewers, 1);
    drop(watching);
    let again = world.by(&id, None, "192.0.2.1").await.unwrap();
    drop(again.watch(None).await.unwrap());
    assert!(second.watch(None).await.is_err(), "who fetches piece by piece keeps the place for a minute");
    world.passes(Duration::from_secs(60)).await;
    second.watch(None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_view_is_written_down_and_outlives_the_process() {
    let world = World::new();
    let id = world.make(Some("x"), None).await.id.clone();
    let entry = world.by(&id, Some("x"), "192.0.2.1").await.unwrap();
    let of = |from: i64, to: i64| Range { from: start().plus_micros(from), to: start().plus_micros(to) };
    let watching = entry.watch(Some(of(-50_000_000, -40_000_000))).await.unwrap();
    watching.sent(1000);
    // Nothing was tended yet: it is there because it was written before the first byte.
    let world = {
        drop(watching);
        drop(entry);
        world.restarted().await
    };
    let view = world.views().await.remove(0);
    assert_eq!((view.play.as_str(), view.user.as_deref(), view.bytes), (id.as_str(), Some("me"), 0));
    assert_eq!(view.address, Some("192.0.2.1".parse().unwrap()));
    assert_eq!((view.agent.as_deref(), view.stream.to_string().as_str()), (Some("player/1"), "nvr1/3/main"));

    let entry = world.by(&id, Some("x"), "192.0.2.2").await.unwrap();
    world.passes(Duration::from_secs(1)).await;
    entry.watch(Some(of(-30_000_000, -20_000_000))).await.unwrap().sent(700);
    entry.watch(Some(of(-40_000_000, -30_000_000))).await.unwrap().sent(300);
    world.task.tend().await;
    drop(entry);
    let world = world.restarted().await;
    let view = world.views().await.remove(0);
    assert_eq!((view.bytes, view.requests), (1000, 2), "the newest first");
    let at = |micros: i64| Some(start().plus_micros(micros));
    assert_eq!((view.from, view.to), (at(-40_000_000), at(-20_000_000)));
    let other = world.make(None, None).await.id.clone();
    assert!(world.plays.views(Some(other), None, 10).await.unwrap().is_empty());
    assert_eq!(world.plays.views(Some(id), None, 10).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn views_are_bounded_and_paged() {
    let world = World::new();
    let id = world.make(None, None).await.id.clone();
    for n in 1..=30u8 {
        let entry = world.by(&id, None, &format!("192.0.2.{n}")).await.unwrap();
        entry.watch(None).await.unwrap();
        world.passes(Duration::from_millis(10)).await;
    }
    PlaysTask::keeping(world.plays.clone(), 20).tend().await;
    let first = world.plays.views(None, None, 15).await.unwrap();
    let rest = world.plays.views(None, Some(first[14].0.clone()), 15).await.unwrap();
    let last = |views: &[(Vec<u8>, View)]| views.iter().map(|(_, v)| v.address.unwrap().to_string()).next_back();
    assert_eq!((first.len(), rest.len()), (15, 5));
    assert_eq!((last(&first).as_deref(), last(&rest).as_deref()), (Some("192.0.2.16"), Some("192.0.2.11")));
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_shown_by_what_is_kept_or_printed() {
    let world = World::new();
    let play = world.make(Some("geheim"), None).await;
    let shown = format!("{play:?}{:?}", Given::Password { user: "u".into(), password: Secret::new("geheim") });
    assert!(!shown.contains("geheim") && !shown.contains("argon2"), "{shown}");
    let hash = play.password.clone().unwrap();
    let again = world.restarted().await;
    assert_eq!(again.plays.get(&play.id).unwrap().password, Some(hash));
    let file = std::fs::read(again.dir.path().join("store/db")).unwrap();
    assert!(!file.windows(6).any(|w| w == b"geheim"), "the password is in the store as it was typed");
}

#[tokio::test]
async fn somebody_else_may_decide() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/may?x=1", listener.local_addr().unwrap());
    let group = crate::base::TaskGroup::new();
    let heads: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let seen = heads.clone();
    let stop = group.stop_token();
    group.spawn(
        "authorizer",
        stop.run_until_cancelled_owned(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let n = socket.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..n]).to_lowercase();
                // `me:richtig`
                let status = match () {
                    () if head.contains("basic bwu6cmljahrpzw==") || head.contains("basic bwu6cmljahrpzw") => {
                        "204 No Content"
                    }
                    () if head.contains("basic") => "403 Forbidden",
                    () if head.contains("cookie: vip=1") => "200 OK",
                    () => "401 Unauthorized",
                };
                seen.lock().unwrap().push(head);
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        }),
    );
    let world = World::within(tempfile::tempdir().unwrap(), Clock::real());
    let id = world.make(Some("eigenes"), None).await.id.clone();
    world.plays.apply(Config { authorize: Some(Asking::parse(&url).unwrap()), ..Config::default() });
    assert_eq!(word(world.by(&id, None, "192.0.2.1").await), "needed");
    assert_eq!(word(world.by(&id, Some("eigenes"), "192.0.2.1").await), "wrong", "our own password is not asked");
    assert_eq!(word(world.by(&id, Some("richtig"), "192.0.2.1").await), "in");
    let cookie = http::HeaderValue::from_static("vip=1");
    let by_cookie = world.plays.enter(Knock { cookie: Some(&cookie), ..knock(&id, "192.0.2.1") }).await;
    assert_eq!(word(by_cookie), "in");
    for _ in 0..5 {
        word(world.by(&id, Some("falsch"), "192.0.2.3").await);
    }
    let asked = heads.lock().unwrap().len();
    assert_eq!(word(world.by(&id, Some("richtig"), "192.0.2.3").await), "refused");
    assert_eq!(heads.lock().unwrap().len(), asked, "nobody is asked for who guesses");
    let head = heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("get /may?x=1 "), "{head}");
    for line in
        ["x-skyvis-stream: nvr1/3/main", "x-forwarded-for: 192.0.2.1", "x-skyvis-from: 2026-11-21t08:29:00.000z"]
    {
        assert!(head.contains(line), "{line} in {head}");
    }
    group.stop(Duration::from_secs(5)).await;
    let gone = world.by(&id, Some("richtig"), "192.0.2.4").await;
    assert!(matches!(gone, Err(Error::Authorizer(_))), "who does not answer lets nobody in");
    assert!(matches!(world.by(&id, None, "192.0.2.4").await, Err(Error::Authorizer(_))));
}

#[tokio::test]
async fn more_passwords_at_once_than_can_be_hashed_are_told_to_come_again() {
    let world = World::within(tempfile::tempdir().unwrap(), Clock::real());
    let hash = PasswordHash::of(&Secret::new("x")).unwrap();
    let one = || world.plays.verify(hash.clone(), Secret::new("x"));
    let all = futures_util::future::join_all((0..80).map(|_| one())).await;
    let busy = all.iter().filter(|done| matches!(done, Err(Error::Busy))).count();
    assert_eq!((busy, all.iter().filter(|done| done.is_ok()).count()), (16, 64));
}
