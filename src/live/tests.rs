use super::*;
use crate::{
    base::Wall,
    model::{DeviceId, Frame, GapCause, SessionId, StreamFormat, StreamKey, TrackKind, VideoCodec, VideoFormat},
};
use bytes::Bytes;
use std::sync::Arc;

fn frame(n: i64, key: bool, bytes: usize) -> Frame {
    let video = VideoFormat {
        codec: VideoCodec::H264,
        rfc6381: "avc1".into(),
        width: 16,
        height: 16,
        sample_entry: Bytes::new(),
    };
    Frame {
        session: SessionId(1),
        track: TrackKind::Video,
        ticks: n,
        offset: 0,
        wall: Wall::from_micros(n),
        key,
        data: Bytes::from(vec![0; bytes]),
        format: Arc::new(StreamFormat { video, audio: None }),
    }
}

fn key() -> StreamKey {
    "nvr1/1/main".parse().unwrap()
}

/// Reads all that is there: frame numbers as they are, skips as negative counts.
fn drain(reader: &mut Reader) -> Vec<i64> {
    std::iter::from_fn(|| reader.try_read())
        .map(|d| match d {
            Delivery::Frame(f) => f.ticks,
            Delivery::Skipped { frames } => -(frames as i64),
            Delivery::Missing(_) => i64::MIN,
            Delivery::Break(_) => i64::MAX,
        })
        .collect()
}

