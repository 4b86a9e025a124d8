//! What the API answers with: plain values, serialised and described from the same types.

mod daemon;
mod plays;
mod registry;

pub use daemon::{ConfigSource, ShownConfig};
pub(super) use daemon::{ConfigSourcesView, SessionView};
pub(super) use plays::PlayView;
pub(super) use registry::{
    InstanceView, KeyView, KeysDeletedView, KeysView, PickView, RenewedView, ServiceInstancesView, ServiceSummaryView,
    ServiceView, WrittenView,
};

use super::Phase;
use crate::{
    archive,
    base::Wall,
    camera,
    model::{Checksum, Gap, GapCause, Presence, Segment, Span, StreamKey, StreamState, VideoCodec},
    proxy, recorder, transcode,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf};

/// `/api/v1/status`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StatusView {
    /// Of skyvis.
    pub version: &'static str,
    /// Name of this host.
    pub node: String,
    /// What the process is doing.
    pub phase: Phase,
    /// The host's clock.
    pub time: Wall,
    /// Seconds since the process began to serve.
    pub uptime_seconds: u64,
    /// How many of what.
    pub counts: CountsView,
    /// The disk that footage lies on.
    pub disk: DiskView,
    /// Id of the last event; 0 before the first.
    pub last_event: u64,
    /// Version of the catalog of services: the revision that changed it last.
    pub catalog_version: Option<u64>,
    /// The revision of the catalog that the proxy routes by: the same, but for a moment or where a table cannot be made.
    pub route_table_version: Option<u64>,
    /// Why no newer table of routes could be made; null: the last one could.
    pub route_table_error: Option<String>,
    /// Build of the console: a page of another one is out of date.
    pub console: &'static str,
}

/// How many of what.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CountsView {
    /// Devices by presence; every presence is named.
    pub devices: BTreeMap<&'static str, usize>,
    /// Streams by state; every state is named.
    pub streams: BTreeMap<&'static str, usize>,
    /// Streams whose frames go to the disk.
    pub recording: usize,
    /// Live readers of all streams.
    pub readers: usize,
}

impl CountsView {
    pub(super) fn of(snapshot: &camera::Snapshot, recording: usize, readers: usize) -> Self {
        use {Presence as P, StreamState as S};
        let presences = [P::Unknown, P::Online, P::Flapping, P::Offline, P::Locked];
        let states = [S::Connecting, S::Running, S::Backoff, S::Paused, S::Offline, S::Locked, S::Stopped];
        let devices_in = |p| snapshot.devices.iter().filter(|d| d.presence == p).count();
        let streams_in = |s| snapshot.streams.iter().filter(|v| v.state == s).count();
        Self {
            devices: presences.iter().map(|p| (p.as_str(), devices_in(*p))).collect(),
            streams: states.iter().map(|s| (s.as_str(), streams_in(*s))).collect(),
            recording,
            readers,
        }
    }
}

/// `/api/v1/routes`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RoutesView {
    /// Routes in the order in which they are matched; with `url`, the one that a request would meet.
    pub items: Vec<proxy::table::RouteView>,
    /// Send it as `cursor` to get what follows; null where nothing does.
    pub next: Option<String>,
    /// With `url`, where it meets no route: the status that a request would get.
    pub status: Option<u16>,
    /// With `url`, where it meets no route: why.
    pub why: Option<String>,
}

/// `/api/v1/streams`: a stream as camera, recorder and viewers see it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StreamView {
    /// `<device>/<channel>/<main|sub>`
    pub key: StreamKey,
    /// What it is doing.
    pub state: StreamState,
    /// Why it does not run, or why it is not recorded; null where all is well.
    pub reason: Option<String>,
    /// The name that people gave the channel on the device.
    pub name: Option<String>,
    /// Null before the first session was set up.
    pub codec: Option<VideoCodec>,
    /// Pixels.
    pub width: Option<u16>,
    /// Pixels.
    pub height: Option<u16>,
    /// What is done with its sound; null where it has none, and before the first session.
    pub audio: Option<camera::AudioView>,
    /// Pictures per second of the last seconds.
    pub fps: f64,
    /// Bits per second of the last seconds, sound included.
    pub bitrate: u64,
    /// When the last frame was taken; null before the first.
    pub last_frame: Option<Wall>,
    /// Sessions that were lost and begun anew.
    pub reconnects: u64,
    /// Packets of pictures and sound that the network lost, or the camera never sent.
    pub packets_lost: u64,
    /// How far the camera's clock is ahead of ours, by its last RTCP sender report less the network's delay. Footage bears
    /// our time whatever it is. Null where the camera sends no reports, and while the stream does not run: a device's own
    /// clock as ISAPI tells it has whole seconds, and a recorder's is not that of its cameras.
    pub clock_skew_ms: Option<i64>,
    /// Who takes its frames now; the recorder is one of them.
    pub readers: usize,
    /// Whether its frames go to the disk.
    pub recording: bool,
    /// What ffmpeg makes of it, where the configuration says `transcode`; null elsewhere.
    pub transcode: Option<TranscodeView>,
    /// The pause that somebody asked for; null where nobody did.
    pub pause: Option<PauseView>,
}

