//! What a camera sends now, as packets: made once for all who watch, the last group of pictures kept for who comes.

use super::{
    line::Line,
    meters::Meters,
    press::{Chunk, Mark, Press, index},
    shape::{Shape, Speech},
};
use crate::{
    base::{Clock, TaskGroup},
    live::{Delivery, Hub, Reader},
    model::{Frame, StreamFormat, StreamKey, TrackKind},
    playback::Error,
};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// An outlet that nobody watches ends after so long: who comes back soon is served at once.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// A camera may be away for so long until who watches is told that this was all.
const AWAY_MAX: Duration = Duration::from_secs(30);
/// How often an outlet looks whether somebody watches, and whether a camera that was gone is back.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Streams at once.
const OUTLETS_MAX: usize = 512;
/// What is kept beyond the current group of pictures, for who reads slowly: 8 s at 4 Mb/s.
const BACKLOG_BYTES_MAX: usize = 4 << 20;
/// The most that is kept at all: a longer group of pictures is nothing to begin with. 16 s at 16 Mb/s.
const KEPT_BYTES_MAX: usize = 32 << 20;
/// Frames that wait until it is known how the sound goes: about a second.
const WAITING_FRAMES_MAX: usize = 100;
/// Who is so far behind, and could go on with a newer key frame, does.
const LAG_MICROS_MAX: i64 = 3_000_000;

/// All outlets. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outlets(Arc<Shared>);

struct Shared {
    outlets: Mutex<HashMap<StreamKey, Arc<Outlet>>>,
    hub: Hub,
    clock: Clock,
    group: TaskGroup,
    meters: Meters,
}

/// One stream.
pub(super) struct Outlet {
    kept: Mutex<Kept>,
    news: watch::Sender<News>,
    seats: AtomicUsize,
    asked: Mutex<Instant>,
    marks: [Mark; 2],
}

/// Up to where it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct News {
    /// Number of the next chunk.
    next: u64,
    shaped: bool,
    ended: bool,
}

#[derive(Default)]
struct Kept {
    shape: Option<Arc<Shape>>,
    /// RTP has no way for its pictures.
    unfit: bool,
    chunks: VecDeque<Arc<Chunk>>,
    bytes: usize,
    /// Number of the first of them.
    first: u64,
    /// Number of the newest key frame among them.
    key: Option<u64>,
    /// Numbers of each track's next packet.
    sequences: [u16; 2],
}

/// What there is for somebody who watches.
pub(super) enum Taken {
    Chunk(Arc<Chunk>),
    /// They were too slow: so many pictures and sounds are left out. What comes next is a key frame.
    Skipped(u64),
    Nothing,
    Ended,
}

/// Somebody who watches.
pub(super) struct Seat {
    outlet: Arc<Outlet>,
    news: watch::Receiver<News>,
    /// None: from the newest key frame.
    next: Option<u64>,
}

impl Outlets {
    pub(super) fn new(hub: Hub, clock: Clock, group: TaskGroup, meters: Meters) -> Self {
        Self(Arc::new(Shared { outlets: Mutex::default(), hub, clock, group, meters }))
    }

    /// The outlet of a stream, begun where there is none.
    pub(super) fn of(&self, stream: &StreamKey) -> Result<Arc<Outlet>, Error> {
        let now = self.0.clock.now();
        let mut outlets = self.0.outlets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outlet) = outlets.get(stream).filter(|outlet| !outlet.news.borrow().ended) {
            *outlet.asked.lock().unwrap_or_else(PoisonError::into_inner) = now;
            return Ok(outlet.clone());
        }
        if outlets.len() >= OUTLETS_MAX {
            return Err(Error::TooManyShows(OUTLETS_MAX));
        }
        let Some(reader) = self.0.hub.viewer(stream) else { return Err(self.nothing_of(stream)) };
        let outlet = Arc::new(Outlet {
            kept: Mutex::default(),
            news: watch::Sender::default(),
            seats: AtomicUsize::new(0),
            asked: Mutex::new(now),
            marks: [Mark::random(), Mark::random()],
        });
        outlets.insert(stream.clone(), outlet.clone());
        let work = Work { outlets: self.clone(), stream: stream.clone(), outlet: outlet.clone() };
        let stop = self.0.group.stop_token();
        self.0.group.spawn("rtsp outlet", work.run(reader, stop));
        Ok(outlet)
    }

    /// Whether a device is known to have the stream decides which error it is.
    fn nothing_of(&self, stream: &StreamKey) -> Error {
        let rosters = self.0.hub.rosters();
        let has = |roster: &crate::live::Roster| roster.streams.as_ref().is_none_or(|all| all.contains(stream));
        let known = rosters.borrow().get(&stream.device).is_some_and(has);
        if known { Error::NotLive(stream.clone()) } else { Error::NoSuchStream(stream.clone()) }
    }
}

