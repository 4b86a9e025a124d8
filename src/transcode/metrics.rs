//! What the room counts.

use crate::{
    base::{
        Metrics,
        metrics::{Counter, Family, Gauge, StreamLabel},
    },
    model::StreamKey,
};

/// All of it. Cheap to clone.
#[derive(Clone)]
pub struct Counts {
    frames: Family<StreamLabel, Counter>,
    restarts: Family<StreamLabel, Counter>,
    skipped: Family<StreamLabel, Counter>,
    original: Family<StreamLabel, Counter>,
    /// Processes that run now.
    pub processes: Gauge,
}

/// The part of one stream.
#[derive(Clone)]
pub struct StreamCounts {
    /// Pictures that ffmpeg answered.
    pub frames: Counter,
    /// Processes that failed and were begun anew.
    pub restarts: Counter,
    /// Frames that were left out because ffmpeg was too slow.
    pub skipped: Counter,
    /// Pictures that were passed on as they came.
    pub original: Counter,
    /// Processes that run now, of all streams.
    pub processes: Gauge,
}

impl Counts {
    /// Registers all of it.
    pub fn new(metrics: &Metrics) -> Self {
        let family = |name, help| metrics.register(name, help, Family::<StreamLabel, Counter>::default());
        Self {
            frames: family("transcode_frames", "Pictures that ffmpeg coded anew"),
            restarts: family("transcode_restarts", "ffmpeg processes that ended, hung or wrote nonsense"),
            skipped: family("transcode_skipped_frames", "Frames left out because ffmpeg was too slow for them"),
            original: family(
                "transcode_original_frames",
                "Pictures passed on as they came, since ffmpeg could not run",
            ),
            processes: metrics.register("transcode_processes", "ffmpeg processes that run now", Gauge::default()),
        }
    }

    /// The part of one stream.
    pub fn of(&self, stream: &StreamKey) -> StreamCounts {
        let label = StreamLabel { stream: stream.to_string() };
        StreamCounts {
            frames: self.frames.get_or_create_owned(&label),
            restarts: self.restarts.get_or_create_owned(&label),
            skipped: self.skipped.get_or_create_owned(&label),
            original: self.original.get_or_create_owned(&label),
            processes: self.processes.clone(),
        }
    }

    /// A stream that is gone is no longer shown.
    pub fn forget(&self, stream: &StreamKey) {
        let label = StreamLabel { stream: stream.to_string() };
        for family in [&self.frames, &self.restarts, &self.skipped, &self.original] {
            family.remove(&label);
        }
    }
}
