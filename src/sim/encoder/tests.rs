//! What ffmpeg decodes is, to the last pixel, what was drawn.

use super::*;
use crate::base::Wall;
use std::{
    io::Write,
    process::{Command, Stdio},
};

const START_CODE: [u8; 4] = [0, 0, 0, 1];

fn settings() -> Settings {
    Settings { width_mbs: 40, height_mbs: 22, fps: 25, key_every_frames: 10, tint: (90, 170) }
}

/// Encodes these pictures as an Annex B stream.
fn encode(encoder: &mut Encoder, pictures: &[Canvas]) -> Vec<u8> {
    let mut stream = Vec::new();
    for picture in pictures {
        let coded = encoder.frame(picture);
        let sets = [encoder.sps().clone(), encoder.pps().clone()];
        for nal in sets.iter().filter(|_| coded.key).chain([&coded.slice]) {
            stream.extend_from_slice(&START_CODE);
            stream.extend_from_slice(nal);
        }
    }
    stream
}

/// Pipes a stream through ffmpeg and gives raw planar YUV 4:2:0. Any complaint of the decoder fails the test.
fn decode(stream: Vec<u8>) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "h264", "-i", "-", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    let mut stdin = ffmpeg.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || stdin.write_all(&stream));
    let output = ffmpeg.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    output.stdout
}

/// The picture's planes as a decoder shows them.
fn planes(picture: &Canvas, tint: (u8, u8)) -> Vec<u8> {
    let mut out = Vec::new();
    for row in picture.luma.chunks(picture.width) {
        let line: Vec<u8> = row.iter().flat_map(|&v| [v; 16]).collect();
        (0..16).for_each(|_| out.extend_from_slice(&line));
    }
    let chroma = picture.luma.len() * 64;
    out.extend(std::iter::repeat_n(tint.0, chroma));
    out.extend(std::iter::repeat_n(tint.1, chroma));
    out
}

fn assert_exact(pictures: &[Canvas], settings: Settings) {
    let decoded = decode(encode(&mut Encoder::new(settings), pictures));
    let expected: Vec<u8> = pictures.iter().flat_map(|p| planes(p, settings.tint)).collect();
    assert_eq!(decoded.len(), expected.len(), "number of frames");
    let wrong = decoded.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!(wrong, None, "first wrong byte of {} per picture", expected.len() / pictures.len());
}

#[test]
fn the_running_picture_is_decoded_as_drawn() {
    let start: Wall = "2026-11-21T09:59:58.9Z".parse().unwrap();
    let mut pictures = Vec::new();
    for n in 0..35 {
        let mut picture = Encoder::new(settings()).canvas();
        picture.draw(12, 999_990 + n, start.plus_micros(40_000 * n as i64));
        pictures.push(picture);
    }
    assert_exact(&pictures, settings());
}

#[test]
fn any_brightness_next_to_any_other_is_exact() {
    let settings = Settings { width_mbs: 16, height_mbs: 9, tint: (0, 255), ..settings() };
    // A fixed pseudo-random walk: every difference from -255 to 255 has its chance, in key and in other frames.
    let mut seed = 0x2545_f491u32;
    let mut pictures = Vec::new();
    for _ in 0..25 {
        let mut picture = Encoder::new(settings).canvas();
        for value in &mut picture.luma {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *value = if seed >> 31 == 0 { 0xff } else { (seed >> 16) as u8 };
        }
        picture.luma[0] = 0;
        pictures.push(picture);
    }
    assert_exact(&pictures, settings);
}

#[test]
fn frame_numbers_wrap_in_a_long_group_of_pictures() {
    let settings = Settings { width_mbs: 4, height_mbs: 4, key_every_frames: 600, ..settings() };
    let pictures: Vec<Canvas> = (0..601u32)
        .map(|n| {
            let mut picture = Encoder::new(settings).canvas();
            picture.luma[n as usize % 16] = n as u8;
            picture
        })
        .collect();
    assert_exact(&pictures, settings);
}
