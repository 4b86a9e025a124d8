//! Backups are consistent while commits go on, and a damaged one touches nothing.

use super::{walk::Walker, *};
use crate::base::{Kind, Wall};
use std::{collections::BTreeMap, fs};

fn many(from: u32, to: u32) -> Batch {
    let row = |b: Batch, i: u32| b.put(&BLOBS, &i.to_be_bytes(), &long(i, (i as usize * 37) % 9_000)).unwrap();
    (from..to).fold(Batch::new(), row)
}

#[test]
fn a_round_trip_gives_the_same_store_and_keeps_the_old_one_aside() {
    let place = Place::new();
    let file = place.beside("copy");
    let store = place.open().unwrap();
    store.commit_blocking(many(0, 700).join(name("a", "1"))).unwrap();
    let backup = store.backup(&file).unwrap();
    assert_eq!((backup.commit, backup.rows), (1, 701));
    assert_eq!(backup.bytes, fs::metadata(&file).unwrap().len());
    store.commit_blocking(name("a", "later")).unwrap();
    let in_use = restore(&place.store, &file, &Files::real()).unwrap_err();
    assert!(matches!(in_use, Error::Locked { .. }), "{in_use}");
    close(store);

    let restored = restore(&place.store, &file, &Files::real()).unwrap();
    let aside = place.beside("store.before-restore-1");
    assert_eq!(restored, Restored { commit: 1, rows: 701, moved_aside: Some(aside.clone()) });
    let store = place.open().unwrap();
    assert_eq!(names(&store), pairs(&[("a", "1")]));
    assert_eq!(store.range(&BLOBS, ..).count(), 700);
    assert_eq!(store.get(&BLOBS, &699_u32.to_be_bytes()).unwrap().unwrap(), long(699, 699 * 37 % 9_000));
    assert_eq!(store.commit_blocking(name("b", "2")).unwrap(), 2);
    assert_eq!(names(&open_on(&aside, &Files::real()).unwrap()), pairs(&[("a", "later")]));
    close(store);
    let again = restore(&place.store, &file, &Files::real()).unwrap();
    assert_eq!(again.moved_aside, Some(place.beside("store.before-restore-2")));
}

#[test]
fn a_restore_needs_no_store_and_mends_a_damaged_one() {
    let place = Place::new();
    let file = place.beside("copy");
    let store = place.open().unwrap();
    store.commit_blocking(name("a", "1")).unwrap();
    store.backup(&file).unwrap();
    close(store);
    fs::remove_dir_all(&place.store).unwrap();
    assert_eq!(restore(&place.store, &file, &Files::real()).unwrap().moved_aside, None);
    assert_eq!(names(&place.open().unwrap()), pairs(&[("a", "1")]));
    fs::write(place.store.join("db"), b"garbage").unwrap();
    assert!(place.open().is_err());
    restore(&place.store, &file, &Files::real()).unwrap();
    assert_eq!(names(&place.open().unwrap()), pairs(&[("a", "1")]));
}

#[test]
fn a_damaged_backup_is_refused_and_touches_nothing() {
    let place = Place::new();
    let (file, bad) = (place.beside("copy"), place.beside("bad"));
    let store = place.open().unwrap();
    store.commit_blocking(many(0, 8).join(name("a", "1"))).unwrap();
    store.backup(&file).unwrap();
    close(store);
    let whole = fs::read(&file).unwrap();
    let mut damages: Vec<Vec<u8>> = Vec::new();
    for at in (0..whole.len()).step_by(whole.len() / 150) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        damages.push(flipped);
        damages.push(whole[..at].to_vec());
    }
    damages.push([whole.clone(), vec![0]].concat());
    let entries = || fs::read_dir(place.beside("")).unwrap().count();
    fs::write(&bad, b"").unwrap();
    let before = entries();
    for damage in damages {
        fs::write(&bad, &damage).unwrap();
        let error = restore(&place.store, &bad, &Files::real()).unwrap_err();
        assert!(matches!(error, Error::BadBackup { .. }), "{error}");
        assert_eq!(error.kind(), Kind::Invalid);
    }
    assert_eq!(entries(), before, "something was made or moved");
    let missing = restore(&place.store, &place.beside("nowhere"), &Files::real()).unwrap_err();
    assert!(missing.to_string().contains("there is no such file"), "{missing}");
    assert_eq!(names(&place.open().unwrap()), pairs(&[("a", "1")]));
}

