//! What is decoded is what ffmpeg decodes, and what is stored as FLAC is what was decoded.

use super::*;
use crate::media::{
    fixture::run,
    fmp4::{
        Origin,
        write::{self, FragmentTrack, Sample},
    },
};
use crate::{
    base::Wall,
    model::{AudioFormat, SessionId, StreamFormat, VideoCodec},
};
use bytes::Bytes;
use proptest::prelude::*;
use std::path::Path;

/// Sound with tones, noise and silence in it, as raw samples.
const SOURCE: &str =
    "aevalsrc=exprs='(0.4*sin(2*PI*t*(200+400*t))+0.3*sin(1800*t)+0.2*(random(0)-0.5))*lt(mod(t\\,2)\\,1.7)'";

/// Codes the source by ffmpeg and gives the coded bytes, and what ffmpeg decodes from them.
fn by_ffmpeg(dir: &Path, rate: u32, encode: &[&str], decode: &[&str]) -> (Vec<u8>, Vec<i16>) {
    let (coded, pcm) = (dir.join("coded"), dir.join("pcm"));
    let (coded, pcm) = (coded.to_str().unwrap(), pcm.to_str().unwrap());
    let source = format!("{SOURCE}:s={rate}:d=5");
    run("ffmpeg", &[&["-v", "error", "-y", "-f", "lavfi", "-i", &source], encode, &[coded]].concat());
    run("ffmpeg", &[&["-v", "error", "-y"], decode, &["-i", coded, "-f", "s16le", pcm]].concat());
    let samples = std::fs::read(pcm).unwrap();
    (std::fs::read(coded).unwrap(), samples.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect())
}

#[test]
fn every_codec_is_decoded_as_ffmpeg_does_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let g726 = |bits: u8| (Coding::G726(bits), 8000, "g726le", "g726le");
    for (coding, rate, codec, format) in [
        (Coding::Ulaw, 8000, "pcm_mulaw", "mulaw"),
        (Coding::Alaw, 8000, "pcm_alaw", "alaw"),
        (Coding::G722, 16_000, "g722", "g722"),
        g726(2),
        g726(3),
        g726(4),
        g726(5),
        (Coding::L16(None), 16_000, "pcm_s16be", "s16be"),
        (Coding::L16(None), 16_000, "pcm_s16le", "s16le"),
    ] {
        let rate_text = rate.to_string();
        let size = if let Coding::G726(bits) = coding { bits.to_string() } else { "4".into() };
        let mut encode = vec!["-c:a", codec, "-f", format];
        let mut decode = vec!["-f", format];
        match coding {
            Coding::G726(_) => {
                encode.extend(["-code_size", &size]);
                decode.extend(["-code_size", &size]);
            }
            Coding::G722 => {}
            _ => decode.extend(["-ar", &rate_text, "-ac", "1"]),
        }
        let (coded, theirs) = by_ffmpeg(dir.path(), rate, &encode, &decode);
        let mut decoder = Decoder::new(coding);
        // 15 bytes are whole samples at any of the rates.
        let ours: Vec<i16> = coded.chunks(15 * 16).flat_map(|packet| decoder.decode(packet)).collect();
        assert!(ours.len() > 39_000, "{coding:?}: {} samples", ours.len());
        let same = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        assert_eq!(same, ours.len().min(theirs.len()), "{coding:?}: the first difference");
        assert!(ours.len().abs_diff(theirs.len()) < 8, "{coding:?}: {} and {}", ours.len(), theirs.len());
    }
}

