//! One budget for each account of a device, however many configured devices log in by it, kept over restarts.
//!
//! What was spent is written before a login is sent, and taken back once the device took it: however often skyvis is
//! killed, a login that was sent is counted. Of a password only a keyed hash is kept, to notice that it changed.

use super::{
    DeviceConfig,
    budget::{Account, Budget},
    lockout::{History, Tag, Tried},
};
use crate::{
    base::{Clock, Wall},
    store::{self, Batch, Codec, Keyspace, Store},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// By account: what of it is not simply well.
const LOGINS: Keyspace<Row> = Keyspace::new(0x40, "logins", Codec::Json);
/// What passwords are hashed with.
const KEY: Keyspace<String> = Keyspace::new(0x41, "login key", Codec::Json);
/// The one row of `KEY`.
const KEY_ROW: &[u8] = b"key";
/// Accounts of devices that left the configuration, kept so that removing and adding one gives no further tries.
const LEFT_MAX: usize = 64;
/// No lock and no rest is believed to last longer, whatever a row says.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);
/// Bytes of a tag: enough that no two passwords share one.
const TAG_BYTES: usize = 16;

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

/// Where rows go. Without a store nothing outlives the process.
#[derive(Clone)]
pub(super) struct Records {
    store: Option<Store>,
    pub clock: Clock,
}

impl Records {
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
                let batch = match &row {
                    Some(row) => Batch::new().put(&LOGINS, name.as_bytes(), row)?,
                    None => Batch::new().delete(&LOGINS, name.as_bytes()),
                };
                store.commit(batch).await?;
            }
            *before = row;
        }
        Ok(())
    }
}

/// All accounts.
pub(super) struct Accounts {
    records: Records,
    key: [u8; 32],
    open: BTreeMap<String, Arc<Account>>,
}

impl Accounts {
    /// None yet.
    pub(super) fn new(store: Option<Store>, clock: Clock) -> Self {
        Self { records: Records { store, clock }, key: rand::random(), open: BTreeMap::new() }
    }

    /// Takes in what earlier runs left.
    pub(super) async fn load(&mut self) -> Result<(), store::Error> {
        let Some(store) = self.records.store.clone() else { return Ok(()) };
        let reader = store.clone();
        let read = tokio::task::spawn_blocking(move || {
            let rows = reader.range(&LOGINS, ..).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, store::Error>((reader.get(&KEY, KEY_ROW)?, rows))
        });
        let (key, rows) = read.await.map_err(|e| store::Error::Storage(e.to_string()))??;
        match key.as_deref().and_then(from_hex) {
            Some(key) => self.key = key,
            None => {
                store.commit(Batch::new().put(&KEY, KEY_ROW, &hex(&self.key))?).await?;
            }
        }
        let (now, wall) = (Instant::now(), self.records.clock.wall());
        for (name, row) in rows {
            let name = String::from_utf8_lossy(&name).into_owned();
            let account = Account::new(name.clone(), row.history(now, wall), Some(row), self.records.clone());
            self.open.insert(name, Arc::new(account));
        }
        Ok(())
    }

    /// The budget of a device's account, and its password's part of it.
    pub(super) fn budget(&mut self, config: &DeviceConfig) -> Budget {
        let name = name(config);
        let mut hash = Sha256::new();
        for part in [&self.key[..], name.as_bytes(), &[0], config.password.expose().as_bytes()] {
            hash.update(part);
        }
        // Hashed twice, so that nothing can be appended to what the key went into.
        let outer = Sha256::new().chain_update(self.key).chain_update(hash.finalize()).finalize();
        let records = &self.records;
        let fresh = || Arc::new(Account::new(name.clone(), History::default(), None, records.clone()));
        let account = self.open.entry(name.clone()).or_insert_with(fresh).clone();
        Budget::new(account, hex(&outer[..TAG_BYTES]), config.tls.is_some())
    }

    /// Accounts of no device are forgotten once nothing that was tried by them counts any more.
    pub(super) async fn forget_others(&mut self, devices: &[DeviceConfig]) {
        let named: BTreeSet<_> = devices.iter().map(name).collect();
        let now = Instant::now();
        let others: Vec<_> = self.open.keys().filter(|name| !named.contains(*name)).cloned().collect();
        let mut left = Vec::new();
        for name in others {
            match self.open.get(&name).and_then(|account| account.rests_until(now)) {
                Some(rests) => left.push((rests, name)),
                None => self.forget(&name).await,
            }
        }
        left.sort();
        let surplus = left.len().saturating_sub(LEFT_MAX);
        for (_, name) in left.drain(..surplus) {
            self.forget(&name).await;
        }
    }

