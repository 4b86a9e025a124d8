//! One run of one ffmpeg: fed, read and watched until the source has no more for it, or it fails.

use super::{
    Error, Settings,
    arguments::arguments,
    config::Limits,
    flight::Flight,
    log,
    metrics::StreamCounts,
    process::{Pipes, Process},
    tool::Tool,
};
use crate::{
    base::{Clock, Wall},
    live::{Delivery, Publisher, Reader},
    media::{
        fmp4::{
            demux::{Demuxer, Piece, Sample},
            write::{self, FragmentTrack, empty_table, fragment, init_of_table},
        },
        order::{self, Reordering},
    },
    model::{Frame, GapCause, SessionId, StreamFormat, StreamKey, TrackKind},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{ChildStdin, ChildStdout},
    sync::watch,
    time::{Instant, timeout},
};

/// A picture's time comes back as it went, or is another picture's.
const TOLERANCE_TICKS: i64 = 90;
/// Pictures whose time was never given, after which the answer is nonsense.
const STRANGE_MAX: u32 = 50;
/// What is read at once.
const READ_BYTES: usize = 64 << 10;
/// How often a run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the first picture lasts, until the second says.
const TICKS_DEFAULT: u32 = 3600;
/// Pictures that may come in another order are given so much later: where one is shown before it is decoded by its times,
/// ffmpeg moves all times behind it. As far as 16 pictures of a slow camera are apart.
const LEAD_TICKS: i32 = 20 * 90_000;

/// Why the source has no more for a process.
#[derive(Debug)]
pub enum Why {
    /// It is gone.
    Ended,
    /// The session with the camera ended.
    Break(Arc<str>),
    /// ffmpeg was too slow: so many frames were left out.
    Skipped(u64),
    /// Frames are missing at the source, for this cause.
    Missing(GapCause),
    /// A new process begins with this frame, for this reason.
    Anew(Frame, &'static str),
}

/// What one stream keeps from run to run.
pub struct Session {
    /// Of what goes out.
    pub id: SessionId,
    /// Under way.
    pub flight: Flight,
    /// How what comes in is coded.
    pub source: Arc<StreamFormat>,
    /// How what goes out is, once it does.
    pub coded: Option<Arc<StreamFormat>>,
}

/// What a run stands on.
pub struct Run<'a> {
    /// The stream.
    pub stream: &'a StreamKey,
    /// Where answers go.
    pub publisher: &'a Publisher,
    /// What is asked for.
    pub settings: watch::Receiver<Option<Settings>>,
    /// ffmpeg.
    pub tool: &'a Tool,
    /// How long things may take.
    pub limits: Limits,
    /// Time.
    pub clock: &'a Clock,
    /// What is counted.
    pub counts: &'a StreamCounts,
    /// Told of the format that comes out.
    pub on_format: &'a (dyn Fn(&StreamFormat) + Send + Sync),
}

/// What feeder, taker and watchdog share. Its lock is held for a few moves of memory.
struct Shared<'a> {
    session: &'a mut Session,
    /// When the first picture was given that is not answered, and the last one.
    given: Option<(Instant, Instant)>,
    /// A write that is under way, since when.
    writing: Option<Instant>,
}

