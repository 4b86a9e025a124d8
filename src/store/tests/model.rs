//! Random batches against a plain map, through reopening, backup and restore.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Act {
    Commit(Vec<(u8, Option<usize>)>),
    Reopen,
    BackupAndRestore,
}

fn act() -> impl Strategy<Value = Act> {
    let len = prop_oneof![0_usize..50, 4_085_usize..4_100, 8_180_usize..8_200, 20_000_usize..30_000];
    let write = (0_u8..24, proptest::option::weighted(0.7, len));
    prop_oneof![
        8 => proptest::collection::vec(write, 0..8).prop_map(Act::Commit),
        1 => Just(Act::Reopen),
        1 => Just(Act::BackupAndRestore),
    ]
}

fn check(store: &Store, model: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let rows: BTreeMap<_, _> = store.range(&BLOBS, ..).map(Result::unwrap).collect();
    assert!(rows == *model, "rows differ: {:?} and {:?}", rows.keys(), model.keys());
    let backwards: Vec<_> = store.range(&BLOBS, ..).rev().map(|row| row.unwrap().0).collect();
    assert!(backwards.iter().eq(model.keys().rev()));
    let (from, to) = (vec![b'k', 5], vec![b'k', 15]);
    let part: Vec<_> = store.range(&BLOBS, from.clone()..to.clone()).map(|row| row.unwrap().0).collect();
    assert!(part.iter().eq(model.range(from..to).map(|(k, _)| k)));
    assert!(
        store
            .prefix(&BLOBS, &[b'k', 7])
            .map(|r| r.unwrap().0)
            .eq(model.get_key_value(&[b'k', 7][..]).map(|r| r.0.clone()))
    );
    assert_eq!(store.count(&BLOBS), model.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map(acts in proptest::collection::vec(act(), 1..25)) {
        let place = Place::new();
        let mut store = place.open().unwrap();
        let mut model = BTreeMap::new();
        for (n, act) in acts.into_iter().enumerate() {
            match act {
                Act::Commit(writes) => {
                    let mut batch = Batch::new();
                    for (key, len) in writes {
                        let key = vec![b'k', key];
                        batch = match len {
                            Some(len) => {
                                let value = long(n as u32, len);
                                let batch = batch.put(&BLOBS, &key, &value).unwrap();
                                model.insert(key, value);
                                batch
                            }
                            None => {
                                model.remove(&key);
                                batch.delete(&BLOBS, &key)
                            }
                        };
                    }
                    store.commit_blocking(batch).unwrap();
                }
                Act::Reopen => {
                    close(store);
                    store = place.open().unwrap();
                }
                Act::BackupAndRestore => {
                    let file = place.beside("copy");
                    store.backup(&file).unwrap();
                    close(store);
                    restore(&place.store, &file, &Files::real()).unwrap();
                    store = place.open().unwrap();
                }
            }
            check(&store, &model);
        }
    }
}
