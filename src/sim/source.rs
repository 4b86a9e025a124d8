//! One stream's frames, made once and fanned out to every session that plays it. A source runs while somebody
//! listens; its time runs on all the same, so what nobody received is missing from the marks.

use super::{
    clip::Clip,
    encoder::{Canvas, Encoder, Settings, sei::Mark},
    sound::Tone,
    state::{Channel, ChannelState, Device},
};
use crate::{
    base::{TaskGroup, Wall},
    model::{Profile, VideoCodec},
};
use bytes::Bytes;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::broadcast, time::sleep_until};

/// Units that a slow session may be behind before it loses some: more than a second of video and audio.
const UNITS_BEHIND_MAX: usize = 512;
/// A source that is this late (the host slept, a debugger) goes on with the present.
const LATE_MAX: Duration = Duration::from_secs(15);
/// Video's RTP clock.
pub(super) const VIDEO_CLOCK_HZ: u64 = 90_000;

const H264_FILLER: &[u8] = &[12];
const H265_FILLER: &[u8] = &[38 << 1, 1];

/// An access unit or an audio frame.
#[derive(Clone, Debug)]
pub(super) enum Unit {
    Video {
        codec: VideoCodec,
        nals: Vec<Bytes>,
        key: bool,
        /// 90 kHz since the device's epoch.
        ticks: u64,
        /// What its mark counts.
        counter: u64,
    },
    Audio {
        frame: Bytes,
        /// Samples since the device's epoch.
        ticks: u64,
    },
}

/// One encoding of one channel.
pub(super) struct Source {
    device: Arc<Device>,
    channel: u32,
    profile: Profile,
    units: broadcast::Sender<Arc<Unit>>,
    running: Mutex<bool>,
}

impl Source {
    pub fn new(device: Arc<Device>, channel: u32, profile: Profile) -> Arc<Self> {
        let units = broadcast::Sender::new(UNITS_BEHIND_MAX);
        Arc::new(Self { device, channel, profile, units, running: Mutex::new(false) })
    }

