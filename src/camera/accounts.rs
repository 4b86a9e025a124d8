//! One budget for each account of a device, however many configured devices log in by it, kept over restarts.
//!
//! What was spent is written before a login is sent, and taken back once the device took it: however often skyvis is
//! killed, a login that was sent is counted. Of a password only a keyed hash is kept, to notice that it changed.

use super::{
    DeviceConfig,
    budget::{Account, Budget},
    lockout::History,
    records::{Key, Records, hex},
};
use crate::{
    base::Clock,
    store::{self, Store},
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::time::Instant;

/// Accounts of devices that left the configuration, kept so that removing and adding one gives no further tries.
const LEFT_MAX: usize = 64;
/// Bytes of a tag: enough that no two passwords share one.
const TAG_BYTES: usize = 16;

/// All accounts.
pub(super) struct Accounts {
    records: Records,
    key: Key,
    open: BTreeMap<String, Arc<Account>>,
}

impl Accounts {
    /// None yet.
    pub(super) fn new(store: Option<Store>, clock: Clock) -> Self {
        Self { records: Records::new(store, clock), key: rand::random(), open: BTreeMap::new() }
    }

    /// Takes in what earlier runs left.
    pub(super) async fn load(&mut self) -> Result<(), store::Error> {
        let Some((key, rows)) = self.records.load(self.key).await? else { return Ok(()) };
        self.key = key;
        let (now, wall) = (Instant::now(), self.records.clock.wall());
        for (name, row) in rows {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Wall,
        camera::{
            budget::Door,
            records::{LOGINS, Row},
        },
        disk::{Faults, Files, Space},
    };
    use std::time::Duration;

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
            let files = Files::real();
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
    async fn on_a_full_disk_a_login_is_sent_and_counted_over_restarts_and_carried_over_once_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::new();
        let open = || {
            let (path, files) = (dir.path().join("s"), Files::faulty(faults.clone()));
            Store::open(&path, store::Options::default(), &files, &crate::base::Metrics::default()).unwrap()
        };
        let full = |free_bytes| {
            let space = Space { total_bytes: 1 << 40, free_bytes, ..Space::default() };
            faults.pretend_space(Some(space));
        };
        let config = |host: &str, password: &str| DeviceConfig {
            password: crate::base::Secret::new(password),
            host: host.into(),
            ..crate::camera::tests::a_device()
        };
        let begin = async |store: &Store| {
            let mut accounts = Accounts::new(Some(store.clone()), Clock::real());
            accounts.load().await.map(|()| accounts)
        };
        // Full before there was ever a key; then really full, where not even rows can be deleted.
        let store = open();
        full(2 << 20);
        let other = config("192.0.2.9", "right");
        let mut accounts = begin(&store).await.unwrap();
        accounts.budget(&other).begin(Door::Isapi, 2).await.unwrap().accepted().await;
        store.close().await;
        drop((accounts, store));
        full(0);
        for expected in [true, true, false, false] {
            let store = open();
            let mut accounts = begin(&store).await.unwrap();
            let budget = accounts.budget(&config("192.0.2.1", "wrong"));
            let began = budget.begin(Door::Isapi, 2).await;
            assert_eq!(began.is_ok(), expected, "{began:?}");
            // Killed before the device answered; the neighbour is well meanwhile.
            std::mem::forget(began);
            accounts.budget(&other).begin(Door::Isapi, 2).await.unwrap().accepted().await;
            store.close().await;
            assert_eq!(store.count(&LOGINS), 0);
        }
        // Room again: all of it becomes rows with the next that is written, and the file counts no more.
        faults.pretend_space(None);
        let store = open();
        let mut accounts = begin(&store).await.unwrap();
        let budget = accounts.budget(&config("192.0.2.1", "wrong"));
        assert!(budget.locked(Instant::now()).is_some());
        let third = config("192.0.2.3", "late");
        std::mem::forget(accounts.budget(&third).begin(Door::Isapi, 2).await.unwrap());
        assert_eq!(store.count(&LOGINS), 2);
        budget.forgive().await;
        assert_eq!(store.count(&LOGINS), 2, "that it is forgiven is a part of it");
        budget.begin(Door::Isapi, 2).await.unwrap().accepted().await;
        assert_eq!(store.count(&LOGINS), 1);
        store.close().await;
        drop((budget, accounts, store));
        let store = open();
        let mut accounts = begin(&store).await.unwrap();
        assert!(accounts.budget(&config("192.0.2.1", "wrong")).locked(Instant::now()).is_none(), "what is old is gone");
        // Where nothing can be written down at all, nothing is sent.
        full(0);
        std::fs::remove_file(dir.path().join("s/spare")).unwrap();
        faults.inject(crate::disk::Rule::any(crate::disk::Failure::NoSpace).on("spare").persistent());
        let budget = accounts.budget(&config("192.0.2.1", "another"));
        assert!(budget.begin(Door::Isapi, 2).await.is_err());
        store.close().await;
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
