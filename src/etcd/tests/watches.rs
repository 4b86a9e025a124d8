//! Watches by gRPC: nothing is lost, doubled or split, and a slow one costs nobody anything.

use super::{
    peer::{put, watch},
    *,
};
use crate::etcd::wire::{Asked, Event, PutRequest, Request, RequestOp, TxnRequest, WatchCreateRequest};
use bytes::Bytes;

fn seen(events: &[Event]) -> Vec<(String, String, i64)> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let one = |e: &Event| {
        let kv = e.kv.as_ref().unwrap();
        (text(&kv.key), if e.kind == 1 { "-".into() } else { text(&kv.value) }, kv.mod_revision)
    };
    events.iter().map(one).collect()
}

#[tokio::test]
async fn many_watches_on_one_stream_each_see_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    peer.set("a", "before").await;
    let mut watches = peer.watches();
    let created = watches.create(watch("a", "")).await;
    assert_eq!((created.watch_id, created.header.unwrap().revision), (0, 2));
    let created = watches.create(WatchCreateRequest { start_revision: 1, prev_kv: true, ..watch("a", "c") }).await;
    assert_eq!(created.watch_id, 1);
    assert_eq!(seen(&watches.next().await.events), [("a".into(), "before".into(), 2)], "what was is told first");
    assert_eq!(watches.create(WatchCreateRequest { watch_id: 9, ..watch("b", "") }).await.watch_id, 9);
    let refused = watches.create(WatchCreateRequest { watch_id: 9, ..watch("b", "") }).await;
    assert!(refused.created && refused.canceled && refused.watch_id == -1, "{refused:?}");
    assert_eq!(refused.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
    assert_eq!(watches.create(watch("c", "a")).await.cancel_reason, "mvcc: watcher range is empty");
    let none = WatchCreateRequest { filters: vec![0], ..watch("\0", "\0") };
    assert_eq!(watches.create(none).await.watch_id, 2);

    peer.set("b", "1").await;
    let (one, nine) = (watches.next().await, watches.next().await);
    assert_eq!((one.watch_id, nine.watch_id, seen(&one.events)), (1, 9, seen(&nine.events)));
    watches.ask_cancel(9).await;
    let ended = watches.next().await;
    assert!(ended.watch_id == 9 && ended.canceled && ended.compact_revision == 0);
    watches.ask_cancel(77).await;
    let op = |key: &str, value| RequestOp { request: Some(Request::Put(put(key, value))) };
    let txn = TxnRequest { success: vec![op("b", "2"), op("z", "2"), op("a", "2")], ..TxnRequest::default() };
    peer.txn(&txn).await.unwrap();
    let (zero, one) = (watches.next().await, watches.next().await);
    assert_eq!(seen(&zero.events), [("a".into(), "2".into(), 4)]);
    assert_eq!(seen(&one.events), [("b".into(), "2".into(), 4), ("a".into(), "2".into(), 4)], "as it was done");
    assert_eq!(&one.events[0].prev_kv.as_ref().unwrap().value[..], b"1");
    watches.ask_progress().await;
    let progress = watches.next().await;
    assert_eq!((progress.watch_id, progress.header.unwrap().revision), (-1, 4));
    room.end().await;
}

#[tokio::test]
async fn what_was_compacted_is_told_with_the_revision_to_begin_at() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    for i in 0..4 {
        peer.set("k", &i.to_string()).await;
    }
    peer.compact(4).await.unwrap();
    let mut watches = peer.watch("k", "", 3).await;
    let ended = watches.next().await;
    assert!(ended.canceled && ended.compact_revision == 4 && ended.events.is_empty(), "{ended:?}");
    assert_eq!(ended.header.unwrap().revision, 0);
    let mut watches = peer.watch("k", "", 4).await;
    assert_eq!(watches.events(2).await.len(), 2, "that revision itself is there");
    room.end().await;
}