    /// The units from now on. The first listener starts the source, with a key frame.
    pub fn listen(self: &Arc<Self>, group: &TaskGroup) -> broadcast::Receiver<Arc<Unit>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.units.subscribe();
        if !*running {
            *running = true;
            let (source, stop) = (self.clone(), group.stop_token());
            group.spawn("simulated stream", async move {
                tokio::select! {
                    () = source.run() => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        receiver
    }

    /// The stream's codec, parameter sets and size as they are now.
    pub fn describe(&self) -> (VideoCodec, Vec<Bytes>, (u16, u16)) {
        let coder = Coder::new(&self.device, self.channel, self.profile);
        (coder.codec(), coder.parameter_sets(), coder.size())
    }

    /// Microseconds since the epoch of the first frame that is not taken yet.
    pub fn next_frame_micros(&self) -> u64 {
        let micros = u64::try_from(self.device.options.clock.now().duration_since(self.device.epoch).as_micros());
        let frame = self.frame_after(micros.unwrap_or(u64::MAX));
        self.micros_of(frame)
    }

    async fn run(&self) {
        let Some(channel) = self.device.channel(self.channel) else { return };
        let mut coder = Coder::new(&self.device, self.channel, self.profile);
        let options = &self.device.options;
        let mut tone = options.audio.then(|| Tone::from(options.sound, self.next_frame_micros()));
        let mut counter = self.frame_after(self.next_frame_micros().saturating_sub(1));
        loop {
            let micros = self.micros_of(counter);
            let due = self.device.epoch + Duration::from_micros(micros);
            sleep_until(due).await;
            if self.ends() {
                return;
            }
            let now = self.device.options.clock.now();
            let late = now.saturating_duration_since(due);
            if late > LATE_MAX {
                counter = self.frame_after(micros.saturating_add(late.as_micros() as u64));
                continue;
            }
            let wall = self.device.wall().minus(late);
            let state = *channel.state.borrow();
            self.take(&mut coder, state, counter, wall);
            if let Some(tone) = &mut tone {
                for (frame, samples) in tone.up_to(micros) {
                    let ticks = state.clock.shows(samples, options.sound.clock_hz());
                    self.give(Unit::Audio { frame, ticks });
                }
            }
            counter += 1;
        }
    }

    fn take(&self, coder: &mut Coder, state: ChannelState, counter: u64, wall: Wall) {
        coder.follow(&self.device, state, self.channel, self.profile);
        let stream = self.channel * 100 + self.profile.number();
        let mark = Mark { stream, counter, wall };
        let (key, nals) = coder.frame(self.channel, mark);
        let ticks = state.clock.stamps(self.micros_of(counter) * 9 / 100, counter, VIDEO_CLOCK_HZ);
        self.give(Unit::Video { codec: coder.codec(), nals, key, ticks, counter });
    }

    fn give(&self, unit: Unit) {
        // An error says that nobody listens any more, which the next round sees.
        let _ = self.units.send(Arc::new(unit));
    }

    /// True where the last listener has left; then a new one starts a new run.
    fn ends(&self) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = self.units.receiver_count() > 0;
        !*running
    }

    /// When a frame is taken, since the epoch. Channels are spread over the interval, so that not all of them
    /// encode at the same moment.
    fn micros_of(&self, counter: u64) -> u64 {
        let fps = u64::from(self.device.options.fps);
        let spread = u64::from(self.channel - 1) * 1_000_000 / fps / self.device.channels.len() as u64;
        counter * 1_000_000 / fps + spread
    }

    /// The first frame that is taken after this time.
    fn frame_after(&self, micros: u64) -> u64 {
        let guess = micros.saturating_mul(u64::from(self.device.options.fps)) / 1_000_000;
        (guess.saturating_sub(2)..).find(|n| self.micros_of(*n) > micros).unwrap_or(guess)
    }
}

/// Makes pictures into NAL units.
enum Coder {
    H264 { encoder: Box<Encoder>, canvas: Canvas, size: (u16, u16), filler: Bytes },
    H265 { clip: Clip, at: usize, filler: Bytes },
}

impl Coder {
    fn new(device: &Device, channel: u32, profile: Profile) -> Self {
        let bits_per_frame = device.options.bits_per_second / u64::from(device.options.fps);
        let bytes = (bits_per_frame / 8 / if profile == Profile::Main { 1 } else { 8 }) as usize;
        let now = device.channel(channel).map(|c| *c.state.borrow());
        match now.map_or(device.options.codec, |state| state.codec) {
            VideoCodec::H264 => {
                let size = now.map_or(device.options.size, |state| state.size);
                let size = if profile == Profile::Main { size } else { (size.0 / 2, size.1 / 2) };
                let encoder = Box::new(Encoder::new(settings(device, channel, size)));
                Self::H264 { canvas: encoder.canvas(), encoder, size, filler: filler(H264_FILLER, bytes) }
            }
            VideoCodec::H265 | VideoCodec::Mjpeg => {
                let clip = if profile == Profile::Main { Clip::main() } else { Clip::sub() };
                Self::H265 { clip, at: 0, filler: filler(H265_FILLER, bytes) }
            }
        }
    }

    fn codec(&self) -> VideoCodec {
        match self {
            Self::H264 { .. } => VideoCodec::H264,
            Self::H265 { .. } => VideoCodec::H265,
        }
    }

    fn size(&self) -> (u16, u16) {
        match self {
            Self::H264 { size, .. } => *size,
            Self::H265 { clip, .. } => clip.size,
        }
    }

    fn parameter_sets(&self) -> Vec<Bytes> {
        match self {
            Self::H264 { encoder, .. } => vec![encoder.sps().clone(), encoder.pps().clone()],
            Self::H265 { clip, .. } => clip.parameter_sets.clone(),
        }
    }

    /// Begins anew, with a key frame, where the picture's size or codec was changed.
    fn follow(&mut self, device: &Device, state: ChannelState, channel: u32, profile: Profile) {
        let wanted = if profile == Profile::Main { state.size } else { (state.size.0 / 2, state.size.1 / 2) };
        if self.codec() != state.codec || matches!(self, Self::H264 { size, .. } if *size != wanted) {
            *self = Self::new(device, channel, profile);
        }
    }

    /// The next access unit.
    fn frame(&mut self, channel: u32, mark: Mark) -> (bool, Vec<Bytes>) {
        let (codec, key, slice, filler) = match self {
            Self::H264 { encoder, canvas, filler, .. } => {
                canvas.draw(channel, mark.counter, mark.wall);
                let picture = encoder.frame(canvas);
                (VideoCodec::H264, picture.key, picture.slice, &*filler)
            }
            Self::H265 { clip, at, filler } => {
                let (key, slice) = clip.frames[*at].clone();
                *at = (*at + 1) % clip.frames.len();
                (VideoCodec::H265, key, slice, &*filler)
            }
        };
        let filler = filler.clone();
        let mut nals = if key { self.parameter_sets() } else { Vec::with_capacity(3) };
        nals.extend([mark.to_nal(codec), slice]);
        if !filler.is_empty() {
            nals.push(filler);
        }
        (key, nals)
    }
}

/// The colour of a channel: six of them, so that neighbours in a grid look different.
pub(super) fn tint(channel: u32) -> (u8, u8) {
    const TINTS: [(u8, u8); 6] = [(150, 110), (110, 110), (110, 150), (150, 150), (165, 128), (128, 165)];
    TINTS[channel as usize % TINTS.len()]
}

fn settings(device: &Device, channel: u32, size: (u16, u16)) -> Settings {
    Settings {
        width_mbs: size.0 / 16,
        height_mbs: size.1 / 16,
        fps: device.options.fps,
        key_every_frames: device.options.key_every_frames(),
        tint: tint(channel),
    }
}

/// A NAL unit of filler data; empty where none is wanted.
fn filler(head: &[u8], bytes: usize) -> Bytes {
    if bytes <= head.len() {
        return Bytes::new();
    }
    let mut nal = vec![0xff; bytes];
    nal[..head.len()].copy_from_slice(head);
    nal.push(0x80);
    nal.into()
}

/// Every stream of a device.
pub(super) struct Sources(Vec<[Arc<Source>; 2]>);

impl Sources {
    pub fn new(device: &Arc<Device>) -> Self {
        let pair = |c: &Channel| [Profile::Main, Profile::Sub].map(|p| Source::new(device.clone(), c.number, p));
        Self(device.channels.iter().map(pair).collect())
    }

    pub fn get(&self, channel: u32, profile: Profile) -> Option<&Arc<Source>> {
        let pair = self.0.get(usize::try_from(channel).ok()?.checked_sub(1)?)?;
        Some(&pair[(profile.number() - 1) as usize])
    }
}
