//! Pictures and sound to parts and segments. Pure.

use super::sounds::{Sounds, is_alike};
use crate::{
    base::Wall,
    media::{
        Error,
        fmp4::write::{self, FragmentTrack, Sample, empty_table, init_of_table},
    },
    model::{Frame, StreamFormat, TrackKind, VideoCodec, frame::VIDEO_TIMESCALE},
};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// Parts of about half a second: shorter ones cost requests, longer ones time. At 90 kHz.
const PART_TICKS: u64 = 46_800;
/// What a camera's clock may be off from picture to picture, in hundredths.
const JITTER_PERCENT: u64 = 8;
/// A segment is cut at the first key frame after so long…
const SEGMENT_TICKS_MIN: u64 = 171_000;
/// …and anywhere before it gets so long, since a playlist's target duration must not change: it rounds to 2 s.
const SEGMENT_TICKS_MAX: u64 = 216_000;
/// How long the first picture lasts, as long as no second one says.
const TICKS_DEFAULT: u64 = 3_600;

/// A part of a segment.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// `moof mdat`.
    pub(super) bytes: Bytes,
    /// How long its pictures last, at 90 kHz.
    pub(super) ticks: u64,
    /// Decoding can begin in it.
    pub(super) independent: bool,
}

/// What comes out, in this order.
#[derive(Clone, Debug)]
pub(super) enum Made {
    /// A segment begins.
    Begin {
        /// When its first picture was taken.
        wall: Wall,
        /// Time or format do not go on from the segment before.
        discontinuity: bool,
        /// How it is coded, where that is another than before.
        init: Option<Bytes>,
    },
    /// The segment goes on.
    Part(Part),
    /// It is whole.
    End,
}

/// How long things last in a stream, settled by its first two pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    /// No part is longer, at 90 kHz.
    pub(super) part_ticks: u64,
    /// No segment is longer, in seconds, rounded.
    pub(super) target_seconds: u64,
}

impl Lengths {
    /// As many whole pictures as go into a part, and a little for jitter: all parts are then nearly as long as they may be.
    fn of(interval: u64) -> Self {
        let interval = interval.max(1);
        let pictures = (PART_TICKS / interval).max(1);
        let part_ticks = pictures * interval * (100 + JITTER_PERCENT) / 100;
        let second = u64::from(VIDEO_TIMESCALE);
        let rounded = SEGMENT_TICKS_MAX.max(part_ticks).div_ceil(second);
        let target_seconds = if part_ticks > SEGMENT_TICKS_MAX { rounded } else { SEGMENT_TICKS_MAX / second };
        Self { part_ticks, target_seconds }
    }

    fn segment_ticks_max(&self) -> u64 {
        SEGMENT_TICKS_MAX.max(self.part_ticks)
    }
}

/// The state of one stream.
#[derive(Default)]
pub(super) struct Cutter {
    lengths: Option<Lengths>,
    run: Option<Run>,
    /// Pictures of the run before took so long, so that times never go back.
    base: u64,
    /// Coded like this in the segment that was begun last.
    format: Option<Arc<StreamFormat>>,
    began: bool,
    has_whole: bool,
    sequence: u32,
}

/// Pictures that follow one another.
struct Run {
    /// Ticks of the first one.
    zero: i64,
    /// How long it is known only when the next one comes.
    last: Frame,
    last_ticks: u64,
    /// In the part that is being made.
    samples: Vec<Sample>,
    part_from: u64,
    part_ticks: u64,
    segment_ticks: u64,
    sounds: Sounds,
    in_segment: bool,
    discontinuity: bool,
}

impl Cutter {
    /// How long things last; None before the second picture.
    pub(super) fn lengths(&self) -> Option<Lengths> {
        self.lengths
    }

    /// Takes a frame; what can be made now.
    pub(super) fn push(&mut self, frame: Frame) -> Result<Vec<Made>, Error> {
        let mut made = Vec::new();
        match frame.track {
            TrackKind::Audio => {
                if let Some(run) = &mut self.run {
                    run.sounds.push(frame);
                }
            }
            TrackKind::Video => self.picture(frame, &mut made)?,
        }
        Ok(made)
    }

    /// What comes next does not follow: the segment ends with what is there.
    pub(super) fn interrupt(&mut self) -> Result<Vec<Made>, Error> {
        let mut made = Vec::new();
        if self.run.is_some() {
            self.end_run(&mut made)?;
        }
        Ok(made)
    }

