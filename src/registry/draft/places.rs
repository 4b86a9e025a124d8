//! Instances as keys: `<prefix><service>/<id>` holds `{"ip", "port", "weight"}`, whoever wrote it.
//!
//! A key that somebody writes there is an instance of the source `etcd` for as long as the key is there, and so with the
//! life of its lease; in the very revision. Its bytes stay as they were written. An instance that was registered otherwise is a key for
//! as long as it is live, written by us. What cannot be read is kept as a key, and is an instance that leads
//! nowhere, with the reason.

use super::{Draft, Resolved};
use crate::{
    model::{InstanceKey, service::Source},
    registry::{
        Record, Spec,
        kv::{Change, Entry, KEY_BYTES_MAX, Keys, Revision, View, show},
    },
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What we write of an instance.
#[derive(Serialize)]
struct Written<'a> {
    ip: &'a str,
    port: u16,
    weight: u32,
}

impl Draft<'_> {
    /// Takes in what revision `number` did to keys. The revision of the catalog, where that changed instances.
    pub(super) fn written(&mut self, number: u64, changes: Vec<Change>) -> Option<u64> {
        let before = self.staged.catalog;
        let prefix = self.prefix();
        let is_place = |c: &&Change| !prefix.is_empty() && c.key.starts_with(&prefix);
        let mut keys: Vec<Bytes> = changes.iter().filter(is_place).map(|c| c.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        self.staged.over.revisions.push(Arc::new(Revision { number, changes }));
        for key in keys {
            self.heed(&key, number);
        }
        (self.staged.catalog != before).then_some(self.staged.catalog)
    }

    /// Instances are keys with this prefix from now on. Whether that is news.
    pub fn set_prefix(&mut self, prefix: &Bytes) -> bool {
        let before = self.prefix();
        if before == *prefix {
            return false;
        }
        let number = self.revise();
        self.staged.prefix = Some(prefix.clone());
        let mut records: Vec<_> = self.state.records().map(|r| r.key.clone()).collect();
        records.extend(self.staged.records.keys().cloned());
        records.dedup();
        for key in records {
            let Some(record) = self.record(&key).cloned() else { continue };
            if record.source == Source::Etcd {
                if place(prefix, &key).is_none_or(|place| self.entry(&place).is_none()) {
                    self.remove(&record, number, "its key is not one of an instance any more");
                }
                continue;
            }
            if let Some(place) = place(&before, &key) {
                self.put(place, None, number);
            }
            self.show(&key, Some(&record), number);
        }
        if !prefix.is_empty() {
            let view = View::of(&self.state.space, &self.staged.over, self.staged.revision);
            let keys: Vec<_> = view.iter(&Keys::prefix(prefix.clone())).map(|(key, _)| key.clone()).collect();
            for key in keys {
                let known = named(prefix, &key).and_then(|key| self.record(&key));
                if known.is_none_or(|record| record.source == Source::Etcd) {
                    self.heed(&key, number);
                }
            }
        }
        let is_used =
            self.staged.catalog == number || self.staged.over.revisions.last().is_some_and(|r| r.number == number);
        if !is_used {
            self.staged.revision = number - 1;
        }
        true
    }

    /// Somebody wrote or deleted a key that may be an instance.
    fn heed(&mut self, key: &Bytes, number: u64) {
        let Some(instance) = named(&self.prefix(), key) else { return };
        let known = self.record(&instance).cloned();
        if known.as_ref().is_some_and(|record| record.source == Source::Config) {
            tracing::info!(key = show(key), "a key is kept, and its instance stays as the configuration file has it");
            return;
        }
        let Some(entry) = self.entry(key).cloned() else {
            if let Some(record) = known {
                self.remove(&record, number, "its key is gone");
            }
            return;
        };
        let (spec, problem) = match read(&entry.value) {
            Ok(spec) => (spec, None),
            Err(why) => {
                tracing::warn!(key = show(key), why, "a key of a service is kept, and not routed");
                (Spec { weight: 0, ..Spec::new("", 0) }, Some(Resolved::none(&format!("its key {why}"))))
            }
        };
        if let Err(error) =
            self.register_as(&instance, &Arc::new(spec), problem.as_ref(), (Source::Etcd, None), &mut Some(number))
        {
            tracing::warn!(key = show(key), %error, "a key of a service is kept, and not registered");
        }
    }

    /// Shows an instance as the key that it is, or is not any more.
    pub(super) fn show(&mut self, key: &InstanceKey, is: Option<&Record>, number: u64) {
        let Some(place) = place(&self.prefix(), key) else { return };
        let wanted = match is {
            // The key is where it comes from.
            Some(record) if record.source == Source::Etcd => return,
            Some(record) if record.health().is_live() && record.spec.port != 0 => Some(bytes(&record.spec)),
            _ => None,
        };
        let is_so = |e: &Arc<Entry>| wanted.as_ref().is_some_and(|w| *w == e.value) && e.lease == 0;
        if !self.entry(&place).is_some_and(is_so) {
            self.put(place, wanted, number);
        }
    }

    /// Writes a key as part of a revision that other changes may share.
    fn put(&mut self, key: Bytes, value: Option<Bytes>, number: u64) {
        let before = self.entry(&key).cloned();
        if value.is_none() && before.is_none() {
            return;
        }
        let now = value.map(|value| {
            let (created, version) = before.as_ref().map_or((number, 1), |b| (b.created, b.version + 1));
            let side = before.as_ref().and_then(|b| b.side.clone());
            Arc::new(Entry { value, created, modified: number, version, lease: 0, side })
        });
        self.staged.over.entries.insert(key.clone(), now.clone());
        let change = Change { key, now, before };
        let revisions = &mut self.staged.over.revisions;
        // What is due shares a revision with what was due before it, and a lease may have come in between.
        match revisions.binary_search_by_key(&number, |r| r.number) {
            Ok(at) => Arc::make_mut(&mut revisions[at]).changes.push(change),
            Err(at) => revisions.insert(at, Arc::new(Revision { number, changes: vec![change] })),
        }
    }

    fn prefix(&self) -> Bytes {
        self.staged.prefix.as_ref().unwrap_or(&self.state.prefix).clone()
    }

    fn entry(&self, key: &[u8]) -> Option<&Arc<Entry>> {
        View::of(&self.state.space, &self.staged.over, self.staged.revision).get(key)
    }
}

