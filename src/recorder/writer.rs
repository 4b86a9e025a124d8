//! Carries actions out on the disk, in the order that survives a crash at any point:
//!
//! 1. A new file is written as `….mp4.tmp`: header and first fragment in one write, then synced.
//! 2. It is renamed to `….mp4`, and the directory is synced. So no `.mp4` is without a whole fragment.
//! 3. Its row is committed. So no row is without its file.
//! 4. Each further fragment is appended in one write, and synced as the settings ask; only then is it listed.
//! 5. At the end the file is synced, and its row committed complete, with its table and its checksum.
//!
//! A write that fails is cut back to the last whole fragment. A sync that fails is never tried again: what the file
//! holds beyond the last sync is in doubt. Either way the file ends there, and recording goes on with a new one.

use super::{
    Checksum, Error,
    assembler::{Action, Opening},
    file::{Out, Place},
    metrics::StreamCounts,
    sync::Pace,
};
use crate::{
    archive::Archive,
    base::Clock,
    disk::{self, Disk},
    events::Events,
    media::fmp4::{
        Origin,
        write::{Fragment, FragmentTrack, empty_table, fragment, init},
    },
    model::{Segment, StreamKey},
};
use serde_json::json;
use tokio::time::Instant;

/// What the writer of one stream stands on.
pub struct Tools {
    /// The stream.
    pub stream: StreamKey,
    /// Where files are listed.
    pub archive: Archive,
    /// Where files lie.
    pub disk: Disk,
    /// Time.
    pub clock: Clock,
    /// Where files are reported.
    pub events: Events,
    /// What is counted.
    pub counts: StreamCounts,
}

/// The writer of one stream: at most one file is open.
pub struct Writer {
    tools: Tools,
    pace: Pace,
    /// Of files from the next one on.
    checksum: Checksum,
    /// Said, but nothing is written yet.
    opening: Option<Opening>,
    open: Option<Open>,
}

/// The open file.
struct Open {
    /// As it is listed.
    segment: Segment,
    /// None while a failed operation keeps it.
    out: Option<Out>,
    sequence: u32,
    synced: Instant,
    /// Somebody took it away.
    vanished: bool,
}

impl Writer {
    /// Nothing is open.
    pub fn new(tools: Tools, pace: Pace, checksum: Checksum) -> Self {
        Self { tools, pace, checksum, opening: None, open: None }
    }

    /// Whether files are summed up, from the next one on: a sum is of a whole file.
    pub fn set_checksum(&mut self, checksum: Checksum) {
        self.checksum = checksum;
    }

    /// When to sync, from now on.
    pub fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    /// Whether a file is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Carries one action out. After an error no file is open; what was open is closed and listed as far as it is
    /// whole.
    pub async fn apply(&mut self, action: Action) -> Result<(), Error> {
        match action {
            Action::Open(opening) => {
                self.opening = Some(opening);
                Ok(())
            }
            Action::Append { video, audio } => self.append(video, audio).await,
            Action::Close => self.close().await,
        }
    }

    /// Nothing is to be written now; what was written may be due for a sync.
    pub async fn idle(&mut self) -> Result<(), Error> {
        let due = |open: &Open| {
            open.out.as_ref().is_some_and(Out::is_dirty) && self.pace.is_due(self.tools.clock.now() - open.synced)
        };
        if !self.open.as_ref().is_some_and(due) {
            return Ok(());
        }
        let Some(out) = self.open.as_mut().and_then(|open| open.out.take()) else { return Ok(()) };
        let begun = self.tools.clock.now();
        match self.tools.disk.run(move |_| out.sync()).await.and_then(|result| result) {
            Ok(out) => {
                self.synced(begun);
                if let Some(open) = &mut self.open {
                    open.out = Some(out);
                }
                Ok(())
            }
            Err(error) => {
                self.note(&error);
                self.close_listed(None).await;
                Err(error.into())
            }
        }
    }

    fn note(&mut self, error: &disk::Error) {
        if let Some(open) = &mut self.open {
            open.vanished |= matches!(error, disk::Error::Vanished(_));
        }
    }

    async fn append(&mut self, video: FragmentTrack, audio: FragmentTrack) -> Result<(), Error> {
        let begun = self.tools.clock.now();
        let audio = (!audio.samples.is_empty()).then_some(audio);
        let sequence = self.open.as_ref().map_or(1, |open| open.sequence + 1);
        let result = match (fragment(sequence, video, audio), self.opening.take()) {
            (Err(error), _) => Err(error.into()),
            (Ok(fragment), Some(opening)) => self.begin(opening, fragment).await,
            (Ok(fragment), None) => self.extend(fragment).await,
        };
        self.tools.counts.write_seconds.observe((self.tools.clock.now() - begun).as_secs_f64());
        if result.is_err() {
            // Its own failure adds nothing to the one that is told.
            let _ = self.close().await;
        }
        result
    }

