//! The handle of all plays, and what stands behind it.

use super::{
    Config, Deps, Error, Play, PlayId, PlaySpec, Services, View,
    pass::Signer,
    password::PasswordHash,
    places::Places,
    rows::{self, PLAYS, PlayRow, VIEWS, Viewing},
    tries::Tries,
};
use crate::{
    base::{Clock, Kind, Metrics, Secret, Wall, metrics::Counter},
    disk::Disk,
    events::Events,
    store::{self, Batch, Store},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

/// Plays that are kept, those that are over among them.
pub(super) const PLAYS_MAX: usize = 20_000;
/// Passwords are hashed on so many threads: each takes 19 MiB and a core for 20 ms.
const HASH_THREADS: usize = 2;
/// Passwords that wait to be hashed; who comes beyond is told to come again.
const HASHES_WAITING_MAX: usize = 64;
/// Questions to who decides instead of us, at once.
const QUESTIONS_MAX: usize = 64;

/// All plays. Cheap to clone.
#[derive(Clone)]
pub struct Plays(Arc<Inner>);

struct Inner {
    store: Store,
    hashing: Disk,
    hashes: Semaphore,
    questions: Semaphore,
    events: Events,
    clock: Clock,
    meters: Meters,
    services: Arc<dyn Services>,
    signer: Signer,
    config: RwLock<Config>,
    state: Mutex<State>,
}

pub(super) struct State {
    plays: BTreeMap<PlayId, Known>,
    pub(super) tries: Tries,
    pub(super) places: Places<Arc<Viewing>>,
}

#[derive(Clone)]
struct Known {
    play: Arc<Play>,
    /// Fires when it is over.
    stop: CancellationToken,
}

/// What is counted of plays.
pub(super) struct Meters {
    pub(super) views: Counter,
    pub(super) wrong: Counter,
    pub(super) refused: Counter,
    pub(super) full: Counter,
}

impl Meters {
    fn new(metrics: &Metrics) -> Self {
        let counter = |name, help| metrics.register(name, help, Counter::default());
        Self {
            views: counter("plays_views", "Views of plays that began"),
            wrong: counter("plays_wrong_passwords", "Wrong passwords at plays"),
            refused: counter("plays_refused", "Passwords at plays that were not looked at, since too many were wrong"),
            full: counter("plays_full", "Requests for plays that found all places taken"),
        }
    }
}

/// How much use is made of a play now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// People, browsers and programs that watch it.
    pub viewers: usize,
}

impl Plays {
    pub(super) fn open(config: Config, deps: Deps) -> Result<Self, store::Error> {
        let Deps { store, disk, events, clock, metrics, services } = deps;
        let now = clock.wall();
        let known = |play: Play| {
            let stop = CancellationToken::new();
            if play.ended(now).is_some() {
                stop.cancel();
            }
            (play.id.clone(), Known { play: Arc::new(play), stop })
        };
        let plays = rows::plays(&store)?.into_iter().map(known).collect();
        let signer = Signer::new(&rows::key(&store)?);
        let state = State { plays, tries: Tries::default(), places: Places::default() };
        Ok(Self(Arc::new(Inner {
            store,
            hashing: disk.beside(HASH_THREADS),
            hashes: Semaphore::new(HASHES_WAITING_MAX),
            questions: Semaphore::new(QUESTIONS_MAX),
            events,
            clock,
            meters: Meters::new(&metrics),
            services,
            signer,
            config: RwLock::new(config),
            state: Mutex::new(state),
        })))
    }