impl Run<'_> {
    /// Runs once: what is under way is given again, then what comes.
    pub async fn run(mut self, session: &mut Session, reader: &mut Reader) -> Result<Why, Error> {
        let Some(settings) = self.settings.borrow_and_update().clone() else { return Ok(Why::Ended) };
        let again = session.flight.again();
        let Some(base) = again.first().map(|f| f.ticks) else { return Err(Error::Nonsense("nothing to give".into())) };
        let lead = i64::from(lead_of(&session.source));
        let from = session.flight.answered().map(|last| last - base + 1).filter(|ticks| *ticks > 0).map(|t| t + lead);
        let (process, pipes) = Process::start(self.tool, &arguments(&settings, &self.tool.version, from))?;
        tracing::info!(stream = %self.stream, pid = process.id(), version = self.tool.version.text, "ffmpeg started");
        self.talk(process, pipes, session, reader, again, base).await
    }

    async fn talk(
        &mut self,
        process: Process,
        pipes: Pipes,
        session: &mut Session,
        reader: &mut Reader,
        again: Vec<Frame>,
        base: i64,
    ) -> Result<Why, Error> {
        let Pipes { stdin, stdout, stderr } = pipes;
        let source = session.source.clone();
        let shared = Mutex::new(Shared { session, given: None, writing: None });
        let said = Mutex::new(None);
        let settings = self.settings.clone();
        let lead = lead_of(&source);
        let feeder = Feeder { stdin, shared: &shared, base, lead, sequence: 0, last: None, clock: self.clock };
        let mut feed = std::pin::pin!(feeder.run(&source, again, reader, settings));
        let mut take = std::pin::pin!(self.take(stdout, &shared, &source, base - i64::from(lead)));
        let mut follow = std::pin::pin!(log::follow(stderr, self.stream, self.clock, &said));
        let (mut fed, mut quiet) = (None, false);
        let mut drained_by = None;
        let taken = loop {
            tokio::select! {
                biased;
                taken = &mut take => break taken,
                why = &mut feed, if fed.is_none() => {
                    // Its stdin is closed now: it answers what it has and ends.
                    fed = Some(why);
                    drained_by = Some(self.clock.now() + self.limits.drain);
                }
                () = &mut follow, if !quiet => quiet = true,
                () = self.clock.sleep(LOOK_EVERY) => {
                    let now = self.clock.now();
                    if drained_by.is_some_and(|by| now >= by) {
                        break Ok(());
                    }
                    if fed.is_none() && is_hanging(&shared, now, self.limits.silence) {
                        break Err(Error::Hangs(self.limits.silence.as_secs()));
                    }
                }
            }
        };
        taken?;
        match fed {
            Some(Ok(why)) => Ok(why),
            // It ended, or refuses what it is given, while there was more for it. What it said last may tell why.
            _ => {
                if !quiet {
                    let _ = timeout(LOOK_EVERY, follow).await;
                }
                let said = said.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(Error::Ended { status: process.status().await, said })
            }
        }
    }

    /// Publishes what ffmpeg answers, until its output ends. Its times are after `base`.
    async fn take(
        &self,
        mut stdout: ChildStdout,
        shared: &Mutex<Shared<'_>>,
        source: &StreamFormat,
        base: i64,
    ) -> Result<(), Error> {
        let mut demuxer = Demuxer::default();
        let mut buffer = vec![0; READ_BYTES];
        let (mut format, mut strange) = (None, 0);
        loop {
            let n = stdout.read(&mut buffer).await.map_err(|e| Error::Nonsense(e.to_string()))?;
            if n == 0 {
                return Ok(());
            }
            for piece in demuxer.push(&buffer[..n])? {
                match (piece, &format) {
                    (Piece::Format(video), _) => {
                        let coded = StreamFormat { video, audio: source.audio.clone() };
                        (self.on_format)(&coded);
                        let coded = Arc::new(coded);
                        lock(shared).session.coded = Some(coded.clone());
                        format = Some(coded);
                    }
                    (Piece::Sample(sample), Some(format)) => {
                        strange = if self.publish(sample, shared, format, base) { 0 } else { strange + 1 };
                    }
                    (Piece::Sample(_), None) => return Err(Error::Nonsense("a picture before its format".into())),
                }
            }
            if strange > STRANGE_MAX {
                return Err(Error::Nonsense("the times of its pictures are not those of the source".into()));
            }
        }
    }

    /// True where the picture is one that was given, with its time.
    fn publish(&self, sample: Sample, shared: &Mutex<Shared<'_>>, format: &Arc<StreamFormat>, base: i64) -> bool {
        let (of, sounds, id) = {
            let mut shared = lock(shared);
            let Some(of) = shared.session.flight.answer(sample.ticks + base, TOLERANCE_TICKS) else { return false };
            shared.given = shared.given.filter(|_| shared.session.flight.waiting() > 0).map(|(_, last)| (last, last));
            (of, shared.session.flight.sounds(), shared.session.id)
        };
        self.counts.frames.inc();
        let own = |frame: Frame| Frame { session: id, format: format.clone(), ..frame };
        // Answers come in the order in which they are shown, and are decoded in it too.
        let ticks = of.ticks + i64::from(of.offset);
        self.publisher.publish(own(Frame { ticks, offset: 0, key: sample.key, data: sample.data, ..of }));
        sounds.into_iter().for_each(|sound| self.publisher.publish(own(sound)));
        true
    }
}

/// How much later than they are shown the pictures of a source are given.
fn lead_of(source: &StreamFormat) -> i32 {
    match order::reordering(source.video.codec, &source.video.sample_entry) {
        Reordering::Never => 0,
        Reordering::Allowed | Reordering::ByPicture => LEAD_TICKS,
    }
}