impl Outlet {
    /// What the stream consists of, once that is known; None where it ends before.
    pub(super) async fn shape(&self) -> Option<Arc<Shape>> {
        let mut news = self.news.subscribe();
        let known = news.wait_for(|news| news.shaped || news.ended).await.ok().map(|news| news.shaped);
        known.filter(|shaped| *shaped)?;
        self.with(|kept| kept.shape.clone())
    }

    /// Whether it ended since RTP has no way for its pictures.
    pub(super) fn is_unfit(&self) -> bool {
        self.with(|kept| kept.unfit)
    }

    pub(super) fn marks(&self) -> &[Mark; 2] {
        &self.marks
    }

    fn with<T>(&self, f: impl FnOnce(&mut Kept) -> T) -> T {
        f(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Seat {
    /// From the newest key frame on.
    pub(super) fn new(outlet: &Arc<Outlet>) -> Self {
        outlet.seats.fetch_add(1, Ordering::Relaxed);
        Self { news: outlet.news.subscribe(), outlet: outlet.clone(), next: None }
    }

    /// What comes next, as it is now.
    pub(super) fn take(&mut self) -> Taken {
        let ended = self.news.borrow_and_update().ended;
        let next = self.next;
        let (taken, next) = self.outlet.with(|kept| kept.take(next));
        self.next = next;
        match taken {
            Taken::Nothing if ended => Taken::Ended,
            taken => taken,
        }
    }

    /// Comes back once there is something new.
    pub(super) async fn changed(&mut self) {
        // An error would mean that the outlet is gone, which the seat holds.
        let _ = self.news.changed().await;
    }

    /// Begins with the newest key frame: the numbers of the first packets of either track, and the time on the line. None
    /// before there is one.
    pub(super) fn begin(&mut self) -> Option<([u16; 2], i64)> {
        let (key, first) = self.outlet.with(|kept| {
            let key = kept.key?;
            let from = usize::try_from(key.checked_sub(kept.first)?).ok()?;
            let begin = kept.chunks.get(from)?.micros;
            let of = |track| {
                let first = kept.chunks.iter().skip(from).find(|chunk| chunk.track == track);
                first.map_or(kept.sequences[index(track)], |chunk| chunk.sequence)
            };
            Some((key, ([of(TrackKind::Video), of(TrackKind::Audio)], begin)))
        })?;
        self.next = Some(key);
        Some(first)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.outlet.seats.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Kept {
    fn end(&self) -> u64 {
        self.first + self.chunks.len() as u64
    }

    /// What stands at a place, and the place behind it.
    fn take(&self, next: Option<u64>) -> (Taken, Option<u64>) {
        let Some(at) = next else {
            let Some(key) = self.key else { return (Taken::Nothing, None) };
            return self.take(Some(key));
        };
        let newest = self.chunks.back().map_or(0, |chunk| chunk.micros);
        let here = at.checked_sub(self.first).and_then(|n| self.chunks.get(usize::try_from(n).ok()?));
        match here {
            _ if at >= self.end() => (Taken::Nothing, next),
            Some(chunk) if newest - chunk.micros <= LAG_MICROS_MAX || self.key.is_none_or(|key| key <= at) => {
                (Taken::Chunk(chunk.clone()), Some(at + 1))
            }
            // Too slow. Where no key frame is kept, all that there is was missed, and the next one will do.
            _ => (Taken::Skipped(self.key.unwrap_or(self.end()) - at), self.key),
        }
    }

    fn push(&mut self, chunk: Chunk) {
        if chunk.key {
            self.key = Some(self.end());
        }
        self.sequences[index(chunk.track)] = chunk.sequence.wrapping_add(chunk.packets as u16);
        self.bytes += chunk.bytes.len();
        self.chunks.push_back(Arc::new(chunk));
        let backlog = |kept: &Self| kept.bytes > BACKLOG_BYTES_MAX && kept.key.is_none_or(|key| kept.first < key);
        while backlog(self) || self.bytes > KEPT_BYTES_MAX {
            let Some(gone) = self.chunks.pop_front() else { break };
            self.bytes -= gone.bytes.len();
            self.first += 1;
        }
        self.key = self.key.filter(|key| *key >= self.first);
    }
}

/// The task of an outlet.
struct Work {
    outlets: Outlets,
    stream: StreamKey,
    outlet: Arc<Outlet>,
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut outlets = self.outlets.0.outlets.lock().unwrap_or_else(PoisonError::into_inner);
        if outlets.get(&self.stream).is_some_and(|outlet| Arc::ptr_eq(outlet, &self.outlet)) {
            outlets.remove(&self.stream);
        }
        drop(outlets);
        self.outlet.news.send_modify(|news| news.ended = true);
    }
}

impl Work {
    async fn run(self, reader: Reader, stop: CancellationToken) {
        let (mut maker, mut reader) = (Maker::default(), Some(reader));
        let shared = &self.outlets.0;
        let mut heard = shared.clock.now();
        while !self.is_idle() && shared.clock.now().saturating_duration_since(heard) < AWAY_MAX {
            let Some(from) = &mut reader else {
                if stop.run_until_cancelled(shared.clock.sleep(LOOK_EVERY)).await.is_none() {
                    return;
                }
                reader = shared.hub.viewer(&self.stream);
                continue;
            };
            let mut delivery = tokio::select! {
                () = stop.cancelled() => return,
                () = shared.clock.sleep(LOOK_EVERY) => continue,
                delivery = from.next() => delivery,
            };
            if delivery.is_none() {
                reader = None;
                continue;
            }
            heard = shared.clock.now();
            // What came together is told together: who watches is woken once.
            while let Some(item) = delivery {
                match item {
                    Delivery::Frame(frame) => {
                        if !maker.push(frame, &self.outlet) {
                            tracing::info!(stream = %self.stream, "the stream is of another shape now, who watches by RTSP begins anew");
                            return;
                        }
                    }
                    Delivery::Skipped { frames } => shared.meters.skipped(frames),
                    Delivery::Missing(_) | Delivery::Break(_) => {}
                }
                delivery = from.try_read();
            }
            let (next, shaped) = self.outlet.with(|kept| (kept.end(), kept.shape.is_some()));
            // Nobody is told under the lock by which they would look.
            self.outlet.news.send_if_modified(|news| {
                let now = News { next, shaped, ended: false };
                std::mem::replace(news, now) != now
            });
        }
    }

    fn is_idle(&self) -> bool {
        let mut outlets = self.outlets.0.outlets.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = *self.outlet.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let rests = self.outlets.0.clock.now().saturating_duration_since(asked) >= IDLE_MAX;
        let idle = rests && self.outlet.seats.load(Ordering::Relaxed) == 0;
        if idle {
            // Under the same lock by which somebody would find it, so that nobody is given an outlet that ends.
            outlets.remove(&self.stream);
        }
        idle
    }
}

/// Makes chunks of frames, once it is known how the sound goes.
#[derive(Default)]
struct Maker {
    press: Option<Press>,
    line: Line,
    format: Option<Arc<StreamFormat>>,
    sets: Vec<Bytes>,
    waiting: Vec<Frame>,
}

impl Maker {
    /// False: what comes now is of another shape than who watches was told of.
    fn push(&mut self, frame: Frame, outlet: &Outlet) -> bool {
        if self.press.is_some() {
            return self.make(&frame, outlet);
        }
        let decided = frame.track == TrackKind::Audio
            || frame.format.audio.is_none()
            || self.waiting.len() + 1 >= WAITING_FRAMES_MAX;
        self.waiting.push(frame);
        !decided || self.begin(outlet)
    }

    fn begin(&mut self, outlet: &Outlet) -> bool {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(format) = waiting.last().map(|frame| frame.format.clone()) else { return true };
        let heard = waiting.iter().filter(|frame| frame.track == TrackKind::Audio).map(|frame| &frame.data[..]);
        let Some(shape) = shape_of(&format, heard) else {
            outlet.with(|kept| kept.unfit = true);
            return false;
        };
        self.press = Some(Press::new(&shape, outlet.marks));
        outlet.with(|kept| {
            kept.sequences = outlet.marks.map(|mark| mark.sequence);
            kept.shape = Some(Arc::new(shape));
        });
        waiting.iter().all(|frame| self.make(frame, outlet))
    }

    fn make(&mut self, frame: &Frame, outlet: &Outlet) -> bool {
        let known = self.format.as_ref().is_some_and(|format| Arc::ptr_eq(format, &frame.format));
        if !known && !self.reshape(&frame.format, outlet) {
            return false;
        }
        let ticks = self.line.place(frame);
        let Some(press) = &mut self.press else { return true };
        let chunk = match frame.track {
            TrackKind::Video => {
                let sets = frame.key.then_some(&self.sets[..]);
                Some(press.picture(&frame.data, sets, ticks, frame.wall))
            }
            TrackKind::Audio => press.sound(&frame.data, ticks, frame.wall),
        };
        if let Some(chunk) = chunk.filter(|chunk| !chunk.bytes.is_empty()) {
            outlet.with(|kept| kept.push(chunk));
        }
        true
    }

    /// The format may be another: parameter sets go with the pictures, anything else ends it.
    fn reshape(&mut self, format: &Arc<StreamFormat>, outlet: &Outlet) -> bool {
        let told = outlet.with(|kept| kept.shape.clone());
        // How telephone sound goes was decided once.
        let same_sound = |old: &Arc<StreamFormat>| old.audio == format.audio;
        let speech = match &self.format {
            Some(old) if same_sound(old) => told.as_ref().and_then(|shape| shape.speech.clone()),
            Some(_) => shape_of(format, []).and_then(|shape| shape.speech),
            None => told.as_ref().and_then(|shape| shape.speech.clone()),
        };
        let size = (format.video.width, format.video.height);
        let Some(shape) = Shape::of(&format.video.sample_entry, size, speech) else { return false };
        if told.is_some_and(|told| !told.takes(&shape)) {
            return false;
        }
        self.sets.clone_from(&shape.sets);
        self.format = Some(format.clone());
        outlet.with(|kept| kept.shape = Some(Arc::new(shape)));
        true
    }
}

fn shape_of<'a>(format: &StreamFormat, heard: impl IntoIterator<Item = &'a [u8]>) -> Option<Shape> {
    let audio = format.audio.as_ref();
    let speech = audio.and_then(|audio| Speech::of(&audio.sample_entry, audio.sample_rate, heard));
    Shape::of(&format.video.sample_entry, (format.video.width, format.video.height), speech)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Wall;

    fn chunk(n: u64, key: bool, len: usize) -> Chunk {
        Chunk {
            track: TrackKind::Video,
            key,
            bytes: vec![0; len].into(),
            packets: 2,
            octets: len as u32,
            sequence: (n * 2) as u16,
            timestamp: 0,
            wall: Wall::default(),
            micros: n as i64 * 40_000,
        }
    }

    fn drain(kept: &Kept, next: &mut Option<u64>) -> (Vec<u64>, u64) {
        let (mut got, mut skipped) = (Vec::new(), 0);
        loop {
            let (taken, after) = kept.take(*next);
            *next = after;
            match taken {
                Taken::Chunk(chunk) => got.push(chunk.micros as u64 / 40_000),
                Taken::Skipped(n) => skipped += n,
                Taken::Nothing | Taken::Ended => return (got, skipped),
            }
        }
    }

    #[test]
    fn who_joins_begins_with_the_newest_key_frame_and_who_is_slow_goes_on_with_one() {
        let mut kept = Kept::default();
        let (mut quick, mut slow) = (None, None);
        assert_eq!(drain(&kept, &mut quick), (vec![], 0));
        (0..30).for_each(|n| kept.push(chunk(n, n % 25 == 0, 100)));
        assert_eq!(drain(&kept, &mut quick), ((25..30).collect(), 0));
        assert_eq!(drain(&kept, &mut slow), ((25..30).collect(), 0));
        for n in 30..200 {
            kept.push(chunk(n, n % 25 == 0, 100));
            assert_eq!(drain(&kept, &mut quick), (vec![n], 0));
        }
        // Behind by more than three seconds, with all of it still there.
        assert_eq!(drain(&kept, &mut slow), ((175..200).collect(), 145));
        assert_eq!(kept.sequences[0], 400);
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_group_that_is_too_long_is_not_begun_with() {
        let mut kept = Kept::default();
        let mut late = Some(0);
        for n in 0..2000 {
            kept.push(chunk(n, n % 50 == 0, 100_000));
            assert!(kept.bytes <= BACKLOG_BYTES_MAX + 50 * 100_000);
        }
        assert_eq!(drain(&kept, &mut late), ((1950..2000).collect(), 1950));
        (2000..3000).for_each(|n| kept.push(chunk(n, false, 100_000)));
        assert!(kept.bytes <= KEPT_BYTES_MAX && kept.key.is_none());
        let (mut joins, mut lost) = (None, Some(2000));
        assert_eq!(drain(&kept, &mut joins), (vec![], 0));
        assert_eq!(drain(&kept, &mut lost), (vec![], 1000));
        kept.push(chunk(3000, true, 10));
        assert_eq!((drain(&kept, &mut joins).0, drain(&kept, &mut lost).0), (vec![3000], vec![3000]));
    }
}
