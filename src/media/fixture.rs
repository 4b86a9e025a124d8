//! Real coded pictures and sound for tests: made by ffmpeg, handed out as frames.

use super::avc::{self, NalKind};
use super::fmp4::parse;
use crate::base::Wall;
use crate::model::{
    AudioFormat, Frame, SessionId, StreamFormat, TrackKind, VideoCodec, VideoFormat, frame::VIDEO_TIMESCALE,
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

/// What a test clip is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Options {
    pub(crate) codec: VideoCodec,
    pub(crate) seconds: u32,
    pub(crate) fps: u32,
    /// Frames from one key frame to the next.
    pub(crate) gop: u32,
    /// Pictures in a row that are shown before one that is decoded before them.
    pub(crate) bframes: u32,
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// Samples a second; 0 for no sound.
    pub(crate) audio_rate: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            codec: VideoCodec::H264,
            seconds: 8,
            fps: 25,
            gop: 25,
            bframes: 0,
            width: 128,
            height: 96,
            audio_rate: 16_000,
        }
    }
}

/// Coded frames, each decodable in its place.
#[derive(Debug)]
pub(crate) struct Clip {
    pub(crate) options: Options,
    pub(crate) format: Arc<StreamFormat>,
    /// Samples as [`Frame::data`], and whether decoding can begin there.
    pub(crate) video: Vec<(Bytes, bool)>,
    /// When each is shown, in pictures, the first at 0.
    pub(crate) shown: Vec<i64>,
    pub(crate) audio: Vec<Bytes>,
}

/// Samples in one AAC frame.
pub(crate) const AAC_SAMPLES: u32 = 1024;

impl Clip {
    /// The clip as a camera would send it: tracks interleaved by time, the first video frame at `start`, tick 0.
    pub(crate) fn frames(&self, session: u64, start: Wall) -> Vec<Frame> {
        let frame = |track, ticks: i64, key, data: &Bytes| Frame {
            session: SessionId(session),
            track,
            ticks,
            offset: 0,
            wall: start.plus_micros(ticks * 1_000_000 / i64::from(self.format.timescale(track))),
            key,
            data: data.clone(),
            format: self.format.clone(),
        };
        let step = i64::from(VIDEO_TIMESCALE / self.options.fps);
        let video = (0i64..).zip(&self.video).zip(&self.shown).map(|((n, (data, key)), shown)| Frame {
            offset: i32::try_from((shown - n) * step).unwrap(),
            ..frame(TrackKind::Video, n * step, *key, data)
        });
        let audio =
            (0..).zip(&self.audio).map(|(n, data)| frame(TrackKind::Audio, n * i64::from(AAC_SAMPLES), true, data));
        let mut all: Vec<Frame> = video.chain(audio).collect();
        all.sort_by_key(|f| (f.wall, f.track == TrackKind::Audio));
        all
    }
}

/// The clip that these options describe; made once per test process.
pub(crate) fn clip(options: Options) -> Arc<Clip> {
    static MADE: Mutex<Option<HashMap<Options, Arc<Clip>>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.get_or_insert_default().entry(options).or_insert_with(|| Arc::new(make(options))).clone()
}

/// Runs a program of ffmpeg's and gives what it printed; fails the test where it is missing or complains.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is needed for this test ({e}); ./test installs it"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{program} {args:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn make(options: Options) -> Clip {
    let dir = tempfile::tempdir().unwrap();
    let (video, shown, entry, sps) = make_video(options, dir.path());
    let (audio, audio_format) = if options.audio_rate > 0 { make_audio(options, dir.path()) } else { (vec![], None) };
    let rfc6381 = match options.codec {
        VideoCodec::H264 => avc::avc_rfc6381(&sps).unwrap(),
        _ => "hvc1.1.6.L60.90".into(),
    };
    let Options { codec, width, height, .. } = options;
    let video_format = VideoFormat { codec, rfc6381, width, height, sample_entry: entry };
    let format = Arc::new(StreamFormat { video: video_format, audio: audio_format });
    Clip { options, format, video, shown, audio }
}

