//! A running archive over a directory of its own, and footage laid into it, for tests of this room and of rooms below.

use super::{Archive, Config, Deps, Limits, MinFree, build};
use crate::{
    base::{Clock, Metrics, TaskGroup, Wall},
    disk::{Disk, Faults},
    events::{self, Events},
    media::fmp4::{
        Origin,
        write::{FragmentTrack, Sample, empty_table, fragment, init},
    },
    model::{Checksum, Frame, Range, Segment, StreamKey, Sum, TrackKind},
    store::{self, Options, Store},
};
use std::{collections::BTreeMap, path::Path, time::Duration};

pub(crate) struct Bench {
    pub(crate) archive: Archive,
    pub(crate) store: Store,
    pub(crate) disk: Disk,
    pub(crate) group: TaskGroup,
    pub(crate) metrics: Metrics,
    pub(crate) events: Events,
}

/// Limits that delete nothing.
pub(crate) const KEEP: Limits = Limits { retain_days: None, min_free: MinFree::Bytes(0), checksum: Checksum::Sha256 };

pub(crate) fn config(dir: &Path) -> Config {
    Config { dir: dir.join("recordings"), retain_bytes: None, defaults: KEEP, devices: BTreeMap::new() }
}

impl Bench {
    /// An archive in `dir` whose task runs, not yet recovered; the store is never faulty.
    pub(crate) fn start(dir: &Path, faults: Faults, clock: Clock) -> Self {
        Self::start_on(dir, faults, clock, &Disk::real(1))
    }

    /// The same with a store on a disk that may be faulty, too.
    pub(crate) fn start_on(dir: &Path, faults: Faults, clock: Clock, of_store: &Disk) -> Self {
        Self::try_start_on(dir, faults, clock, of_store).unwrap()
    }

    /// The same, where even the store may not open.
    pub(crate) fn try_start_on(
        dir: &Path,
        faults: Faults,
        clock: Clock,
        of_store: &Disk,
    ) -> Result<Self, store::Error> {
        let metrics = Metrics::default();
        let store = Store::open(&dir.join("store"), Options::default(), &of_store.files(), &metrics)?;
        let disk = Disk::faulty(4, faults).with_syncs(2);
        let (events, events_task) = events::build(store.clone(), clock.clone(), &metrics).unwrap();
        let deps = Deps {
            store: store.clone(),
            disk: disk.clone(),
            writing: disk.clone(),
            clock,
            events: events.clone(),
            metrics: metrics.clone(),
        };
        let (archive, task) = build(config(dir), deps).unwrap();
        let group = TaskGroup::new();
        group.spawn("archive", task.run(group.stop_token()));
        group.spawn("events", events_task.run(group.stop_token()));
        Ok(Self { archive, store, disk, group, metrics, events })
    }

    /// An archive in `dir`, recovered.
    pub(crate) async fn open(dir: &Path) -> Self {
        let bench = Self::start(dir, Faults::new(), Clock::real());
        bench.archive.recover().await.unwrap();
        bench
    }

    /// Stops in order.
    pub(crate) async fn end(self) {
        assert!(self.group.stop(Duration::from_secs(20)).await);
        self.store.close().await;
    }

    /// Stops as a crash does: nothing more is said to anyone.
    pub(crate) async fn crash(self) {
        self.end().await;
    }

    /// All segments of a stream.
    pub(crate) async fn all(&self, stream: &StreamKey) -> Vec<Segment> {
        self.archive.segments(stream, Range::ALL, usize::MAX).await.unwrap()
    }

    /// Writes frames of one session as one closed segment, `per_fragment` pictures at a time, sound with the pictures
    /// of its moment. Decoding must be able to begin at the first one.
    pub(crate) async fn lay(&self, stream: &StreamKey, frames: &[Frame], index: u32, per_fragment: usize) -> Segment {
        let segment = self.lay_open(stream, frames, index, per_fragment).await;
        self.archive.closed(segment, false).await.unwrap();
        self.all(stream).await.into_iter().rfind(|s| s.index == index).unwrap()
    }

    /// The same, left growing.
    pub(crate) async fn lay_open(
        &self,
        stream: &StreamKey,
        frames: &[Frame],
        index: u32,
        per_fragment: usize,
    ) -> Segment {
        let video: Vec<&Frame> = frames.iter().filter(|f| f.track == TrackKind::Video).collect();
        let (start, suffix) = self.archive.free_name(stream, video[0].wall).await.unwrap();
        let session = video[0].session;
        let mut bytes = init(&video[0].format, &Origin { stream: stream.clone(), start, session, index });
        let mut table = empty_table(&video[0].format);
        table.init_bytes = bytes.len() as u32;
        let step = (video[1].ticks - video[0].ticks) as u32;
        for (n, part) in video.chunks(per_fragment).enumerate() {
            let span = |f: &Frame| f.wall >= part[0].wall && f.wall < part[part.len() - 1].wall.plus_micros(40_000);
            let audio: Vec<&Frame> = frames.iter().filter(|f| f.track == TrackKind::Audio && span(f)).collect();
            let made = fragment(
                n as u32 + 1,
                track(part, video[0].ticks, step),
                (!audio.is_empty()).then(|| track(&audio, audio_zero(video[0]), 1024)),
            )
            .unwrap();
            let (v, a) = made.samples_at(bytes.len() as u64);
            table.video.append(&v);
            if !a.sizes.is_empty() {
                table.audio.append(&a);
            }
            bytes.extend(&made.head);
            made.body.iter().for_each(|b| bytes.extend(b));
        }
        let segment = Segment {
            stream: stream.clone(),
            start,
            duration_ticks: table.video.duration_ticks(),
            bytes: bytes.len() as u64,
            frames: video.len() as u32,
            session,
            index,
            name_suffix: suffix,
            closed: false,
            sum: Sum::None,
        };
        let path = self.archive.path(&segment);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        self.archive.opened(segment.clone(), table).await.unwrap();
        segment
    }
}

fn track(frames: &[&Frame], zero: i64, step: u32) -> FragmentTrack {
    let samples =
        frames.iter().map(|f| Sample { data: f.data.clone(), duration: step, offset: f.offset, key: f.key }).collect();
    FragmentTrack { first_ticks: (frames[0].ticks - zero).max(0) as u64, samples }
}

fn audio_zero(first: &Frame) -> i64 {
    first.ticks * i64::from(first.format.timescale(TrackKind::Audio)) / 90_000
}

/// A stream's key.
pub(crate) fn stream(text: &str) -> StreamKey {
    text.parse().unwrap()
}

/// A moment that tests begin at.
pub(crate) fn noon() -> Wall {
    "2026-11-21T12:00:00Z".parse().unwrap()
}
