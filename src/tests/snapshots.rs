//! Pictures of moments, as ffmpeg sees them: of now from the camera, of footage from its key frames, in other widths.

use super::{
    harness::{Api, Site, nvr},
    live::KEY,
};
use crate::{base::Wall, media::jpeg, model::VideoCodec, sim};
use bytes::Bytes;
use std::{
    io::Write,
    process::{Command, Stdio},
};

async fn picture(api: &Api, query: &str) -> Bytes {
    let picture = api.get(&format!("/media/{KEY}/snapshot.jpg{query}")).await;
    assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]), "{query}");
    picture
}

/// What ffmpeg makes of a picture: one grey value for each of the simulator's bars.
fn bars(jpeg: &[u8]) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "mjpeg", "-i", "-", "-vf", "scale=40:22:flags=area", "-pix_fmt", "gray"])
        .args(["-f", "rawvideo", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    ffmpeg.stdin.take().unwrap().write_all(jpeg).unwrap();
    let out = ffmpeg.wait_with_output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout[..40].to_vec()
}

/// When a picture of the simulator was taken, by its bar code: the low 32 bits of the milliseconds.
fn taken(jpeg: &[u8]) -> u64 {
    let code = bars(jpeg).iter().fold(0u64, |code, luma| code << 1 | u64::from(*luma > 128));
    let millis = code >> 8;
    let sum = millis.to_be_bytes().iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    assert_eq!(sum, code as u8, "the bar code cannot be read");
    millis
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_of_footage_is_the_picture_of_its_key_frame() {
    let site = Site::new(nvr(1)).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    api.until_recorded(KEY, 5.0).await;
    let span = api.spans(KEY).await.remove(0);
    let start: Wall = span["start"].as_str().unwrap().parse().unwrap();
    for (millis, query) in [(0, ""), (1_200, ""), (2_700, "&width=320"), (4_040, "&width=4000")] {
        let at = start.plus_micros(millis * 1_000);
        let jpeg = picture(&api, &format!("?at={at}{query}")).await;
        let size = if query == "&width=320" { (320, 176) } else { (640, 352) };
        assert_eq!(jpeg::size(&jpeg).unwrap(), size, "{query}");
        // A key frame a second, of which the last is shown: its time is the camera's, to a few pictures.
        let age = at.millis() - (at.millis() & !0xffff_ffff) - taken(&jpeg) as i64;
        assert!((-100..1_100).contains(&age), "{age} ms at {millis} ms");
    }
    // The same again is not made again.
    let at = format!("?at={}&width=320", start.plus_micros(2_700_000));
    assert_eq!(picture(&api, &at).await, picture(&api, &at).await);
    // From the camera, in its own size and in another one; it is asked for no larger one.
    for (query, size) in [("", (640, 352)), ("?width=160", (160, 88)), ("?width=1920", (640, 352))] {
        let jpeg = picture(&api, query).await;
        assert_eq!(jpeg::size(&jpeg).unwrap(), size, "{query}");
        assert!(query == "?width=160" || taken(&jpeg) > 0);
    }
    for (query, wanted) in [("?width=9", 400), ("?width=x", 400), ("?at=2020-01-01T00:00:00Z", 404), ("?at=x", 400)] {
        let (status, _) = api.try_get(&format!("/media/{KEY}/snapshot.jpg{query}")).await.unwrap();
        assert_eq!(status, wanted, "{query}");
    }
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h265_is_shown_too_and_where_nothing_decodes_it_is_said_so() {
    let site = Site::new(sim::Options { codec: VideoCodec::H265, ..nvr(1) }).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    api.until_recorded(KEY, 3.0).await;
    let span = api.spans(KEY).await.remove(0);
    let query = format!("?at={}", span["start"].as_str().unwrap());
    assert_eq!(bars(&picture(&api, &query).await).len(), 40);
    daemon.stop().await;
    let daemon = site.daemon("[transcode]\nffmpeg = '/nowhere/ffmpeg'").await;
    let api = site.api();
    let (status, problem) = api.try_get(&format!("/media/{KEY}/snapshot.jpg{query}")).await.unwrap();
    let problem = String::from_utf8_lossy(&problem).into_owned();
    assert!(status == 501 && problem.contains("/nowhere/ffmpeg"), "{status} {problem}");
    api.until_state(KEY, "running").await;
    picture(&api, "").await;
    daemon.stop().await;
    site.stop().await;
}