/// An MP4 whose sound is these frames, and what ffmpeg decodes of it.
fn played(dir: &Path, channels: u8, rate: u32, frames: &[(Bytes, u32)]) -> Vec<i16> {
    let clip = crate::media::fixture::clip(crate::media::fixture::Options {
        seconds: 1,
        audio_rate: 0,
        codec: VideoCodec::H264,
        ..Default::default()
    });
    let entry = flac::sample_entry(channels, rate).unwrap();
    let audio = AudioFormat { rfc6381: "flac".into(), sample_rate: rate, frame_ticks: 160, sample_entry: entry };
    let format = StreamFormat { video: clip.format.video.clone(), audio: Some(audio) };
    let stream = "nvr1/1/main".parse().unwrap();
    let mut file = write::init(&format, &Origin { stream, start: Wall::default(), session: SessionId(1), index: 0 });
    let video =
        clip.video.iter().map(|(data, key)| Sample { data: data.clone(), duration: 3600, offset: 0, key: *key });
    let audio = frames.iter().map(|(data, len)| Sample { data: data.clone(), duration: *len, offset: 0, key: true });
    let track = |samples| FragmentTrack { first_ticks: 0, samples };
    let fragment = write::fragment(1, track(video.collect()), Some(track(audio.collect()))).unwrap();
    file.extend_from_slice(&fragment.head);
    fragment.body.iter().for_each(|b| file.extend_from_slice(b));
    let (mp4, pcm) = (dir.join("played.mp4"), dir.join("played.pcm"));
    std::fs::write(&mp4, file).unwrap();
    let (mp4, pcm) = (mp4.to_str().unwrap(), pcm.to_str().unwrap());
    run("ffmpeg", &["-v", "error", "-xerror", "-y", "-i", mp4, "-vn", "-f", "s16le", pcm]);
    std::fs::read(pcm).unwrap().chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect()
}

#[test]
fn sound_goes_through_flac_without_a_loss_and_smaller_than_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (coded, pcm) =
        by_ffmpeg(dir.path(), 8000, &["-c:a", "pcm_alaw", "-f", "alaw"], &["-f", "alaw", "-ar", "8000", "-ac", "1"]);
    let mut encoder = flac::Encoder::new(1, 8000);
    let frames: Vec<_> = pcm.chunks(320).map(|part| (encoder.frame(part), part.len() as u32)).collect();
    assert_eq!(played(dir.path(), 1, 8000, &frames), pcm);
    let bytes: usize = frames.iter().map(|(frame, _)| frame.len()).sum();
    assert!(bytes < coded.len() * 2 * 3 / 4, "{bytes} of {} bytes", coded.len() * 2);
}

#[test]
fn every_sort_of_frame_is_decoded_again() {
    let dir = tempfile::tempdir().unwrap();
    let noise = |n: u32| (n.wrapping_mul(2_654_435_761) >> 16) as u16 as i16;
    let sorts: [(&str, Vec<i16>); 7] = [
        ("constant", vec![-77; 160]),
        ("full noise", (0..1000).map(noise).collect()),
        ("extremes", (0..512).map(|n| if n % 2 == 0 { i16::MIN } else { i16::MAX }).collect()),
        ("a ramp", (0..4096).map(|n| (n * 7) as i16).collect()),
        ("wasted bits", (0..333).map(|n| (noise(n) >> 6) << 4).collect()),
        ("one sample", vec![5]),
        ("a few", vec![1, -2, 3, -4, 5]),
    ];
    for channels in [1u8, 2] {
        let mut encoder = flac::Encoder::new(channels, 11_025);
        let whole = |s: &Vec<i16>| s[..s.len() / usize::from(channels) * usize::from(channels)].to_vec();
        let parts: Vec<Vec<i16>> = sorts.iter().map(|(_, s)| whole(s)).filter(|s| !s.is_empty()).collect();
        let frames: Vec<_> =
            parts.iter().map(|p| (encoder.frame(p), (p.len() / usize::from(channels)) as u32)).collect();
        assert_eq!(played(dir.path(), channels, 11_025, &frames), parts.concat(), "{channels} channels");
    }
}

proptest! {
    #[test]
    fn no_payload_makes_a_decoder_panic(payload in proptest::collection::vec(any::<u8>(), 0..3000), which in 0usize..8) {
        let codings = [
            Coding::Ulaw, Coding::Alaw, Coding::G722, Coding::G726(2), Coding::G726(3), Coding::G726(4),
            Coding::G726(5), Coding::L16(None),
        ];
        let mut decoder = Decoder::new(codings[which]);
        let samples = decoder.decode(&payload);
        for part in samples.chunks(flac::FRAME_SAMPLES_MAX) {
            let _ = flac::Encoder::new(1, 8000).frame(part);
        }
    }
}