    async fn forget(&mut self, name: &str) {
        if let Some(account) = self.open.remove(name)
            && let Err(error) = account.erase().await
        {
            tracing::warn!(%error, account = name, "an account that is no longer used stays in the store");
        }
    }
}

/// `user@host:port`: the account as the device counts by it.
fn name(config: &DeviceConfig) -> String {
    let at = super::config::host_port(&config.host.to_ascii_lowercase(), config.http_port);
    format!("{}@{at}", config.user)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let bytes = text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::budget::Door;

    #[tokio::test]
    async fn a_clock_that_steps_makes_no_lock_longer_and_none_endless() {
        let (now, at) = (Instant::now(), Wall::from_millis(1_800_000_000_000));
        let mut history = History::default();
        history.unheard(&"t".to_owned(), 1, now);
        history.found_locked(now + Duration::from_secs(1800));
        let row = Row::of(&history, now, at);
        let left = |wall: Wall| row.history(now, wall).lock.unwrap() - now;
        assert_eq!(left(at), Duration::from_secs(1800));
        assert_eq!(left(at.plus(Duration::from_secs(600))), Duration::from_secs(1200));
        assert_eq!(left(at.minus(Duration::from_secs(365 * 86_400))), Duration::from_secs(1800), "set back a year");
        assert_eq!(left(at.plus(Duration::from_secs(365 * 86_400))), Duration::ZERO);
        assert_eq!(row.history(now, at), history, "and nothing else is lost");
    }

    #[tokio::test]
    async fn what_was_spent_outlives_the_process_and_passwords_are_not_in_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = || {
            let files = crate::disk::Files::real();
            Store::open(&dir.path().join("s"), store::Options::default(), &files, &crate::base::Metrics::default())
        };
        let config = |password: &str| DeviceConfig {
            password: crate::base::Secret::new(password),
            ..crate::camera::tests::a_device()
        };
        for expected in [true, true, false, false] {
            let store = store().unwrap();
            let mut accounts = Accounts::new(Some(store.clone()), Clock::real());
            accounts.load().await.unwrap();
            let budget = accounts.budget(&config("hunter2-wrong"));
            let began = budget.begin(Door::Isapi, 2).await;
            assert_eq!(began.is_ok(), expected);
            // Killed before the device answered.
            std::mem::forget(began);
            store.close().await;
        }
        let store = store().unwrap();
        let mut accounts = Accounts::new(Some(store.clone()), Clock::real());
        accounts.load().await.unwrap();
        assert!(accounts.budget(&config("hunter2-wrong")).locked(Instant::now()).is_some());
        let other = accounts.budget(&config("another"));
        other.begin(Door::Isapi, 2).await.unwrap().accepted().await;
        assert_eq!(store.count(&LOGINS), 1);
        accounts.forget_others(&[config("another")]).await;
        assert_eq!(store.count(&LOGINS), 1, "its device is there");
        store.close().await;
        drop((other, accounts, store));
        for entry in std::fs::read_dir(dir.path().join("s")).unwrap().flatten().filter(|e| e.path().is_file()) {
            let bytes = std::fs::read(entry.path()).unwrap();
            assert!(!bytes.windows(7).any(|w| w == b"hunter2"), "{:?}", entry.path());
        }
    }

    #[tokio::test]
    async fn a_device_that_leaves_and_returns_has_no_further_tries_and_is_forgotten_in_time() {
        let mut accounts = Accounts::new(None, Clock::real());
        let device = crate::camera::tests::a_device();
        for _ in 0..10 {
            let budget = accounts.budget(&device);
            if let Ok(login) = budget.begin(Door::Isapi, 1).await {
                login.refused(1).await;
            }
            accounts.forget_others(&[]).await;
        }
        let budget = accounts.budget(&device);
        assert!(budget.locked(Instant::now()).is_some() && accounts.open.len() == 1);
        tokio::time::pause();
        tokio::time::advance(super::super::lockout::LOCK_USUAL * 2).await;
        accounts.forget_others(&[]).await;
        assert!(accounts.open.is_empty());
    }

    #[tokio::test]
    async fn two_devices_at_one_account_share_what_there_is() {
        let mut accounts = Accounts::new(None, Clock::real());
        let one = crate::camera::tests::a_device();
        let two = DeviceConfig { id: "other".parse().unwrap(), ..one.clone() };
        accounts.budget(&one).begin(Door::Isapi, 1).await.unwrap().refused(1).await;
        accounts.budget(&two).begin(Door::Rtsp, 1).await.unwrap().refused(1).await;
        for device in [&one, &two] {
            assert!(accounts.budget(device).locked(Instant::now()).is_some());
        }
        let elsewhere = DeviceConfig { http_port: 81, ..one };
        assert!(accounts.budget(&elsewhere).locked(Instant::now()).is_none());
    }
}