    /// The first fragment of a file.
    async fn begin(&mut self, opening: Opening, fragment: Fragment) -> Result<(), Error> {
        // A file that is still open here was never closed by whoever gave the actions.
        self.close().await?;
        let Tools { archive, stream, disk, .. } = &self.tools;
        let (start, suffix) = archive.free_name(stream, opening.start).await?;
        let origin = Origin { stream: stream.clone(), start, session: opening.session, index: opening.index };
        let header = init(&opening.format, &origin);
        let mut table = empty_table(&opening.format);
        table.init_bytes = u32::try_from(header.len()).unwrap_or(u32::MAX);
        (table.video, table.audio) = fragment.samples_at(header.len() as u64);
        let mut segment = Segment {
            stream: stream.clone(),
            start,
            duration_ticks: table.video.duration_ticks(),
            bytes: header.len() as u64 + fragment.bytes,
            frames: u32::try_from(table.video.sizes.len()).unwrap_or(u32::MAX),
            session: opening.session,
            index: opening.index,
            name_suffix: suffix,
            closed: false,
            sha256: None,
        };
        let (archive, stream, durable) = (archive.clone(), stream.clone(), self.pace.is_durable());
        let place = Place { archive, stream, start, suffix, durable, checksum: self.checksum };
        let begun = self.tools.clock.now();
        let made = disk.run(move |files| place.make(files, &header, &fragment)).await??;
        segment.name_suffix = made.suffix;
        self.synced(begun);
        self.tools.counts.bytes.inc_by(segment.bytes);
        self.open = Some(Open {
            segment: segment.clone(),
            out: Some(made.out),
            sequence: 1,
            synced: self.tools.clock.now(),
            vanished: false,
        });
        if let Err(error) = self.tools.archive.opened(segment.clone(), table).await {
            // It is listed all the same, and its row is committed when it is closed, or after a crash at the next start.
            tracing::warn!(stream = %segment.stream, %error, "the index did not take a new segment");
        }
        let data = json!({ "start": segment.start, "codec": opening.format.video.codec.as_str() });
        self.tools.events.emit("segment.opened", &segment.stream, data);
        made.directory.map_err(Error::from)
    }

    /// One more fragment.
    async fn extend(&mut self, fragment: Fragment) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(out) = open.out.take() else { return Ok(()) };
        let now = self.tools.clock.now();
        let sync = self.pace.is_due(now - open.synced);
        let (video, audio) = fragment.samples_at(open.segment.bytes);
        let bytes = fragment.bytes;
        let (out, written) = self.tools.disk.run(move |_| out.append(&fragment, sync)).await?;
        open.out = out;
        open.vanished |= matches!(written, Err(disk::Error::Vanished(_)));
        written?;
        open.sequence += 1;
        let segment = &mut open.segment;
        segment.bytes += bytes;
        segment.duration_ticks += video.duration_ticks();
        segment.frames = segment.frames.saturating_add(u32::try_from(video.sizes.len()).unwrap_or(u32::MAX));
        self.tools.counts.bytes.inc_by(bytes);
        self.tools.archive.extended(segment.clone(), &video, &audio);
        if sync {
            self.synced(now);
        }
        Ok(())
    }

    /// The file is complete.
    async fn close(&mut self) -> Result<(), Error> {
        self.opening = None;
        let Some(mut out) = self.open.as_mut().and_then(|open| open.out.take()) else {
            self.close_listed(None).await;
            return Ok(());
        };
        if out.is_dirty() && self.pace.is_durable() {
            match self.tools.disk.run(move |_| out.sync()).await.and_then(|result| result) {
                Ok(back) => out = back,
                Err(error) => {
                    self.note(&error);
                    self.close_listed(None).await;
                    return Err(error.into());
                }
            }
        }
        self.close_listed(Some(out)).await;
        Ok(())
    }

    /// The file ends with what is listed of it; `out` is given where it holds exactly that.
    async fn close_listed(&mut self, out: Option<Out>) {
        self.opening = None;
        let Some(open) = self.open.take() else { return };
        if open.vanished {
            if let Err(error) = self.tools.archive.vanished(&open.segment).await {
                // The next start finds that there is no file.
                tracing::warn!(stream = %open.segment.stream, %error, "the index still lists a file that was removed");
            }
            return;
        }
        let whole = out.is_some();
        let segment = Segment { closed: true, sha256: out.and_then(Out::sha256), ..open.segment };
        if let Err(error) = self.tools.archive.closed(segment.clone(), whole).await {
            tracing::warn!(stream = %segment.stream, %error, "the index did not take a closed segment yet");
        }
        let data = json!({
            "start": segment.start,
            "end": segment.end(),
            "bytes": segment.bytes,
            "frames": segment.frames,
        });
        self.tools.events.emit("segment.closed", &segment.stream, data);
    }

    fn synced(&mut self, begun: Instant) {
        let now = self.tools.clock.now();
        self.pace.took(now - begun);
        if let Some(open) = &mut self.open {
            open.synced = now;
        }
        self.tools.counts.sync_interval.set(self.pace.interval().map_or(0.0, |i| i.as_secs_f64()));
    }
}

#[cfg(test)]
mod tests;