/// Writers write, watches come with and without a past: each sees every revision once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_between_history_and_now() {
    const WRITES: i64 = 300;
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let writing = async {
        for i in 0..WRITES {
            peer.set("k", &i.to_string()).await;
        }
    };
    let following = async {
        let mut all = Vec::new();
        for i in 0..30 {
            let mut watches = peer.watches();
            let start_revision = if i % 3 == 0 { 0 } else { 2 + i };
            let created = watches.create(WatchCreateRequest { start_revision, ..watch("k", "") }).await;
            let from = match start_revision {
                0 => created.header.unwrap().revision + 1,
                n => n,
            };
            all.push((from, watches));
        }
        for (from, mut watches) in all {
            let mut next = from;
            while next < WRITES + 2 {
                let answer = watches.next().await;
                for event in answer.events {
                    assert_eq!(event.kv.unwrap().mod_revision, next, "each once, in order, from {from}");
                    next += 1;
                }
                assert!(answer.header.unwrap().revision >= next - 1);
            }
        }
    };
    tokio::join!(writing, following);
    room.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_come_in_pieces_where_the_client_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = room.client().await;
    let value: Bytes = vec![7_u8; 700 << 10].into();
    for key in ["a", "b", "c", "d"] {
        peer.put(&PutRequest { key: key.into(), value: value.clone(), ..PutRequest::default() }).await.unwrap();
    }
    let mut watches = peer.watches();
    watches.create(WatchCreateRequest { fragment: true, prev_kv: true, ..watch("\0", "\0") }).await;
    // One revision: as a whole it would be longer than one answer may be.
    let all = crate::etcd::wire::DeleteRangeRequest { key: "a".into(), range_end: "z".into(), prev_kv: false };
    peer.delete(&all).await.unwrap();
    let (first, second) = (watches.next().await, watches.next().await);
    assert!(first.fragment && !second.fragment, "{} {}", first.events.len(), second.events.len());
    assert_eq!(first.events.len() + second.events.len(), 4);
    // Without it, revisions are put together only as far as it goes, and all of them come.
    let mut watches = peer.watches();
    watches.create(WatchCreateRequest { start_revision: 2, ..watch("\0", "\0") }).await;
    let first = watches.next().await.events;
    assert!((3..=4).contains(&first.len()), "{}", first.len());
    assert_eq!(watches.events(8 - first.len()).await.len(), 8 - first.len());
    room.end().await;
}

/// Reads nothing while others write and read: it holds nobody up, and goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_watch_costs_itself_only() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let (slow, quick) = (room.client().await, room.client().await);
    let mut slow = slow.watch("\0", "\0", 0).await;
    let mut watching = quick.watch("\0", "\0", 0).await;
    let value = "x".repeat(10_000);
    for i in 0..500 {
        let revision = quick.set("k", &value).await;
        let event = watching.events(1).await.remove(0);
        assert_eq!(event.kv.unwrap().mod_revision, i64::try_from(revision).unwrap(), "{i}");
    }
    let all = slow.events(500).await;
    assert_eq!((all.len(), all[499].kv.as_ref().unwrap().mod_revision), (500, 501));
    room.end().await;
}

/// The figure is for those who look; what is asserted is that each hears of it, once.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_watches_of_one_prefix_all_hear_of_one_put() {
    const STREAMS: usize = 100;
    const WATCHES_EACH: usize = 100;
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut watches = room.client().await.watches();
        for _ in 0..WATCHES_EACH {
            watches.ask(Asked::Create(watch("p/", "p0"))).await;
        }
        for _ in 0..WATCHES_EACH {
            assert!(watches.next().await.created);
        }
        streams.push(watches);
    }
    let writer = room.client().await;
    for round in 0..3 {
        let began = tokio::time::Instant::now();
        let hearing = streams.iter_mut().map(|watches| async move {
            let mut heard = [false; WATCHES_EACH];
            for _ in 0..WATCHES_EACH {
                let answer = watches.next().await;
                let id = usize::try_from(answer.watch_id).unwrap();
                assert!(answer.events.len() == 1 && !std::mem::replace(&mut heard[id], true), "{answer:?}");
            }
        });
        let (_, revision) = tokio::join!(futures_util::future::join_all(hearing), writer.set("p/k", "v"));
        println!("10,000 watches heard of revision {revision} within {:?} (round {round})", began.elapsed());
    }
    drop(streams);
    room.end().await;
}
