//! The journal holds what the tree has not got, and no more than that is ever outstanding.

use super::*;
use crate::disk::{Faults, Op};
use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

/// The tree's files, as they are now.
fn tree(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(&place.store).unwrap().map(|entry| entry.unwrap().path());
    let is_tree = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name == "db" || name.starts_with("snap.")
    };
    paths.filter(is_tree).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// As after a power cut: the tree's files are as they were.
fn lose(place: &Place, before: &BTreeMap<PathBuf, Vec<u8>>) {
    for path in tree(place).into_keys() {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in before {
        fs::write(path, bytes).unwrap();
    }
}

/// A row of so many bytes that mean nothing.
fn blob(n: u32, bytes: usize) -> Batch {
    Batch::new().put(&BLOBS, &n.to_be_bytes(), &long(n, bytes)).unwrap()
}

#[test]
fn what_a_power_cut_took_from_the_tree_is_taken_from_the_journal() {
    let place = Place::new();
    filled(&place, [name("gone", "1"), blob(1, 9_000), name("kept", "2")]);
    let before = tree(&place);
    let later = [name("new", "3"), Batch::new().delete(&NAMES, b"gone"), blob(1, 5_000), blob(2, 50_000)];
    filled(&place, later);
    for _ in 0..2 {
        lose(&place, &before);
        let store = place.open().unwrap();
        assert_eq!(names(&store), pairs(&[("kept", "2"), ("new", "3")]));
        assert_eq!(store.get(&BLOBS, &1u32.to_be_bytes()).unwrap().unwrap(), long(1, 5_000));
        assert_eq!(store.get(&BLOBS, &2u32.to_be_bytes()).unwrap().unwrap(), long(2, 50_000));
        assert_eq!((store.count(&NAMES), store.count(&BLOBS)), (2, 2));
        close(store);
    }
    let store = place.open().unwrap();
    assert_eq!(store.commit_blocking(name("on", "4")).unwrap(), 8, "commit numbers go on");
}

#[test]
fn a_torn_record_was_never_answered_and_those_before_it_are_there() {
    let place = Place::new();
    filled(&place, [name("a", "1")]);
    let before = tree(&place);
    filled(&place, [name("b", "2"), name("c", "3")]);
    let path = place.store.join("journal");
    let mut journal = fs::read(&path).unwrap();
    let second = u32::from_be_bytes(journal[..4].try_into().unwrap()) as usize;
    journal[second + 30] ^= 1;
    fs::write(&path, journal).unwrap();
    lose(&place, &before);
    // That it was answered, the note of the last commit says.
    assert!(matches!(place.open(), Err(Error::Damaged { what, .. }) if what.starts_with("commit 3 was answered")));
    fs::remove_file(place.store.join("last-commit")).unwrap();
    assert_eq!(names(&place.open().unwrap()), pairs(&[("a", "1"), ("b", "2")]));
}

#[test]
fn commits_that_are_missing_between_tree_and_journal_are_noticed() {
    let place = Place::new();
    filled(&place, [name("a", "1")]);
    let before = tree(&place);
    filled(&place, [name("b", "2")]);
    filled(&place, [name("c", "3")]);
    lose(&place, &before);
    let error = place.open().err().unwrap();
    assert!(
        matches!(error, Error::Damaged { what, .. } if what == "the journal begins with commit 3, but the newest one found is 1")
    );
}

/// The tree's file may lack only so much as sled bears; the journal's older records stay until it has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_waits_for_a_tree_that_is_far_behind_and_no_record_is_overwritten_that_it_lacks() {
    let place = Place::new();
    let faults = Faults::new();
    let store = open_on(&place.store, &Files::faulty(faults.clone())).unwrap();
    const ROW: usize = 60_000;
    let is_stuck = async |batch: Batch| {
        let commit = store.commit(batch);
        tokio::pin!(commit);
        let early = tokio::time::timeout(Duration::from_millis(300), commit.as_mut()).await;
        assert!(early.is_err(), "it went on while the tree was not durable");
        faults.go_on();
        commit.await.unwrap()
    };
    faults.hang_in(Op::SyncData, "/db");
    for n in 0..5 {
        store.commit(blob(n, ROW)).await.unwrap();
    }
    assert_eq!(is_stuck(blob(5, ROW)).await, 6, "too much would be unsettled");
    for n in 6..33 {
        store.commit(blob(n, ROW)).await.unwrap();
    }
    store.inner.settling.catch_up().unwrap();
    faults.hang_in(Op::SyncData, "/db");
    store.commit(blob(33, ROW)).await.unwrap();
    assert_eq!(first_record(&place), 1);
    assert_eq!(is_stuck(blob(34, ROW)).await, 35, "the journal is full");
    assert_eq!(first_record(&place), 35);
    store.close().await;
    drop(store);
    assert_eq!(place.open().unwrap().count(&BLOBS), 35);
}

/// Records before and behind a commit that the journal did not take would not lead from one to the other.
#[test]
fn the_journal_begins_anew_behind_a_commit_that_is_too_long_for_it() {
    let place = Place::new();
    let store = place.open().unwrap();
    store.commit_blocking(name("a", "1")).unwrap();
    store.commit_blocking(blob(1, 1 << 20)).unwrap();
    store.commit_blocking(name("b", "2")).unwrap();
    assert_eq!(first_record(&place), 3);
}

fn first_record(place: &Place) -> u64 {
    u64::from_be_bytes(fs::read(place.store.join("journal")).unwrap()[12..20].try_into().unwrap())
}

#[test]
fn nobody_reads_half_a_commit() {
    const LAST: u32 = 400;
    let place = Place::new();
    let store = place.open().unwrap();
    let both = |n: u32| name("a", &n.to_string()).join(name("z", &n.to_string()));
    let read = |key: &[u8]| store.get(&NAMES, key).unwrap().unwrap().parse::<u32>().unwrap();
    store.commit_blocking(both(0)).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            loop {
                // What is read later is of that commit or of a later one.
                let (a, z) = (read(b"a"), read(b"z"));
                assert!(a <= z, "{a} before {z}");
                if a == LAST {
                    break;
                }
            }
        });
        for n in 1..=LAST {
            store.commit_blocking(both(n)).unwrap();
        }
        reader.join().unwrap();
    });
}

/// They are answered before the tree has it.
#[test]
fn who_was_answered_reads_and_counts_what_was_written() {
    let place = Place::new();
    let store = place.open().unwrap();
    for n in 0..500_u32 {
        let rows = (0..20).fold(name("last", &n.to_string()), |rows, i| rows.join(name(&format!("{i}/{n}"), "")));
        store.commit_blocking(rows).unwrap();
        match n % 3 {
            0 => assert_eq!(store.count(&NAMES), u64::from(n) * 20 + 21),
            1 => assert_eq!(store.get(&NAMES, b"last").unwrap(), Some(n.to_string())),
            _ => assert_eq!(store.prefix(&NAMES, b"last").next().unwrap().unwrap().1, n.to_string()),
        }
    }
    let backup = place.beside("backup");
    store.commit_blocking(name("last", "backed up")).unwrap();
    assert_eq!(store.backup(&backup).unwrap().rows, 10_001);
}
