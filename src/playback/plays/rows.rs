//! Plays and views as they are kept.

use super::{Play, PlayId, Shown, password::PasswordHash, places::VisitId};
use crate::{
    base::{Secret, Wall},
    model::{Range, StreamKey},
    store::{self, Batch, Codec, Keyspace, Store},
};
use serde::{Deserialize, Serialize};
use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

/// By id. As JSON, so that fields can be added later.
pub(super) const PLAYS: Keyspace<PlayRow> = Keyspace::new(0x60, "plays", Codec::Json);
/// By the time at which they began.
pub(super) const VIEWS: Keyspace<View> = Keyspace::new(0x61, "views of plays", Codec::Json);
/// What links are signed with.
const KEY: Keyspace<String> = Keyspace::new(0x62, "play key", Codec::Json);
/// The one row of `KEY`.
const KEY_ROW: &[u8] = b"key";
/// The longest text of a client's that is kept.
const TEXT_CHARS_MAX: usize = 200;

/// A play as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlayRow {
    stream: StreamKey,
    /// Microseconds, as all times here; none where it shows what is live.
    from: Option<i64>,
    to: Option<i64>,
    password: Option<String>,
    created: i64,
    expires: i64,
    viewers_max: Option<u32>,
    revoked: Option<i64>,
}

impl PlayRow {
    pub(super) fn of(play: &Play) -> Self {
        let range = match play.shown {
            Shown::Recorded(range) => Some(range),
            Shown::Live => None,
        };
        Self {
            stream: play.stream.clone(),
            from: range.map(|r| r.from.micros()),
            to: range.map(|r| r.to.micros()),
            password: play.password.as_ref().map(|hash| hash.as_str().to_owned()),
            created: play.created.micros(),
            expires: play.expires.micros(),
            viewers_max: play.viewers_max.map(NonZeroU32::get),
            revoked: play.revoked.map(Wall::micros),
        }
    }

    /// None where a password is kept that cannot be read: such a play must not be open to everybody.
    fn play(self, id: PlayId) -> Option<Play> {
        let at = Wall::from_micros;
        let shown = match (self.from, self.to) {
            (Some(from), Some(to)) => Shown::Recorded(Range { from: at(from), to: at(to) }),
            _ => Shown::Live,
        };
        let password = self.password.map(|text| PasswordHash::parse(&text)).transpose().ok()?;
        Some(Play {
            id,
            stream: self.stream,
            shown,
            password,
            created: at(self.created),
            expires: at(self.expires),
            viewers_max: self.viewers_max.and_then(NonZeroU32::new),
            revoked: self.revoked.map(at),
        })
    }
}

/// All plays. Blocks.
pub(super) fn plays(store: &Store) -> Result<Vec<Play>, store::Error> {
    let mut all = Vec::new();
    for row in store.range(&PLAYS, ..) {
        let (key, row) = row?;
        let id = std::str::from_utf8(&key).ok().and_then(|id| id.parse::<PlayId>().ok());
        match id.and_then(|id| row.play(id)) {
            Some(play) => all.push(play),
            None => tracing::warn!("a play that is kept cannot be read and is not shown"),
        }
    }
    Ok(all)
}

/// What links are signed with, made where there is none. Blocks.
pub(super) fn key(store: &Store) -> Result<Secret, store::Error> {
    if let Some(key) = store.get(&KEY, KEY_ROW)? {
        return Ok(Secret::new(key));
    }
    let key = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    store.commit_blocking(Batch::new().put(&KEY, KEY_ROW, &key)?)?;
    Ok(Secret::new(key))
}

