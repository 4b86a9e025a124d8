//! The handle: what recorder and archive report. Reports cost a short lock and never wait; the task writes.

use super::{
    line::{Line, Out},
    rows::{Rows, Unsaved},
};
use crate::{
    base::{
        Clock, Metrics, Wall,
        metrics::{CounterF64, Family},
    },
    events::Events,
    model::{Gap, GapCause, Range, Segment, SessionId, StreamKey},
};
use prometheus_client::encoding::EncodeLabelSet;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{sync::Notify, time::Instant};

/// Events that wait to be told; beyond it they are dropped. The rows are what counts.
const NEWS_MAX: usize = 10_000;

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub state: Mutex<State>,
    pub wake: Notify,
    pub rows: Rows,
    pub clock: Clock,
    pub events: Events,
    pub seconds: Family<CauseLabel, CounterF64>,
}

/// The label of lost seconds.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct CauseLabel {
    cause: &'static str,
}

#[derive(Default)]
pub(super) struct State {
    pub streams: BTreeMap<StreamKey, OfStream>,
    pub unsaved: Unsaved,
    /// On their way to the store.
    pub saving: Unsaved,
    pub news: Vec<(StreamKey, News)>,
    /// When the rows of all streams were last looked at for their age.
    pub aged: Option<Instant>,
    /// Microseconds that are not counted yet; less than nothing where too many were.
    pub lost: BTreeMap<GapCause, i64>,
}

/// One stream.
#[derive(Default)]
pub(super) struct OfStream {
    pub line: Line,
    pub expected: bool,
    /// The file that was begun last: its session, and its place in it.
    pub last: Option<(SessionId, u32)>,
}

/// What people are told.
pub(super) enum News {
    Opened(Gap),
    Closed(Gap),
}

impl Ledger {
    /// Over the store's rows. Nothing is known before [`Ledger::restore`].
    pub fn new(rows: Rows, clock: Clock, events: Events, metrics: &Metrics) -> Self {
        let seconds = Family::default();
        for cause in GapCause::ALL.into_iter().filter(|cause| *cause != GapCause::Removed) {
            drop(seconds.get_or_create(&label(cause)));
        }
        let seconds = metrics.register(
            "recording_gap_seconds",
            "Time in which streams were not recorded, by cause; gaps that last are counted as they grow",
            seconds,
        );
        Self(Arc::new(Shared { state: Mutex::default(), wake: Notify::new(), rows, clock, events, seconds }))
    }

    /// The stream is to be recorded from now on.
    pub fn expect(&self, stream: &StreamKey) {
        self.with(stream, |of_stream, unsaved, _| {
            if !std::mem::replace(&mut of_stream.expected, true) {
                unsaved.expected(stream, true);
            }
        });
    }

    /// Nothing of the stream is recorded, at least from `at` on, and this is why.
    pub fn absent(&self, stream: &StreamKey, cause: GapCause, at: Wall) {
        self.with(stream, |of_stream, _, out| {
            if of_stream.expected {
                of_stream.line.absent(cause, at, out);
            }
        });
    }

    /// Frames of the stream go to the disk, in a file that was there before: what was taken for a gap was none.
    pub fn present(&self, stream: &StreamKey) {
        self.with(stream, |of_stream, _, out| of_stream.line.present(out));
    }

    /// Frames are missing before those that come next, and this is why. A host clock that was set to another time is
    /// reported so too.
    pub fn missing(&self, stream: &StreamKey, cause: GapCause) {
        self.with(stream, |of_stream, _, _| of_stream.line.missing(cause));
    }

    /// The camera sent no picture in `[start, end)`, and the file that is open goes on.
    pub fn silent(&self, stream: &StreamKey, start: Wall, end: Wall) {
        self.with(stream, |of_stream, _, out| {
            if of_stream.expected {
                of_stream.line.lost((start, end), GapCause::Silence, out);
            }
        });
    }

    /// Footage was listed in `[start, end)`, and the disk has lost it.
    pub(in crate::archive) fn lost(&self, stream: &StreamKey, start: Wall, end: Wall) {
        self.with(stream, |of_stream, _, out| of_stream.line.lost((start, end), GapCause::DiskError, out));
    }

    /// The stream is not to be recorded any more: nothing is missing from `at` on.
    pub fn retire(&self, stream: &StreamKey, at: Wall) {
        self.with(stream, |of_stream, unsaved, out| {
            if std::mem::replace(&mut of_stream.expected, false) {
                unsaved.expected(stream, false);
                of_stream.line.absent(GapCause::Removed, at, out);
            }
        });
    }