/// A stream that is transcoded: codec, width and height of the stream are then those of what is recorded and shown.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TranscodeView {
    /// What goes out under the stream's name: `starting`, `running`, or `original` where ffmpeg cannot run.
    pub state: transcode::State,
    /// `no_ffmpeg`, `ffmpeg_failed` or `ffmpeg_limit`; null where all is well.
    pub reason: Option<&'static str>,
    /// The same in a sentence.
    pub detail: Option<String>,
    /// ffmpeg processes that failed and were begun anew.
    pub restarts: u64,
    /// How the camera codes it.
    pub source_codec: Option<VideoCodec>,
    /// Pixels.
    pub source_width: Option<u16>,
    /// Pixels.
    pub source_height: Option<u16>,
}

impl TranscodeView {
    pub(super) fn of(status: &transcode::Status, source: &camera::StreamView) -> Self {
        Self {
            state: status.state,
            reason: status.reason,
            detail: status.detail.clone(),
            restarts: status.restarts,
            source_codec: source.codec,
            source_width: source.width,
            source_height: source.height,
        }
    }
}

/// `POST /api/v1/streams/{key}/pause`, and in `/api/v1/streams`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PauseView {
    /// From when on nothing is recorded.
    pub since: Wall,
    /// When it ends by itself; null: when it is resumed.
    pub until: Option<Wall>,
    /// Why, in the words of whoever asked.
    pub reason: Option<String>,
}

impl PauseView {
    pub(super) fn of(pause: recorder::Pause) -> Self {
        Self { since: pause.since, until: pause.until, reason: pause.reason }
    }
}

/// `/api/v1/gaps`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct GapsView {
    /// Whose gaps; null where those of every stream were asked for.
    pub stream: Option<StreamKey>,
    /// By stream, then by start; those in full that have any moment in common with the interval. What is shorter than
    /// 250 ms is none.
    pub gaps: Vec<GapView>,
    /// From 0 to 1: the part of the wanted time within the interval that was recorded. Wanted is all time since the
    /// stream was known and was to be recorded, save that outside of its schedule and in pauses; 1 where none was.
    pub coverage: f64,
    /// The wanted time, summed over streams.
    pub wanted_seconds: f64,
    /// Of that, what is missing.
    pub missing_seconds: f64,
    /// Send it as `cursor` to get what follows; null where nothing does.
    pub next: Option<String>,
}

/// Time without footage.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct GapView {
    /// `<device>/<channel>/<main|sub>`
    pub stream: StreamKey,
    /// End of the last recorded frame.
    pub start: Wall,
    /// Start of the next recorded frame; null while the gap lasts.
    pub end: Option<Wall>,
    /// Why. A gap whose cause changed is as many gaps, end to end. `schedule` and `paused` are shown and do not count
    /// against coverage; `unknown` is what no ledger explains.
    pub cause: GapCause,
    /// Whether it was filled later from the device's own recording; not yet done by skyvis.
    pub backfilled: bool,
}

impl GapView {
    pub(super) fn of(stream: StreamKey, gap: Gap) -> Self {
        Self { stream, start: gap.start, end: gap.end, cause: gap.cause, backfilled: false }
    }
}

/// `POST /api/v1/reload`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReloadView {
    /// What is different now, a line each; empty where nothing is.
    pub changed: Vec<String>,
}

/// The answer to a request that has nothing to say but that it was done.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DoneView {
    /// Always true.
    pub done: bool,
}