#[test]
fn a_walk_sees_one_moment_however_rows_change_meanwhile() {
    let place = Place::new();
    let store = place.open().unwrap();
    store.commit_blocking(many(0, 1_500)).unwrap();
    let mut model = BTreeMap::new();
    let mut walker = Walker::begin(&store.inner, vec![1], None);
    for round in 0_u32.. {
        // Behind the cursor, at it, ahead of it: changed, deleted, added.
        let batch = [3, 255, 256, 257, 700, 1_490].into_iter().fold(Batch::new(), |b, i: u32| {
            let b = b.delete(&BLOBS, &(i + round).to_be_bytes());
            b.put(&BLOBS, &(i + 1 + round).to_be_bytes(), &long(round, 5_000)).unwrap()
        });
        store.commit_blocking(batch).unwrap();
        let step = walker.step().unwrap();
        for change in step.changes {
            match change.new {
                Some(value) => drop(model.insert(change.key, value)),
                None => drop(model.remove(&change.key)),
            }
        }
        for (key, value) in step.rows {
            model.insert(key.to_vec(), value.to_vec());
        }
        if let Some(meta) = step.finished {
            assert!(round > 4);
            assert_eq!(meta, store.inner.state().meta);
            break;
        }
    }
    let raw = store.inner.db.range(vec![1_u8]..).map(|row| row.map(|(k, v)| (k.to_vec(), v.to_vec())).unwrap());
    assert!(model == raw.collect::<BTreeMap<_, _>>(), "the copy differs from the tree");
}

#[test]
fn a_backup_during_commits_is_of_one_commit() {
    let place = Place::new();
    let file = place.beside("copy");
    let store = place.open().unwrap();
    store.commit_blocking(many(0, 3_000)).unwrap();
    let writer = store.clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        let mut n = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            n += 1;
            let value = format!("{n}").into_bytes();
            let ends = Batch::new().put(&BLOBS, b"\0", &value).unwrap().put(&BLOBS, &[255; 8], &value).unwrap();
            writer.commit_blocking(ends).unwrap();
        }
        n
    });
    let backup = store.backup(&file).unwrap();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let commits = thread.join().unwrap();
    assert!(commits >= 1);
    let copy = place.beside("restored");
    assert_eq!(restore(&copy, &file, &Files::real()).unwrap().commit, backup.commit);
    let copy = open_on(&copy, &Files::real()).unwrap();
    let (first, last) = (copy.get(&BLOBS, b"\0").unwrap(), copy.get(&BLOBS, &[255; 8]).unwrap());
    assert_eq!(first, last, "two rows of one commit differ");
    let n: u64 = first.map_or(0, |v| String::from_utf8(v).unwrap().parse().unwrap());
    assert_eq!(n + 1, backup.commit);
}

#[test]
fn exports_rotate_and_nothing_new_is_not_exported() {
    let place = Place::new();
    let exports = place.beside(EXPORTS_DIR);
    let store = place.open().unwrap();
    for i in 0..5_i64 {
        store.commit_blocking(name("a", &i.to_string())).unwrap();
        let now = Wall::from_millis(1_800_000_000_000 + i * 3_600_000);
        assert!(store.export(&exports, now, 3).unwrap().is_some());
        assert_eq!(store.export(&exports, now, 3).unwrap(), None);
    }
    let mut left: Vec<_> =
        fs::read_dir(&exports).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(
        left,
        [
            "20270115T100000000Z-000000000003.skyvis-backup",
            "20270115T110000000Z-000000000004.skyvis-backup",
            "20270115T120000000Z-000000000005.skyvis-backup"
        ]
    );
    close(store);
    restore(&place.store, &exports.join(&left[0]), &Files::real()).unwrap();
    assert_eq!(names(&place.open().unwrap()), pairs(&[("a", "2")]));
}