fn make_video(options: Options, dir: &Path) -> (Vec<(Bytes, bool)>, Vec<i64>, Bytes, Vec<u8>) {
    let Options { seconds, fps, gop, bframes, width, height, .. } = options;
    let source = format!("testsrc=size={width}x{height}:rate={fps}:duration={seconds}");
    let (encoder, private, raw, filter) = match options.codec {
        VideoCodec::H264 => ("libx264", "-x264-params", "h264", "h264_mp4toannexb"),
        VideoCodec::H265 => ("libx265", "-x265-params", "hevc", "hevc_mp4toannexb"),
        VideoCodec::Mjpeg => panic!("clips are of moving pictures"),
    };
    let params =
        format!("aud=1:bframes={bframes}:b-adapt=0:keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:log-level=none");
    let (stream, coded) = (dir.join("video"), dir.join("coded.mp4"));
    let (stream, coded) = (stream.to_str().unwrap(), coded.to_str().unwrap());
    let base = ["-v", "error", "-y", "-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p", "-c:v", encoder];
    let more = ["-preset", "ultrafast", private, &params];
    let shown = if bframes == 0 {
        run("ffmpeg", &[&base[..], &more[..], &["-f", raw, stream]].concat());
        (0..i64::from(seconds * fps)).collect()
    } else {
        run("ffmpeg", &[&base[..], &more[..], &["-video_track_timescale", "90000", coded]].concat());
        run("ffmpeg", &["-v", "error", "-y", "-i", coded, "-c", "copy", "-bsf:v", filter, "-f", raw, stream]);
        shown_by_ffprobe(coded, fps)
    };
    let bytes = std::fs::read(stream).unwrap();
    let nals = avc::annex_b_nals(&bytes);
    let is_delimiter = |nal: &[u8]| match options.codec {
        VideoCodec::H264 => nal[0] & 0x1f == 9,
        _ => nal[0] >> 1 & 0x3f == 35,
    };
    let is_slice = |nal: &&[u8]| matches!(avc::nal_kind(options.codec, nal), NalKind::KeySlice | NalKind::Slice);
    let units = nals.split(|nal| is_delimiter(nal)).filter(|unit| unit.iter().any(is_slice));
    let samples = units.map(|unit| {
        let kinds = || unit.iter().map(|nal| (avc::nal_kind(options.codec, nal), *nal));
        let key = kinds().any(|(kind, _)| kind == NalKind::KeySlice);
        (avc::sample_of(kinds().filter(|(kind, _)| *kind != NalKind::ParameterSet).map(|(_, nal)| nal)), key)
    });
    let samples: Vec<_> = samples.collect();
    assert_eq!(samples.len(), (seconds * fps) as usize, "one access unit a picture");
    let set = |kind: u8| nals.iter().find(|nal| nal[0] & 0x1f == kind).map(|nal| nal.to_vec()).unwrap_or_default();
    let (sps, pps) = (set(7), set(8));
    let entry = match options.codec {
        VideoCodec::H264 => avc::avc1_entry(&sps, &pps, width, height).unwrap(),
        _ => entry_by_ffmpeg(stream, dir),
    };
    (samples, shown, entry, sps)
}

/// When each picture is shown, in pictures.
fn shown_by_ffprobe(coded: &str, fps: u32) -> Vec<i64> {
    let args = ["-v", "error", "-select_streams", "v", "-show_entries", "packet=pts", "-of", "csv=p=0", coded];
    let pts: Vec<i64> = run("ffprobe", &args).lines().map(|l| l.trim_end_matches(',').parse().unwrap()).collect();
    pts.iter().map(|p| (p - pts[0]) / i64::from(VIDEO_TIMESCALE / fps)).collect()
}

/// Lets ffmpeg wrap the stream and takes its sample entry.
fn entry_by_ffmpeg(stream: &str, dir: &Path) -> Bytes {
    let wrapped = dir.join("wrapped.mp4");
    let path = wrapped.to_str().unwrap();
    run("ffmpeg", &["-v", "fatal", "-y", "-i", stream, "-c", "copy", "-tag:v", "hvc1", path]);
    let bytes = std::fs::read(&wrapped).unwrap();
    let stsd = parse::at_path(&bytes, &[b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"]).unwrap();
    Bytes::copy_from_slice(&stsd[8..])
}

fn make_audio(options: Options, dir: &Path) -> (Vec<Bytes>, Option<AudioFormat>) {
    let Options { seconds, audio_rate, .. } = options;
    let source = format!("sine=frequency=440:sample_rate={audio_rate}:duration={seconds}");
    let path = dir.join("audio");
    let path = path.to_str().unwrap();
    run("ffmpeg", &["-v", "error", "-y", "-f", "lavfi", "-i", &source, "-ac", "1", "-c:a", "aac", "-f", "adts", path]);
    let bytes = std::fs::read(path).unwrap();
    let mut frames = Vec::new();
    let mut rest = &bytes[..];
    while rest.len() > 7 {
        let len = usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5]) >> 5;
        let header = if rest[1] & 1 == 1 { 7 } else { 9 };
        frames.push(Bytes::copy_from_slice(&rest[header..len]));
        rest = &rest[len..];
    }
    // AudioSpecificConfig: object type, sampling frequency index, channels, as the ADTS header has them.
    let (object, frequency, channels) = ((bytes[2] >> 6) + 1, bytes[2] >> 2 & 0xf, 1u8);
    let config = [object << 3 | frequency >> 1, frequency << 7 | channels << 3];
    let sample_entry = avc::mp4a_entry(&config, 1, audio_rate).unwrap();
    let format = AudioFormat {
        rfc6381: format!("mp4a.40.{object}"),
        sample_rate: audio_rate,
        frame_ticks: AAC_SAMPLES,
        sample_entry,
    };
    (frames, Some(format))
}