/// The disk that footage lies on.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DiskView {
    /// The recordings directory.
    pub path: String,
    /// Size of the file system.
    pub total_bytes: u64,
    /// Free, for skyvis.
    pub free_bytes: u64,
    /// Files that can still be made; null where the file system has no such limit.
    pub free_inodes: Option<u64>,
    /// `ok`, or what ails it: `disk_full`, `disk_inodes`, `disk_quota`, `disk_read_only`, `disk_error`, `disk_gone`,
    /// `disk_denied`, `disk_hangs`, `descriptors`, `name_too_long`, `not_mounted`, `wrong_directory`.
    pub state: &'static str,
    /// Since when it is in this state.
    pub since: Wall,
    /// What the system said; null where all is well.
    pub error: Option<String>,
    /// What to do; null where all is well.
    pub advice: Option<&'static str>,
    /// Of all streams' footage, growing files included.
    pub footage_bytes: u64,
}

/// `/api/v1/recordings`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RecordingsView {
    /// Whose footage; null where that of every stream was asked for.
    pub stream: Option<StreamKey>,
    /// Runs of footage without a gap, those in full that have any moment in common with the interval; by stream, then
    /// by start.
    pub spans: Vec<SpanView>,
    /// Send it as `cursor` to get what follows; null where nothing does.
    pub next: Option<String>,
}

/// A run of footage without a gap, and whose it is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SpanView {
    /// `<device>/<channel>/<main|sub>`
    pub stream: StreamKey,
    #[serde(flatten)]
    pub span: Span,
}

/// `/api/v1/segments`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SegmentsView {
    /// Files that have any moment in common with the interval.
    pub segments: Vec<SegmentView>,
    /// Send it as `cursor` to get what follows; null where nothing does.
    pub next: Option<String>,
}

/// One recorded file.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SegmentView {
    /// The stream.
    pub key: StreamKey,
    /// When its first frame was taken.
    pub start: Wall,
    /// How long it plays.
    pub duration_ms: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Video frames.
    pub frames: u32,
    /// SHA-256 of the file in hex; null until it is closed, and where the configuration has another `checksum`.
    pub sha256: Option<String>,
    /// CRC-32 of the file in hex, where the configuration says `checksum = "crc32"`.
    pub crc32: Option<String>,
    /// The file.
    pub path: String,
    /// Where it lies: `local`.
    pub tier: &'static str,
    /// False while it is being written.
    pub closed: bool,
}

impl SegmentView {
    pub(super) fn of(path: PathBuf, segment: Segment) -> Self {
        let sum = |of: Checksum| (segment.sum.checksum() == of).then(|| segment.sum.to_string());
        Self {
            start: segment.start,
            duration_ms: u64::try_from(segment.end().micros_since(segment.start) / 1000).unwrap_or(0),
            bytes: segment.bytes,
            frames: segment.frames,
            sha256: sum(Checksum::Sha256),
            crc32: sum(Checksum::Crc32),
            path: path.display().to_string(),
            tier: "local",
            closed: segment.closed,
            key: segment.stream,
        }
    }
}

/// `POST /api/v1/verify`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VerifyView {
    /// Nothing is wrong.
    pub sound: bool,
    /// What to do; null where nothing is wrong.
    pub advice: Option<&'static str>,
    #[serde(flatten)]
    pub report: archive::Report,
}

impl VerifyView {
    pub(super) fn of(report: archive::Report) -> Self {
        Self { sound: report.faults() == 0, advice: report.advice(), report }
    }
}

/// `POST /api/v1/reindex`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReindexView {
    /// Files in the index now.
    pub segments: u64,
    /// Files that had no row, or a wrong one.
    pub mended: u64,
    /// Rows that went, because their file is not there or holds nothing that plays.
    pub dropped: u64,
    /// Rows of gaps that were put right.
    pub gaps_mended: u64,
    /// Files that could not be understood.
    pub damaged: u64,
    /// Their names, as many as are worth naming.
    pub damaged_files: Vec<String>,
    /// Entries in the directory that are not of skyvis.
    pub foreign: u64,
}

impl ReindexView {
    pub(super) fn of(summary: archive::Summary) -> Self {
        Self {
            segments: summary.segments,
            mended: summary.mended,
            dropped: summary.dropped,
            gaps_mended: summary.gaps_mended,
            damaged: summary.damaged,
            damaged_files: summary.damaged_files.iter().map(|f| f.display().to_string()).collect(),
            foreign: summary.foreign,
        }
    }
}
