//! A full disk: the store opens, refuses rows without failing for good, and frees.

use super::{engine, home, *};
use crate::{
    base::Kind,
    disk::{Faults, Space},
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