/// Somebody watched a play: who, what of it, from where, how many bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct View {
    /// The play's id.
    pub play: String,
    /// The stream that it shows.
    pub stream: StreamKey,
    /// Names the visit: one person, browser or program.
    pub visit: String,
    /// The user name that was sent with the password; null where none was.
    pub user: Option<String>,
    /// Where it came from; null: a unix socket.
    pub address: Option<std::net::IpAddr>,
    /// What the client says that it is.
    pub agent: Option<String>,
    /// The first request for footage.
    pub began: Wall,
    /// When the last byte was sent.
    pub last: Wall,
    /// The begin of what was sent; null where nothing was.
    pub from: Option<Wall>,
    /// The end of what was sent.
    pub to: Option<Wall>,
    /// Bytes sent.
    pub bytes: u64,
    /// Answers given.
    pub requests: u64,
}

/// A view that goes on: what is counted while it is sent, and when it was written down.
pub(super) struct Viewing {
    begun: View,
    key: [u8; 16],
    last: AtomicI64,
    from: AtomicI64,
    to: AtomicI64,
    bytes: AtomicU64,
    requests: AtomicU64,
    /// Something has changed since it was written down.
    changed: AtomicBool,
    /// It was written down at all.
    pub(super) kept: AtomicBool,
}

/// Who watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Who {
    pub(super) user: Option<String>,
    pub(super) address: Option<std::net::IpAddr>,
    pub(super) agent: Option<String>,
}

impl Viewing {
    pub(super) fn new(play: &Play, visit: VisitId, who: Who, now: Wall) -> Self {
        let clip = |text: String| text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect::<String>();
        let begun = View {
            play: play.id.to_string(),
            stream: play.stream.clone(),
            visit: format!("{:016x}", visit.0),
            user: who.user.map(clip).filter(|user| !user.is_empty()),
            address: who.address,
            agent: who.agent.map(clip),
            began: now,
            last: now,
            from: None,
            to: None,
            bytes: 0,
            requests: 0,
        };
        let mut key = [0; 16];
        key[..8].copy_from_slice(&now.micros().to_be_bytes());
        key[8..].copy_from_slice(&visit.0.to_be_bytes());
        Self {
            begun,
            key,
            last: AtomicI64::new(now.micros()),
            from: AtomicI64::new(i64::MAX),
            to: AtomicI64::new(i64::MIN),
            bytes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            changed: AtomicBool::new(false),
            kept: AtomicBool::new(false),
        }
    }

    /// When it began.
    pub(super) fn began(&self) -> Wall {
        self.begun.began
    }

    /// An answer begins, with footage of this time.
    pub(super) fn answered(&self, range: Option<Range>, now: Wall) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(range) = range {
            self.from.fetch_min(range.from.micros(), Ordering::Relaxed);
            self.to.fetch_max(range.to.micros(), Ordering::Relaxed);
        }
        self.sent(0, now);
    }

    /// Bytes of it were sent.
    pub(super) fn sent(&self, bytes: u64, now: Wall) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.last.fetch_max(now.micros(), Ordering::Relaxed);
        self.changed.store(true, Ordering::Release);
    }

    /// Bytes of what happens now were sent.
    pub(super) fn showed(&self, bytes: u64, now: Wall) {
        self.to.fetch_max(now.micros(), Ordering::Relaxed);
        self.sent(bytes, now);
    }

    /// What it comes to by now.
    pub(super) fn view(&self) -> View {
        let (from, to) = (self.from.load(Ordering::Relaxed), self.to.load(Ordering::Relaxed));
        let some = from <= to;
        View {
            last: Wall::from_micros(self.last.load(Ordering::Relaxed)),
            from: some.then(|| Wall::from_micros(from)),
            to: some.then(|| Wall::from_micros(to)),
            bytes: self.bytes.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            ..self.begun.clone()
        }
    }

    /// Adds it to what is to be written, if it has changed.
    pub(super) fn write(&self, batch: Batch) -> Result<Batch, store::Error> {
        match self.changed.swap(false, Ordering::Acquire) {
            true => batch.put(&VIEWS, &self.key, &self.view()),
            false => Ok(batch),
        }
    }

    /// It could not be written.
    pub(super) fn unwritten(&self) {
        self.changed.store(true, Ordering::Release);
    }
}
