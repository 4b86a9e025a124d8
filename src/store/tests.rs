//! The store's promises, each against a real directory.

use super::*;
use crate::{
    base::{Kind, Metrics},
    disk::Files,
};
use std::path::Path;

const NAMES: Keyspace<String> = Keyspace::new(7, "names", Codec::Json);
const BLOBS: Keyspace<Vec<u8>> = Keyspace::new(9, "blobs", Codec::Postcard);

fn open(dir: &Path) -> Result<Store, Error> {
    open_on(dir, &Files::real())
}

fn open_on(dir: &Path, files: &Files) -> Result<Store, Error> {
    let options = Options { cache_bytes: 1 << 20, ..Options::default() };
    Store::open(dir, options, files, &Metrics::default())
}

fn name(key: &str, value: &str) -> Batch {
    Batch::new().put(&NAMES, key.as_bytes(), &value.to_owned()).unwrap()
}

fn names(store: &Store) -> Vec<(String, String)> {
    let row = |row: Result<(Vec<u8>, String), Error>| row.map(|(k, v)| (String::from_utf8(k).unwrap(), v)).unwrap();
    store.range(&NAMES, ..).map(row).collect()
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    let store = open(&dir).unwrap();
    let long: Vec<u8> = (0..50_000_u32).map(|i| (i * 7) as u8).collect();
    assert_eq!(store.commit(name("a", "1")).await.unwrap(), 1);
    let batch = name("b", "2").join(name("c", "3")).delete(&NAMES, b"a").put(&BLOBS, b"long", &long).unwrap();
    assert_eq!(store.commit(batch).await.unwrap(), 2);
    store.close().await;
    assert_eq!(store.commit(name("d", "4")).await.unwrap_err().kind(), Kind::Stopped);
    drop(store);

    let store = open(&dir).unwrap();
    assert_eq!(names(&store), [("b".into(), "2".into()), ("c".into(), "3".into())]);
    assert_eq!(store.get(&BLOBS, b"long").unwrap().unwrap(), long);
    assert_eq!((store.count(&NAMES), store.count(&BLOBS)), (2, 1));
    assert_eq!(store.commit(name("d", "4")).await.unwrap(), 3, "commit numbers go on");
}