fn lock<'s, 'a>(shared: &'s Mutex<Shared<'a>>) -> MutexGuard<'s, Shared<'a>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether pictures were given for so long, or wait to be taken, and none was answered.
fn is_hanging(shared: &Mutex<Shared<'_>>, now: Instant, silence: Duration) -> bool {
    let shared = lock(shared);
    // A source that is silent itself gives nothing to answer.
    let unanswered = shared.given.is_some_and(|(first, last)| last.saturating_duration_since(first) >= silence);
    unanswered || shared.writing.is_some_and(|since| now.saturating_duration_since(since) >= silence)
}

/// Writes pictures into ffmpeg's stdin. While that waits, the source's ring drops and counts: the camera never waits.
struct Feeder<'a, 'b> {
    stdin: ChildStdin,
    shared: &'a Mutex<Shared<'b>>,
    base: i64,
    lead: i32,
    sequence: u32,
    last: Option<i64>,
    clock: &'a Clock,
}

impl Feeder<'_, '_> {
    /// Gives until there is no more; its end closes stdin.
    async fn run(
        mut self,
        source: &Arc<StreamFormat>,
        again: Vec<Frame>,
        reader: &mut Reader,
        mut settings: watch::Receiver<Option<Settings>>,
    ) -> Result<Why, Error> {
        let video = StreamFormat { video: source.video.clone(), audio: None };
        let header = init_of_table(&empty_table(&video), Wall::default());
        self.write(&[&header]).await?;
        for frame in &again {
            self.picture(frame).await?;
        }
        let mut other_settings = false;
        loop {
            let delivery = tokio::select! {
                biased;
                changed = settings.changed(), if !other_settings => match changed {
                    Ok(()) => {
                        other_settings = true;
                        continue;
                    }
                    Err(_) => return Ok(Why::Ended),
                },
                delivery = reader.next() => delivery,
            };
            match delivery {
                None => return Ok(Why::Ended),
                Some(Delivery::Break(reason)) => return Ok(Why::Break(reason)),
                Some(Delivery::Skipped { frames }) => return Ok(Why::Skipped(frames)),
                Some(Delivery::Missing(cause)) => return Ok(Why::Missing(cause)),
                Some(Delivery::Frame(frame)) if frame.format != *source => {
                    return Ok(Why::Anew(frame, "the source changed its format"));
                }
                // Only now can a new process begin without loss.
                Some(Delivery::Frame(frame)) if other_settings && frame.key && frame.track == TrackKind::Video => {
                    return Ok(Why::Anew(frame, "other settings"));
                }
                Some(Delivery::Frame(frame)) => {
                    self.lock(|shared| shared.session.flight.give(frame.clone()));
                    if frame.track == TrackKind::Video {
                        self.picture(&frame).await?;
                    }
                }
            }
        }
    }

    async fn picture(&mut self, frame: &Frame) -> Result<(), Error> {
        let ticks = frame.ticks - self.base;
        let step = self.last.replace(ticks).and_then(|last| u32::try_from(ticks - last).ok());
        let sample = write::Sample {
            data: frame.data.clone(),
            duration: step.unwrap_or(TICKS_DEFAULT),
            offset: frame.offset.saturating_add(self.lead).max(0),
            key: frame.key,
        };
        self.sequence = self.sequence.wrapping_add(1);
        let first_ticks = u64::try_from(ticks).unwrap_or(0);
        let fragment = fragment(self.sequence, FragmentTrack { first_ticks, samples: vec![sample] }, None)?;
        self.write(&[&fragment.head, &frame.data]).await?;
        let now = self.clock.now();
        self.lock(|shared| {
            let first = shared.given.map_or(now, |(first, _)| first);
            shared.given = Some((first, now));
        });
        Ok(())
    }

    async fn write(&mut self, parts: &[&[u8]]) -> Result<(), Error> {
        let now = self.clock.now();
        self.lock(|shared| shared.writing = Some(now));
        for part in parts {
            self.stdin.write_all(part).await.map_err(|e| Error::Start(format!("it takes no pictures: {e}")))?;
        }
        self.lock(|shared| shared.writing = None);
        Ok(())
    }

    fn lock<T>(&self, f: impl FnOnce(&mut Shared<'_>) -> T) -> T {
        f(&mut lock(self.shared))
    }
}
