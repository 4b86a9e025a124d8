//! Random transactions and services against plain models, through restarts.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Act {
    /// Key, value (None deletes), the version that must be there, and whether the same again is a write.
    Put {
        key: u8,
        value: Option<u8>,
        if_version: Option<u64>,
        always: bool,
    },
    /// All keys that begin so are deleted, and one beside them is written.
    Sweep {
        prefix: u8,
    },
    Compact {
        back: u64,
    },
    Register {
        id: u8,
        port: u16,
    },
    Deregister {
        id: u8,
    },
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let put =
        (0_u8..6, proptest::option::weighted(0.7, 0_u8..3), proptest::option::weighted(0.3, 0_u64..3), any::<bool>());
    prop_oneof![
        8 => put.prop_map(|(key, value, if_version, always)| Act::Put { key, value, if_version, always }),
        1 => (0_u8..2).prop_map(|prefix| Act::Sweep { prefix }),
        1 => (0_u64..8).prop_map(|back| Act::Compact { back }),
        4 => (0_u8..4, 1_u16..4).prop_map(|(id, port)| Act::Register { id, port }),
        2 => (0_u8..4).prop_map(|id| Act::Deregister { id }),
        1 => Just(Act::Restart),
    ]
}

/// What is meant, said as plainly as can be.
#[derive(Default)]
struct Model {
    revision: u64,
    compacted: u64,
    keys: BTreeMap<String, Entry>,
    /// The keys as they were at each revision.
    past: BTreeMap<u64, BTreeMap<String, Entry>>,
    instances: BTreeMap<String, (u16, u64, u64)>,
}

impl Model {
    fn write(&mut self, number: u64, key: &str, value: Option<&str>) {
        let before = self.keys.remove(key);
        if let Some(value) = value {
            let entry = Entry {
                value: Bytes::from(value.to_owned()),
                created: before.as_ref().map_or(number, |b| b.created),
                modified: number,
                version: before.as_ref().map_or(1, |b| b.version + 1),
                lease: 0,
                side: None,
            };
            self.keys.insert(key.to_owned(), entry);
        }
    }