impl Resolved {
    /// It leads nowhere.
    fn none(why: &str) -> Self {
        Self { targets: [].into(), problem: Some(why.into()) }
    }
}

/// The key that an instance is; None where it has none.
fn place(prefix: &Bytes, key: &InstanceKey) -> Option<Bytes> {
    let place = [prefix, key.service.as_str().as_bytes(), b"/", key.id.as_str().as_bytes()].concat();
    (!prefix.is_empty() && place.len() <= KEY_BYTES_MAX).then(|| place.into())
}

/// The instance that a key is.
fn named(prefix: &Bytes, key: &[u8]) -> Option<InstanceKey> {
    let rest = key.strip_prefix(&prefix[..]).filter(|_| !prefix.is_empty())?;
    let (service, id) = std::str::from_utf8(rest).ok()?.split_once('/')?;
    Some(InstanceKey { service: service.parse().ok()?, id: id.parse().ok()? })
}

fn bytes(spec: &Spec) -> Bytes {
    let written = Written { ip: &spec.address, port: spec.port, weight: spec.weight };
    // Text and numbers can always be written.
    serde_json::to_vec(&written).unwrap_or_default().into()
}

/// What a key says of its instance; else what is wrong with it.
fn read(value: &[u8]) -> Result<Spec, String> {
    const RIGHT: &str = "write {\"ip\": \"10.0.0.5\", \"port\": 9000, \"weight\": 1}";
    let found: Map<String, Value> =
        serde_json::from_slice(value).map_err(|e| format!("holds no JSON object ({e}); {RIGHT}"))?;
    let ip = found.get("ip").and_then(Value::as_str).ok_or_else(|| format!("has no text `ip`; {RIGHT}"))?;
    let number = |name: &str| match found.get(name) {
        None | Some(Value::Null) => Ok(None),
        // Shells write numbers as text.
        Some(Value::String(text)) => text.parse::<u32>().map(Some).map_err(|_| name.to_owned()),
        Some(number) => number.as_u64().and_then(|n| u32::try_from(n).ok()).map(Some).ok_or_else(|| name.to_owned()),
    };
    let bad = |name: String| format!("has a `{name}` that is no whole number in its bounds; {RIGHT}");
    let port = number("port").map_err(bad)?.and_then(|n| u16::try_from(n).ok());
    let port = port.ok_or_else(|| bad("port".into()))?;
    let weight = number("weight").map_err(bad)?.unwrap_or(1);
    let others = found.iter().filter(|(name, _)| !matches!(name.as_str(), "ip" | "port" | "weight"));
    let meta = others.map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (Arc::from(name.as_str()), Arc::from(text))
    });
    let spec = Spec { weight, meta: meta.collect(), ..Spec::new(ip, port) };
    spec.checked().map_err(|fault| format!("cannot be an instance: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sites_write_is_read_and_what_cannot_be_is_named() {
        let spec = read(br#"{"ip": "10.0.0.5", "port": 9000, "weight": 3, "zone": "a", "n": 1}"#).unwrap();
        assert_eq!((&*spec.address, spec.port, spec.weight), ("10.0.0.5", 9000, 3));
        assert_eq!(spec.meta.get("n").map(|v| &**v), Some("1"));
        assert_eq!(bytes(&spec), r#"{"ip":"10.0.0.5","port":9000,"weight":3}"#);
        assert_eq!(read(br#"{"ip":"web.example.com","port":"80"}"#).unwrap().weight, 1);
        for (bad, why) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            ("10.0.0.5:80", "no JSON object"),
            (r#"{"port": 1}"#, "no text `ip`"),
            (r#"{"ip": "10.0.0.5"}"#, "`port`"),
            (r#"{"ip": "10.0.0.5", "port": 70000}"#, "`port`"),
            (r#"{"ip": "10.0.0.5", "port": 80, "weight": -1}"#, "`weight`"),
            (r#"{"ip": "10.0.0.5", "port": 80, "weight": 70000}"#, "`weight`"),
            (r#"{"ip": "10.0.0.256", "port": 80}"#, "`address`"),
        ] {
            let error = read(bad.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn a_key_is_an_instance_only_in_its_place() {
        let prefix = Bytes::from("/s/");
        let key = named(&prefix, b"/s/web/a").unwrap();
        assert_eq!((key.service.as_str(), key.id.as_str()), ("web", "a"));
        assert_eq!(place(&prefix, &key).unwrap(), "/s/web/a");
        for other in ["/s/web", "/s/web/", "/s//a", "/s/web/a/b", "/t/web/a", "/s/web/\u{1}"] {
            assert_eq!(named(&prefix, other.as_bytes()), None, "{other}");
        }
        assert_eq!(named(&Bytes::new(), b"web/a"), None);
    }
}