    fn picture(&mut self, frame: Frame, made: &mut Vec<Made>) -> Result<(), Error> {
        if let Some(run) = &self.run {
            let follows = run.last.session == frame.session
                && frame.ticks > run.last.ticks
                && is_alike(&run.last.format, &frame.format);
            if !follows {
                self.end_run(made)?;
            }
        }
        let Some(run) = &mut self.run else {
            // Nobody can begin anywhere else.
            if frame.key && frame.format.video.codec != VideoCodec::Mjpeg {
                self.begin_run(frame);
            }
            return Ok(());
        };
        let lasted = frame.ticks.abs_diff(run.last.ticks);
        let lengths = *self.lengths.get_or_insert_with(|| Lengths::of(lasted));
        let key = frame.key;
        let last = std::mem::replace(&mut run.last, frame);
        run.last_ticks = lasted;
        self.place(last, lasted, lengths, made)?;
        let Some(run) = &self.run else { return Ok(()) };
        let due = key && run.segment_ticks + run.part_ticks >= SEGMENT_TICKS_MIN;
        // Who knows of no parts has to wait for a whole segment: the first one is a part.
        let ticks_max = if self.has_whole { lengths.segment_ticks_max() } else { lengths.part_ticks };
        let full = run.segment_ticks + run.part_ticks + lasted > ticks_max;
        // The next picture will last about as long as this one did.
        let no_room = run.part_ticks + lasted > lengths.part_ticks;
        if due || full || no_room {
            self.end_part(made)?;
        }
        if due || full {
            self.end_segment(made);
        }
        Ok(())
    }

    /// Puts a picture whose length is known into the part, which ends before it where it would get too long.
    fn place(&mut self, frame: Frame, ticks: u64, lengths: Lengths, made: &mut Vec<Made>) -> Result<(), Error> {
        let Some(run) = &self.run else { return Ok(()) };
        if !run.samples.is_empty() && run.part_ticks + ticks > lengths.part_ticks {
            self.end_part(made)?;
        }
        let Some(run) = &mut self.run else { return Ok(()) };
        if !run.in_segment {
            let same = self.format.as_ref().is_some_and(|format| is_alike(format, &frame.format));
            let init = (!same).then(|| init_of_table(&empty_table(&frame.format), frame.wall).into());
            let discontinuity = (std::mem::take(&mut run.discontinuity) || !same) && self.began;
            made.push(Made::Begin { wall: frame.wall, discontinuity, init });
            self.format = Some(frame.format.clone());
            self.began = true;
            run.in_segment = true;
        }
        let duration = u32::try_from(ticks).unwrap_or(u32::MAX);
        run.samples.push(Sample { data: frame.data, duration, offset: frame.offset, key: frame.key });
        run.part_ticks += ticks;
        Ok(())
    }

    fn end_part(&mut self, made: &mut Vec<Made>) -> Result<(), Error> {
        let Some(run) = &mut self.run else { return Ok(()) };
        if run.samples.is_empty() {
            return Ok(());
        }
        let video = FragmentTrack { first_ticks: self.base + run.part_from, samples: std::mem::take(&mut run.samples) };
        let independent = video.samples.iter().any(|sample| sample.key);
        let audio = run.sounds.take(&run.last.format, run.zero, self.base);
        self.sequence = self.sequence.wrapping_add(1);
        let fragment = write::fragment(self.sequence, video, audio)?;
        let mut bytes = BytesMut::with_capacity(usize::try_from(fragment.bytes).unwrap_or(0));
        bytes.extend_from_slice(&fragment.head);
        fragment.body.iter().for_each(|piece| bytes.extend_from_slice(piece));
        made.push(Made::Part(Part { bytes: bytes.freeze(), ticks: run.part_ticks, independent }));
        run.part_from += run.part_ticks;
        run.segment_ticks += run.part_ticks;
        run.part_ticks = 0;
        Ok(())
    }

    fn end_segment(&mut self, made: &mut Vec<Made>) {
        if let Some(run) = self.run.as_mut().filter(|run| run.in_segment) {
            made.push(Made::End);
            self.has_whole = true;
            run.in_segment = false;
            run.segment_ticks = 0;
        }
    }

    fn begin_run(&mut self, frame: Frame) {
        self.run = Some(Run {
            zero: frame.ticks,
            last: frame,
            last_ticks: TICKS_DEFAULT,
            samples: Vec::new(),
            part_from: 0,
            part_ticks: 0,
            segment_ticks: 0,
            sounds: Sounds::default(),
            in_segment: false,
            discontinuity: true,
        });
    }

    /// The last picture lasts as long as the one before it did.
    fn end_run(&mut self, made: &mut Vec<Made>) -> Result<(), Error> {
        let Some(run) = &self.run else { return Ok(()) };
        let (last, ticks) = (run.last.clone(), run.last_ticks);
        if let Some(lengths) = self.lengths {
            self.place(last, ticks, lengths, made)?;
            self.end_part(made)?;
            self.end_segment(made);
        }
        if let Some(run) = self.run.take() {
            self.base += run.part_from;
        }
        Ok(())
    }
}
