//! What was spent of accounts, as it is kept: rows of the store, and while the disk is full its spare file.
//!
//! The spare file holds all that the rows do not: it is carried over with the first commit for which there is room again,
//! in which a row says up to which number it was. So a login is sent on a full disk, too, and is counted over restarts.

use super::lockout::{History, Tag, Tried};
use crate::{
    base::{Clock, Kind, Wall},
    store::{self, Batch, Codec, Keyspace, Store},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// By account: what of it is not simply well.
pub(super) const LOGINS: Keyspace<Row> = Keyspace::new(0x40, "logins", Codec::Json);
/// What passwords are hashed with.
const KEY: Keyspace<String> = Keyspace::new(0x41, "login key", Codec::Json);
/// The one row of `KEY`.
const KEY_ROW: &[u8] = b"key";
/// Up to which number values of the spare file are in the rows.
const CARRIED: Keyspace<u64> = Keyspace::new(0x42, "logins carried over", Codec::Json);
/// The one row of `CARRIED`.
const CARRIED_ROW: &[u8] = b"spare";
/// No lock and no rest is believed to last longer, whatever a row says.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// An account as it is kept. Times are the host's; one that was set back, or a year ahead, is told by `at`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// When it was written.
    at: Wall,
    lock: Option<Wall>,
    tried: Vec<RowTried>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct RowTried {
    tag: Tag,
    isapi: u32,
    rtsp: u32,
    unheard: u32,
    forgiven: u32,
    extra: u32,
    locked_since: bool,
    rest: Wall,
}

impl Row {
    pub(super) fn of(history: &History, now: Instant, at: Wall) -> Self {
        let wall = |then: Instant| at.plus(then.saturating_duration_since(now).min(AHEAD_MAX));
        let tried = |t: &Tried| RowTried {
            tag: t.tag.clone(),
            isapi: t.isapi,
            rtsp: t.rtsp,
            unheard: t.unheard,
            forgiven: t.forgiven,
            extra: t.extra,
            locked_since: t.locked_since,
            rest: wall(t.rest),
        };
        Self { at, lock: history.lock.map(wall), tried: history.tried.iter().map(tried).collect() }
    }

    /// What is left of it `now`. A clock that was set back makes nothing last longer than it did when it was written.
    pub(super) fn history(&self, now: Instant, wall: Wall) -> History {
        let instant = |then: Wall| {
            let left = then.micros_since(wall).min(then.micros_since(self.at)).max(0);
            now + Duration::from_micros(left.unsigned_abs()).min(AHEAD_MAX)
        };
        let tried = |t: &RowTried| Tried {
            tag: t.tag.clone(),
            isapi: t.isapi,
            rtsp: t.rtsp,
            unheard: t.unheard,
            forgiven: t.forgiven,
            extra: t.extra,
            locked_since: t.locked_since,
            rest: instant(t.rest),
        };
        History { lock: self.lock.map(instant), tried: self.tried.iter().map(tried).collect() }
    }

    fn same_as(&self, other: &Self) -> bool {
        self.tried == other.tried && self.lock == other.lock
    }
}

/// What the spare file holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Spare {
    /// What passwords are hashed with, as hexadecimal digits: of no use without.
    key: String,
    /// By account; None: nothing of it is spent any more.
    rows: BTreeMap<String, Option<Row>>,
}

/// What of the spare file is not in rows yet.
#[derive(Default)]
struct Uncarried {
    /// The number of the newest value that counts; None: rows say it all.
    number: Option<u64>,
    /// The newest number that does not count any more.
    carried: u64,
    spare: Spare,
}

/// Where rows go. Without a store nothing outlives the process.
#[derive(Clone)]
pub(super) struct Records {
    store: Option<Store>,
    pub clock: Clock,
    /// Held while the spare file is written, so that no value of it misses what another one had.
    uncarried: Arc<Mutex<Uncarried>>,
}

/// What passwords are hashed with.
pub(super) type Key = [u8; 32];
/// What earlier runs left: the key, and the rows by account.
pub(super) type Left = (Key, BTreeMap<String, Row>);

impl Records {
    pub(super) fn new(store: Option<Store>, clock: Clock) -> Self {
        Self { store, clock, uncarried: Arc::default() }
    }

