//! Image mode in a whole daemon: one JPEG a period from the camera, listed, played and found again from files alone.

use super::harness::{self, Site, nvr, until};
use crate::{
    base::Wall,
    sim::{ChannelFault, Mark, PictureAnswer},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Periods of two seconds, which is the site's `segment`.
const IMAGE: &str = "mode = 'image'";

/// A stream's files that are there under their names; one may be on its way beside them.
fn files(recordings: &Path, key: &str) -> Vec<PathBuf> {
    harness::files(recordings, key).into_iter().filter(|f| f.extension().is_none_or(|e| e != "tmp")).collect()
}

fn mark(file: &Path) -> Mark {
    Mark::of_picture(&fs::read(file).unwrap()).unwrap_or_else(|| panic!("{} has no mark", file.display()))
}

/// Pictures that ffmpeg decodes, of any file.
fn decoded(file: &Path) -> usize {
    let out =
        Command::new("ffmpeg").args(["-v", "error", "-i"]).arg(file).args(["-f", "framecrc", "-"]).output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().filter(|l| !l.starts_with('#')).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_a_period_is_recorded_listed_played_and_indexed_again_without_a_session() {
    let site = Site::new(nvr(2)).await;
    let daemon = site.daemon(IMAGE).await;
    let (api, key) = (site.api(), "nvr/1/main");
    for key in [key, "nvr/2/main"] {
        until("four pictures in one span", || async {
            let spans = api.spans(key).await;
            (spans.len() == 1 && spans[0]["segments"].as_u64() >= Some(4)).then_some(())
        })
        .await;
    }
    let view = api.stream(key).await;
    assert_eq!((view["state"].as_str(), view["recording"].as_bool()), (Some("running"), Some(true)), "{view}");
    assert_eq!((view["width"].as_u64(), view["reason"].as_str()), (Some(640), None), "{view}");
    assert_eq!(site.nvr.state()["channels"][0]["sessions_played"], 0, "no RTSP session for it");

    let written = files(&site.recordings(), key);
    assert!(written.iter().all(|f| f.extension().is_some_and(|e| e == "jpg")), "{written:?}");
    let taken: Vec<Wall> = written.iter().map(|f| mark(f).wall).collect();
    let apart: Vec<i64> = taken.windows(2).map(|w| w[1].micros_since(w[0]) / 1000).collect();
    assert!(apart.iter().all(|ms| (1_000..3_000).contains(ms)), "two seconds apart: {apart:?}");
    written.iter().for_each(|f| assert_eq!(decoded(f), 1));

    let spans = api.spans(key).await;
    assert_eq!(spans[0]["kind"], "image");
    let (from, to) = (spans[0]["start"].as_str().unwrap(), spans[0]["end"].as_str().unwrap());
    let mp4 = site.dir.path().join("vod.mp4");
    fs::write(&mp4, api.get(&format!("/media/{key}/vod.mp4?from={from}&to={to}")).await).unwrap();
    assert_eq!(decoded(&mp4) as u64, spans[0]["segments"].as_u64().unwrap(), "each picture once");
    let second = api.json(&format!("/api/v1/segments?stream={key}&from={from}&to={to}")).await;
    let second = &second["segments"][1];
    assert_eq!((second["duration_ms"].as_u64(), second["frames"].as_u64()), (Some(2000), Some(1)), "{second}");
    let at = second["start"].as_str().unwrap();
    let picture = api.get(&format!("/media/{key}/snapshot.jpg?at={at}")).await;
    assert_eq!(picture, fs::read(second["path"].as_str().unwrap()).unwrap());
    let (status, problem) = api.try_get(&format!("/media/{key}/vod.m3u8?from={from}&to={to}")).await.unwrap();
    assert_eq!(status, 409, "{}", String::from_utf8_lossy(&problem));
    assert!(String::from_utf8_lossy(&problem).contains("snapshot.jpg"));
    let now = api.get(&format!("/media/{key}/snapshot.jpg")).await;
    assert!(Mark::of_picture(&now).unwrap().wall >= *taken.last().unwrap(), "a picture of now");

    // The files are the truth: the rows come back from them, marks, times and sums.
    let rows = |v: serde_json::Value| v["segments"].as_array().unwrap().iter().take(4).cloned().collect::<Vec<_>>();
    let list = format!("/api/v1/segments?stream={key}&from={from}&to={to}");
    let before = rows(api.json(&list).await);
    for deep in [false, true] {
        let (status, report) = api.send("POST", &format!("/api/v1/verify?deep={deep}"), &[]).await.unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert!(status == 200 && report["sound"] == true && report["rows"].as_u64() > Some(1), "{report}");
    }
    daemon.stop().await;
    fs::remove_dir_all(site.dir.path().join("data/store")).unwrap();
    let daemon = site.daemon("mode = 'image'\nenabled = false").await;
    let after = until("the rows", || async {
        let rows = rows(api.json(&list).await);
        (rows.len() == 4 && rows.iter().all(|r| !r["sha256"].is_null())).then_some(rows)
    })
    .await;
    assert_eq!(after, before);
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_answers_are_retried_and_a_channel_without_pictures_gives_key_frames() {
    let site = Site::new(nvr(5)).await;
    let answers =
        [PictureAnswer::Proxied, PictureAnswer::Busy, PictureAnswer::Broken, PictureAnswer::None, PictureAnswer::Cut];
    for (channel, answer) in (1..).zip(answers) {
        site.nvr.channel(channel, ChannelFault::Picture(answer)).unwrap();
    }
    let daemon = site.daemon(&format!("{IMAGE}\nchecksum = 'none'")).await;
    let api = site.api();
    for channel in [1, 2] {
        until("pictures all the same", || async {
            (files(&site.recordings(), &format!("nvr/{channel}/main")).len() >= 2).then_some(())
        })
        .await;
    }
    let listed = api.json("/api/v1/segments?stream=nvr/1/main").await;
    let rows = listed["segments"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|r| r["sha256"].is_null()), "nobody wants sums: {listed}");
    for (channel, why) in [(3, "deviceError"), (5, "cut off")] {
        let view = until("why there is none", || async {
            let view = api.stream(&format!("nvr/{channel}/main")).await;
            view["reason"].as_str().is_some_and(|r| r.contains(why)).then_some(view)
        })
        .await;
        assert_eq!((view["recording"].as_bool(), view["state"].as_str()), (Some(false), Some("backoff")), "{view}");
        assert!(files(&site.recordings(), &format!("nvr/{channel}/main")).is_empty());
    }
    // By ffmpeg, of a key frame; the session ends once it is there.
    until("pictures of key frames", || async { (files(&site.recordings(), "nvr/4/main").len() >= 2).then_some(()) })
        .await;
    files(&site.recordings(), "nvr/4/main").iter().for_each(|f| assert_eq!(decoded(f), 1));
    until("no session", || async { (site.nvr.state()["sessions_open"] == 0).then_some(()) }).await;
    assert_eq!(site.nvr.logins_failed(), 0);
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_from_video_to_pictures_and_back_by_reload() {
    let site = Site::new(nvr(1)).await;
    let daemon = site.daemon("").await;
    let (api, key) = (site.api(), "nvr/1/main");
    api.until_recorded(key, 2.0).await;
    let video = fs::read_to_string(site.config_file()).unwrap();
    fs::write(site.config_file(), video.replace("[recording]\n", "[recording]\nmode = 'image'\n")).unwrap();
    daemon.reload("test").await.unwrap();
    let count = |kind: &'static str| {
        files(&site.recordings(), key).iter().filter(|f| f.extension().is_some_and(|e| e == kind)).count()
    };
    until("a picture", || async { (count("jpg") > 0).then_some(()) }).await;
    until("no session", || async { (site.nvr.state()["sessions_open"] == 0).then_some(()) }).await;
    let before = count("mp4");
    fs::write(site.config_file(), video).unwrap();
    daemon.reload("test").await.unwrap();
    until("video again", || async { (count("mp4") > before).then_some(()) }).await;
    until("a range of both is told apart", || async {
        let spans = api.spans(key).await;
        let (from, to) = (spans[0]["start"].as_str()?, spans.last()?["end"].as_str()?);
        let (status, body) = api.try_get(&format!("/media/{key}/vod.mp4?from={from}&to={to}")).await?;
        (status == 400 && String::from_utf8_lossy(&body).contains("mixed-range")).then_some(())
    })
    .await;
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_whole_pictures_and_nothing_else() {
    let site = Site::new(nvr(8)).await;
    for n in 0..3 {
        let mut process = site.process(IMAGE);
        until("pictures", || async {
            let streams = (1..=8).map(|n| files(&site.recordings(), &format!("nvr/{n}/main")).len()).sum::<usize>();
            (streams > n * 12 + 8).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..900))).await;
        process.kill();
    }
    let daemon = site.daemon("mode = 'image'\nenabled = false").await;
    for n in 1..=8 {
        let key = format!("nvr/{n}/main");
        let there = harness::files(&site.recordings(), &key);
        for file in &there {
            assert!(file.extension().is_some_and(|e| e == "jpg"), "{}", file.display());
            assert_eq!(decoded(file), 1);
        }
        until("every file in the index", || async {
            let spans = site.api().spans(&key).await;
            let listed: u64 = spans.iter().map(|s| s["segments"].as_u64().unwrap()).sum();
            (listed == there.len() as u64).then_some(())
        })
        .await;
    }
    daemon.stop().await;
    site.stop().await;
}