#[test]
fn a_reader_begins_at_a_key_frame_and_then_gets_every_frame() {
    let hub = Hub::default();
    let publisher = hub.publisher(&key());
    let mut reader = hub.reader(&key()).unwrap();
    for n in 0..10 {
        publisher.publish(frame(n, n % 4 == 3, 10));
    }
    assert_eq!(drain(&mut reader), [3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_slow_reader_skips_to_a_key_frame_and_is_told_while_a_quick_one_loses_nothing() {
    let hub = Hub::default();
    let publisher = hub.publisher(&key());
    let (mut slow, mut quick) = (hub.reader(&key()).unwrap(), hub.reader(&key()).unwrap());
    let mut quick_got = Vec::new();
    let all = RING_FRAMES_MAX as i64 + 150;
    for n in 0..all {
        publisher.publish(frame(n, n % 100 == 0, 10));
        quick_got.extend(drain(&mut quick));
        if n == 0 {
            assert_eq!(drain(&mut slow), [0]);
        }
    }
    assert_eq!(quick_got, (0..all).collect::<Vec<_>>());
    let slow_got = drain(&mut slow);
    // Frames 1 to 199 are gone for it: 149 dropped by the ring, the rest up to the key frame by the reader.
    assert_eq!(slow_got[..2], [-199, 200]);
    assert_eq!(*slow_got.last().unwrap(), all - 1);
}

#[test]
fn bytes_are_bounded_and_who_records_begins_with_what_comes() {
    let hub = Hub::default();
    let publisher = hub.publisher(&key());
    publisher.publish(frame(0, true, 1000));
    let mut reader = hub.reader(&key()).unwrap();
    assert!(reader.try_read().is_none(), "published before the reader came");
    let big = RING_BYTES_MAX / 4;
    for n in 1..=12 {
        publisher.publish(frame(n, true, big));
    }
    assert_eq!(drain(&mut reader), [9, 10, 11, 12], "never begun, so nothing was lost to it");
}

#[tokio::test]
async fn a_break_is_delivered_and_the_end_comes_after_the_last_frame() {
    let hub = Hub::default();
    let publisher = hub.publisher(&key());
    let mut reader = hub.reader(&key()).unwrap();
    publisher.publish(frame(0, true, 1));
    publisher.break_session("camera closed the connection");
    publisher.publish(frame(1, false, 1));
    publisher.publish(frame(2, true, 1));
    assert!(hub.streams().borrow().contains(&key()));
    drop(publisher);
    assert!(hub.streams().borrow().is_empty());
    assert_eq!(drain(&mut reader), [0, i64::MAX, -1, 2]);
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn a_waiting_reader_is_woken() {
    let hub = Hub::default();
    let publisher = hub.publisher(&key());
    let mut reader = hub.reader(&key()).unwrap();
    let (got, ()) = tokio::join!(reader.next(), async {
        tokio::task::yield_now().await;
        publisher.publish(frame(7, true, 1));
    });
    assert!(matches!(got, Some(Delivery::Frame(f)) if f.ticks == 7));
}

#[test]
fn a_new_publisher_of_the_same_key_ends_the_readers_of_the_old_one_and_outlives_it() {
    let hub = Hub::default();
    let old = hub.publisher(&key());
    let mut reader = hub.reader(&key()).unwrap();
    let new = hub.publisher(&key());
    drop(old);
    assert!(hub.streams().borrow().contains(&key()));
    assert!(reader.try_read().is_none());
    let mut second = hub.reader(&key()).unwrap();
    new.publish(frame(1, true, 1));
    assert_eq!(drain(&mut second), [1]);
    assert_eq!(hub.readers(&key()), 1);
}

#[test]
fn why_no_frames_come_is_told_until_one_does() {
    let hub = Hub::default();
    let publisher = hub.publisher(&key());
    let mut reader = hub.reader(&key()).unwrap();
    let absence = reader.absence();
    assert_eq!(*absence.borrow(), None);
    let told = Absence { cause: GapCause::Offline, since: Wall::from_micros(7) };
    publisher.absent(told);
    publisher.break_session("gone");
    assert_eq!(*absence.borrow(), Some(told), "an end of a session is no frame");
    assert_eq!(*hub.reader(&key()).unwrap().absence().borrow(), Some(told), "who comes late sees it too");
    publisher.publish(frame(1, true, 10));
    assert_eq!(*absence.borrow(), None);
    publisher.missing(GapCause::StreamError);
    publisher.publish(frame(9, true, 10));
    assert_eq!(drain(&mut reader), [i64::MAX, 1, i64::MIN, 9]);
}

#[test]
fn what_is_held_is_wanted_while_somebody_reads_and_a_new_publisher_knows() {
    let hub = Hub::default();
    let hold = Hold { reason: "schedule".into() };
    hub.hold(&key(), Some(hold.clone()));
    let publisher = hub.publisher(&key());
    let mut demand = publisher.demand();
    assert_eq!(*demand.borrow_and_update(), Some(hold.clone()));
    let reader = hub.reader(&key()).unwrap();
    assert!(demand.has_changed().unwrap() && demand.borrow_and_update().is_none());
    drop(reader);
    assert_eq!(*demand.borrow_and_update(), Some(hold));
    hub.hold(&key(), None);
    assert!(demand.has_changed().unwrap() && demand.borrow_and_update().is_none());
}

#[test]
fn rosters_are_told_as_they_change() {
    let hub = Hub::default();
    let mut rosters = hub.rosters();
    let device: DeviceId = "nvr1".parse().unwrap();
    let roster = Roster { streams: Some(Arc::new([key()].into())), absence: None };
    hub.set_roster(&device, Some(roster.clone()));
    assert!(rosters.has_changed().unwrap());
    assert_eq!(rosters.borrow_and_update().get(&device), Some(&roster));
    hub.set_roster(&device, Some(roster));
    assert!(!rosters.has_changed().unwrap(), "no news");
    hub.set_roster(&device, None);
    assert!(rosters.borrow_and_update().is_empty());
}

#[tokio::test]
async fn a_stream_keeps_its_seat_while_anybody_holds_it_and_a_viewer_is_a_reader() {
    let hub = Hub::new(crate::base::Lanes::new(1));
    let (seat, again) = (hub.seat(&key()), hub.seat(&key()));
    assert!(Arc::ptr_eq(&seat, &again));
    assert!(!Arc::ptr_eq(&seat, &hub.seat(&"nvr1/2/main".parse().unwrap())));
    let publisher = hub.publisher(&key());
    let mut viewer = hub.viewer(&key()).unwrap();
    publisher.publish(frame(0, true, 1));
    assert_eq!((drain(&mut viewer), hub.readers(&key())), (vec![0], 1));
}

#[test]
fn all_streams_together_hold_no_more_than_their_budget_and_each_still_gets_its_share() {
    const LIMIT: usize = 80_000;
    let hub = Hub::within(Default::default(), budget::Budget::of(LIMIT), budget::Budget::of(0));
    let streams: Vec<_> = (1..=8).map(|n| format!("nvr1/{n}/main").parse().unwrap()).collect();
    let publishers: Vec<_> = streams.iter().map(|s| hub.publisher(s)).collect();
    let mut readers: Vec<_> = streams.iter().map(|s| hub.reader(s).unwrap()).collect();
    // One alone may hold more than its share, as long as there is room.
    for n in 0..50 {
        publishers[0].publish(frame(n, n % 5 == 0, 1000));
    }
    assert_eq!(hub.held(), 50_000);
    for n in 50..200 {
        publishers.iter().for_each(|p| p.publish(frame(n, n % 5 == 0, 1000)));
        assert!(hub.held() <= LIMIT + 1000 * publishers.len(), "{} bytes are held", hub.held());
    }
    for reader in &mut readers {
        let got = drain(reader);
        assert!(got.len() >= 5 && got.contains(&199), "{got:?}");
        assert!(got.iter().filter(|n| **n >= 0).collect::<Vec<_>>().windows(2).all(|w| *w[1] == w[0] + 1), "{got:?}");
    }
    assert_eq!(hub.held(), 0);
    publishers[0].publish(frame(200, true, 1000));
    drop((publishers, readers));
    assert_eq!(hub.held(), 0, "what a ring held goes with it");
}

#[test]
fn a_viewer_begins_with_the_current_group_of_pictures() {
    let hub = Hub::default();
    let publisher = hub.publisher(&key());
    let mut recorder = hub.reader(&key()).unwrap();
    for n in 0..10 {
        publisher.publish(frame(n, n % 4 == 0, 10));
    }
    assert_eq!(drain(&mut recorder), (0..10).collect::<Vec<_>>());
    let mut viewer = hub.viewer(&key()).unwrap();
    assert_eq!(drain(&mut viewer), [8, 9]);
    publisher.publish(frame(10, false, 10));
    assert_eq!((drain(&mut viewer), drain(&mut recorder)), (vec![10], vec![10]));
    assert_eq!((hub.held(), hub.kept()), (30, 30), "the group, and nothing before it");
    // What follows a hole is not what was begun.
    publisher.missing(GapCause::StreamError);
    publisher.publish(frame(11, false, 10));
    assert_eq!((drain(&mut recorder), drain(&mut viewer)), (vec![i64::MIN, 11], vec![i64::MIN, 11]));
    let mut late = hub.viewer(&key()).unwrap();
    assert_eq!((drain(&mut late), hub.held(), hub.kept()), (vec![], 0, 0));
    publisher.publish(frame(12, true, 10));
    assert_eq!(drain(&mut late), [12]);
}

#[test]
fn groups_are_kept_within_bounds() {
    const LIMIT: usize = 80_000;
    let hub = Hub::within(Default::default(), budget::Budget::default(), budget::Budget::of(LIMIT));
    let streams: Vec<_> = (1..=8).map(|n| format!("nvr1/{n}/main").parse().unwrap()).collect();
    let publishers: Vec<_> = streams.iter().map(|s| hub.publisher(s)).collect();
    for n in 0..600 {
        // Long groups on the first stream, short ones on the others.
        let keys = |at: usize| if at == 0 { n % 60 == 0 } else { n % 5 == 0 };
        publishers.iter().enumerate().for_each(|(at, p)| p.publish(frame(n, keys(at), 1000)));
        assert!(hub.kept() <= LIMIT + 1000 * publishers.len() && hub.held() == hub.kept(), "{}", hub.kept());
    }
    let mut viewer = hub.viewer(&streams[1]).unwrap();
    assert_eq!(drain(&mut viewer), [595, 596, 597, 598, 599]);
    // One that has no key frames for long is not kept at all.
    (600..1200).for_each(|n| publishers[2].publish(frame(n, n == 600, 1)));
    assert!(drain(&mut hub.viewer(&streams[2]).unwrap()).is_empty());
    drop((publishers, viewer));
    assert_eq!((hub.held(), hub.kept()), (0, 0));
}