    /// What earlier runs left; `fresh`: the key to take where they left none. None without a store.
    pub(super) async fn load(&self, fresh: Key) -> Result<Option<Left>, store::Error> {
        let Some(reader) = self.store.clone() else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || {
            let rows = reader.range(&LOGINS, ..).collect::<Result<Vec<_>, _>>()?;
            let carried = reader.get(&CARRIED, CARRIED_ROW)?.unwrap_or(0);
            Ok::<_, store::Error>((reader.get(&KEY, KEY_ROW)?, rows, carried, reader.spare()?))
        });
        let (key, rows, carried, spare) = read.await.map_err(|e| store::Error::Storage(e.to_string()))??;
        let name = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        let mut rows: BTreeMap<_, _> = rows.into_iter().map(|(account, row)| (name(account), row)).collect();
        let mut uncarried = self.uncarried.lock().await;
        uncarried.carried = carried;
        if let Some((number, value)) = spare.filter(|(number, _)| *number > carried) {
            uncarried.number = Some(number);
            uncarried.spare = serde_json::from_slice(&value)
                .map_err(|e| store::Error::Storage(format!("what the spare file holds of logins: {e}")))?;
        }
        for (account, row) in &uncarried.spare.rows {
            match row {
                Some(row) => rows.insert(account.clone(), row.clone()),
                None => rows.remove(account),
            };
        }
        let saved = key.as_deref().and_then(from_hex);
        let key = saved.or(from_hex(&uncarried.spare.key)).unwrap_or(fresh);
        uncarried.spare.key = hex(&key);
        if saved.is_none() {
            self.save(&mut uncarried).await?;
        }
        Ok(Some((key, rows)))
    }

    /// Makes durable what is spent of an account; `before`: what was written last, so that nothing is written twice.
    pub(super) async fn write(
        &self,
        name: &str,
        history: &History,
        before: &mut Option<Row>,
    ) -> Result<(), store::Error> {
        let row = Row::of(history, Instant::now(), self.clock.wall());
        let row = Some(row).filter(|_| *history != History::default());
        let same = match (&row, &*before) {
            (None, None) => true,
            (Some(row), Some(before)) => row.same_as(before),
            _ => false,
        };
        if !same {
            if let Some(store) = &self.store {
                self.put(store, name, &row).await?;
            }
            *before = row;
        }
        Ok(())
    }

    async fn put(&self, store: &Store, name: &str, row: &Option<Row>) -> Result<(), store::Error> {
        let is_carried = self.uncarried.lock().await.number.is_none();
        if is_carried {
            // Many accounts at once are one commit.
            match store.commit(put(Batch::new(), name, row)?).await {
                Err(e) if e.kind() == Kind::NoSpace => {}
                other => return other.map(drop),
            }
        }
        let mut uncarried = self.uncarried.lock().await;
        let before = uncarried.spare.rows.insert(name.to_owned(), row.clone());
        let saved = self.save(&mut uncarried).await;
        if saved.is_err() {
            // It does not hold what nobody was told that it holds.
            match before {
                Some(before) => uncarried.spare.rows.insert(name.to_owned(), before),
                None => uncarried.spare.rows.remove(name),
            };
        }
        saved
    }

    /// Carries all over into rows, or keeps it in the spare file where there is no room for them.
    async fn save(&self, uncarried: &mut Uncarried) -> Result<(), store::Error> {
        let Some(store) = &self.store else { return Ok(()) };
        let mut batch = Batch::new();
        for (name, row) in &uncarried.spare.rows {
            batch = put(batch, name, row)?;
        }
        batch = batch.put(&KEY, KEY_ROW, &uncarried.spare.key)?;
        let carried = uncarried.number.unwrap_or(uncarried.carried);
        match store.commit(batch.put(&CARRIED, CARRIED_ROW, &carried)?).await {
            Err(e) if e.kind() == Kind::NoSpace => {
                let value = serde_json::to_vec(&uncarried.spare).map_err(|e| store::Error::Invalid(e.to_string()))?;
                let number = store.keep_spare(value, carried).await?;
                if uncarried.number.replace(number).is_none() {
                    tracing::warn!("no room for rows, what is spent of accounts is kept in the store's spare file");
                }
            }
            Err(e) => return Err(e),
            Ok(_) => {
                uncarried.carried = carried;
                uncarried.number = None;
                uncarried.spare.rows.clear();
            }
        }
        Ok(())
    }
}

fn put(batch: Batch, name: &str, row: &Option<Row>) -> Result<Batch, store::Error> {
    match row {
        Some(row) => batch.put(&LOGINS, name.as_bytes(), row),
        None => Ok(batch.delete(&LOGINS, name.as_bytes())),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Key> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let bytes = text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}