    /// Takes a new config; requests from now on follow it.
    pub fn apply(&self, config: Config) {
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Hashes a password, where there is a turn for it.
    pub async fn hash(&self, password: Secret) -> Result<PasswordHash, Error> {
        let _turn = self.0.hashes.try_acquire().map_err(|_| Error::Busy)?;
        Ok(self.0.hashing.run(move |_| PasswordHash::of(&password)).await??)
    }

    pub(super) async fn verify(&self, hash: PasswordHash, password: Secret) -> Result<(), Error> {
        let _turn = self.0.hashes.try_acquire().map_err(|_| Error::Busy)?;
        let right = self.0.hashing.run(move |_| hash.holds(&password)).await?;
        right.then_some(()).ok_or(Error::WrongPassword)
    }

    /// Makes a play: durable, then in force.
    pub async fn create(&self, spec: PlaySpec, password: Option<PasswordHash>) -> Result<Arc<Play>, Error> {
        let play = spec.play(PlayId::random(), self.wall(), self.config().expiry_default)?;
        let play = Arc::new(Play { password, ..play });
        if self.with(|state, _| state.plays.len()) >= PLAYS_MAX {
            return Err(Error::TooMany(PLAYS_MAX));
        }
        self.keep(&play).await?;
        let known = Known { play: play.clone(), stop: CancellationToken::new() };
        self.with(|state, _| state.plays.insert(play.id.clone(), known));
        let data = json!({ "stream": play.stream.to_string(), "expires": play.expires });
        self.0.events.emit("play.created", &play.id, data);
        Ok(play)
    }

    /// Takes a play back: durable, and from then on nothing of it is sent.
    pub async fn revoke(&self, id: &PlayId) -> Result<Arc<Play>, Error> {
        let play = self.get(id).ok_or(Error::NotKnown)?;
        let revoked = Arc::new(Play { revoked: Some(self.wall()), ..(*play).clone() });
        self.keep(&revoked).await?;
        let stop = self.with(|state, _| {
            state.tries.forget(id);
            let known = state.plays.get_mut(id)?;
            known.play = revoked.clone();
            Some(known.stop.clone())
        });
        if let Some(stop) = stop {
            stop.cancel();
        }
        self.0.events.emit("play.revoked", id, json!({ "stream": revoked.stream.to_string() }));
        Ok(revoked)
    }

    async fn keep(&self, play: &Play) -> Result<(), Error> {
        let batch = Batch::new().put(&PLAYS, play.id.as_str().as_bytes(), &PlayRow::of(play))?;
        self.0.store.commit(batch).await?;
        Ok(())
    }

    /// A play that was not taken back.
    pub fn get(&self, id: &PlayId) -> Option<Arc<Play>> {
        self.known(id).ok().map(|(play, _)| play).filter(|play| play.revoked.is_none())
    }

    /// All that were not taken back, in the order of their ids.
    pub fn list(&self) -> Vec<Arc<Play>> {
        let open = |known: &Known| known.play.revoked.is_none().then(|| known.play.clone());
        self.with(|state, _| state.plays.values().filter_map(open).collect())
    }

    /// How much use is made of a play now.
    pub fn totals(&self, id: &PlayId) -> Totals {
        Totals { viewers: self.with(|state, mono| state.places.watching(id, mono)) }
    }

    /// Who watched what, the newest first: of one play, or of all; behind `before`, the place of a former answer's last
    /// one. Each with its place.
    pub async fn views(
        &self,
        of: Option<PlayId>,
        before: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, View)>, Error> {
        self.write_down().await?;
        let store = self.0.store.clone();
        let found = self.0.hashing.run(move |_| {
            let end = before.map_or(Bound::Unbounded, Bound::Excluded);
            let rows = store.range(&VIEWS, (Bound::<Vec<u8>>::Unbounded, end)).rev();
            let fits = |row: &Result<(Vec<u8>, View), store::Error>| match (row, &of) {
                (Ok((_, view)), Some(play)) => view.play == play.as_str(),
                _ => true,
            };
            rows.filter(fits).take(limit).collect::<Result<Vec<_>, _>>()
        });
        Ok(found.await??)
    }

    /// Where the oldest views lie.
    pub(super) async fn oldest_views(&self, limit: usize) -> Result<Vec<Vec<u8>>, store::Error> {
        let store = self.0.store.clone();
        let keys = self.0.hashing.run(move |_| store.keys(&VIEWS, ..).take(limit).collect::<Result<Vec<_>, _>>());
        keys.await?
    }

    /// Writes down what was watched since the last time.
    pub(super) async fn write_down(&self) -> Result<(), store::Error> {
        let all: Vec<Arc<Viewing>> = self.with(|state, _| state.places.all().cloned().collect());
        self.write(&all).await
    }

    pub(super) async fn write(&self, viewings: &[Arc<Viewing>]) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        for viewing in viewings {
            batch = viewing.write(batch)?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        let written = self.0.store.commit(batch).await;
        if written.is_err() {
            viewings.iter().for_each(|viewing| viewing.unwritten());
        }
        written.map(drop)
    }

    /// Ends what has expired, and forgets what ended long ago: what is to be deleted.
    pub(super) fn expire(&self, kept: Duration) -> Vec<PlayId> {
        let now = self.wall();
        self.with(|state, _| {
            let mut gone = Vec::new();
            for (id, known) in &state.plays {
                let Some(ended) = known.play.ended(now) else { continue };
                known.stop.cancel();
                if now >= ended.plus(kept) {
                    gone.push(id.clone());
                }
            }
            for id in &gone {
                state.plays.remove(id);
                state.tries.forget(id);
            }
            gone
        })
    }

    /// The play, whatever became of it, and what fires when it is over.
    pub(super) fn known(&self, id: &PlayId) -> Result<(Arc<Play>, CancellationToken), Error> {
        let known = self.with(|state, _| state.plays.get(id).cloned()).ok_or(Error::NotKnown)?;
        Ok((known.play, known.stop))
    }

    /// Looks at or changes what is shared, with the time that never steps.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut State, i64) -> T) -> T {
        let mono = self.0.clock.read().mono_micros;
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner), mono)
    }

    pub(super) fn asking_turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.0.questions.try_acquire().map_err(|_| Error::Busy)
    }

    /// What they are told.
    pub fn config(&self) -> Config {
        self.0.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn wall(&self) -> Wall {
        self.0.clock.wall()
    }

    pub(super) async fn sleep(&self, length: Duration) {
        self.0.clock.sleep(length).await;
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.0.signer
    }

    pub(super) fn services(&self) -> &dyn Services {
        &*self.0.services
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn events(&self) -> &Events {
        &self.0.events
    }

    pub(super) fn meters(&self) -> &Meters {
        &self.0.meters
    }
}

/// Whether a failure of the store is worth a word to the log each time.
pub(super) fn is_told(error: &store::Error) -> bool {
    error.kind() != Kind::Stopped
}
