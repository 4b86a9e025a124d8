//! Those who follow keys see every revision once and in order, whatever is written meanwhile, and cost nobody anything.

use super::*;
use crate::registry::kv::Log;
use bytes::Bytes;
use std::collections::BTreeMap;

async fn put(room: &Room, key: &str, value: &str) -> u64 {
    let entry = room.registry.put(key.to_owned().into(), value.to_owned().into(), 0, None).await.unwrap();
    entry.unwrap().modified
}

/// The keys and values of what was seen; `-` for what was deleted.
fn seen(revisions: &[Arc<Revision>]) -> Vec<(u64, String)> {
    let value = |c: &Change| c.now.as_ref().map_or("-".to_owned(), |e| show(&e.value));
    revisions
        .iter()
        .flat_map(|r| r.changes.iter().map(|c| (r.number, format!("{}={}", show(&c.key), value(c)))))
        .collect()
}

#[tokio::test]
async fn a_follower_sees_its_keys_only_from_where_it_wants() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let mut now = room.registry.follow(Keys::prefix("a/"), None);
    let first = put(&room, "a/1", "x").await;
    put(&room, "b/1", "y").await;
    room.register("web", "i", spec(1)).await;
    let last = put(&room, "a/2", "z").await;
    room.registry.delete(Keys::prefix("a/"), None).await.unwrap();
    let gone = room.registry.revision();
    let expected = [
        (first, "a/1=x".to_owned()),
        (last, "a/2=z".to_owned()),
        (gone, "a/1=-".to_owned()),
        (gone, "a/2=-".to_owned()),
    ];
    assert_eq!(seen(&now.next().await.unwrap()), expected);
    assert_eq!(now.position(), gone + 1);
    let mut later = room.registry.follow(Keys::One("a/2".into()), Some(last));
    assert_eq!(seen(&later.next().await.unwrap()), [expected[1].clone(), expected[3].clone()]);
    // Nothing is lost where waiting is given up.
    let waiting = tokio::time::timeout(Duration::from_millis(5), later.next()).await;
    assert!(waiting.is_err());
    put(&room, "a/2", "again").await;
    assert_eq!(later.next().await.unwrap()[0].changes.len(), 1);
    // A revision to come is waited for.
    let mut future = room.registry.follow(Keys::all(), Some(room.registry.revision() + 2));
    put(&room, "f", "1").await;
    let wanted = put(&room, "f", "2").await;
    assert_eq!(seen(&future.next().await.unwrap()), [(wanted, "f=2".to_owned())]);
    room.end().await;
}

#[tokio::test]
async fn who_is_too_far_behind_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let mut slow = room.registry.follow(Keys::all(), None);
    for i in 0..5 {
        put(&room, "k", &i.to_string()).await;
    }
    let compacted = room.registry.revision() - 1;
    room.registry.compact(compacted).await.unwrap();
    assert!(matches!(slow.next().await, Err(Error::Compacted { compacted: c, .. }) if c == compacted));
    let mut early = room.registry.follow(Keys::all(), Some(1));
    assert!(matches!(early.next().await, Err(Error::Compacted { .. })));
    let mut on = room.registry.follow(Keys::all(), Some(compacted));
    assert_eq!(on.next().await.unwrap().len(), 2, "the revision that it was compacted to is there");
    room.end().await;
    let room = begin(dir.path()).await;
    assert_eq!(room.registry.compacted(), compacted, "and it stays forgotten");
    room.end().await;
}

/// Writers write, followers come and go: each sees every revision from where it began, once, in order, and whole.
#[tokio::test(flavor = "multi_thread")]
async fn followers_that_come_while_others_write_miss_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let writers = TaskGroup::new();
    for writer in 0..4 {
        let registry = room.registry.clone();
        writers.spawn("writer", async move {
            for i in 0..100 {
                let write = |key: String| Op::Put {
                    key: key.into(),
                    value: Some(i.to_string().into()),
                    lease: Some(0),
                    when: When::Always,
                };
                let both = vec![write(format!("w{writer}")), write(format!("w{writer}/copy"))];
                registry.txn(Txn { success: both, ..Txn::default() }).await.unwrap();
            }
        });
    }
    let mut followers = Vec::new();
    for _ in 0..20 {
        let mut watcher = room.registry.follow(Keys::all(), None);
        let from = watcher.position();
        followers.push(writers.spawn("follower", async move {
            let mut next = from;
            let mut state: BTreeMap<Bytes, Bytes> = BTreeMap::new();
            while next < 402 {
                for revision in watcher.next().await.unwrap() {
                    assert_eq!(revision.number, next, "each once, in order");
                    assert_eq!(revision.changes.len(), 2, "never split");
                    next += 1;
                    for change in &revision.changes {
                        state.insert(change.key.clone(), change.now.as_ref().unwrap().value.clone());
                    }
                }
            }
            state
        }));
        tokio::task::yield_now().await;
    }
    for follower in followers {
        let crate::base::task::End::Done(state) = follower.await.unwrap() else { panic!("a follower failed") };
        assert!(state.values().all(|v| v == "99"), "{state:?}");
    }
    assert_eq!((room.registry.revision(), writers.panics()), (401, 0));
    room.end().await;
}

#[tokio::test]
async fn the_history_is_bounded_and_waits_for_those_who_follow() {
    // By the rule; to write ten thousand revisions through a disk proves no more.
    let revision = |number| {
        let entry = Entry { value: "v".into(), created: 1, modified: number, version: 1, lease: 0, side: None };
        Arc::new(Revision {
            number,
            changes: vec![Change { key: "k".into(), now: Some(Arc::new(entry)), before: None }],
        })
    };
    let log = Log::load((1..=20_000).map(revision), Vec::new(), 0);
    assert_eq!(log.excess(None, 0), Some(10_001));
    assert_eq!(log.excess(Some(5), 0), Some(5));

    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let place = |w: &Watcher| w.position();
    let watcher = room.registry.follow(Keys::all(), None);
    put(&room, "k", "v").await;
    assert_eq!((place(&watcher), room.metric("skyvis_registry_watchers")), (2, 1.0));
    drop(watcher);
    put(&room, "k", "w").await;
    assert_eq!(room.metric("skyvis_registry_watchers"), 0.0, "who is gone holds nothing");
    room.end().await;
}
