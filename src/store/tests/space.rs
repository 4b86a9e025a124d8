//! A full disk: the store opens, refuses rows without failing for good, and frees.

use super::{engine, home, *};
use crate::{
    base::Kind,
    disk::{Failure, Faults, Op, Rule, Space},
};
use std::io;

fn free(free_bytes: u64) -> Option<Space> {
    Some(Space { total_bytes: 1 << 40, free_bytes, ..Space::default() })
}

#[test]
fn the_ballast_makes_room_to_open_and_is_laid_again() {
    let place = Place::new();
    filled(&place, [name("a", "1")]);
    let ballast = place.store.join("ballast");
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), home::BALLAST_BYTES);
    {
        let home = home::Home::enter(&place.store, &Files::real()).unwrap();
        let full = || Err(sled::Error::Io(io::ErrorKind::StorageFull.into()));
        let db = engine::open_with(&home, || if ballast.exists() { full() } else { raw_sled(&place.store) });
        assert!(db.is_ok());
        assert!(!ballast.exists());
        drop(db);
        assert_eq!(engine::open_with(&home, full).unwrap_err().kind(), Kind::NoSpace);
    }
    let faults = Faults::new();
    faults.pretend_space(free(3 << 20));
    close(open_on(&place.store, &Files::faulty(faults.clone())).unwrap());
    assert!(!ballast.exists(), "there is no room for it yet");
    faults.pretend_space(None);
    close(open_on(&place.store, &Files::faulty(faults)).unwrap());
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), home::BALLAST_BYTES);
}

#[test]
fn a_full_disk_refuses_rows_takes_deletes_and_heals() {
    let place = Place::new();
    let faults = Faults::new();
    let store = open_on(&place.store, &Files::faulty(faults.clone())).unwrap();
    store.commit_blocking(name("a", "1").join(name("b", "2"))).unwrap();
    faults.pretend_space(free(2 << 20));
    let refused = store.commit_blocking(name("c", "3")).unwrap_err();
    assert_eq!(refused.kind(), Kind::NoSpace, "{refused}");
    store.commit_blocking(Batch::new().delete(&NAMES, b"a")).unwrap();
    assert!(place.store.join("ballast").exists());
    faults.pretend_space(free(1000));
    assert_eq!(store.commit_blocking(name("c", "3")).unwrap_err().kind(), Kind::NoSpace);
    assert_eq!(store.commit_blocking(Batch::new()).unwrap_err().kind(), Kind::NoSpace, "asked whether it lives");
    assert!(place.store.join("ballast").exists(), "it is not spent on what would not fit all the same");
    assert_eq!(store.commit_blocking(Batch::new().delete(&NAMES, b"b")).unwrap_err().kind(), Kind::NoSpace);
    assert!(!place.store.join("ballast").exists());
    faults.pretend_space(None);
    store.commit_blocking(name("c", "3")).unwrap();
    assert_eq!(store.health().failed, None);
    assert_eq!(names(&store), pairs(&[("b", "2"), ("c", "3")]));
}

#[test]
fn the_spare_file_keeps_one_value_on_a_full_disk_and_the_one_before_where_a_write_is_torn() {
    let place = Place::new();
    let faults = Faults::new();
    let open = || open_on(&place.store, &Files::faulty(faults.clone())).unwrap();
    let keep = |store: &Store, value: &[u8], above| {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.keep_spare(value.to_vec(), above))
    };
    let store = open();
    assert_eq!(store.spare().unwrap(), None);
    faults.pretend_space(free(0));
    let appended = faults.count(Op::Append);
    for n in 1..=5u64 {
        assert_eq!(keep(&store, n.to_string().as_bytes(), 0).unwrap(), n);
        assert_eq!(store.spare().unwrap(), Some((n, n.to_string().into_bytes())));
    }
    assert_eq!(faults.count(Op::Append), appended + 5, "written in place and nowhere else");
    assert!(keep(&store, &vec![0; crate::store::SPARE_VALUE_BYTES_MAX + 1], 0).is_err());
    let longest = vec![7; crate::store::SPARE_VALUE_BYTES_MAX];
    assert_eq!(keep(&store, &longest, 40).unwrap(), 41, "above what its owner has seen");
    close(store);
    // Torn at any byte: what was kept before is there.
    let path = place.store.join("spare");
    let before = std::fs::read(&path).unwrap();
    let store = open();
    assert_eq!(keep(&store, b"torn in the middle", 0).unwrap(), 42);
    close(store);
    let after = std::fs::read(&path).unwrap();
    assert_eq!(before.len(), after.len(), "it never grows");
    let changed: Vec<usize> = (0..before.len()).filter(|i| before[*i] != after[*i]).collect();
    for cut in changed.iter().skip(1) {
        let torn = [&after[..*cut], &before[*cut..]].concat();
        std::fs::write(&path, torn).unwrap();
        let store = open();
        assert!(store.spare().unwrap() == Some((41, longest.clone())), "torn at byte {cut}");
        close(store);
    }
    // A sync that failed is never tried again.
    let store = open();
    faults.inject(Rule::new(Op::SyncData, Failure::Io).on("spare"));
    assert!(keep(&store, b"x", 0).is_err());
    assert!(keep(&store, b"x", 0).is_err());
    close(store);
    assert!(keep(&open(), b"x", 0).is_ok_and(|n| n > 41));
}