    /// The process ends in order: from here on the gap is its doing, save where nothing was wanted.
    pub fn stopping(&self) {
        let now = self.0.clock.wall();
        for stream in self.expected() {
            self.with(&stream, |of_stream, _, out| {
                if of_stream.line.open().is_none_or(|gap| gap.cause.counts()) {
                    of_stream.line.absent(GapCause::Restart, now, out);
                }
                of_stream.line.settle(out);
            });
        }
    }

    /// The streams that are to be recorded, whether or not they are.
    pub fn expected(&self) -> BTreeSet<StreamKey> {
        let state = self.state();
        state.streams.iter().filter(|(_, s)| s.expected).map(|(key, _)| key.clone()).collect()
    }

    /// The gap of a stream that lasts.
    pub fn open(&self, stream: &StreamKey) -> Option<Gap> {
        self.state().streams.get(stream)?.line.open()
    }

    /// Whether nothing of the stream is recorded now.
    pub fn is_broken(&self, stream: &StreamKey) -> bool {
        self.state().streams.get(stream).is_some_and(|s| s.line.is_broken())
    }

    /// A file has its first frames.
    pub(in crate::archive) fn begun(&self, segment: &Segment) {
        self.with(&segment.stream, |of_stream, _, out| {
            let before = of_stream.last.replace((segment.session, segment.index));
            let numbered = before == Some((segment.session, segment.index.wrapping_sub(1)));
            // The file before may have lost its end after this one was begun.
            let continues = numbered && (segment.is_picture() || of_stream.line.reaches(segment.start));
            of_stream.line.begun(segment.start, segment.end(), continues, out);
        });
    }

    /// A file has more frames.
    pub(in crate::archive) fn extended(&self, segment: &Segment) {
        self.with(&segment.stream, |of_stream, _, out| of_stream.line.extended(segment.end(), out));
    }

    /// What is not written yet of the rows that have a moment in common with the range, laid over what is.
    pub(in crate::archive) fn unsaved(&self) -> impl Fn(&StreamKey, Range, &mut BTreeMap<Wall, Gap>) + Send + use<> {
        let state = self.state();
        let (saving, unsaved) = (state.saving.clone(), state.unsaved.clone());
        move |stream, range, rows| {
            saving.lay_over(stream, range, rows);
            unsaved.lay_over(stream, range, rows);
        }
    }

    /// The rows that are written.
    pub(in crate::archive) fn rows(&self) -> &Rows {
        &self.0.rows
    }

    fn with(&self, stream: &StreamKey, report: impl FnOnce(&mut OfStream, &mut Unsaved, &mut Vec<Out>)) {
        let wakes = {
            let mut state = self.state();
            let State { streams, unsaved, .. } = &mut *state;
            // Without a copy of the key in the case that happens twice a second.
            let of_stream = match streams.get_mut(stream) {
                Some(of_stream) => of_stream,
                None => streams.entry(stream.clone()).or_default(),
            };
            let mut out = Vec::new();
            report(of_stream, unsaved, &mut out);
            state.take(stream, out);
            !state.unsaved.is_empty()
        };
        if wakes {
            self.0.wake.notify_one();
        }
    }

    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sorts what reports came to.
    pub(super) fn take(&mut self, stream: &StreamKey, out: Vec<Out>) {
        for out in out {
            let shown = |gap: &Gap| gap.cause != GapCause::Removed;
            match out {
                Out::Put(gap) => self.unsaved.gap(stream, gap.start, Some(gap)),
                Out::Drop(start) => self.unsaved.gap(stream, start, None),
                Out::Opened(gap) if shown(&gap) && self.news.len() < NEWS_MAX => {
                    self.news.push((stream.clone(), News::Opened(gap)));
                }
                Out::Closed(gap) if shown(&gap) && self.news.len() < NEWS_MAX => {
                    self.news.push((stream.clone(), News::Closed(gap)));
                }
                Out::Opened(_) | Out::Closed(_) | Out::Lost(GapCause::Removed, _) => {}
                Out::Lost(cause, micros) => *self.lost.entry(cause).or_default() += micros,
            }
        }
    }
}

pub(super) fn label(cause: GapCause) -> CauseLabel {
    CauseLabel { cause: cause.as_str() }
}
