//! Answered means durable, once for many, and never after a failure.

use super::*;
use crate::{
    base::Kind,
    disk::{Failure, Faults, Op, Rule, Space},
};
use std::{future::Future, task::Poll};

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let place = Place::new();
    let store = place.open().unwrap();
    let value = long(1, 50_000);
    assert_eq!(store.commit(name("a", "1")).await.unwrap(), 1);
    let batch = name("b", "2").join(name("c", "3")).delete(&NAMES, b"a").put(&BLOBS, b"long", &value).unwrap();
    assert_eq!(store.commit(batch).await.unwrap(), 2);
    store.close().await;
    assert_eq!(store.commit(name("d", "4")).await.unwrap_err().kind(), Kind::Stopped);
    drop(store);

    let store = place.open().unwrap();
    assert_eq!(names(&store), pairs(&[("b", "2"), ("c", "3")]));
    assert_eq!(store.get(&BLOBS, b"long").unwrap().unwrap(), value);
    assert_eq!((store.count(&NAMES), store.count(&BLOBS)), (2, 1));
    assert_eq!(store.commit(name("d", "4")).await.unwrap(), 3, "commit numbers go on");
}

#[test]
fn every_answer_comes_after_a_sync_of_the_journal_or_of_the_tree() {
    let place = Place::new();
    let faults = Faults::new();
    let store = open_on(&place.store, &Files::faulty(faults.clone())).unwrap();
    for i in 1..=10 {
        let before = syncs(&faults, "journal");
        store.commit_blocking(name("k", &i.to_string())).unwrap();
        assert_eq!(syncs(&faults, "journal"), before + 1, "commit {i}");
    }
    // What the journal does not take is durable in the tree before it is answered.
    let before = (syncs(&faults, "journal"), syncs(&faults, "db"));
    store.commit_blocking(Batch::new().put(&BLOBS, b"long", &long(1, 1 << 20)).unwrap()).unwrap();
    assert!(syncs(&faults, "db") > before.1);
    assert_eq!(syncs(&faults, "journal"), before.0);
    // As is everything where there was no room for a journal.
    close(store);
    std::fs::remove_file(place.store.join("journal")).unwrap();
    faults.pretend_space(Some(Space { total_bytes: 1 << 40, free_bytes: 5 << 20, ..Space::default() }));
    let store = open_on(&place.store, &Files::faulty(faults.clone())).unwrap();
    for i in 1..=3 {
        let before = syncs(&faults, "db");
        store.commit_blocking(name("k", &i.to_string())).unwrap();
        assert_eq!(syncs(&faults, "db"), before + 1, "commit {i}");
    }
    assert!(!place.store.join("journal").exists());
}

/// How often a file of the store was synced.
fn syncs(faults: &Faults, name: &str) -> u64 {
    let is_one = |(op, path): &&(Op, PathBuf)| *op == Op::SyncData && path.ends_with(name);
    faults.history().iter().filter(is_one).count() as u64
}

/// sled syncs none of what it makes, so all of it is synced before the marker says that a store is here.
#[test]
fn creation_syncs_every_file_and_directory_before_the_store_counts_as_made() {
    let place = Place::new();
    let faults = Faults::new();
    drop(open_on(&place.store, &Files::faulty(faults.clone())).unwrap());
    let history = faults.history();
    let marker = place.store.join("version");
    let ready = history.iter().rposition(|(op, path)| (*op, path) == (Op::SyncData, &marker)).unwrap();
    let before = &history[..ready];
    for (op, path) in [
        (Op::SyncData, place.store.join("db")),
        (Op::SyncData, place.store.join("conf")),
        (Op::SyncDir, place.store.join("blobs")),
        (Op::SyncDir, place.store.clone()),
        (Op::SyncDir, place.beside("").to_path_buf()),
    ] {
        assert!(before.contains(&(op, path.clone())), "{op} {} is missing", path.display());
    }
}

