//! Damage is mended where nothing is lost, told where something may be, and never taken for a new store.

use super::*;
use crate::base::{Kind, Wall};
use std::fs;

fn damaged(place: &Place) -> String {
    match place.open() {
        Err(Error::Damaged { what, .. }) => what,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("the damage went unnoticed"),
    }
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    paths.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("snap.")).collect()
}

#[test]
fn a_store_in_use_is_said_to_be() {
    let place = Place::new();
    let store = place.open().unwrap();
    let error = place.open().err().unwrap();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("in use by another process"));
    close(store);
    let raw = raw_sled(&place.store).unwrap();
    assert!(matches!(place.open().err().unwrap(), Error::Locked { .. }), "sled's own lock");
    drop(raw);
    place.open().unwrap();
}

#[test]
fn a_torn_snapshot_is_mended_and_a_half_written_one_removed() {
    let place = Place::new();
    filled(&place, (0..50).map(|i| name(&format!("k{i:02}"), "v")));
    close(place.open().unwrap());
    let snapshot = snapshots(&place.store).pop().expect("sled makes a snapshot when it opens");
    let whole = fs::read(&snapshot).unwrap();
    fs::write(&snapshot, &whole[..whole.len() / 2]).unwrap();
    assert!(raw_sled(&place.store).is_err(), "sled mends it itself: this test shows nothing");
    fs::write(place.store.join("snap.00000000000000FF.generating"), b"").unwrap();
    let store = place.open().unwrap();
    assert_eq!(store.count(&NAMES), 50);
    assert_eq!(names(&store).len(), 50);
    let left: Vec<_> = fs::read_dir(&place.store).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|n| n.to_string_lossy().contains("generating") || n.to_string_lossy().contains("aside")));
}

#[test]
fn rows_that_vanish_appear_or_change_are_noticed() {
    let changes: [(&str, fn(&sled::Db)); 4] = [
        ("deleted", |db| drop(db.remove(b"\x07\x00k07").unwrap().unwrap())),
        ("added", |db| drop(db.insert(b"\x07\x00more", b"\x00\"v\"").unwrap())),
        ("changed", |db| drop(db.insert(b"\x07\x00k07", b"\x00\"w\"").unwrap().unwrap())),
        ("chunk", |db| drop(db.remove(b"\x09\x01\x00\x03big\x00\x02").unwrap().unwrap())),
    ];
    for (what, change) in changes {
        let place = Place::new();
        let big = Batch::new().put(&BLOBS, b"big", &long(3, 20_000)).unwrap();
        filled(&place, (0..20).map(|i| name(&format!("k{i:02}"), "v")).chain([big]));
        let raw = raw_sled(&place.store).unwrap();
        change(&raw);
        raw.flush().unwrap();
        drop(raw);
        let found = damaged(&place);
        assert!(found.contains(if what == "chunk" { "`blobs`" } else { "`names`" }), "{what}: {found}");
    }
}

#[test]
fn large_keyspaces_are_read_in_the_background_and_commits_go_on() {
    let place = Place::new();
    filled(&place, (0..30).map(|i| name(&format!("k{i:02}"), "v")));
    let options = Options { verify_rows_at_open_max: 10, ..Options::default() };
    let open = || Store::open(&place.store, options, &Files::real(), &Metrics::default()).unwrap();
    let settled = |store: &Store| {
        let mut health = store.watch_health();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { health.wait_for(|h| h.verification != Verification::Running).await.unwrap().clone() })
    };
    let store = open();
    for i in 0..30 {
        store.commit_blocking(name(&format!("k{i:02}"), "changed").delete(&NAMES, b"k29")).unwrap();
    }
    assert_eq!(settled(&store), Health { failed: None, verification: Verification::Sound });
    close(store);
    let raw = raw_sled(&place.store).unwrap();
    raw.remove(b"\x07\x00k03").unwrap().unwrap();
    raw.flush().unwrap();
    drop(raw);
    let store = open();
    let health = settled(&store);
    assert!(matches!(&health.verification, Verification::Damaged(what) if what.contains("29 rows")), "{health:?}");
}

#[test]
fn an_older_state_that_adds_up_is_noticed_by_its_commit_number() {
    let place = Place::new();
    filled(&place, [name("a", "1")]);
    let older = fs::read(place.store.join("db")).unwrap();
    filled(&place, [name("b", "2")]);
    fs::write(place.store.join("db"), older).unwrap();
    for snapshot in snapshots(&place.store) {
        fs::remove_file(snapshot).unwrap();
    }
    fs::remove_file(place.store.join("journal")).unwrap();
    assert_eq!(damaged(&place), "commit 2 was answered, but the newest one found is 1");
}