    /// The number that a change takes.
    fn next(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    fn remember(&mut self) {
        self.past.insert(self.revision, self.keys.clone());
    }
}

fn name(key: u8) -> String {
    format!("{}/{}", ["a", "b"][usize::from(key % 2)], key / 2)
}

async fn act_on(room: &Room, model: &mut Model, act: Act) {
    match act {
        Act::Put { key, value, if_version, always } => put(room, model, name(key), value, if_version, always).await,
        Act::Sweep { prefix } => {
            let prefix = ["a/", "b/"][usize::from(prefix)];
            let write = Op::Put { key: "swept".into(), value: Some(prefix.into()), lease: Some(0), when: When::Always };
            let txn = Txn { success: vec![Op::Delete(Keys::prefix(prefix)), write], ..Txn::default() };
            let answer = room.registry.txn(txn).await.unwrap();
            let number = model.next();
            let gone: Vec<_> = model.keys.keys().filter(|k| k.starts_with(prefix)).cloned().collect();
            gone.iter().for_each(|key| model.write(number, key, None));
            model.write(number, "swept", Some(prefix));
            let Some(OpAnswer::Delete(deleted)) = answer.answers.first() else { panic!("{answer:?}") };
            assert_eq!((answer.revision, deleted.len()), (number, gone.len()));
        }
        Act::Compact { back } => {
            let to = model.revision.saturating_sub(back);
            match room.registry.compact(to).await {
                Ok(()) if to > model.compacted => model.compacted = to,
                Err(Error::Compacted { compacted, .. }) if to <= model.compacted => {
                    assert_eq!(compacted, model.compacted)
                }
                other => panic!("compact {to} of {}: {other:?}", model.revision),
            }
        }
        Act::Register { id, port } => {
            let id = format!("i{id}");
            let written = room.register("web", &id, spec(port)).await;
            let before = model.instances.get(&id).copied();
            let changed = before.is_none_or(|(was, ..)| was != port);
            if changed {
                let number = model.next();
                model.instances.insert(id.clone(), (port, before.map_or(number, |(_, created, _)| created), number));
            }
            let expected = (model.instances[&id].2, changed, before.is_none());
            assert_eq!((written.revision, written.changed, written.created), expected);
        }
        Act::Deregister { id } => {
            let id = format!("i{id}");
            let answer = room.registry.deregister(key("web", &id)).await;
            assert_eq!(answer.is_ok(), model.instances.remove(&id).is_some());
            if answer.is_ok() {
                model.next();
            }
        }
        Act::Restart => unreachable!("done by the caller"),
    }
    model.remember();
}

async fn put(room: &Room, model: &mut Model, key: String, value: Option<u8>, if_version: Option<u64>, always: bool) {
    let value = value.map(|v| v.to_string());
    let bytes = Bytes::from(key.clone());
    let compare =
        |n: u64| Compare { keys: Keys::One(bytes.clone()), target: Target::Version(n as i64), is: Comparison::Equal };
    let when = if always { When::Always } else { When::Different };
    let op = match &value {
        Some(value) => Op::Put { key: bytes.clone(), value: Some(value.clone().into()), lease: Some(0), when },
        None => Op::Delete(Keys::One(bytes.clone())),
    };
    let read = Op::Range(Query::of(Keys::One(bytes.clone())));
    let txn = Txn {
        compares: if_version.map(compare).into_iter().collect(),
        success: vec![op, read.clone()],
        failure: vec![read],
    };
    let answer = room.registry.txn(txn).await.unwrap();
    let before = model.keys.get(&key).cloned();
    let holds = if_version.is_none_or(|n| before.as_ref().map_or(0, |b| b.version) == n);
    let same = match (&before, &value) {
        (None, None) => true,
        (Some(before), Some(value)) => !always && before.value == value.as_bytes(),
        _ => false,
    };
    if holds && !same {
        let number = model.next();
        model.write(number, &key, value.as_deref());
    }
    assert_eq!((answer.succeeded, answer.revision), (holds, model.revision), "{key} {value:?} {if_version:?}");
    let Some(OpAnswer::Range(read)) = answer.answers.last() else { panic!("{answer:?}") };
    let read = read.entries.first().map(|(_, entry)| (**entry).clone());
    assert_eq!(read, model.keys.get(&key).cloned(), "a transaction sees what it wrote");
}

fn check(room: &Room, model: &Model) {
    let registry = &room.registry;
    let read = |at| {
        let found = registry.range(&Query { keys: Keys::all(), at, limit: None })?;
        let entry = |(key, entry): (Bytes, Arc<Entry>)| (show(&key), (*entry).clone());
        Ok::<_, Error>(found.entries.into_iter().map(entry).collect::<BTreeMap<_, _>>())
    };
    assert_eq!((registry.revision(), registry.compacted()), (model.revision, model.compacted));
    assert_eq!(read(None).unwrap(), model.keys);
    for (at, keys) in &model.past {
        match read(Some(*at)) {
            Ok(found) if *at >= model.compacted => assert_eq!(found, *keys, "as of {at}"),
            Err(Error::Compacted { .. }) if *at < model.compacted => {}
            other => panic!("as of {at}, compacted {}: {other:?}", model.compacted),
        }
    }
    assert!(matches!(read(Some(model.revision + 1)), Err(Error::Future { .. })));
    let limited = registry.range(&Query { keys: Keys::all(), at: None, limit: Some(2) }).unwrap();
    assert_eq!((limited.count, limited.entries.len()), (model.keys.len(), model.keys.len().min(2)));
    let catalog = room.catalog();
    let found: BTreeMap<_, _> = catalog
        .service("web")
        .into_iter()
        .flat_map(|s| &s.instances)
        .map(|i| (i.key.id.to_string(), (i.port, i.created, i.modified)))
        .collect();
    assert_eq!(found, model.instances);
    assert_eq!(catalog.service("web").is_some(), !model.instances.is_empty(), "no service is without instances");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_registry_is_a_map_with_a_history(acts in proptest::collection::vec(act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut room = begin(dir.path()).await;
            let mut model = Model { revision: 1, ..Model::default() };
            model.remember();
            // Follows everything from the begin, whatever is written meanwhile.
            let mut watcher = room.registry.follow(Keys::all(), Some(1));
            let mut followed: BTreeMap<String, Entry> = BTreeMap::new();
            for act in acts {
                if matches!(act, Act::Restart) {
                    let next = watcher.position();
                    drop(watcher);
                    room.end().await;
                    room = begin(dir.path()).await;
                    watcher = room.registry.follow(Keys::all(), Some(next));
                } else {
                    act_on(&room, &mut model, act).await;
                }
                check(&room, &model);
                if !follow(&mut watcher, &mut followed, &model).await {
                    // Told that it is too far behind: it reads anew, and goes on from there.
                    followed = model.keys.clone();
                    watcher = room.registry.follow(Keys::all(), Some(model.revision + 1));
                }
                assert_eq!(followed, model.keys, "what a follower has put together");
            }
            room.end().await;
        });
    }
}

/// Takes in what there is. False where the history does not reach back.
async fn follow(watcher: &mut Watcher, followed: &mut BTreeMap<String, Entry>, model: &Model) -> bool {
    let mut last = 0;
    loop {
        // What is there is there at once: nobody is waited for.
        let revisions = tokio::select! {
            biased;
            revisions = watcher.next() => revisions,
            () = std::future::ready(()) => return true,
        };
        let Ok(revisions) = revisions else { return false };
        for revision in revisions {
            assert!(revision.number > last && revision.number <= model.revision);
            last = revision.number;
            for change in &revision.changes {
                let key = show(&change.key);
                assert_eq!(change.before.as_deref(), followed.get(&key), "what {key} was");
                match &change.now {
                    Some(now) => drop(followed.insert(key, (**now).clone())),
                    None => drop(followed.remove(&key)),
                }
            }
        }
    }
}