#[tokio::test]
async fn commits_that_wait_together_share_one_sync() {
    let place = Place::new();
    let faults = Faults::new();
    let store = open_on(&place.store, &Files::faulty(faults.clone())).unwrap();
    // The commit thread is held at its first group, until all others wait behind it.
    let (held, is_held) = std::sync::mpsc::channel();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let inner = store.inner.clone();
    let holder = std::thread::spawn(move || {
        let state = inner.state();
        held.send(()).unwrap();
        gate.recv().unwrap();
        drop(state);
    });
    is_held.recv().unwrap();
    let before = syncs(&faults, "journal");
    let batches = (0..200).map(|i| store.commit(name(&format!("k{i:03}"), "v")));
    let mut all = Box::pin(futures_util::future::join_all(batches));
    std::future::poll_fn(|context| {
        assert!(all.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    go.send(()).unwrap();
    let numbers: Vec<u64> = all.await.into_iter().map(Result::unwrap).collect();
    holder.join().unwrap();
    let syncs = syncs(&faults, "journal") - before;
    assert!(syncs <= 2, "200 commits took {syncs} syncs");
    assert_eq!(numbers.iter().max(), Some(&syncs));
    assert_eq!(store.count(&NAMES), 200);
}

#[test]
fn a_failed_sync_ends_all_writing_and_is_never_tried_again() {
    for file in ["journal", "db"] {
        let place = Place::new();
        let faults = Faults::new();
        let store = open_on(&place.store, &Files::faulty(faults.clone())).unwrap();
        store.commit_blocking(name("a", "1")).unwrap();
        faults.inject(Rule::new(Op::SyncData, Failure::Io).on(format!("/{file}")));
        // What follows the answer may fail behind it.
        let error = (0..).find_map(|_| store.commit_blocking(name("b", "2")).err()).unwrap();
        assert!(matches!(&error, Error::Failed(why) if why.contains("cannot sync")), "{error}");
        let before = (syncs(&faults, "journal"), syncs(&faults, "db"));
        for _ in 0..3 {
            assert_eq!(store.commit_blocking(name("c", "3")).unwrap_err().kind(), Kind::Storage);
        }
        if file == "db" {
            assert_eq!((syncs(&faults, "journal"), syncs(&faults, "db")), before, "a sync was tried again");
        } else {
            assert_eq!(syncs(&faults, "journal"), before.0, "a sync was tried again");
        }
        assert!(store.health().failed.unwrap().contains("cannot sync"));
        assert_eq!(store.get(&NAMES, b"a").unwrap().unwrap(), "1", "reading goes on");
        close(store);

        let store = place.open().unwrap();
        assert_eq!(store.get(&NAMES, b"a").unwrap().unwrap(), "1");
        assert_eq!(store.get(&NAMES, b"c").unwrap(), None);
        store.commit_blocking(name("d", "4")).unwrap();
    }
}

/// Fails the 1st, 2nd, … nth disk operation of two lives of a store until nothing fails any more.
fn fail_each_operation(rule: impl Fn() -> Rule, step: usize) {
    let mut failed = 0;
    for nth in (1..).step_by(step) {
        let place = Place::new();
        let faults = Faults::new();
        faults.inject(rule().nth(nth));
        let files = Files::faulty(faults.clone());
        let mut answered = Vec::new();
        for life in 0..2 {
            let Ok(store) = open_on(&place.store, &files) else { continue };
            for i in 0..2 {
                let key = format!("{life}-{i}");
                if store.commit_blocking(name(&key, "v")).is_ok() {
                    answered.push(key);
                }
            }
            close(store);
        }
        let hits = faults.hits();
        faults.heal();
        let store = open_on(&place.store, &files).unwrap_or_else(|e| panic!("operation {nth}: {e}"));
        for key in &answered {
            assert!(store.get(&NAMES, key.as_bytes()).unwrap().is_some(), "operation {nth}: {key} is lost");
        }
        store.commit_blocking(name("after", "v")).unwrap();
        if hits == 0 {
            assert_eq!(answered.len(), 4);
            break;
        }
        failed += step;
    }
    assert!(failed > 40, "only {failed} operations were made to fail");
}

#[test]
fn no_single_failure_loses_what_was_answered() {
    fail_each_operation(|| Rule::any(Failure::Io), 1);
}

#[test]
fn no_disk_that_fills_up_loses_what_was_answered() {
    fail_each_operation(|| Rule::any(Failure::NoSpace).persistent(), 2);
}

#[test]
fn a_prefix_belongs_to_one_keyspace_for_good() {
    const THIEF: Keyspace<String> = Keyspace::new(7, "thief", Codec::Json);
    let place = Place::new();
    filled(&place, [name("a", "1")]);
    let store = place.open().unwrap();
    let error = store.commit_blocking(Batch::new().put(&THIEF, b"x", &String::new()).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "not a valid write: prefix 7 of keyspace `thief` belongs to `names`");
    assert_eq!(store.count(&NAMES), 1);
    let long_key = vec![0; 600];
    assert_eq!(Batch::new().put(&NAMES, &long_key, &String::new()).unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn large_values_never_leave_the_log() {
    let place = Place::new();
    let store = place.open().unwrap();
    for round in 0..3 {
        for chunk in (0..120_u32).collect::<Vec<_>>().chunks(10) {
            let batch = chunk.iter().fold(Batch::new(), |b, i| {
                b.put(&BLOBS, &i.to_be_bytes(), &long(i + round, 40_000 + 997 * *i as usize % 30_000)).unwrap()
            });
            store.commit_blocking(batch).unwrap();
        }
    }
    // sled does not sync the files that it puts there.
    assert_eq!(std::fs::read_dir(place.store.join("blobs")).unwrap().count(), 0);
    for (i, row) in store.range(&BLOBS, ..).enumerate() {
        assert_eq!(row.unwrap().1, long(i as u32 + 2, 40_000 + 997 * i % 30_000));
    }
}