#[test]
fn a_store_that_was_there_is_never_begun_anew() {
    let place = Place::new();
    filled(&place, [name("a", "1")]);
    fs::rename(place.store.join("db"), place.beside("db")).unwrap();
    assert_eq!(damaged(&place), "its database file `db` is missing");
    fs::write(place.store.join("db"), b"").unwrap();
    assert_eq!(damaged(&place), "its schema row is missing");
    fs::rename(place.beside("db"), place.store.join("db")).unwrap();
    fs::rename(place.store.join("version"), place.beside("version")).unwrap();
    assert!(damaged(&place).contains("no file `version`"));
    fs::write(place.store.join("version"), "skyvis-store schema 9 ready   \n").unwrap();
    let error = place.open().err().unwrap();
    assert!(matches!(&error, Error::Schema { found, .. } if found.contains("schema 9")), "{error}");
    fs::write(place.store.join("version"), "").unwrap();
    assert_eq!(damaged(&place), "its file `version` cannot be read");
    fs::rename(place.beside("version"), place.store.join("version")).unwrap();
    for snapshot in snapshots(&place.store) {
        fs::remove_file(snapshot).unwrap();
    }
    assert_eq!(names(&place.open().unwrap()), pairs(&[("a", "1")]));
}

#[test]
fn a_creation_that_was_interrupted_is_begun_again() {
    let place = Place::new();
    filled(&place, [name("never", "answered")]);
    fs::write(place.store.join("version"), "skyvis-store schema 1 creating\n").unwrap();
    assert_eq!(names(&place.open().unwrap()), []);
    let place = Place::new();
    fs::create_dir(&place.store).unwrap();
    fs::write(place.store.join("version.new"), "skyvis-st").unwrap();
    assert_eq!(names(&place.open().unwrap()), []);
}

/// One bit anywhere in the log: what opens has every row, and what does not says so.
#[test]
fn a_flipped_bit_is_never_a_shorter_store() {
    let place = Place::new();
    filled(&place, (0..40).map(|i| name(&format!("k{i:02}"), &format!("value {i}"))));
    let db = fs::read(place.store.join("db")).unwrap();
    let used = db.iter().rposition(|b| *b != 0).unwrap();
    let mut told = 0;
    for flip in 0..40 {
        let copy = Place::new();
        fs::create_dir_all(copy.store.join("blobs")).unwrap();
        for name in ["conf", "version", "last-commit"] {
            fs::copy(place.store.join(name), copy.store.join(name)).unwrap();
        }
        let mut flipped = db.clone();
        flipped[used * (flip * 7919 % 4001) / 4001] ^= 1 << (flip % 8);
        fs::write(copy.store.join("db"), flipped).unwrap();
        match copy.open() {
            Err(error) => {
                assert_eq!(error.kind(), Kind::Storage, "{error}");
                told += 1;
            }
            Ok(store) => {
                let expected: Vec<_> = (0..40).map(|i| (format!("k{i:02}"), format!("value {i}"))).collect();
                assert_eq!(names(&store), expected, "flip {flip} was not noticed");
            }
        }
    }
    assert!(told > 0, "no flip hit anything");
}

#[test]
fn the_error_says_what_to_do_and_names_the_newest_export() {
    let place = Place::new();
    filled(&place, [name("a", "1")]);
    fs::remove_file(place.store.join("db")).unwrap();
    let error = place.open().err().unwrap().to_string();
    assert!(error.contains("skyvis restore FILE") && error.contains("skyvis reindex"), "{error}");
    fs::create_dir(place.beside("exports")).unwrap();
    for export in ["20260101T000000000Z-1.skyvis-backup", "20260201T000000000Z-2.skyvis-backup", "zzz"] {
        fs::write(place.beside("exports").join(export), b"").unwrap();
    }
    let error = place.open().err().unwrap().to_string();
    assert!(error.contains("exports/20260201T000000000Z-2.skyvis-backup"), "{error}");
}

#[test]
fn the_newest_export_of_a_lost_store_is_kept_from_later_ones() {
    let place = Place::new();
    let exports = place.beside("exports");
    filled(&place, [name("a", "1"), name("b", "2")]);
    assert_eq!(keep_newest_export(&exports, &Files::real()).unwrap(), None);
    let store = place.open().unwrap();
    store.export(&exports, Wall::from_millis(1000), 1).unwrap().unwrap();
    close(store);
    fs::remove_dir_all(&place.store).unwrap();
    let kept = keep_newest_export(&exports, &Files::real()).unwrap().unwrap();
    for n in 1..4 {
        let store = place.open().unwrap();
        store.commit_blocking(name("c", &n.to_string())).unwrap();
        store.export(&exports, Wall::from_millis(1000 + n), 1).unwrap().unwrap();
        close(store);
    }
    restore(&place.store, &kept, &Files::real()).unwrap();
    assert_eq!(names(&place.open().unwrap()), pairs(&[("a", "1"), ("b", "2")]));
}
