//! The log's promises, over a real store.

use super::{task::build_with, *};
use crate::{
    base::{Clock, Metrics, TaskGroup},
    disk::{Failure, Faults, Files, Op, Rule},
    store::{Options, Store},
};
use serde_json::json;
use std::{path::Path, time::Duration};

struct Log {
    events: Events,
    store: Store,
    metrics: Metrics,
    group: TaskGroup,
}

async fn begin(dir: &Path, files: &Files, kept_max: u64) -> Log {
    let metrics = Metrics::default();
    let store = Store::open(&dir.join("store"), Options::default(), files, &metrics).unwrap();
    let (events, task) = build_with(store.clone(), Clock::real(), &metrics, kept_max).unwrap();
    let group = TaskGroup::new();
    group.spawn("events", task.run(group.stop_token()));
    Log { events, store, metrics, group }
}

impl Log {
    async fn until(&self, id: u64) {
        self.events.watch().wait_for(|last| *last >= id).await.unwrap();
    }

    async fn end(self) {
        assert!(self.group.stop(Duration::from_secs(10)).await);
        self.store.close().await;
    }

    fn subjects(&self, cursor: u64, limit: usize) -> Vec<(u64, String)> {
        self.events.after(cursor, limit).unwrap().into_iter().map(|e| (e.id, e.subject)).collect()
    }
}

#[tokio::test]
async fn ids_grow_by_one_resume_by_cursor_and_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = begin(dir.path(), &Files::real(), EVENTS_MAX).await;
    assert_eq!(log.subjects(0, 10), []);
    for i in 1..=5 {
        log.events.emit("presence.online", format!("cam{i}"), json!({ "n": i }));
    }
    log.until(5).await;
    assert_eq!(log.subjects(3, 10), [(4, "cam4".into()), (5, "cam5".into())]);
    assert_eq!(log.subjects(0, 2), [(1, "cam1".into()), (2, "cam2".into())]);
    assert_eq!(log.subjects(5, 10), []);
    assert_eq!(log.subjects(99, 1), [(1, "cam1".into())], "a cursor of a log that is gone begins anew");
    log.events.emit("presence.offline", "cam6", json!({}));
    log.end().await;

    let log = begin(dir.path(), &Files::real(), EVENTS_MAX).await;
    assert_eq!(*log.events.watch().borrow(), 6, "what was sent before the stop was written");
    log.events.emit("presence.online", "cam7", json!({}));
    log.until(7).await;
    assert_eq!(log.subjects(5, 10), [(6, "cam6".into()), (7, "cam7".into())]);
    log.end().await;
}

#[tokio::test]
async fn only_the_newest_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = begin(dir.path(), &Files::real(), 10).await;
    for i in 1..=37 {
        log.events.emit("x", i, json!(null));
        if i % 9 == 0 {
            log.until(i).await;
        }
    }
    log.until(37).await;
    let kept: Vec<u64> = log.subjects(0, 100).into_iter().map(|(id, _)| id).collect();
    assert_eq!(kept, (28..=37).collect::<Vec<_>>());
    log.end().await;
    let log = begin(dir.path(), &Files::real(), 10).await;
    log.events.emit("x", 38, json!(null));
    log.until(38).await;
    assert_eq!(log.subjects(0, 1), [(29, "29".into())]);
    log.end().await;
}

#[tokio::test]
async fn a_storm_neither_blocks_nor_grows_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Metrics::default();
    let store = Store::open(&dir.path().join("store"), Options::default(), &Files::real(), &metrics).unwrap();
    let (events, task) = build(store.clone(), Clock::real(), &metrics).unwrap();
    for i in 0..5000 {
        events.emit("storm", i, json!(null));
    }
    assert!(metrics.render().contains("skyvis_events_lost_total 904"), "{}", metrics.render());
    let group = TaskGroup::new();
    group.spawn("events", task.run(group.stop_token()));
    assert!(group.stop(Duration::from_secs(30)).await);
    assert_eq!(events.after(0, 10_000).unwrap().len(), 4096);
}

#[tokio::test]
async fn an_event_that_is_not_durable_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let log = begin(dir.path(), &Files::faulty(faults.clone()), EVENTS_MAX).await;
    log.events.emit("x", "kept", json!(null));
    log.until(1).await;
    faults.inject(Rule::new(Op::SyncData, Failure::Io).persistent());
    log.events.emit("x", "unsure", json!(null));
    let (mut health, mut last) = (log.store.watch_health(), log.events.watch());
    tokio::select! {
        failed = health.wait_for(|h| h.failed.is_some()) => drop(failed.unwrap()),
        shown = last.wait_for(|last| *last > 1) => panic!("event {} is shown", *shown.unwrap()),
    }
    assert_eq!(log.subjects(0, 10), [(1, "kept".into())]);
    let metrics = log.metrics.clone();
    log.end().await;
    assert!(metrics.render().contains("skyvis_events_lost_total 1"), "{}", metrics.render());
}

#[tokio::test]
async fn data_out_of_bounds_is_left_out_and_a_discarding_log_keeps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = begin(dir.path(), &Files::real(), EVENTS_MAX).await;
    log.events.emit("x", "big", json!("y".repeat(100_000)));
    log.until(1).await;
    assert_eq!(log.events.after(0, 1).unwrap()[0].data, json!({ "left_out_bytes": 100_002 }));
    log.end().await;
    let none = Events::discard();
    none.emit("x", "y", json!(null));
    assert!(none.after(0, 10).unwrap().is_empty());
}
